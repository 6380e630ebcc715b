"""Errors of the runtime. Each is a `TellsError`: one line, exit code 2.

TellsError
+-- ConfigError        an unknown key or an impossible value in the configuration
+-- SourceError        a source that cannot be opened or read (the password never shows)
+-- SourceLost         an opened live source that stopped; a state of the session, not its end
+-- PerceptionError    a pose or face model that is absent, corrupt or not the bundle's
+-- OutputError        a folder or a file that cannot be written
+-- TruthError         a file of what happens in a clip that cannot be read or be true
+-- PageError          the page cannot be served where it was asked for
"""

from engines.errors import TellsError


class ConfigError(TellsError):
    """An unknown key or an impossible value in the configuration."""


class SourceError(TellsError):
    """A source that cannot be opened or read; the message never holds a password."""


class SourceLost(TellsError):
    """An opened live source that stopped delivering: a state of the session, not its end."""


class PerceptionError(TellsError):
    """A pose or face model that is absent, corrupt, or not the one that the bundle names."""


class OutputError(TellsError):
    """An output folder or file that cannot be written."""


class TruthError(TellsError):
    """A file that says what happens in a clip, and cannot be read or cannot be true."""


class PageError(TellsError):
    """The page cannot be served where it was asked for: address or ports are not free."""

"""Errors that a user can cause or cure: each message is one line that says what to do.

TellsError                 caught by every command: one line on stderr, exit code 2
+-- BundleError            a bundle folder that cannot be used
|   +-- ManifestError      manifest.json is not what its schema says
|   +-- DigestError        a file does not have the sha256 that the manifest names
|   +-- GraphMismatch      the graph's inputs or outputs differ from the manifest's
|   +-- ParityError        a runtime does not reproduce the golden vectors
+-- WindowError            evidence that cannot form a window, or that a bundle cannot read
+-- RuntimeUnavailable     the device or its library is not there
+-- (realtime.errors)      sources, perception models, outputs, configuration
"""


class TellsError(Exception):
    """Anything that the user can cause or cure; its text is one complete line."""


class BundleError(TellsError):
    """A bundle folder that cannot be used."""


class ManifestError(BundleError):
    """`manifest.json` has an unknown, missing, mistyped or impossible entry."""


class DigestError(BundleError):
    """A bundle's file does not have the sha256 that its manifest names."""


class GraphMismatch(BundleError):
    """The graph's inputs or outputs differ from what the manifest promises."""


class ParityError(BundleError):
    """A runtime does not reproduce the bundle's golden vectors."""


class WindowError(TellsError):
    """Evidence that cannot form a window, or a window that a bundle cannot read."""


class RuntimeUnavailable(TellsError):
    """The asked-for device, or the library that drives it, is not there."""

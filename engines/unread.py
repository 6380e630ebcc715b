"""Streams that outlive their reader: progress bars and log lines must not end hours of work."""

import errno
import io
import os
import sys
from typing import Any, TextIO

_GONE = (errno.EPIPE, errno.EIO)
"""Nobody reads any more: of a pipe, of a terminal that was closed."""


class Unread:
    """A text stream that goes on into nothing when its reader has gone (`2>&1 | head`)."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As ever, but what nobody reads is lost; how many characters were taken."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        """As ever, but what nobody reads is lost."""
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        """What is left in the buffer, and all that follows, goes nowhere."""
        if error.errno not in _GONE:
            raise error
        to_nowhere(self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def to_nowhere(descriptor: int) -> None:
    """What is written to this file descriptor from now on, or is left in its buffer, is lost."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def open_streams() -> None:
    """Let this process's stderr outlive its reader; a second call does nothing.

    Lines of stdout appear as they are printed, whatever is in them: names of files need not be
    UTF-8. It may be closed.
    """
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the end
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True, errors="replace")
    if sys.stderr is not None and not isinstance(sys.stderr, Unread):
        sys.stderr = Unread(sys.stderr)

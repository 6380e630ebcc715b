"""Keeps MediaPipe's chatter off the terminal: users see one-line messages only.

Its C++ library writes warnings about its own insides straight to file descriptor 2 and honours no
setting that would stop it (tried: GLOG_minloglevel, TF_CPP_MIN_LOG_LEVEL). They come when a graph
is built, when the first image with a person passes through one, and, where Ctrl-C came in between,
when it is closed. What a graph says that Ctrl-C left half built, `__main__` keeps off.
"""

import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_CHATTER = re.compile(
    rb"(?:[IW]\d{4} \d\d:\d\d:\d\d|INFO: Created TensorFlow Lite"
    rb"|WARNING: All log messages before absl)[^\r\n]*\n?"
)
"""Begins anywhere: behind the text of a progress bar, which ends in no newline."""
_LONGEST_S = 0.5
"""All else on stderr waits no longer than this for cameras whose calls overlap without end."""


class _Descriptor:
    """File descriptor 2 is the process's: the first thread inside holds it back, the last frees it.

    Threads are inside at the same time: many cameras that see nobody must not wait for each other.
    """

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._num_inside, self._since = 0, 0.0
        self._held = ExitStack()

    def enter(self) -> None:
        with self._free:
            while self._num_inside and time.monotonic() - self._since > _LONGEST_S:
                self._free.wait()
            if not self._num_inside:
                self._held.enter_context(_held_back())
                self._since = time.monotonic()
            self._num_inside += 1

    def leave(self) -> None:
        with self._free:
            self._num_inside -= 1
            if not self._num_inside:
                self._held.close()
                self._free.notify_all()


_DESCRIPTOR = _Descriptor()


@contextmanager
def quiet_mediapipe() -> Iterator[None]:
    """While inside, MediaPipe's chatter is swallowed; all else on stderr comes out at the end."""
    _DESCRIPTOR.enter()
    try:
        yield
    finally:
        _DESCRIPTOR.leave()


@contextmanager
def _held_back() -> Iterator[None]:
    try:
        keep = os.dup(2)
    except OSError:  # no stderr at all
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(keep, 2)
            os.close(keep)
            held.seek(0)
            if said := _CHATTER.sub(b"", held.read()):
                os.write(2, said)

"""Keeps MediaPipe's chatter off the terminal: users see one-line messages only.

Its C++ library writes warnings about its own insides straight to file descriptor 2 and honours no
setting that would stop it (tried: GLOG_minloglevel, TF_CPP_MIN_LOG_LEVEL). They come when a graph
is built and when the first image with a person passes through one.
"""

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_CHATTER = re.compile(
    rb"[IW]\d{4} \d\d:\d\d:\d\d|INFO: Created TensorFlow Lite|WARNING: All log messages before absl"
)


# The descriptor is the process's: two threads that swapped it in turns would lose the real one.
_LOCK = threading.Lock()


@contextmanager
def quiet_mediapipe() -> Iterator[None]:
    """While inside, MediaPipe's chatter is swallowed; all else on stderr comes out at the end."""
    with _LOCK:
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
                for line in held:
                    if not _CHATTER.match(line):
                        os.write(2, line)

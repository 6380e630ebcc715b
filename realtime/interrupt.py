"""Ctrl-C and SIGTERM as an event, so that a run ends between two frames and not inside one."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def ended_by_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; elsewhere than on the main thread, nothing does.

    Waiting for it is done in short waits: on Windows a long one does not notice Ctrl-C.
    """
    is_ended = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield is_ended
        return

    def end(number: int, frame: FrameType | None) -> None:
        is_ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield is_ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

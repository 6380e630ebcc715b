"""Signals as an event, so that a run ends between two frames and not inside one."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def ended_by_signals() -> Iterator[threading.Event]:
    """An event that SIGINT, SIGTERM and a closed terminal set; only on the main thread.

    A terminal hangs up twice, as the shell and as the kernel, so from the first time on it cannot
    end the process while files are being finished. Under `nohup` it is ignored as before.

    Waiting for the event is done in short waits: on Windows a long one does not notice Ctrl-C.
    """
    is_ended = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield is_ended
        return

    def end(number: int, frame: FrameType | None) -> None:
        is_ended.set()

    def hang_up(number: int, frame: FrameType | None) -> None:
        before.pop(signal.Signals(number))
        signal.signal(number, signal.SIG_IGN)
        is_ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    hangup = getattr(signal, "SIGHUP", None)  # not on Windows
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        before[hangup] = signal.getsignal(hangup)
        signal.signal(hangup, hang_up)
    try:
        yield is_ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

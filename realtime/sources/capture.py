"""CaptureThread: a camera is opened, read and released by a thread of its own.

Drivers and FFmpeg can hang. So whoever wants frames waits for this thread with a limit, and leaves
it behind if it says nothing: it ends as soon as the library lets it go.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, Generic, Protocol, TypeVar

from realtime.errors import SourceError, SourceLost
from realtime.slot import LatestSlot, SlotClosed

logger = logging.getLogger(__name__)

POLL_S: Final = 0.2
"""Waiting is done in pieces of this length, so that Ctrl-C gets through on Windows, too."""
MAX_LEFT_BEHIND: Final = 8
"""With so many hanging threads the machine is in trouble: no more are started."""

_left_behind: list[threading.Thread] = []


class Closable(Protocol):
    """An opened camera."""

    def close(self) -> None:
        """Release it."""


D = TypeVar("D", bound=Closable)
T = TypeVar("T")


class CaptureThread(Generic[D, T]):
    """Opens a device and hands its items over, one at a time.

    Call `open`, `get` and `close` from any thread; `close` ends a waiting `get` at once. The device
    itself is touched by the thread alone, which releases it, too.
    """

    def __init__(
        self,
        open_device: Callable[[], D],
        items: Callable[[D], Iterator[T]],
        *,
        source: str,
        timeout_s: float,
    ) -> None:
        """Nothing runs before `open`.

        Args:
            open_device: opens the camera.
            items: what it delivers; ends when the stream ends.
            source: its id, for messages.
            timeout_s: the longest silence.
        """
        self._open_device, self._items = open_device, items
        self._source, self._timeout_s = source, timeout_s
        self._slot: LatestSlot[T] = LatestSlot()
        self._stopping, self._opened, self._has_room = (threading.Event() for _ in range(3))
        self._has_room.set()
        self._device: D | None = None
        self._error: BaseException | None = None
        self.keeps_all = False
        """True: wait until the last item was taken (a clip). False: newest wins (a camera)."""
        self._thread = threading.Thread(target=self._run, name=f"read {source}", daemon=True)

    @property
    def num_dropped(self) -> int:
        """Items that a newer one replaced."""
        return self._slot.num_dropped

    def open(self) -> D:
        """Start, and wait until the device is open. It may be asked, but not read or closed.

        Raises:
            SourceError: it cannot be opened, or not in time.
        """
        _left_behind[:] = [t for t in _left_behind if t.is_alive()]
        if len(_left_behind) >= MAX_LEFT_BEHIND:
            raise SourceError(
                f"{self._source} is not opened: {len(_left_behind)} earlier connections hang; "
                "restart the program"
            )
        self._thread.start()
        # The library's own limit is the same and says more: it goes first.
        deadline = time.monotonic() + self._timeout_s + 2 * POLL_S
        try:
            while not self._opened.wait(POLL_S):
                if time.monotonic() > deadline:
                    raise SourceError(
                        f"{self._source} cannot be opened: no answer within {self._timeout_s:g} s"
                    )
        except BaseException:  # Ctrl-C among them: do not leave a camera open
            self.close()
            raise
        if self._device is None:
            raise self._error or SourceError(f"{self._source} was closed while it was opened")
        return self._device

    def get(self) -> T:
        """Wait for the next item.

        Raises:
            SlotClosed: the stream has ended or `close` was called.
            SourceLost: nothing came within the time-out, or the device said why it stopped.
            SourceError: the same of a clip (`keeps_all`): it is not waited for, unlike a camera.
        """
        deadline = time.monotonic() + self._timeout_s
        while not self._stopping.is_set():
            item = self._slot.get(POLL_S)
            if item is not None:
                self._has_room.set()
                return item
            if time.monotonic() > deadline:
                kind = SourceError if self.keeps_all else SourceLost
                raise kind(f"{self._source} has sent no picture for {self._timeout_s:g} s")
        raise SlotClosed

    def close(self) -> None:
        """End it. Takes at most half a second: a thread that hangs is left behind."""
        self._stopping.set()
        self._has_room.set()
        self._slot.close()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(0.5)
            if self._thread.is_alive() and self._thread not in _left_behind:
                _left_behind.append(self._thread)

    def _run(self) -> None:
        try:
            device = self._open_device()
            try:
                self._device = device
                self._opened.set()
                self._hand_over(device)
            finally:
                device.close()
        except BaseException as error:  # thread boundary: it goes to whoever waits
            self._error = error
        finally:
            self._slot.close(self._error)
            self._opened.set()

    def _hand_over(self, device: D) -> None:
        for item in self._items(device):
            if self.keeps_all:
                self._has_room.wait()
                self._has_room.clear()
            if self._stopping.is_set():
                return
            self._slot.put(item)

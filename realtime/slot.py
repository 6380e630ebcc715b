"""LatestSlot, the hand-over between live threads: room for one, newest wins, drops are counted."""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class SlotClosed(Exception):
    """The producer has ended and nothing is left to take."""


class LatestSlot(Generic[T]):
    """A place for one item, for one producer thread and one consumer thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._error: BaseException | None = None
        self._is_closed = False
        self.num_dropped = 0
        """Items that a newer one replaced before they were taken."""

    def put(self, item: T) -> None:
        """Leave the item; one that was not taken yet is dropped. After `close` it is ignored."""
        with self._changed:
            if self._is_closed:
                return
            self.num_dropped += self._item is not None
            self._item = item
            self._changed.notify()

    def get(self, timeout_s: float | None = None) -> T | None:
        """Wait for the newest item and take it; None after `timeout_s` seconds without one.

        Raises:
            SlotClosed: the producer has ended and the last item was taken.
            BaseException: what ended the producer, if it ended with an error.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._is_closed, timeout_s)
            item, self._item = self._item, None
            if item is None and self._is_closed:
                raise self._error or SlotClosed
            return item

    def close(self, error: BaseException | None = None) -> None:
        """Say that nothing more will come, and why if it was an error."""
        with self._changed:
            self._is_closed = True
            self._error = self._error or error
            self._changed.notify_all()

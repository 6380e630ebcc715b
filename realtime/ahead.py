"""Work one stage of the offline loop ahead of the next, without changing what comes out."""

import contextlib
import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")

_POLL_S = 0.1


@dataclass(frozen=True)
class _End:
    error: BaseException | None


def ahead(items: Iterable[T], room: int = 2) -> Generator[T, None, None]:
    """The items in their order, made by a thread of their own that is up to `room` items ahead.

    The thread has ended when the iterator is closed or exhausted.

    Raises:
        BaseException: what the making of an item raised, at that item's place.
    """
    queue: Queue[T | _End] = Queue(maxsize=room)
    stopping = threading.Event()
    thread = threading.Thread(
        target=_make, args=(items, queue, stopping), name="ahead", daemon=True
    )
    thread.start()
    try:
        while not isinstance(item := _take(queue), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopping.set()
        thread.join()


def _make(items: Iterable[T], queue: "Queue[T | _End]", stopping: threading.Event) -> None:
    error: BaseException | None = None
    try:
        for item in items:
            _hand_over(item, queue, stopping)
            if stopping.is_set():
                return
    except BaseException as caught:  # a worker that dies takes its exception to the consumer
        error = caught
    _hand_over(_End(error), queue, stopping)


def _hand_over(item: T | _End, queue: "Queue[T | _End]", stopping: threading.Event) -> None:
    while not stopping.is_set():
        with contextlib.suppress(Full):
            queue.put(item, timeout=_POLL_S)
            return


def _take(queue: "Queue[T | _End]") -> T | _End:
    while True:
        with contextlib.suppress(Empty):  # in short waits: Ctrl-C on Windows needs them
            return queue.get(timeout=_POLL_S)

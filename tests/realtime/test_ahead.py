import threading
import time
from collections.abc import Iterator

import pytest

from realtime.ahead import ahead


def test_items_come_in_order_and_all() -> None:
    assert list(ahead(ahead(range(1000)))) == list(range(1000))
    assert list(ahead([])) == []


def test_it_is_never_farther_ahead_than_it_may_be() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    for i in ahead(items(), room=2):
        time.sleep(0.001)
        assert len(made) <= i + 1 + 2 + 1  # taken, waiting, and the one in hand


def test_an_error_comes_at_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    taken = ahead(items())
    assert next(taken) == 1
    with pytest.raises(ZeroDivisionError):
        next(taken)


def test_whoever_stops_early_leaves_no_thread_behind() -> None:
    for item in ahead(iter(int, 1)):
        assert item == 0
        break
    end = time.monotonic() + 2
    while any(t.name == "ahead" for t in threading.enumerate()) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(t.name == "ahead" for t in threading.enumerate())

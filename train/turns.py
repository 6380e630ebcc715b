"""Turns: what is costly to make is looked at several times, but not several times in a row."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
AMONG = 1152
"""How many windows take turns. Batches go round among the workers, and each keeps what it has made
itself: it sees a window again if this is a multiple of their number times the batch (2 workers and
16 windows; 8 and 72, or 12 and 96, on a GPU)."""


def turn(draw: int, times: int, among: int) -> int:
    """Which of the things that are made a draw looks at.

    Draws 0, 1, 2, ... go round among `among` things, `times` times, then on to the next ones.
    """
    group, place = divmod(draw, times * among)
    return group * among + place % among


class Kept(Generic[T]):
    """Keeps the last things made, by number. A copy in another process begins with none."""

    def __init__(self, make: Callable[[int], T], count: int) -> None:
        """Keep `count` of what `make` makes of a number."""
        self._make, self._count = make, count
        self._things: OrderedDict[int, T] = OrderedDict()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_things": OrderedDict()}

    def __call__(self, number: int) -> T:
        """The thing of that number; made unless it is still there."""
        if number not in self._things:
            self._things[number] = self._make(number)
            if len(self._things) > self._count:
                self._things.popitem(last=False)
        self._things.move_to_end(number)
        return self._things[number]

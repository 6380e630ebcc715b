"""Turns: everything is looked at equally often, and nothing twice in a row."""

import pickle
from collections import Counter

from train.turns import Kept, turn


def test_each_thing_is_looked_at_so_many_times_in_turn_with_others() -> None:
    seen = [turn(draw, times=3, among=5) for draw in range(45)]
    assert seen[:10] == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert seen[15:20] == [5, 6, 7, 8, 9]
    assert Counter(seen) == dict.fromkeys(range(15), 3)


class Maker:
    """Counts what it makes."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self.kept = Kept(self.make, 2)

    def make(self, number: int) -> int:
        self.made.append(number)
        return 10 * number


def test_the_last_things_are_kept_and_no_more() -> None:
    maker = Maker()
    assert [maker.kept(k) for k in (1, 2, 1, 3, 1, 2)] == [10, 20, 10, 30, 10, 20]
    assert maker.made == [1, 2, 3, 2], "1 was looked at last when 3 came, so 2 had to go"


def test_a_copy_makes_things_for_itself() -> None:
    maker = Maker()
    maker.kept(1)
    copied = pickle.loads(pickle.dumps(maker))
    assert copied.kept(1) == 10
    assert (copied.made, maker.made) == ([1, 1], [1])

"""Turns: everything is looked at equally often, and nothing twice in a row."""

from collections import Counter

from train.turns import turn


def test_each_thing_is_looked_at_so_many_times_in_turn_with_others() -> None:
    seen = [turn(draw, times=3, among=5) for draw in range(45)]
    assert seen[:10] == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert seen[15:20] == [5, 6, 7, 8, 9]
    assert Counter(seen) == dict.fromkeys(range(15), 3)

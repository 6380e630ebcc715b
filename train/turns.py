"""Turns: what is costly to make is looked at several times, but not several times in a row."""


def turn(draw: int, times: int, among: int) -> int:
    """Which of the things that are made a draw looks at.

    Draws 0, 1, 2, ... go round among `among` things, `times` times, then on to the next ones.
    """
    group, place = divmod(draw, times * among)
    return group * among + place % among

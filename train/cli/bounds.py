"""Numbers of the command line: between what bounds a command can take them."""

import math

from engines.errors import TellsError

LARGEST_SEED = 2**31 - 1


def check_number(option: str, value: float, least: float, most: float | None = None) -> None:
    """Make sure that a number is finite and within its bounds.

    Raises:
        TellsError: it is not; NaN never is.
    """
    if most is None:
        is_finite = isinstance(value, int) or math.isfinite(value)
        if not (is_finite and value >= least):
            raise TellsError(f"{option}: expected {least} or more, got {value}")
    elif not least <= value <= most:
        raise TellsError(f"{option}: expected {least} to {most}, got {value}")


def check_seed(seed: int) -> None:
    """Make sure that `--seed` is one that torch and numpy take, whatever is added to it.

    Raises:
        TellsError: it is not.
    """
    check_number("--seed", seed, 0, LARGEST_SEED)

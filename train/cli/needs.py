"""What a command needs that the base install does not bring."""

import importlib.util
from collections.abc import Sequence

from engines.errors import RuntimeUnavailable

RECIPE_NAMES = ("micro_gesture", "emotion", "smg", "joint", "demo")
"""The keys of `train.recipes.RECIPES`, which imports torch."""


def require(command: str, libraries: Sequence[str]) -> None:
    """Make sure that the libraries are there.

    Raises:
        RuntimeUnavailable: one is not; says how to install it.
    """
    missing = [name for name in libraries if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeUnavailable(
            f"{command} needs {', '.join(missing)}, not installed here: "
            f'run `python -m pip install -e ".[train]"`'
        )

"""What a command needs that the base install does not bring."""

import argparse
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path

from engines.errors import RuntimeUnavailable

RECIPE_NAMES = ("micro_gesture", "emotion", "joint", "demo")
"""The keys of `train.recipes.RECIPES`, which imports torch."""
PEOPLE = ("f001", "f003", "f005", "f009", "m002", "m006", "m017")
"""Those of `train.synth.avatar.AVATARS`, which imports pygltflib."""
_MADE = re.compile(r"h\d{4}")
"""Names of people whom `train people` makes."""


def person(text: str) -> str:
    """The name of an avatar, for `argparse`.

    Raises:
        argparse.ArgumentTypeError: nobody can be called so.
    """
    if text not in PEOPLE and not _MADE.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"expected {', '.join(PEOPLE)} or somebody whom `train people` made, "
            f"h0001 to h9999, got {text!r}"
        )
    return text


def made_people(folder: Path) -> tuple[str, ...]:
    """Names of those in a folder whom `train people` made."""
    return tuple(sorted(p.stem for p in folder.glob("h*.glb") if _MADE.fullmatch(p.stem)))


def everyone(folder: Path) -> tuple[str, ...]:
    """Names of all people in a folder; of all who could be if there is nobody."""
    made = made_people(folder)
    there = [name for name in PEOPLE if (folder / f"{name}.glb").is_file()]
    return (*there, *made) if made else PEOPLE


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

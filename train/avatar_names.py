"""Names of avatars: which there can be, and whose files lie in a folder."""

import argparse
import re
from pathlib import Path

AVATARS = ("f001", "f003", "f005", "f009", "m002", "m006", "m017")
"""Women and men of Rocketbox; f001 has 175 blend shapes besides the facial bones that all have."""
_MADE = re.compile(r"h\d{4}")
"""Names of people whom `train people` makes."""


def person(text: str) -> str:
    """The name of an avatar, for `argparse`.

    Raises:
        argparse.ArgumentTypeError: nobody can be called so.
    """
    if text not in AVATARS and not _MADE.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"expected {', '.join(AVATARS)} or somebody whom `train people` made, "
            f"h0001 to h9999, got {text!r}"
        )
    return text


def made_people(folder: Path) -> tuple[str, ...]:
    """Names of those in a folder whom `train people` made."""
    return tuple(sorted(p.stem for p in folder.glob("h*.glb") if _MADE.fullmatch(p.stem)))


def everyone(folder: Path) -> tuple[str, ...]:
    """Names of all people in a folder; of all who could be if there is nobody."""
    made = made_people(folder)
    there = [name for name in AVATARS if (folder / f"{name}.glb").is_file()]
    return (*there, *made) if made else AVATARS

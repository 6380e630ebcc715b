"""Which fonts have the letters of a text: a clip may be called in any script.

DejaVu Sans, which matplotlib brings along, knows no Chinese and shows boxes in its place; fonts
that know it often know nothing else. So a text may need several.
"""

from contextlib import suppress
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.font_manager import FontProperties

_FOLDER = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
SANS, SANS_BOLD = _FOLDER / "DejaVuSans.ttf", _FOLDER / "DejaVuSans-Bold.ttf"
UNKNOWN = "?"
"""Stands for a letter that no installed font has."""


@lru_cache(maxsize=256)
def spelled(text: str, usual: Path = SANS) -> tuple[tuple[str, Path], ...]:
    """`text` in pieces, each with the file of a font that has its letters: `usual` wherever it has.

    Letters that no font has are replaced.
    """
    letters = []
    for letter in text:
        font = usual if _has(usual, letter) else _font_with(letter)
        letters.append((UNKNOWN, usual) if font is None else (letter, font))
    by_font = groupby(letters, key=lambda pair: pair[1])
    return tuple(("".join(letter for letter, _ in pieces), font) for font, pieces in by_font)


def as_title(text: str) -> tuple[str, FontProperties]:
    """`text` as it can be written, and its fonts for matplotlib: bold if they all can be."""
    pieces = spelled(text, SANS_BOLD)
    is_bold = {font for _, font in pieces} <= {SANS_BOLD}
    if not is_bold:
        pieces = spelled(text)
    fonts = dict.fromkeys((SANS, *(font for _, font in pieces if font != SANS_BOLD)))
    names = [font_manager.get_font(font).family_name for font in fonts]
    weight = "bold" if is_bold else "normal"
    return "".join(piece for piece, _ in pieces), FontProperties(family=names, weight=weight)


@lru_cache(maxsize=256)
def _font_with(letter: str) -> Path | None:
    """An installed upright font of usual weight that has the letter."""
    for entry in sorted(font_manager.fontManager.ttflist, key=lambda f: f.fname):
        is_plain = entry.style == "normal" and entry.weight in (400, "normal", "regular")
        # The last resort has all letters: as boxes with their numbers.
        if is_plain and not entry.name.startswith("Last Resort"):
            with suppress(OSError, RuntimeError):  # a damaged file has none
                if _has(Path(entry.fname), letter):
                    return Path(entry.fname)
    return None


def _has(font: Path, letter: str) -> bool:
    return bool(font_manager.get_font(font).get_char_index(ord(letter)))

"""Text on pictures: anti-aliased, proportional, quick because every word is rendered once.

`cv2.putText` knows stroke fonts only. Here Pillow's own scalable font (Aileron) is rendered at four
times its size and reduced, which spaces small text evenly; what that font cannot spell is set in
DejaVu Sans, or in installed fonts that can.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from realtime.fonts import spelled
from realtime.records import Image

Color = tuple[int, int, int]
"""RGB, 0..255."""
_OVERSAMPLE = 4
_LINE = 1.4
_ELLIPSIS = "..."


@dataclass(frozen=True)
class Style:
    """How a text looks."""

    px: int
    """Height of the font."""
    color: Color
    bold: bool = False


def put_text(
    canvas: Image, text: str, at: tuple[int, int], style: Style, *, max_width: int = 10_000
) -> int:
    """Write `text` onto uint8 [H, W, 3], top left corner at `at` (x, y) px; return its width in px.

    Text wider than `max_width` ends in an ellipsis; what reaches over the canvas is cut off.
    """
    alpha = text_alpha(shorten(text, style, max_width), style.px, style.bold)
    x, y = at
    left, top = max(-x, 0), max(-y, 0)
    alpha = alpha[top : max(canvas.shape[0] - y, 0), left : max(canvas.shape[1] - x, 0)]
    if alpha.size:
        x, y = x + left, y + top
        region = canvas[y : y + alpha.shape[0], x : x + alpha.shape[1]]
        share = alpha[..., None].astype(np.uint16)
        color = np.array(style.color, np.uint16)
        region[:] = (region * (255 - share) + color * share + 127) // 255
    return int(alpha.shape[1])


def text_width(text: str, style: Style) -> int:
    """Width of `text` in px."""
    return int(text_alpha(text, style.px, style.bold).shape[1])


@lru_cache(maxsize=512)
def shorten(text: str, style: Style, max_width: int) -> str:
    """`text`, or as much of its beginning as fits into `max_width` px with an ellipsis."""
    if text_width(text, style) <= max_width:
        return text
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if text_width(text[:middle].rstrip() + _ELLIPSIS, style) <= max_width:
            fits = middle
        else:
            too_long = middle
    return text[:fits].rstrip() + _ELLIPSIS


@lru_cache(maxsize=1024)
def text_alpha(text: str, px: int, bold: bool) -> NDArray[np.uint8]:
    """Coverage of a line of text, uint8 [1.4 px, width]; read-only."""
    # Aileron comes in one weight; a hair's breadth around each letter makes it a semi-bold, and
    # then each letter needs that much more room.
    stroke = max(1, round(px * _OVERSAMPLE * 0.022)) if bold else 0
    runs: Sequence[tuple[str, Path | None]] = [(text, None)] if text.isascii() else spelled(text)
    pieces = [
        (piece, _font(px * _OVERSAMPLE, file))
        for run, file in runs
        for piece in (run if bold else (run,))
    ]
    steps = [font.getlength(piece) + stroke for piece, font in pieces]
    width = -(-int(sum(steps) + 2 * stroke + 1) // _OVERSAMPLE)
    size = (max(width, 1) * _OVERSAMPLE, round(px * _LINE) * _OVERSAMPLE)
    picture = PillowImage.new("L", size)
    draw, x = ImageDraw.Draw(picture), float(stroke)
    for (piece, font), step in zip(pieces, steps, strict=True):
        draw.text((x, 0), piece, font=font, fill=255, stroke_width=stroke)
        x += step
    alpha = cv2.resize(
        np.asarray(picture),
        (size[0] // _OVERSAMPLE, size[1] // _OVERSAMPLE),
        interpolation=cv2.INTER_AREA,
    )
    alpha.setflags(write=False)
    return np.asarray(alpha, np.uint8)


@lru_cache(maxsize=64)
def _font(px: int, file: Path | None) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(px) if file is None else ImageFont.truetype(str(file), px)

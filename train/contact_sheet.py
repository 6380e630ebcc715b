"""A contact sheet: what a model is shown of some windows, with pose, hands, face and label."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from engines.preprocess import cut_hand, sample
from engines.tensor_specs import HANDS, FaceInput, HandInput, InputSpec, RgbInput
from engines.window import Window
from realtime.lettering import Color, Style, put_text
from realtime.records import Image, Observation, Pose
from realtime.subject import paint_subject

_GROUND: Color = (27, 31, 38)
_EMPTY: Color = (44, 50, 59)
_GESTURE: Color = (79, 184, 165)
_OTHER: Color = (44, 92, 86)
_ANCHOR: Color = (255, 193, 77)
_TITLE = Style(17, (236, 240, 244), bold=True)
_TEXT = Style(13, (160, 170, 182))
_TILE, _FACE, _GAP, _STRIP = 176, 88, 8, 10
_HAND = 84
"""Two below each picture, with a gap."""
_ROWS_A_COLUMN = 4
"""A sheet of more windows has a second column, and so on."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One window of the sheet."""

    window: Window
    anchor: float
    """Stream seconds that the label is about."""
    spans: tuple[tuple[float, float], ...]
    """Stream seconds of the annotated gestures, for the strip below the pictures."""
    title: str
    facts: tuple[str, ...]
    """Lines beside the faces."""


def draw_sheet(samples: Sequence[Sample], inputs: Sequence[InputSpec]) -> Image:
    """uint8 [H, W, 3]: the windows one below the other, in columns.

    Args:
        samples: at least one.
        inputs: those of the model: the pictures are the ones that they would sample.
    """
    blocks = [_block(each, inputs) for each in samples]
    columns = -(-len(blocks) // _ROWS_A_COLUMN)
    rows = -(-len(blocks) // columns)
    height, width = blocks[0].shape[:2]
    size = (rows * (height + 2 * _GAP), columns * (width + 2 * _GAP), 3)
    sheet = np.full(size, _GROUND, np.uint8)
    for k, block in enumerate(blocks):
        column, row = divmod(k, rows)
        y, x = row * (height + 2 * _GAP) + _GAP, column * (width + 2 * _GAP) + _GAP
        sheet[y : y + height, x : x + width] = block
    return sheet


def _block(shown: Sample, inputs: Sequence[InputSpec]) -> Image:
    window = shown.window
    pictures = next(i.sampling for i in inputs if isinstance(i, RgbInput))
    faces = next((i.sampling for i in inputs if isinstance(i, FaceInput)), None)
    nearest, _ = sample(window.t, pictures)
    width = max(len(nearest), 4) * (_TILE + _GAP) - _GAP
    line, big = round(_TEXT.px * 1.4), round(_TITLE.px * 1.4)
    top = big + _GAP
    hands = next((i for i in inputs if isinstance(i, HandInput)), None)
    hand_y = top + _TILE + line + 2
    strip_y = hand_y + (_HAND + _GAP if hands else 0)
    face_y = strip_y + _STRIP + _GAP
    canvas = np.full((face_y + _FACE + line, width, 3), _GROUND, np.uint8)
    put_text(canvas, shown.title, (0, 0), _TITLE, max_width=width)
    for place, k in enumerate(nearest):
        x = place * (_TILE + _GAP)
        canvas[top : top + _TILE, x : x + _TILE] = _picture(window, int(k))
        put_text(canvas, f"{window.t[k]:.2f} s", (x, top + _TILE + 1), _TEXT)
    if hands is not None:
        _draw_hands(canvas[hand_y : hand_y + _HAND], window, hands)
    _draw_strip(canvas[strip_y : strip_y + _STRIP], shown, window.end - pictures.span_s)
    x = 0
    if faces is not None:
        for k, is_near in zip(*sample(window.t, faces), strict=True):
            _draw_face(canvas[face_y:, x : x + _FACE], window, int(k) if is_near else None)
            x += _FACE + _GAP
    for place, fact in enumerate(shown.facts):
        put_text(canvas, fact, (x, face_y + place * line), _TEXT, max_width=width - x)
    return canvas


def _picture(window: Window, k: int) -> Image:
    """The picture of one sample with its pose, [_TILE, _TILE, 3]."""
    rgb = window.rgb[k]
    h, w = rgb.shape[:2]
    zoom = _TILE / max(h, w)
    pose = Pose(window.xy[k].copy(), window.xyz[k].copy(), window.conf[k].copy(), window.layout)
    seen = Observation(
        t=float(window.t[k]), index=k, source="", arrived=0.0, rgb=rgb.copy(),
        crop=np.array([0, 0, w, h], np.float32), face=None,
        pose=pose if window.has_pose[k] else None,
    )  # fmt: skip
    tile = np.full((_TILE, _TILE, 3), _EMPTY, np.uint8)
    enlarged = cv2.resize(rgb, (round(w * zoom), round(h * zoom)), interpolation=cv2.INTER_CUBIC)
    tile[: enlarged.shape[0], : enlarged.shape[1]] = enlarged
    paint_subject(tile, seen, zoom=zoom, line=0.6)
    return tile


def _draw_strip(strip: Image, shown: Sample, start: float) -> None:
    """When the annotated gestures are, and what instant the label is about."""
    width = strip.shape[1]

    def at(t: float) -> int:
        share = (t - start) / max(shown.window.end - start, 1e-6)
        return int(np.clip(share, 0, 1) * (width - 1))

    strip[:] = _EMPTY
    for begin, end in shown.spans:
        if begin <= shown.window.end and end >= start:
            color = _GESTURE if begin <= shown.anchor <= end else _OTHER
            strip[2:-2, at(begin) : at(end) + 1] = color
    x = at(shown.anchor)
    strip[:, max(x - 1, 0) : x + 2] = _ANCHOR


def _draw_hands(row: Image, window: Window, spec: HandInput) -> None:
    """Both hands of each instant, the one that is left in the picture on the left."""
    for place, (k, is_near) in enumerate(zip(*sample(window.t, spec.sampling), strict=True)):
        for side in range(len(HANDS)):
            x = place * (_TILE + _GAP) + (1 - side) * (_HAND + _GAP)
            picture = cut_hand(window, int(k), side, spec) if is_near else None
            if picture is None:
                row[:, x : x + _HAND] = _EMPTY
                put_text(row[:, x : x + _HAND], "no hand", (14, _HAND // 2 - _TEXT.px), _TEXT)
            else:
                row[:, x : x + _HAND] = cv2.resize(picture, (_HAND, _HAND))


def _draw_face(place: Image, window: Window, k: int | None) -> None:
    if k is None or not window.has_face[k]:
        place[:_FACE] = _EMPTY
        put_text(place, "no face", (20, _FACE // 2 - _TEXT.px), _TEXT)
        return
    size = (_FACE, _FACE)
    place[:_FACE] = cv2.resize(window.faces[k], size, interpolation=cv2.INTER_AREA)
    put_text(place, f"{window.t[k]:.2f} s", (0, _FACE + 1), _TEXT)

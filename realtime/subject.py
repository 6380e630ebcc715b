"""The followed person, drawn on the picture: skeleton, face box, subject region."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from engines.skeleton import LAYOUTS
from realtime.lettering import Color
from realtime.records import Floats, Image, Observation, Pose

LEFT: Color = (255, 167, 96)
RIGHT: Color = (92, 196, 255)
MIDDLE: Color = (236, 240, 244)
_SHADOW: Color = (12, 14, 18)
# A joint is invisible at the first confidence and fully drawn from the second on: MediaPipe guesses
# hidden legs and hands, and a guess must not look like a finding.
_FADE = (0.2, 0.7)
_SUBPIXEL = 3
_FACE_PARTS = ("nose", "eye", "ear", "mouth")


@dataclass(frozen=True)
class _Lines:
    """What is drawn of a skeleton layout, by joint index."""

    bones: tuple[tuple[int, int], ...]
    face: frozenset[int]
    colors: tuple[Color, ...]
    """One a joint; a bone has its outer joint's."""


def draw_subject(image: Image, observation: Observation) -> Image:
    """A copy of the observed frame's image, uint8 [H, W, 3], with skeleton and face box."""
    out = image.copy()
    paint_subject(out, observation, zoom=1.0, line=max(min(image.shape[:2]) / 360, 0.6))
    return out


def paint_subject(
    canvas: Image,
    observation: Observation,
    *,
    zoom: float,
    line: float,
    with_region: bool = False,
) -> None:
    """Draw onto `canvas` in place.

    Args:
        canvas: uint8 [H, W, 3], the frame enlarged by `zoom`.
        observation: what was perceived in the frame.
        zoom: px of the canvas per px of the frame.
        line: width of lines, 1 for a picture of 360 lines.
        with_region: mark the corners of the subject's region as well.
    """
    if with_region:
        _brackets(canvas, observation.crop * zoom, line, (MIDDLE, 0.35, 0.04))
    if observation.face is not None:
        _brackets(canvas, observation.face.box * zoom, line, (MIDDLE, 0.9, 0.22))
    if observation.pose is not None:
        _paint_pose(canvas, observation.pose, zoom, line)


@lru_cache(maxsize=8)
def _lines(layout_name: str) -> _Lines:
    layout = LAYOUTS[layout_name]
    joints = layout.joints
    face = frozenset(i for i, j in enumerate(joints) if any(part in j for part in _FACE_PARTS))
    # Face points stay points; and no line from the nose to a shoulder, which the layout's tree has.
    bones = [(c, p) for c, p in layout.bones if c not in face and p not in face]
    for pair in (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")):
        if "neck" not in joints and set(pair) <= set(joints):
            bones.append((joints.index(pair[0]), joints.index(pair[1])))
    sides = {"left": LEFT, "right": RIGHT}
    colors = tuple(
        next((sides[part] for part in j.split("_") if part in sides), MIDDLE) for j in joints
    )
    return _Lines(tuple(bones), face, colors)


def _paint_pose(canvas: Image, pose: Pose, zoom: float, line: float) -> None:
    lines = _lines(pose.layout)
    low, high = _FADE
    alpha = np.clip((pose.conf - low) / (high - low), 0, 1)
    xy = pose.xy * zoom
    limit = 4 * max(canvas.shape)
    alpha[~(np.abs(xy) < limit).all(axis=1)] = 0  # NaN compares False
    points = [(int(x), int(y)) for x, y in np.where(alpha[:, None] > 0, xy, 0) * (1 << _SUBPIXEL)]
    core = max(1, round(1.6 * line))
    halo = core + 2
    seen = [(c, p, float(min(alpha[c], alpha[p]))) for c, p in lines.bones]
    seen = [bone for bone in seen if bone[2] > 0.05]
    for c, p, a in seen:
        where = (xy[c] + xy[p]) / 2
        _line(canvas, points[c], points[p], _faded(canvas, where, _SHADOW, 0.55 * a), halo)
    for c, p, a in seen:
        color = MIDDLE if _is_across(lines, c, p) else lines.colors[c]
        where = (xy[c] + xy[p]) / 2
        _line(canvas, points[c], points[p], _faded(canvas, where, color, a), core)
    for i, a in enumerate(alpha):
        if a > 0.05:
            radius = (1.7 if i in lines.face else 2.8) * line
            color = _faded(canvas, xy[i], lines.colors[i], float(a))
            _dot(canvas, points[i], radius, color)


def _is_across(lines: _Lines, child: int, parent: int) -> bool:
    return {lines.colors[child], lines.colors[parent]} == {LEFT, RIGHT}


def _faded(canvas: Image, where: Floats, color: Color, alpha: float) -> Color:
    """`color` over what the canvas shows there: cheaper than blending, enough for thin lines."""
    x = min(max(int(where[0]), 0), canvas.shape[1] - 1)
    y = min(max(int(where[1]), 0), canvas.shape[0] - 1)
    under = canvas[y, x]
    r, g, b = (round(alpha * c + (1 - alpha) * int(u)) for c, u in zip(color, under, strict=True))
    return r, g, b


def _line(
    canvas: Image, start: tuple[int, int], end: tuple[int, int], color: Color, width: int
) -> None:
    cv2.line(canvas, start, end, color, width, cv2.LINE_AA, _SUBPIXEL)


def _dot(canvas: Image, at: tuple[int, int], radius: float, color: Color) -> None:
    cv2.circle(canvas, at, round(radius * (1 << _SUBPIXEL)), color, -1, cv2.LINE_AA, _SUBPIXEL)


def _brackets(canvas: Image, box: Floats, line: float, look: tuple[Color, float, float]) -> None:
    """The four corners of a box (px xyxy); look: colour, opacity, arm as a share of its side."""
    color, alpha, share = look
    if not np.isfinite(box).all():
        return
    inset = np.array([1, 1, -2, -2], np.float32)
    edge = np.array([canvas.shape[1], canvas.shape[0]] * 2, np.float32)
    # A region may reach over the frame: its corners are then shown at the frame's edge.
    x0, y0, x1, y1 = np.clip(box, 0, edge) + inset * line
    arm = max(share * min(x1 - x0, y1 - y0), 5 * line)
    if min(x1 - x0, y1 - y0) < arm:
        return
    width, one = max(1, round(1.2 * line)), 1 << _SUBPIXEL
    for x, y, dx, dy in ((x0, y0, 1, 1), (x1, y0, -1, 1), (x0, y1, 1, -1), (x1, y1, -1, -1)):
        corner = (int(x * one), int(y * one))
        painted = _faded(canvas, np.array([x, y]), color, alpha)
        for end in ((x + dx * arm, y), (x, y + dy * arm)):
            _line(canvas, corner, (int(end[0] * one), int(end[1] * one)), painted, width)

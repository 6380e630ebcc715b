"""One hand touches head, neck or trunk: most of iMiGUE's classes are rows of one table."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from train.synth.body import Body
from train.synth.controls import Controls
from train.synth.gestures.reach import (
    OTHER,
    SIGN,
    Goal,
    Vector,
    bent,
    envelope,
    incline,
    jittered,
    reach,
)
from train.synth.rotations import Floats


@dataclass(frozen=True)
class Touch:
    """A way to touch something, told for the left hand."""

    marks: tuple[str, ...]
    """Landmarks to choose from; `~` is the hand's own side, `^` the other."""
    fingers: Vector
    curl: tuple[float, float] = (0.15, 0.4)
    tip: tuple[float, float] = (0.9, 1.0)
    palm: Vector | None = None
    """None: against the skin."""
    offset: Vector = (0.0, 0.0, 0.0)
    """cm (outwards, up, forward) from the landmark."""
    wobble: Vector = (0.0, 0.0, 0.0)
    rate: tuple[float, float] = (0.0, 0.0)
    hold: float = 0.35
    """Share of the time in which the hand only rests there."""
    path: tuple[Vector, ...] = ()
    elbow: tuple[float, float] = (-0.1, 0.3)
    via: Vector = (3.0, -2.0, 9.0)
    head: Vector = (0.05, 0.0, 0.06)
    """rad: the head bows, turns towards the hand, tilts towards the hand."""
    both: float = 0.0
    """How often both hands do it."""
    on_head: bool = True
    lids: float = 0.0
    """How far the eyes close meanwhile."""


_AROUND = 34.0
"""cm before the shoulder, at half way."""
_UP_IN = (-0.45, 0.75, -0.45)
TOUCHES: Mapping[int, tuple[Touch, ...]] = {
    2: (
        Touch(("hairline",), (-0.55, 0.25, -0.8), (0.35, 0.6), offset=(3.0, 0.5, 2.5),
              wobble=(0.6, 0.8, 0.6), rate=(0.8, 2.0), elbow=(-0.4, 0.1)),
        Touch(("~_temple",), (-0.2, 0.55, -0.8), (0.35, 0.6), offset=(1.5, 4.5, 3.0),
              wobble=(0.3, 1.0, 0.3), rate=(0.8, 2.0), elbow=(-0.6, -0.1), both=0.3),
    ),
    3: (
        Touch(("crown", "~_crown"), (-0.6, 0.3, -0.65), (0.3, 0.55), wobble=(1.0, 0.2, 1.2),
              rate=(2.5, 5.0), elbow=(-1.0, -0.4), hold=0.2, via=(10, 2, 8)),
        Touch(("~_crown", "back_head"), (-0.5, 0.2, -0.85), (0.25, 0.5), wobble=(0.9, 0.9, 0.4),
              rate=(2.5, 5.0), elbow=(-1.3, -0.7), hold=0.3, via=(14, 2, 3), head=(0.12, 0, 0.1)),
        Touch(("crown",), (-0.8, 0.1, -0.5), (0.0, 0.2), (0.45, 0.6), hold=0.8,
              elbow=(-1.6, -1.1), via=(10, 2, 8)),
    ),
    4: (
        Touch(("forehead",), (-0.75, 0.5, -0.35), (0.1, 0.45), (0.85, 1.0), wobble=(1.7, 0.1, 0),
              rate=(1.5, 3.5), elbow=(-0.5, 0.1), head=(0.15, 0, 0.04)),
        Touch(("~_brow",), _UP_IN, (0.3, 0.6), offset=(0, 1.6, 0), wobble=(0.8, 0.6, 0),
              rate=(2.0, 4.5), head=(0.15, 0, 0.08), elbow=(-0.4, 0.0)),
        Touch(("forehead",), (-0.85, 0.4, -0.2), (0.0, 0.25), (0.45, 0.7), hold=0.9,
              head=(0.2, 0, 0.05), elbow=(-0.7, -0.3)),
    ),
    5: (
        Touch(("nose",), (-0.15, 0.98, -0.1), (0.05, 0.2), (0.45, 0.55), (0.0, 0.0, -1.0),
              offset=(2.5, 1.0, 2.0), hold=0.7, wobble=(0.3, 1.0, 0), rate=(0.5, 1.2),
              head=(0.25, 0, 0.0), both=0.7, lids=1.0, elbow=(-0.1, 0.3)),
    ),
    6: (
        Touch(("~_eye",), (-0.5, 0.6, -0.6), (0.45, 0.7), wobble=(0.9, 0.45, 0), rate=(1.8, 4.0),
              hold=0.15, lids=1.0, head=(0.15, 0, 0.05), both=0.3, elbow=(-0.3, 0.2)),
        Touch(("eyes",), (-0.7, 0.5, -0.5), (0.45, 0.65), wobble=(0.6, 0.4, 0), rate=(1.5, 3.0),
              hold=0.5, lids=1.0, head=(0.2, 0, 0.0), elbow=(-0.25, 0.15)),
    ),
    7: (
        Touch(("nose",), (-0.55, 0.55, -0.65), (0.25, 0.6), wobble=(0.7, 0.5, 0),
              rate=(2.0, 4.5)),
        Touch(("mouth", "~_mouth"), (-0.65, 0.6, -0.4), (0.25, 0.55), wobble=(1.0, 0.3, 0),
              rate=(1.0, 3.0), hold=0.5),
        Touch(("~_cheek",), (-0.3, 0.85, -0.4), (0.2, 0.5), wobble=(0.5, 0.9, 0),
              rate=(1.5, 4.5)),
        Touch(("^_cheek",), (-0.8, 0.5, -0.3), (0.2, 0.5), wobble=(0.5, 0.9, 0), rate=(1.5, 4.0)),
        Touch(("mouth",), (-0.9, 0.4, -0.2), (0.1, 0.35), (0.55, 0.75), (0.1, 0.0, -1.0),
              offset=(0, 0, 1.0), hold=0.9),
    ),
    8: (
        Touch(("~_ear",), (-0.2, 0.6, -0.75), (0.35, 0.65), wobble=(0.3, 0.9, 0.3),
              rate=(1.0, 3.5), elbow=(-0.85, -0.25), via=(8, -2, 4), head=(0.03, 0, 0.12)),
        Touch(("~_ear",), (-0.35, 0.8, -0.5), (0.3, 0.55), offset=(0.3, -2.5, 0.5),
              wobble=(0.2, 0.6, 0.2), rate=(1.0, 3.0), hold=0.5, via=(8, -2, 4),
              elbow=(-1.0, -0.6)),
    ),
    9: (
        Touch(("mouth",), (-0.55, 0.35, -0.8), (0.6, 0.85), palm=(0.25, -0.6, -0.75),
              offset=(0.6, -0.4, 0.3), wobble=(0.4, 0.3, 0.2), rate=(1.0, 2.5), hold=0.3,
              head=(0.12, 0, 0.03)),
    ),
    10: (
        Touch(("chin",), (-0.5, 0.7, -0.55), (0.3, 0.6), wobble=(0.6, 0.8, 0), rate=(1.0, 3.0),
              hold=0.5),
        Touch(("under_chin", "~_jaw"), (-0.35, 0.85, -0.3), (0.55, 0.95), (0.4, 0.6),
              (-0.3, 0.6, -0.6), offset=(0, -2.0, 1.0), hold=0.95, head=(0.06, 0, 0.1)),
        Touch(("~_jaw",), (-0.25, 0.9, -0.3), (0.25, 0.5), (0.6, 1.0), wobble=(0.3, 1.0, 0.2),
              rate=(0.8, 2.5), hold=0.5, head=(0.03, 0, 0.12)),
    ),
    11: (
        Touch(("~_neck",), (-0.35, 0.45, -0.8), (0.2, 0.5), wobble=(0.3, 1.2, 0.5),
              rate=(1.5, 4.0), on_head=False, head=(0.0, 0, 0.14), via=(8, -2, 4),
              elbow=(-0.4, 0.0)),
        Touch(("~_nape",), (-0.5, 0.25, -0.85), (0.15, 0.4), (0.75, 1.0),
              wobble=(0.8, 1.0, 0.2), rate=(1.0, 3.0), on_head=False,
              elbow=(-0.4, 0.1), via=(14, 2, 3), head=(0.15, 0, 0.08)),
        Touch(("throat",), (-0.75, 0.5, -0.4), (0.15, 0.45), wobble=(0.8, 1.0, 0),
              rate=(1.0, 3.0), on_head=False, head=(-0.1, 0, 0)),
    ),
    12: (
        Touch(("~_temple",), (-0.15, 0.6, -0.8), (0.2, 0.4), (0.85, 1.0), offset=(0.5, 1, 1),
              path=((0, 2, 2), (1, 1, -3), (1, -3, -6), (1, -8, -5)), via=(8, 0, 4),
              elbow=(-0.4, 0.2), head=(0.03, 0, -0.08)),
        Touch(("~_ear",), (-0.3, 0.7, -0.6), (0.45, 0.7), offset=(1.5, -6.0, 1.0),
              wobble=(1.0, 1.2, 0.8), rate=(0.8, 2.0), hold=0.1, via=(8, -2, 4),
              elbow=(-0.9, -0.5)),
        Touch(("hairline", "~_hair"), (-0.4, 0.4, -0.8), (0.15, 0.35), (0.7, 1.0),
              path=((0, 0, 1), (1, 1.5, -4), (2, 0, -9)), elbow=(-0.6, 0.0), via=(8, 2, 6),
              both=0.25),
    ),
    13: (
        Touch(("collar",), (-0.75, 0.45, -0.35), (0.4, 0.65), wobble=(0.9, 1.2, 0.6),
              rate=(0.8, 2.2), both=0.6, on_head=False, offset=(1.5, 0, 1.5),
              head=(0.12, 0, 0)),
        Touch(("~_collar",), (-0.6, 0.55, -0.5), (0.4, 0.65), wobble=(1.0, 0.6, 1.2),
              rate=(0.8, 2.2), both=0.4, on_head=False, offset=(0.5, 0, 1.0),
              head=(-0.08, 0, 0.05)),
        Touch(("chest",), (-0.8, 0.3, -0.3), (0.4, 0.65), wobble=(0.8, 1.0, 0.3),
              rate=(0.8, 2.0), both=0.7, on_head=False, offset=(1.5, 0, 1.5),
              head=(0.25, 0, 0)),
    ),
    14: (
        Touch(("suprasternal",), (-0.85, 0.45, -0.15), (0.05, 0.35), (0.7, 1.0),
              wobble=(0.8, 0.4, 0), rate=(0.8, 2.5), hold=0.6, on_head=False),
    ),
    15: (
        Touch(("^_shoulder",), (-0.6, -0.05, -0.8), (0.2, 0.5), wobble=(0.8, 0.4, 1.4),
              rate=(2.0, 4.0), hold=0.1, on_head=False, elbow=(-0.8, -0.3),
              palm=(0.0, -1.0, 0.1), head=(0.1, -0.1, 0), offset=(2, 1.5, -7)),
        Touch(("lower_back",), (-0.8, 0.5, -0.2), (0.2, 0.5), (0.7, 1.0), wobble=(0.8, 1.4, 0.1),
              rate=(2.0, 4.0), hold=0.1, on_head=False, via=(22, 0, -4), palm=(0, 0, 1.0),
              elbow=(-0.6, -0.1), offset=(6, 0, -1)),
    ),
    17: (
        Touch(("^_chest", "~_chest", "belly"), (-0.8, -0.35, -0.2), (0.05, 0.25), (0.6, 1.0),
              wobble=(2.0, 3.5, 0.6), rate=(1.5, 3.0), hold=0.0, on_head=False,
              offset=(0, 0, 1.0), head=(0.25, 0, 0)),
        Touch(("^_shoulder",), (-0.85, 0.15, -0.5), (0.05, 0.25), (0.7, 1.0),
              wobble=(3.0, 2.0, 1.0), rate=(1.5, 3.0), hold=0.0, on_head=False,
              offset=(0, 1.0, 1.0), head=(0.1, -0.35, 0)),
        Touch(("~_lap",), (-0.2, -0.1, 1.0), (0.05, 0.25), (0.5, 1.0), (0, -1, 0),
              wobble=(1.0, 0.8, 5.0), rate=(1.2, 2.5), hold=0.0, on_head=False,
              offset=(0, 1.5, 0), head=(0.35, 0, 0)),
    ),
}  # fmt: skip
"""Class -> ways to do it."""


def touch(
    rng: np.random.Generator, c: Controls, body: Body, label: int, start: float, end: float
) -> None:
    """Perform a row of the table between two times."""
    ways = TOUCHES[label]
    way = ways[rng.integers(len(ways))]
    side = str(rng.choice(["left", "right"]))
    e = envelope(rng, c, start, end)
    is_held = rng.random() < way.hold
    rate = 0.0 if is_held else float(rng.uniform(*way.rate))
    phase = float(rng.uniform(0, 6.3))
    mark = str(rng.choice(way.marks))
    sides = (side, OTHER[side]) if rng.random() < way.both else (side,)
    for hand in sides:
        goal = _goal(rng, body, way, mark, hand, rate)
        rest = c.hands[hand].place[int((e > 0).argmax())]
        reach(c, hand, e, _clear(body, hand, rest, goal), phase)
    nod, turned, tilt = jittered(rng, way.head, 0.04)
    sign = SIGN[side] if len(sides) == 1 else 0.0
    incline(c, e, (nod, turned * sign, -tilt * sign))
    c.face["lid_close"] = np.maximum(c.face["lid_close"], np.float32(way.lids) * e**3)


def _clear(body: Body, side: str, rest: Floats, goal: Goal) -> Goal:
    """A way that leads a hand around its shoulder: an arm cannot fold up altogether."""
    shoulder = body.at(f"{side[0].upper()} UpperArm")
    if goal.place[1] < shoulder[1] + 5 and goal.place[2] < shoulder[2] - 8:
        return goal  # behind the back
    x, y, z = goal.via
    middle = (float(rest[2]) + float(goal.place[2])) / 2
    return replace(goal, via=(x, y, max(z, float(shoulder[2]) + _AROUND - middle)))


def _goal(
    rng: np.random.Generator, body: Body, way: Touch, mark: str, side: str, rate: float
) -> Goal:
    name = mark.replace("~", side).replace("^", OTHER[side])
    landmark, sign = body.landmarks[name], SIGN[side]
    offset = np.array(jittered(rng, way.offset, 0.45), np.float32) * (sign, 1.0, 1.0)
    palm = way.palm
    if palm is None:
        x, y, z = -landmark.normal
        palm = (float(x * sign), float(y), float(z))
    size = float(rng.uniform(0.6, 1.3))
    wobble = tuple(size * v for v in way.wobble)
    return Goal(
        place=np.asarray(landmark.point + 0.6 * landmark.normal + offset, np.float32),
        fingers=jittered(rng, way.fingers, 0.12),
        palm=jittered(rng, palm, 0.12),
        tip=float(rng.uniform(*way.tip)),
        curl=bent(rng, *way.curl),
        on_head=way.on_head,
        elbow=float(rng.uniform(*way.elbow)),
        via=jittered(rng, way.via, 2.0),
        wobble=(wobble[0], wobble[1], wobble[2]),
        rate_hz=rate,
        path=way.path,
    )

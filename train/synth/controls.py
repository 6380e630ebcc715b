"""Controls: everything that moves about a person, as plain arrays over T frames.

Angles are in radians, lengths in cm, shares 0..1. Directions and places are those of the A-pose:
x to the person's left, y up, z forward. A gesture writes into these arrays; `rig.pose` makes bones
of them.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from train.synth.body import SIDES, Body
from train.synth.rotations import Floats

FINGERS = 5
"""Thumb, index, middle, ring, little."""
FACE = (
    "brow_raise", "brow_inner", "brow_lower", "lid_close", "squint", "smile", "frown", "lip_press",
    "lip_roll", "lips_part", "jaw_open", "cheek_puff", "lip_pucker", "nose_wrinkle",
)  # fmt: skip
"""Channels of the face, each 0..1."""


@dataclass(eq=False)
class HandTrack:
    """One hand: where its contact point is, which way it points, how its fingers are bent."""

    place: Floats
    """float32 [T, 3] cm: where the contact point is, in coordinates of the A-pose."""
    on_head: Floats
    """float32 [T]: 1 if `place`, `fingers` and `palm` move with the head, 0 with the chest."""
    on_world: Floats
    """float32 [T]: 1 if they stay where they are (a table), 0 as `on_head` says."""
    tip: Floats
    """float32 [T]: the contact point lies at the wrist (0), in the palm (0.5), at the tip of the
    middle finger (1)."""
    fingers: Floats
    """float32 [T, 3]: direction from the wrist to the middle knuckle."""
    palm: Floats
    """float32 [T, 3]: direction out of the palm."""
    curl: Floats
    """float32 [T, 5]: 0 stretched, 1 fist."""
    spread: Floats
    """float32 [T]: 0 together, 1 apart."""
    elbow: Floats
    """float32 [T] rad: the elbow turned up around the line from shoulder to wrist."""


@dataclass(eq=False)
class Controls:
    """A person's movement; see the module for units and directions."""

    t: NDArray[np.float64]
    """float64 [T] stream seconds."""
    is_seated: bool
    sway: Floats
    """float32 [T, 3] cm: of the pelvis."""
    lean: Floats
    """float32 [T, 3] rad: trunk nod (forward), turn (left), tilt (right)."""
    chest: Floats
    """float32 [T] rad: upper back bent backwards (straightened); negative is a slump."""
    breath: Floats
    """float32 [T]: 0 out, 1 in; deep breaths exceed 1."""
    shrug: Floats
    """float32 [T, 2] cm: left and right shoulder raised."""
    head: Floats
    """float32 [T, 3] rad: nod (bow), turn (left), tilt (right); shared by neck and head."""
    neck_in: Floats
    """float32 [T] cm: the head drawn down between the shoulders."""
    neck_forward: Floats
    """float32 [T] cm: the head pushed forward."""
    gaze: Floats
    """float32 [T, 2] rad: eyes turned (left, down)."""
    face: dict[str, Floats]
    """Channel of `FACE` -> float32 [T] 0..1."""
    hands: dict[str, HandTrack] = field(default_factory=dict)
    """`left`, `right`."""
    features: dict[str, Floats] = field(default_factory=dict)
    """Facial bone -> float32 [3] cm (left, up, forward): how the face at rest is unlike the
    avatar's."""

    def __len__(self) -> int:
        return len(self.t)


def still(t: NDArray[np.float64], body: Body, *, is_seated: bool) -> Controls:
    """A motionless person with the arms as in the A-pose, ready to be written to."""
    count = len(t)

    def zeros(*shape: int) -> Floats:
        return np.zeros((count, *shape), np.float32)

    controls = Controls(
        t=t, is_seated=is_seated, sway=zeros(3), lean=zeros(3), chest=zeros(), breath=zeros(),
        shrug=zeros(2), head=zeros(3), neck_in=zeros(), neck_forward=zeros(), gaze=zeros(2),
        face={name: zeros() for name in FACE},
    )  # fmt: skip
    for side in SIDES:
        shape = body.hands[side]
        controls.hands[side] = HandTrack(
            place=np.tile(body.at(f"{side[0].upper()} Hand"), (count, 1)).astype(np.float32),
            on_head=zeros(), on_world=zeros(), tip=zeros(),
            fingers=np.tile(shape.fingers, (count, 1)), palm=np.tile(shape.palm, (count, 1)),
            curl=zeros(FINGERS) + np.float32(0.25), spread=zeros(), elbow=zeros(),
        )  # fmt: skip
    return controls

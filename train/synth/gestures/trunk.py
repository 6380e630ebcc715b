"""Head, face and trunk without the hands; and the movements that go with speech."""

from collections.abc import Mapping

import numpy as np

from train.synth.body import Body
from train.synth.controls import Controls
from train.synth.gestures.both_hands import Perform
from train.synth.gestures.reach import SIGN, Goal, bent, envelope, jittered, reach
from train.synth.life import bump

_PALMS = ((-0.8, 0.2, -0.2), (-0.3, 0.9, 0.2), (-0.2, -0.9, 0.3), (0.0, 0.2, 0.9))
"""Where the palm of a hand that talks may point, as of a left one."""


def turtle_neck(
    rng: np.random.Generator, c: Controls, body: Body, start: float, end: float
) -> None:
    """Class 0: the head sinks between raised shoulders, the chin forward."""
    e = envelope(rng, c, start, end)
    size = rng.uniform(0.8, 1.3)
    c.neck_in += e * np.float32(3.2 * size)
    c.neck_forward += e * np.float32(rng.uniform(0.0, 3.5))
    c.shrug += e[:, None] * np.float32(3.4 * size)
    c.head[:, 0] -= e * np.float32(rng.uniform(-0.05, 0.15))


def deep_breath(
    rng: np.random.Generator, c: Controls, body: Body, start: float, end: float
) -> None:
    """Class 1: a deep breath, cheeks blown up as it leaves."""
    middle = start + (end - start) * rng.uniform(0.4, 0.6)
    inhale = bump(c.t, start, end, middle - start, end - middle)
    puff = bump(c.t, middle - 0.25 * (middle - start), end, 0.3, 0.35)
    c.breath += inhale * np.float32(rng.uniform(2.2, 3.8))
    c.chest += inhale * np.float32(rng.uniform(0.05, 0.11))
    c.shrug += inhale[:, None] * np.float32(rng.uniform(0.8, 2.2))
    c.face["cheek_puff"] += puff * np.float32(rng.uniform(0.7, 1.1))
    c.face["lip_pucker"] += puff * np.float32(rng.uniform(0.1, 0.5))
    for channel in ("jaw_open", "lips_part"):
        c.face[channel] *= 1 - puff
    c.head[:, 0] -= inhale * np.float32(rng.uniform(0.0, 0.1))


def move_torso(rng: np.random.Generator, c: Controls, body: Body, start: float, end: float) -> None:
    """Class 19: the trunk leans, turns or rocks."""
    e = envelope(rng, c, start, end)
    if rng.random() < 0.4:  # there and back again
        e = e * np.asarray(np.sin(2 * np.pi * rng.uniform(0.4, 0.9) * (c.t - start)), np.float32)
    axis = rng.integers(3)
    direction = rng.choice([-1.0, 1.0])
    size = (rng.uniform(0.14, 0.32), rng.uniform(0.2, 0.45), rng.uniform(0.14, 0.3))[axis]
    c.lean[:, axis] += e * np.float32(direction * size)
    c.lean[:, (axis + 1) % 3] += e * np.float32(rng.normal(0, 0.05))
    c.sway += e[:, None] * rng.normal(0, (3.0, 0.6, 1.5)).astype(np.float32)
    c.head[:, axis] -= e * np.float32(0.5 * direction * size)


def sit_up(rng: np.random.Generator, c: Controls, body: Body, start: float, end: float) -> None:
    """Class 20: out of a slump into an upright seat."""
    slump = np.float32(rng.uniform(0.16, 0.3))
    length = end - start
    before = bump(c.t, start - 4.0, start + 0.55 * length, 3.5, 0.5 * length)
    after = bump(c.t, start + 0.1 * length, end + 2.0, 0.6 * length, 2.0)
    c.chest += slump * (0.5 * after - before)
    c.lean[:, 0] += slump * (0.7 * before - 0.3 * after)
    c.sway[:, 1] += 1.8 * after - 1.2 * before
    c.head[:, 0] -= slump * (0.6 * before + 0.1 * after)


def head_up(rng: np.random.Generator, c: Controls, body: Body, start: float, end: float) -> None:
    """Class 27: the head is thrown or held back."""
    e = envelope(rng, c, start, end)
    c.head[:, 0] -= e * np.float32(rng.uniform(0.32, 0.6))
    c.head[:, 1] += e * np.float32(rng.normal(0, 0.08))
    c.gaze[:, 1] -= e * np.float32(rng.uniform(0.0, 0.25))


def press_lips(rng: np.random.Generator, c: Controls, body: Body, start: float, end: float) -> None:
    """Class 28: lips pressed together, drawn in or thin; nobody speaks meanwhile."""
    e = bump(c.t, start, end, 0.25, 0.3)
    for channel in ("jaw_open", "lips_part", "lip_pucker", "lip_press", "smile"):
        c.face[channel] *= 1 - e
    c.face["lip_roll"] += e * np.float32(rng.uniform(0.75, 0.95))
    c.face["frown"] += e * np.float32(rng.uniform(0, 0.35))


def shake_shoulders(
    rng: np.random.Generator, c: Controls, body: Body, start: float, end: float
) -> None:
    """Class 30: one or both shoulders go up and down, once or a few times."""
    e = envelope(rng, c, start, end)
    if rng.random() < 0.55:
        beat = 0.5 - 0.5 * np.cos(2 * np.pi * rng.uniform(0.8, 2.2) * (c.t - start))
        e = e * np.asarray(beat, np.float32)
    which = [(1, 1), (1, 1), (1, 0.15), (0.15, 1)][rng.integers(4)]
    c.shrug += e[:, None] * np.array(which, np.float32) * np.float32(rng.uniform(2.8, 5.0))
    c.head[:, 2] += e * np.float32(rng.normal(0, 0.07))


def illustrate(rng: np.random.Generator, c: Controls, body: Body, start: float, end: float) -> None:
    """Class 31: beats, open palms, pointing, counting; the head goes along."""
    hands = (("left", "right"), ("left",), ("right",))[rng.integers(3)]
    belly, chest = body.landmarks["belly"].point, body.landmarks["chest"].point
    t = start
    while t < end - 0.4:
        length = min(float(rng.uniform(0.6, 1.5)), end - t)
        height = rng.uniform(-0.3, 1.1) if rng.random() < 0.85 else rng.uniform(1.1, 1.9)
        forward = rng.uniform(14, 38)
        out = rng.uniform(2, 26)
        palm = _PALMS[rng.integers(4)]
        e = bump(c.t, t - 0.15, t + length + 0.25, 0.5 * length, 0.5 * length)
        for side in hands:
            place = belly + (chest - belly) * height + (SIGN[side] * out, 0, forward)
            reach(c, side, e, Goal(
                np.asarray(place + rng.normal(0, 1.5, 3), np.float32),
                jittered(rng, (-0.25, 0.45, 0.8), 0.2), jittered(rng, palm, 0.2), tip=0.5,
                curl=bent(rng, 0.0, 0.6), spread=float(rng.uniform(0, 0.8)), via=(2, 2, 4),
                wobble=(1.0, 2.0, 1.5), rate_hz=float(rng.uniform(0.8, 2.5)),
            ))  # fmt: skip
        c.head += e[:, None] * rng.normal(0, (0.08, 0.12, 0.05)).astype(np.float32)
        t += length
    c.face["brow_raise"] += bump(c.t, start, end, 0.3, 0.4) * np.float32(rng.uniform(0, 0.6))


def raise_hand(
    rng: np.random.Generator, c: Controls, body: Body, side: str, start: float, end: float
) -> None:
    """No class: one hand is up before the trunk, as in speech, while the other one does something.

    Args:
        rng: everything that is left to chance.
        c: written into.
        body: whose.
        side: left or right.
        start: stream seconds at which the other hand leaves, this one a little earlier or later.
        end: stream seconds at which the other one is back, this one a little later or earlier.
    """
    belly, chest = body.landmarks["belly"].point, body.landmarks["chest"].point
    earlier, later = rng.uniform(-0.3, 0.8, 2)
    e = bump(c.t, start - earlier, end + later, rng.uniform(0.4, 0.8), rng.uniform(0.5, 0.9))
    place = belly + (chest - belly) * rng.uniform(-0.4, 1.0)
    place = place + (SIGN[side] * rng.uniform(0, 22), 0, rng.uniform(14, 34))
    is_still = rng.random() < 0.5
    reach(c, side, e, Goal(
        np.asarray(place, np.float32), jittered(rng, (-0.4, 0.3, 0.8), 0.25),
        jittered(rng, _PALMS[rng.integers(4)], 0.2), tip=0.5, curl=bent(rng, 0.0, 0.7),
        spread=float(rng.uniform(0, 0.8)), via=(2, 2, 4), wobble=(1.5, 2.5, 2.0),
        rate_hz=0.0 if is_still else float(rng.uniform(0.5, 2.0)),
    ))  # fmt: skip


TRUNK: Mapping[int, Perform] = {
    0: turtle_neck, 1: deep_breath, 19: move_torso, 20: sit_up, 27: head_up, 28: press_lips,
    30: shake_shoulders, 31: illustrate,
}  # fmt: skip

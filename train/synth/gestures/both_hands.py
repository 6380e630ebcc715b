"""Both hands together: folding, rubbing, crossing, steepling, behind the back, on the hips."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from train.synth.body import Body
from train.synth.controls import Controls
from train.synth.gestures.reach import OTHER, SIGN, Goal, bent, envelope, jittered, reach
from train.synth.life import drift
from train.synth.rotations import Floats

Perform = Callable[[np.random.Generator, Controls, Body, float, float], None]


def _before(rng: np.random.Generator, body: Body, *, high: float = 0.5) -> Floats:
    """A place before the trunk, between the lap and the chest; float32 [3]."""
    belly, chest = body.landmarks["belly"].point, body.landmarks["chest"].point
    place = belly + (chest - belly) * rng.uniform(-0.6, high)
    return np.asarray(place + (rng.normal(0, 3.5), 0, rng.uniform(9, 22)), np.float32)


def _beside(centre: Floats, side: str, x: float, y: float = 0.0, z: float = 0.0) -> Floats:
    return np.asarray(centre + np.array([SIGN[side] * x, y, z]), np.float32)


def _first(rng: np.random.Generator) -> tuple[str, str]:
    side = str(rng.choice(["left", "right"]))
    return side, OTHER[side]


def fold_arms(rng: np.random.Generator, c: Controls, body: Body, start: float, end: float) -> None:
    """Class 16: forearms across the chest, one hand on the other upper arm."""
    e = envelope(rng, c, start, end)
    over, under = _first(rng)
    y = body.landmarks["belly"].point[1] + rng.uniform(3, 9)
    half, depth, z = body.torso
    for side, lift, front in ((over, 3.0, 7.5), (under, -3.0, 5.5)):
        place = np.array([-SIGN[side] * (half - 3), y + lift, z + depth + front], np.float32)
        reach(c, side, e, Goal(
            place, jittered(rng, (-0.9, 0.2, -0.4), 0.08), (0.1, -0.1, -1.0), tip=0.5,
            curl=bent(rng, 0.2, 0.5), via=(6, 4, 14), elbow=float(rng.uniform(-0.4, -0.15)),
        ))  # fmt: skip


def arms_behind(
    rng: np.random.Generator, c: Controls, body: Body, start: float, end: float
) -> None:
    """Class 18: both hands meet behind the back."""
    e = envelope(rng, c, start, end)
    back = body.landmarks["lower_back"].point + (0, rng.uniform(-14, -4), -4)
    for side in _first(rng):
        reach(c, side, e, Goal(
            _beside(back, side, 2.0), (-0.8, -0.5, -0.1), (0.0, 0.2, -1.0), tip=0.5,
            curl=bent(rng, 0.3, 0.6), via=(24, 0, 0), elbow=float(rng.uniform(0.0, 0.3)),
        ))  # fmt: skip
    c.chest += e * np.float32(rng.uniform(0.02, 0.1))


def hold_back_arms(
    rng: np.random.Generator, c: Controls, body: Body, start: float, end: float
) -> None:
    """Class 26: elbows drawn back, hands beside the hips or on the edge of the seat."""
    e = envelope(rng, c, start, end)
    drop = rng.uniform(-12, 0)
    for side in _first(rng):
        hip = body.landmarks[f"{side}_hip"].point
        reach(c, side, e, Goal(
            _beside(hip, side, 2.0, drop - 8, -21.0), (0.05, -0.85, -0.4), (-0.2, 0.0, -1.0),
            tip=0.5, curl=bent(rng, 0.2, 0.7), via=(10, 0, 0), elbow=float(rng.uniform(-0.5, -0.2)),
        ))  # fmt: skip
    c.chest += e * np.float32(rng.uniform(0.05, 0.15))
    c.shrug += e[:, None] * np.float32(rng.uniform(0.3, 1.5))


def akimbo(rng: np.random.Generator, c: Controls, body: Body, start: float, end: float) -> None:
    """Class 29: hands on the hips, elbows out."""
    e = envelope(rng, c, start, end)
    for side in _first(rng):
        hip = body.landmarks[f"{side}_hip"].point
        reach(c, side, e, Goal(
            _beside(hip, side, 2.5, rng.uniform(-2, 3), 0.0), jittered(rng, (-0.6, -0.35, 0.65)),
            (-0.9, -0.1, -0.3), tip=0.5, curl=bent(rng, 0.1, 0.7), via=(12, 0, 4),
            elbow=float(rng.uniform(-0.6, -0.1)),
        ))  # fmt: skip


def touch_arm(rng: np.random.Generator, c: Controls, body: Body, start: float, end: float) -> None:
    """Class 21: one hand scratches, strokes or holds the other arm."""
    e = envelope(rng, c, start, end)
    active, passive = _first(rng)
    centre = _before(rng, body, high=0.25)
    reach(c, passive, e, Goal(
        _beside(centre, passive, -3.0, -2.0, -2.0), (-0.95, 0.1, 0.2), (0.0, -0.5, -0.9), tip=0.0,
        curl=bent(rng, 0.2, 0.6), via=(2, 2, 6),
    ))  # fmt: skip
    along = rng.uniform(4, 30)  # cm from the wrist towards the shoulder
    up = max(along - 18.0, 0.0)
    place = _beside(centre, passive, -3.0 + min(along, 20.0), 2.0 + 0.75 * up, 1.5 - 0.3 * up)
    wobble, rate = ((0.6, 0.3, 0.2), rng.uniform(2.5, 4.5)) if rng.random() < 0.5 else (
        (3.0, 0.5, 0.3), rng.uniform(0.7, 1.6))  # fmt: skip
    reach(c, active, e, Goal(
        place, jittered(rng, (-0.85, -0.1, 0.1), 0.1), (0.0, -0.8, -0.6),
        tip=float(rng.uniform(0.5, 1.0)), curl=bent(rng, 0.3, 0.6), via=(2, 4, 8),
        wobble=wobble, rate_hz=0.0 if rng.random() < 0.25 else float(rate),
    ))  # fmt: skip
    c.head[:, 0] += e * np.float32(rng.uniform(0, 0.25))


def _together(
    rng: np.random.Generator, c: Controls, body: Body, e: Floats, goal: Goal, apart: float
) -> None:
    """Both hands at one place, palms towards each other, contact points `apart` cm apart."""
    centre, phase = goal.place, float(rng.uniform(0, 6.3))
    for k, side in enumerate(_first(rng)):
        place = _beside(centre, side, apart / 2, 0.8 * k, 0.0)
        reach(c, side, e, replace(goal, place=place), phase + k * np.pi)


def rub_hands(rng: np.random.Generator, c: Controls, body: Body, start: float, end: float) -> None:
    """Class 22: palms slide on each other, or one hand holds the other."""
    e = envelope(rng, c, start, end)
    is_rubbing = rng.random() < 0.65
    _together(rng, c, body, e, Goal(
        _before(rng, body), jittered(rng, (-0.55, 0.25, 0.75)), (-0.85, -0.15, -0.45), tip=0.5,
        curl=bent(rng, 0.2, 0.5), via=(4, 2, 5), wobble=(0.4, 0.8, 2.6),
        rate_hz=float(rng.uniform(1.2, 3.0)) if is_rubbing else 0.0,
    ), apart=2.2)  # fmt: skip


def cross_fingers(
    rng: np.random.Generator, c: Controls, body: Body, start: float, end: float
) -> None:
    """Class 23: fingers interlaced and kept so."""
    e = envelope(rng, c, start, end)
    place = _before(rng, body, high=0.9)
    if rng.random() < 0.2:
        place = np.asarray(body.landmarks["chin"].point + (0, -9, 10), np.float32)
    _together(rng, c, body, e, Goal(
        place, jittered(rng, (-0.8, 0.3, 0.5)), (-0.55, -0.2, -0.75), tip=0.62,
        curl=bent(rng, 0.45, 0.65), spread=0.8, via=(4, 2, 5), elbow=float(rng.uniform(0, 0.3)),
    ), apart=0.8)  # fmt: skip


def minaret(rng: np.random.Generator, c: Controls, body: Body, start: float, end: float) -> None:
    """Class 24: fingers spread, only their tips touch, pointing up or forward."""
    e = envelope(rng, c, start, end)
    place = _before(rng, body, high=1.2) + np.array([0, 7, 0], np.float32)
    _together(rng, c, body, e, Goal(
        np.asarray(place, np.float32), jittered(rng, (-0.42, 0.85, 0.3), 0.1), (-0.9, -0.3, 0.0),
        tip=1.0, curl=bent(rng, 0.0, 0.15), spread=0.9, via=(4, 2, 5),
        elbow=float(rng.uniform(0.05, 0.4)), wobble=(1.2, 0.2, 0.2),
        rate_hz=float(rng.uniform(0.8, 2.0)) if rng.random() < 0.35 else 0.0,
    ), apart=0.6)  # fmt: skip


def play(rng: np.random.Generator, c: Controls, body: Body, start: float, end: float) -> None:
    """Class 25: fingers turn something small; it is too small to be drawn."""
    e = envelope(rng, c, start, end)
    _together(rng, c, body, e, Goal(
        _before(rng, body, high=0.1), jittered(rng, (-0.5, 0.1, 0.85)), (-0.5, -0.75, -0.2),
        tip=1.0, curl=bent(rng, 0.4, 0.6), via=(4, 2, 5),
        wobble=(0.5, 0.9, 0.7), rate_hz=float(rng.uniform(0.9, 2.2)),
    ), apart=float(rng.uniform(1.5, 5)))  # fmt: skip
    for hand in c.hands.values():
        fidget = np.stack([drift(rng, c.t, 1.6, 0.35) for _ in range(5)], 1)
        hand.curl = np.clip(hand.curl + 0.2 * e[:, None] * fidget, 0, 1).astype(np.float32)
    c.head[:, 0] += e * np.float32(rng.uniform(0.05, 0.35))


BOTH_HANDS: Mapping[int, Perform] = {
    16: fold_arms, 18: arms_behind, 21: touch_arm, 22: rub_hands, 23: cross_fingers, 24: minaret,
    25: play, 26: hold_back_arms, 29: akimbo,
}  # fmt: skip

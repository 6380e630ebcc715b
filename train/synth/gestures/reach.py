"""Reaching: a hand leaves where it is, arrives, does something there, and comes back."""

from dataclasses import dataclass, field

import numpy as np

from train.synth.controls import Controls, HandTrack
from train.synth.life import bump
from train.synth.rotations import Floats, frame, mix

Vector = tuple[float, float, float]
SIGN = {"left": 1.0, "right": -1.0}
_AHEAD: tuple[Vector, Vector] = ((-0.2, 0.3, 0.9), (-0.8, -0.4, 0.0))
"""Fingers and palm of a left hand on its way."""
OTHER = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Goal:
    """Where a hand goes, as if it were the left one; the right hand mirrors x."""

    place: Floats
    """float32 [3] cm in A-pose coordinates, not mirrored: it is where it is."""
    fingers: Vector
    palm: Vector
    tip: float = 1.0
    """Contact point: 0 wrist, 0.5 palm, 1 finger tip."""
    curl: tuple[float, float, float, float, float] = (0.3, 0.3, 0.3, 0.35, 0.4)
    """Thumb to little finger."""
    spread: float = 0.2
    on_head: bool = False
    elbow: float = 0.0
    """rad, upwards."""
    via: Vector = (4.0, 0.0, 10.0)
    """cm: the path bulges so far (outwards, up, forward)."""
    wobble: Vector = (0.0, 0.0, 0.0)
    """cm: amplitude of the oscillation at the goal (outwards, up, forward)."""
    rate_hz: float = 0.0
    path: tuple[Vector, ...] = field(default=())
    """cm: the contact point strokes along these offsets instead of oscillating."""


def envelope(rng: np.random.Generator, c: Controls, start: float, end: float) -> Floats:
    """0 .. 1 .. 0 between `start` and `end`, at the speed of a person: float32 [T]."""
    length = end - start
    rise = min(rng.uniform(0.45, 0.9), 0.4 * length)
    fall = min(rng.uniform(0.5, 1.0), 0.4 * length)
    return bump(c.t, start, end, rise, fall)


def reach(c: Controls, side: str, e: Floats, goal: Goal, phase: float = 0.0) -> None:
    """Blend a hand's track towards a goal by the share `e` [T]."""
    track, sign = c.hands[side], SIGN[side]
    mirror = np.array([sign, 1.0, 1.0], np.float32)
    at = np.tile(goal.place, (len(c), 1)) + _motion(c, e, goal, phase) * mirror
    bulge = (4 * e * (1 - e))[:, None] * np.array(goal.via, np.float32) * mirror
    _blend(track, "place", e, at)
    track.place += bulge
    _aim(track, e, goal, mirror)
    _blend(track, "curl", e, np.array(goal.curl, np.float32))
    for name, value in (
        ("tip", goal.tip), ("on_head", float(goal.on_head)), ("on_world", 0.0),
        ("spread", goal.spread), ("elbow", goal.elbow),
    ):  # fmt: skip
        _blend(track, name, e, np.float32(value))


def _aim(track: HandTrack, e: Floats, goal: Goal, mirror: Floats) -> None:
    """Turn the hand as forearms do: where it turns about, by way of pointing forwards.

    Directions blended each for itself, or by the shortest rotation, flip or point at the elbow.
    """
    now = frame(track.fingers, track.palm)
    there, ahead = (
        np.broadcast_to(frame(np.array(f) * mirror, np.array(p) * mirror), now.shape)
        for f, p in ((goal.fingers, goal.palm), _AHEAD)
    )
    apart = np.arccos(np.clip((np.einsum("tij,tij->t", now, there) - 1) / 2, -1, 1))
    detour = np.clip(apart - 1.0, 0, 1).astype(np.float32)
    middle = mix(mix(now, there, np.full_like(e, 0.5)), ahead, detour)
    hand = mix(mix(now, middle, e), mix(middle, there, e), e)
    track.fingers, track.palm = hand[..., 0].copy(), hand[..., 1].copy()


def _motion(c: Controls, e: Floats, goal: Goal, phase: float) -> Floats:
    """[T, 3] cm beside the goal."""
    settled = (e * e)[:, None]
    if goal.path:
        progress = np.clip((c.t - _middle(c, e) + 0.6) / 1.2, 0, 1) * (len(goal.path) - 1)
        points = np.array(goal.path, np.float32)
        low = np.minimum(progress.astype(int), len(points) - 2)
        share = (progress - low)[:, None]
        return np.asarray(settled * (points[low] * (1 - share) + points[low + 1] * share))
    if not goal.rate_hz:
        return np.zeros((len(c), 3), np.float32)
    beat = np.sin(2 * np.pi * goal.rate_hz * c.t + phase)[:, None]
    return np.asarray(settled * beat * np.array(goal.wobble, np.float32), np.float32)


def _middle(c: Controls, e: Floats) -> float:
    return float((c.t * e).sum() / max(float(e.sum()), 1e-6))


def _blend(track: HandTrack, name: str, e: Floats, goal: Floats | np.float32) -> None:
    value = getattr(track, name)
    share = e.reshape(-1, *(1,) * (value.ndim - 1))
    setattr(track, name, np.asarray(value * (1 - share) + share * goal, np.float32))


def jittered(rng: np.random.Generator, vector: Vector, size: float = 0.15) -> Vector:
    """A direction or offset, a little different each time."""
    x, y, z = np.asarray(vector) + rng.normal(0, size, 3)
    return (float(x), float(y), float(z))


def bent(
    rng: np.random.Generator, low: float, high: float
) -> tuple[float, float, float, float, float]:
    """Curls of five fingers that belong together: a common bend, increasing to the little one."""
    common = rng.uniform(low, high)
    five = np.clip(common + np.linspace(-0.05, 0.12, 5) + rng.normal(0, 0.05, 5), 0, 1)
    return (float(five[0]), float(five[1]), float(five[2]), float(five[3]), float(five[4]))


def incline(c: Controls, e: Floats, head: Vector) -> None:
    """Bow, turn and tilt the head by rad while `e`."""
    c.head += e[:, None] * np.array(head, np.float32)

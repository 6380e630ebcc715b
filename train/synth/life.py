"""Life: what never stops. Breathing, blinking, swaying, looking about, talking."""

import numpy as np
from numpy.typing import NDArray

from train.synth.controls import Controls
from train.synth.rotations import Floats

Times = NDArray[np.float64]
_FARTHEST = 1.15
"""rad that a head turns to either side."""


def drift(rng: np.random.Generator, t: Times, slowest_s: float, fastest_s: float) -> Floats:
    """Smooth noise of standard deviation 1, pink: float32 [T]; the same at any frame rate."""
    periods = np.geomspace(slowest_s, fastest_s, 7)
    weights = np.sqrt(periods) * rng.uniform(0.6, 1.4, 7)
    phases = rng.uniform(0, 2 * np.pi, 7)
    periods = periods * rng.uniform(0.85, 1.18, 7)
    waves = np.sin(2 * np.pi * t[:, None] / periods + phases) @ weights
    return np.asarray(waves * np.sqrt(2) / np.linalg.norm(weights), np.float32)


def smooth_step(x: NDArray[np.floating]) -> Floats:
    """Minimum-jerk progress: 0 for x <= 0, 1 for x >= 1 (Flash and Hogan 1985)."""
    x = np.clip(x, 0.0, 1.0)
    return np.asarray(x * x * x * (10 + x * (6 * x - 15)), np.float32)


def bump(t: Times, start: float, end: float, rise_s: float, fall_s: float) -> Floats:
    """0 before `start`, 1 in between, 0 after `end`; float32 [T]."""
    return smooth_step((t - start) / rise_s) * smooth_step((end - t) / fall_s)


def occasions(rng: np.random.Generator, t: Times, every_s: float) -> Times:
    """Times of a Poisson process, from a little before the first frame to the last."""
    length = float(t[-1] - t[0]) + every_s
    count = rng.poisson(length / every_s)
    return np.sort(rng.uniform(float(t[0]) - every_s, float(t[-1]), count))


def live(rng: np.random.Generator, c: Controls, *, talk: float) -> Floats:
    """Add everything that goes on underneath.

    Args:
        rng: makes this stretch unlike others.
        c: written to.
        talk: 0..1: share of the time in which the person speaks.

    Returns:
        float32 [T]: how much the person speaks at each moment, 0..1.
    """
    t = c.t
    rate = rng.uniform(12, 20) / 60
    phase = 2 * np.pi * (rate * t + 0.08 * drift(rng, t, 30, 6)) + rng.uniform(0, 6.3)
    c.breath += np.asarray(0.5 + 0.5 * np.sin(phase), np.float32) * np.float32(rng.uniform(0.5, 1))
    lively = np.float32(rng.uniform(0.4, 1.3))
    c.sway[:, 0] += lively * 0.7 * drift(rng, t, 14, 1.5)
    c.sway[:, 2] += lively * 0.4 * drift(rng, t, 14, 1.5)
    for axis, size in enumerate((0.018, 0.02, 0.015)):
        c.lean[:, axis] += lively * np.float32(size) * drift(rng, t, 16, 1.2)
    for axis, size in enumerate((0.035, 0.07, 0.03)):
        c.head[:, axis] += lively * np.float32(size) * drift(rng, t, 8, 0.7)
    _look_about(rng, c)
    _blink(rng, c)
    return _talk(rng, c, talk)


def move_head(rng: np.random.Generator, c: Controls, free: Floats, every_s: float) -> None:
    """Turn to somebody beside, look down, nod, shake the head: no class, though it is large.

    Args:
        rng: which, when and how far.
        c: written to.
        free: float32 [T]: 1 while the head may do so, 0 while a gesture needs it still.
        every_s: between two such movements, on average.
    """
    for start in occasions(rng, c.t, every_s):
        kind = rng.choice(("turn", "look down", "nod", "shake"), p=(0.5, 0.15, 0.2, 0.15))
        if kind in ("turn", "look down"):
            length, rise = rng.uniform(1.0, 5.0), rng.uniform(0.35, 0.8)
            e = free * bump(c.t, start, start + length, rise, rise)
            turned = rng.choice((-1, 1)) * rng.uniform(0.3, 1.0), rng.normal(0, 0.1)
            bowed = rng.normal(0, 0.15), rng.uniform(0.25, 0.6)
            side, down = turned if kind == "turn" else bowed
            c.head += e[:, None] * np.array((down, side, rng.normal(0, 0.05)), np.float32)
            c.gaze += e[:, None] * np.array((0.3 * side, 0.3 * down), np.float32)
            c.lean[:, 1] += e * np.float32(side * rng.uniform(0, 0.12))
        else:
            rate, size = rng.uniform(1.0, 2.5), rng.uniform(0.06, 0.22)
            e = free * bump(c.t, start, start + rng.integers(1, 5) / rate, 0.15, 0.25)
            wave = np.asarray(np.sin(2 * np.pi * rate * (c.t - start)), np.float32)
            c.head[:, 0 if kind == "nod" else 1] += e * wave * np.float32(size)
    np.clip(c.gaze, -0.5, 0.5, out=c.gaze)
    np.clip(c.head[:, 1], -_FARTHEST, _FARTHEST, out=c.head[:, 1])


def _look_about(rng: np.random.Generator, c: Controls) -> None:
    """Gaze shifts of half a second to a few, with a share of the head's turn."""
    for start in occasions(rng, c.t, 4.0):
        glance = bump(c.t, start, start + rng.uniform(0.6, 3.0), 0.12, 0.2)
        turned = bump(c.t, start + 0.05, start + rng.uniform(0.8, 3.2), 0.4, 0.5)
        side, down = rng.normal(0, 0.28), rng.normal(0.03, 0.12)
        c.gaze += glance[:, None] * np.array([side, down], np.float32)
        c.head[:, 1] += turned * np.float32(0.7 * side)
        c.head[:, 0] += turned * np.float32(0.6 * down)
    np.clip(c.gaze, -0.5, 0.5, out=c.gaze)


def _blink(rng: np.random.Generator, c: Controls) -> None:
    for start in occasions(rng, c.t, 60 / rng.uniform(12, 26)):
        length = rng.uniform(0.14, 0.3)
        shut = bump(c.t, start, start + length, 0.4 * length, 0.6 * length)
        c.face["lid_close"] = np.maximum(c.face["lid_close"], np.minimum(shut * 1.6, 1.0))


def _talk(rng: np.random.Generator, c: Controls, share: float) -> Floats:
    """Bouts of speech: syllables at 3 to 6 Hz, accents of head and brows."""
    t = c.t
    speaks = np.zeros(len(t), np.float32)
    start = float(t[0]) - rng.uniform(0, 3)
    while share > 0 and start < t[-1]:
        bout = rng.gamma(3.0, 1.2)
        speaks = np.maximum(speaks, bump(t, start, start + bout, 0.15, 0.2))
        start += bout + rng.gamma(2.0, 1.0) * (1 - share) / share
    beat = 2 * np.pi * (rng.uniform(3.2, 5.0) * t + 0.6 * drift(rng, t, 3, 0.5))
    loud = np.clip(0.55 + 0.35 * drift(rng, t, 2.5, 0.3), 0.05, 1.0)
    mouth = np.asarray(speaks * loud * (0.5 + 0.5 * np.sin(beat)), np.float32)
    c.face["jaw_open"] += np.float32(rng.uniform(0.35, 0.7)) * mouth
    c.face["lip_pucker"] += 0.35 * speaks * np.clip(drift(rng, t, 0.9, 0.25), 0, 1)
    c.head[:, 0] += speaks * np.float32(0.02) * np.asarray(np.sin(beat / 3), np.float32)
    c.head[:, 1] += speaks * np.float32(0.04) * drift(rng, t, 2.0, 0.5)
    for accent in occasions(rng, t, 1.6):
        stress = speaks * bump(t, accent, accent + rng.uniform(0.3, 0.7), 0.15, 0.25)
        c.head[:, 0] += stress * np.float32(rng.normal(0, 0.05))
        c.face["brow_raise"] += stress * np.float32(rng.uniform(0, 0.5))
    return speaks

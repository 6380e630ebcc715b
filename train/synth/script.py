"""Script: who does what when. The truth is written as the movement is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.labels import ILLUSTRATIVE, MICRO_GESTURES
from train.synth.body import SIDES, Body
from train.synth.controls import FACE, Controls, still
from train.synth.faces import feel
from train.synth.gestures.classes import draw_length, perform
from train.synth.gestures.reach import SIGN, Goal, bent, jittered, reach
from train.synth.gestures.trunk import raise_hand
from train.synth.life import Times, bump, drift, live, move_head
from train.synth.performance import Performance, TimedLabel
from train.synth.rig import pose
from train.synth.rotations import Floats

_REST_AFTER_S = (0.4, 3.0)
"""Between two gestures."""
_ILLUSTRATE = 0.35
"""How often there is lively speech in such a pause."""
_AT_HEAD = range(2, 13)
"""Classes of a hand at head or neck."""
_OF_HEAD = (*range(13), 27, 28)
"""Classes during which the head stays where it is: those, what it does itself, pressed lips."""
PORTRAIT_S = 0.35
"""Four to ten frames."""


@dataclass(frozen=True)
class Manner:
    """What people do beside gestures and speech."""

    raised: float
    """How often, while one hand is at head or neck, the other is up before the trunk: people talk
    on, point or hold something."""
    heads_every_s: float
    """Between two large movements of the head, on average."""


PLAIN = Manner(0.0, np.inf)
RESTLESS = Manner(0.35, 8.0)
"""As in training."""
Features = Mapping[str, Floats]
Plan = tuple[tuple[TimedLabel, ...], Controls]


def untrimmed(
    rng: np.random.Generator, body: Body, t: Times, emotion: int | None, labels: Sequence[int],
    features: Features | None = None, *, manner: Manner = PLAIN,
) -> Performance:  # fmt: skip
    """A long take: rest, talk and gestures by turns.

    Args:
        rng: everything that is left to chance.
        body: who.
        t: float64 [T] stream seconds of the frames.
        emotion: index into `train.labels.EMOTIONS`, or None for a face in between.
        labels: classes to perform, in this order, as many as fit.
        features: of the face, see `faces.draw_features`; None for the avatar's own.
        manner: what else is done.

    Returns:
        The movement; `truth` has the gestures that were performed, class 31 among them.
    """
    truth, controls = plan(rng, body, t, emotion, labels, manner=manner)
    controls.features = dict(features or {})
    return _record(body, controls, truth, emotion)


def trimmed(
    rng: np.random.Generator, body: Body, t: Times, emotion: int | None, label: int,
    features: Features | None = None,
) -> Performance:  # fmt: skip
    """One gesture that fills the whole clip but a few tenths of a second."""
    controls = idle(rng, body, t, emotion)
    controls.features = dict(features or {})
    margin = min(0.25, 0.1 * float(t[-1] - t[0]))
    start, end = float(t[0]) + rng.uniform(0, margin), float(t[-1]) - rng.uniform(0, margin)
    perform(rng, controls, body, label, start, end)
    return _record(body, controls, (TimedLabel(label, start, end),), emotion)


def portrait(
    rng: np.random.Generator, body: Body, t: Times, emotion: int | None,
    features: Features | None = None,
) -> Performance:  # fmt: skip
    """A moment of a face, None for one in between; no gesture, and nothing of it is labelled."""
    controls = idle(rng, body, t, emotion)
    controls.features = dict(features or {})
    return _record(body, controls, (), emotion)


def plan(
    rng: np.random.Generator, body: Body, t: Times, emotion: int | None, labels: Sequence[int],
    *, manner: Manner = PLAIN,
) -> Plan:  # fmt: skip
    """The controls of `untrimmed` and their truth, without bones: enough for poses alone."""
    controls = idle(rng, body, t, emotion)
    truth: list[TimedLabel] = []
    now = float(t[0]) + rng.uniform(0.2, 2.0)
    for label in labels:
        length = draw_length(rng)
        if now + length > t[-1]:
            break
        before = {side: controls.hands[side].place for side in SIDES}
        perform(rng, controls, body, label, now, now + length)
        # A hand that reaches gets a new array. Of the plain nothing is drawn: their takes stay.
        idle_hands = [side for side in SIDES if controls.hands[side].place is before[side]]
        can_raise = label in _AT_HEAD and len(idle_hands) == 1 and manner.raised > 0
        if can_raise and rng.random() < manner.raised:
            raise_hand(rng, controls, body, idle_hands[0], now, now + length)
        truth.append(TimedLabel(label, now, now + length))
        now += length
        pause = rng.uniform(*_REST_AFTER_S)
        if rng.random() < _ILLUSTRATE and now + pause + 0.8 < t[-1]:
            perform(rng, controls, body, ILLUSTRATIVE, now, now + pause + 0.8)
            truth.append(TimedLabel(ILLUSTRATIVE, now, now + pause + 0.8))
            now += 0.8
        now += pause
    if np.isfinite(manner.heads_every_s):
        move_head(rng, controls, _head_is_free(t, truth), manner.heads_every_s)
    return tuple(truth), controls


def _head_is_free(t: Times, truth: Sequence[TimedLabel]) -> Floats:
    free = np.ones(len(t), np.float32)
    for k in truth:
        if k.label in _OF_HEAD:
            free *= 1 - bump(t, k.start - 0.4, k.end + 0.4, 0.4, 0.4)
    return free


def idle(rng: np.random.Generator, body: Body, t: Times, emotion: int | None) -> Controls:
    """A person at rest who lives, feels and talks, hands wherever hands lie."""
    controls = still(t, body, is_seated=rng.random() < 0.75)
    _rest(rng, controls, body)
    speaks = live(rng, controls, talk=float(rng.choice([0.0, 0.3, 0.6, 0.8])))
    level = np.clip(0.75 + 0.25 * drift(rng, t, 12, 2.0), 0.35, 1.0) * (1 - 0.35 * speaks)
    feel(rng, controls, emotion, np.asarray(level, np.float32))
    controls.head += rng.normal(0, (0.06, 0.12, 0.04)).astype(np.float32)
    controls.lean += rng.normal(0, (0.05, 0.07, 0.03)).astype(np.float32)
    return controls


def draw_labels(rng: np.random.Generator, count: int) -> NDArray[np.intp]:
    """Classes in random order, each as often as the others (the background comes by itself)."""
    everything = np.arange(len(MICRO_GESTURES) - 1)
    rounds = [rng.permutation(everything) for _ in range(count // len(everything) + 1)]
    return np.concatenate(rounds)[:count]


def _record(
    body: Body, controls: Controls, truth: tuple[TimedLabel, ...], emotion: int | None
) -> Performance:
    for name, channel in controls.face.items():
        controls.face[name] = np.clip(channel, 0.0, 1.3).astype(np.float32)
    bones, morphs = pose(body, controls)
    actions = np.stack([controls.face[name] for name in FACE], axis=1)
    return Performance(controls.t, bones, morphs, truth, actions, emotion)


def _rest(rng: np.random.Generator, c: Controls, body: Body) -> None:
    """Hands on the lap, on a table or hanging; now and then they move elsewhere."""
    always = np.ones(len(c), np.float32)
    first = _posture(rng, c, body)
    for side in SIDES:
        reach(c, side, always, first[side])
    if rng.random() < 0.4:
        second = _posture(rng, c, body)
        start = rng.uniform(float(c.t[0]), float(c.t[-1]))
        moved = bump(c.t, start, float(c.t[-1]) + 9.0, rng.uniform(0.6, 1.2), 1.0)
        for side in SIDES:
            reach(c, side, moved, second[side])
    for side in SIDES:
        hand = c.hands[side]
        for axis in range(3):
            hand.place[:, axis] += 0.35 * drift(rng, c.t, 10, 0.8)
        hand.curl = np.clip(hand.curl + 0.05 * drift(rng, c.t, 6, 0.6)[:, None], 0, 1)


def _posture(rng: np.random.Generator, c: Controls, body: Body) -> dict[str, Goal]:
    """Where both hands rest."""
    kind = rng.choice(["lap", "table", "hang", "table"]) if c.is_seated else rng.choice(
        ["hang", "hang", "table"])  # fmt: skip
    height = rng.uniform(-2, 10)
    out = {}
    for side in SIDES:
        sign = SIGN[side]
        lap = body.landmarks[f"{side}_lap"].point
        hip = body.landmarks[f"{side}_hip"].point
        if kind == "hang":
            place = hip + np.array(
                [sign * rng.uniform(6, 10), rng.uniform(-22, -16), rng.uniform(0, 6)]
            )
            fingers, palm, tip = (0.0, -1.0, 0.12), (-1.0, 0.0, -0.2), 0.5
        elif kind == "table":
            place = lap + np.array([sign * rng.uniform(-4, 9), height + 6, rng.uniform(-2, 12)])
            fingers, palm, tip = (-0.6, -0.05, 0.8), (-0.1, -1.0, 0.0), 0.5
        else:
            place = lap + np.array([sign * rng.uniform(-5, 4), 0.5, rng.uniform(-8, 6)])
            fingers, palm, tip = (-0.45, -0.2, 0.9), (-0.1, -1.0, 0.0), 0.5
        out[side] = Goal(
            np.asarray(place, np.float32), jittered(rng, fingers, 0.12), jittered(rng, palm, 0.1),
            tip=tip, curl=bent(rng, 0.1, 0.5), via=(0, 0, 3),
        )  # fmt: skip
    return out

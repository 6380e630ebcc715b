"""Movement without pictures: what a pose estimator would have seen, thousands of windows a minute.

A performance is projected through many cameras. The estimator's errors are those measured on
rendered people against their bones (see `Estimator`): mostly a displacement that lasts, shared by
the keypoints of a hand, far larger in depth; little of it changes from frame to frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.skeleton import MEDIAPIPE33
from engines.window import Window
from train.labels import ILLUSTRATIVE
from train.synth.body import Body
from train.synth.controls import Controls
from train.synth.keypoints import carry_joints, mediapipe_places
from train.synth.life import drift
from train.synth.performance import TimedLabel
from train.synth.rotations import Floats, nod_turn_tilt
from train.synth.script import draw_labels, plan

RATE_HZ = 15.0
_HAND = {
    side: MEDIAPIPE33.indices([f"{side}_{p}" for p in ("wrist", "pinky", "index", "thumb")])
    for side in ("left", "right")
}
_ELBOWS = MEDIAPIPE33.indices(["left_elbow", "right_elbow"])
_HIPS = MEDIAPIPE33.indices(["left_hip", "right_hip"])
_HEAD = tuple(range(11))


@dataclass(frozen=True)
class Estimator:
    """Errors in shoulder widths: standard deviations of (picture, depth), and how often.

    Measured once, on rendered videos against their bones, with MediaPipe's full model: lasting
    displacement of the hands (0.13, 0.27), elbows (0.08, 0.16), hips (0.10, 0.12), head
    (0.04, 0.10), single keypoints within a hand (0.05, 0.10); changing within a window 0.015.
    Arms that hang or rest are seen 0.1 to 0.2 too low.
    """

    hand: tuple[float, float] = (0.11, 0.26)
    low_hand: float = 0.14
    """Mean downward displacement of a hand below the chest."""
    elbow: tuple[float, float] = (0.07, 0.15)
    hip: tuple[float, float] = (0.10, 0.12)
    head: tuple[float, float] = (0.04, 0.10)
    single: tuple[float, float] = (0.04, 0.09)
    """Every keypoint for itself."""
    shake: tuple[float, float] = (0.012, 0.045)
    """Within a window."""
    lag_s: float = 0.06
    """Of the estimator's own smoothing, at most."""
    loss: float = 0.03
    """How often a hand is lost for a while."""


@dataclass(frozen=True, eq=False)
class Take:
    """One performance as keypoints."""

    t: NDArray[np.float64]
    points: Floats
    """float32 [T, 33, 3] cm, world."""
    truth: tuple[TimedLabel, ...]

    def label_at(self, t: float) -> int:
        """The gesture that is performed then, else background."""
        covering = [k for k in self.truth if k.start <= t <= k.end]
        return min(covering, key=lambda k: k.end - k.start).label if covering else ILLUSTRATIVE


def draw_take(rng: np.random.Generator, body: Body, length_s: float) -> Take:
    """A performance at `RATE_HZ`, of a body with limbs a little longer or shorter."""
    t = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
    emotion = (0, 1, None)[rng.integers(3)]
    truth, controls = plan(rng, body, t, emotion, draw_labels(rng, 2 * int(length_s)).tolist())
    return Take(t, keypoints(rng, body, controls), truth)


def keypoints(rng: np.random.Generator, body: Body, controls: Controls) -> Floats:
    """World points [T, 33, 3] of MediaPipe's landmarks, build of the body varied about its root."""
    points = carry_joints(body, controls, mediapipe_places(body))
    root = points[:, 11:13].mean(axis=1, keepdims=True)
    stretch = np.exp(rng.normal(0, 0.06, 3)) * np.exp(rng.normal(0, 0.03))
    return np.asarray(root + (points - root) * stretch, np.float32)


def observe(
    rng: np.random.Generator, take: Take, end: float, span_s: float, estimator: Estimator
) -> Window:
    """What a camera and an estimator make of the `span_s` seconds before `end`.

    Returns:
        A window of layout mediapipe33 without pictures (1 x 1 px, black).
    """
    inside = slice(*np.searchsorted(take.t, [end - span_s - 1e-6, end + 1e-6]))
    t, world = take.t[inside], take.points[inside]
    seen, xy = _camera(rng, world)
    width = float(np.median(np.linalg.norm(world[:, 11] - world[:, 12], axis=1)))
    picture = float(np.median(np.linalg.norm(xy[:, 11] - xy[:, 12], axis=1)))
    error = _errors(rng, t, world, estimator)
    lag = _lagging(rng, estimator)
    xy = _smoothed(xy, lag) + error[..., :2] * picture
    hips = seen[:, list(_HIPS)].mean(axis=1, keepdims=True)
    xyz = _smoothed(seen - hips, lag) / 100 + error * (width / 100)
    conf = _confidence(rng, t, estimator)
    xy[conf == 0], xyz[conf == 0] = np.nan, np.nan
    count = len(t)
    return Window(
        t=t, rgb=np.zeros((count, 1, 1, 3), np.uint8), xy=xy.astype(np.float32),
        xyz=xyz.astype(np.float32), conf=conf, faces=np.zeros((count, 1, 1, 3), np.uint8),
        has_face=np.zeros(count, np.bool_), layout=MEDIAPIPE33.name,
    )  # fmt: skip


def _camera(rng: np.random.Generator, world: Floats) -> tuple[Floats, Floats]:
    """Points in the camera's axes (x right, y down, z away; cm) and in the picture (px)."""
    yaw, pitch = np.clip(rng.normal(0, (0.3, 0.14)), -0.7, 0.7)
    back = nod_turn_tilt(-pitch, yaw, rng.normal(0, 0.03))
    centre = world[:, 11:13].mean(axis=(0, 1)) + rng.normal(0, 8, 3)
    local = (world - centre) @ back
    distance = rng.uniform(75, 260)
    seen = np.stack([local[..., 0], -local[..., 1], distance - local[..., 2]], -1)
    focal = 128 * distance / 100
    xy = seen[..., :2] / np.maximum(seen[..., 2:], 10) * focal + 64
    return seen.astype(np.float32), xy.astype(np.float32)


def _errors(
    rng: np.random.Generator, t: NDArray[np.float64], world: Floats, estimator: Estimator
) -> Floats:
    """[T, 33, 3] in shoulder widths: x right, y down, z away."""
    out = np.zeros((len(t), 33, 3), np.float32)

    def lasting(size: tuple[float, float], count: int = 1) -> NDArray[np.float64]:
        return rng.normal(0, (size[0], size[0], size[1]), (count, 3))

    scale = rng.uniform(0.4, 1.3)
    chest = world[:, 11:13, 1].mean(axis=1) - 18
    for joints in _HAND.values():
        is_low = np.clip((chest - world[:, joints[0], 1]) / 12, 0, 1)[:, None, None]
        offset = lasting(estimator.hand)[None]
        down = np.array([0, estimator.low_hand, 0]) * rng.uniform(0, 2)
        out[:, list(joints)] += offset * (0.5 + 0.5 * is_low) + down * is_low
    for joints, size in ((_ELBOWS, estimator.elbow), (_HIPS, estimator.hip)):
        out[:, list(joints)] += lasting(size, len(joints))
    out[:, list(_HEAD)] += lasting(estimator.head)
    out += lasting(estimator.single, 33) * 0.7
    slow = drift(rng, t, 1.5, 0.3)[:, None, None]
    out += slow * lasting(estimator.shake, 33) * 1.4
    return np.asarray(scale * out, np.float32)


def _lagging(rng: np.random.Generator, estimator: Estimator) -> float:
    lag = rng.uniform(0, estimator.lag_s)
    return float(np.exp(-1 / (RATE_HZ * lag))) if lag > 0.005 else 0.0


def _smoothed(x: Floats, keep: float) -> NDArray[np.float64]:
    """Exponential moving average over frames, as the estimator smooths."""
    out = x.astype(np.float64)
    for k in range(1, len(out)):
        out[k] = keep * out[k - 1] + (1 - keep) * out[k]
    return out


def _confidence(rng: np.random.Generator, t: NDArray[np.float64], estimator: Estimator) -> Floats:
    conf = np.ones((len(t), 33), np.float32)
    for joints in _HAND.values():
        if rng.random() < estimator.loss:
            start = rng.uniform(t[0], t[-1])
            gone = (t >= start) & (t <= start + rng.uniform(0.1, 1.5))
            conf[np.ix_(gone, list(joints))] = 0
    return conf


def draw_ends(
    rng: np.random.Generator, take: Take, span_s: float, anchor: float, count: int
) -> Sequence[tuple[float, int]]:
    """Window ends and labels; two thirds of them at a gesture, wherever in it."""
    out = []
    for _ in range(count):
        if take.truth and rng.random() < 0.67:
            chosen = take.truth[rng.integers(len(take.truth))]
            centre = rng.uniform(chosen.start, chosen.end)
        else:
            centre = rng.uniform(take.t[0], take.t[-1])
        end = float(np.clip(centre + (1 - anchor) * span_s, take.t[0] + span_s, take.t[-1]))
        out.append((end, take.label_at(end - (1 - anchor) * span_s)))
    return out

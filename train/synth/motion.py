"""Movement without pictures: what a pose estimator would have seen, thousands of windows a minute.

A performance is projected through many cameras, and what the pose estimator makes of it is what it
made of rendered people whose bones are known (see `estimator`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.skeleton import MEDIAPIPE33
from engines.window import Window
from train.synth.body import Body
from train.synth.controls import Controls
from train.synth.estimator import JOINTS, Estimator, as_body, shoulder_width
from train.synth.keypoints import carry_joints, mediapipe_places
from train.synth.performance import TimedLabel, gesture_at
from train.synth.rotations import Floats, nod_turn_tilt
from train.synth.script import RESTLESS, draw_labels, plan

RATE_HZ = 15.0
_HIPS = MEDIAPIPE33.indices(["left_hip", "right_hip"])


@dataclass(frozen=True, eq=False)
class Take:
    """One performance as keypoints."""

    t: NDArray[np.float64]
    points: Floats
    """float32 [T, 33, 3] cm, world."""
    truth: tuple[TimedLabel, ...]


def draw_take(rng: np.random.Generator, body: Body, length_s: float) -> Take:
    """A performance at `RATE_HZ`, of a body with limbs a little longer or shorter."""
    t = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
    emotion = (0, 1, None)[rng.integers(3)]
    labels = draw_labels(rng, 2 * int(length_s)).tolist()
    truth, controls = plan(rng, body, t, emotion, labels, manner=RESTLESS)
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
    space, xy = _camera(rng, world)
    xy, xyz, conf = estimated(rng, estimator, xy, space)
    return Window(
        t=t, rgb=np.zeros((len(t), 1, 1, 3), np.uint8), xy=xy, xyz=xyz, conf=conf,
        faces=np.zeros((len(t), 1, 1, 3), np.uint8),
        has_face=np.zeros(len(t), np.bool_), layout=MEDIAPIPE33.name,
    )  # fmt: skip


def estimated(
    rng: np.random.Generator, estimator: Estimator, xy: Floats, space: Floats
) -> tuple[Floats, Floats, Floats]:
    """What an estimator makes of keypoints.

    Args:
        rng: see `Estimator.see`.
        estimator: whose errors.
        xy: [T, 33, 2] px.
        space: [T, 33, 3] cm: x right, y down, z away from the camera.

    Returns:
        As in a Window: float32 xy [T, 33, 2] px, xyz [T, 33, 3] m, confidences [T, 33].
    """
    widths = shoulder_width(xy), shoulder_width(space)
    seen, sure = estimator.see(rng, as_body(xy, space[..., 2], widths))
    shoulders = slice(11, 13)
    flat, deep = xy.copy(), space - space[:, list(_HIPS)].mean(axis=1, keepdims=True)
    flat[:, :JOINTS] = seen[..., :2] * widths[0] + xy[:, shoulders].mean(axis=1, keepdims=True)
    deep[:, :JOINTS] = seen * widths[1] + deep[:, shoulders].mean(axis=1, keepdims=True)
    conf = np.zeros(xy.shape[:2], np.float32)  # legs are not for this estimator to see
    conf[:, :JOINTS] = sure
    return flat.astype(np.float32), (deep / 100).astype(np.float32), conf


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


def draw_end(
    rng: np.random.Generator, t: NDArray[np.float64], truth: Sequence[TimedLabel], span_s: float,
    anchor: float,
) -> tuple[float, int]:  # fmt: skip
    """Where a window ends, and its label; two thirds of them are at a gesture, wherever in it.

    Args:
        rng: decides.
        t: float64 [T] stream seconds of a performance.
        truth: what is performed in it.
        span_s: length of the window.
        anchor: where in the window (0 start, 1 end) is what it is about.

    Returns:
        Stream seconds, and an index into `train.labels.MICRO_GESTURES`.
    """
    if truth and rng.random() < 0.67:
        chosen = truth[int(rng.integers(len(truth)))]
        centre = rng.uniform(chosen.start, chosen.end)
    else:
        centre = rng.uniform(t[0], t[-1])
    end = float(np.clip(centre + (1 - anchor) * span_s, t[0] + span_s, t[-1]))
    return end, gesture_at(truth, end - (1 - anchor) * span_s)

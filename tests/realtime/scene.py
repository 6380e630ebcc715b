"""Snapshots made by hand: a drawn person, scripted scores. For overlay, sinks and timeline."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from engines.manifest import OutputSpec, Thresholds
from engines.skeleton import LAYOUTS
from realtime.records import (
    Estimate,
    Event,
    Face,
    Frame,
    Observation,
    Pose,
    Prediction,
    Snapshot,
    Status,
)

GESTURES = ("Touching jaw", "Folding arms", "Pressing lips", "Nothing")


def output(
    task: str, names: tuple[str, ...], kind: Literal["events", "state"], background: int | None
) -> OutputSpec:
    return OutputSpec(
        name=task, task=task, class_names=names, background=background, kind=kind,
        activation="softmax", temperature=1.0, thresholds=Thresholds(on=0.65, off=0.55),
    )  # fmt: skip


OUTPUTS = (
    output("micro-gesture", GESTURES, "events", 3),
    output("emotion", ("positive", "negative"), "state", None),
)


def pose_in(height: int, width: int, layout: str = "mediapipe33") -> Pose:
    """Joints spread over the middle of the picture, all seen."""
    v = LAYOUTS[layout].num_joints
    around = np.linspace(0, 2 * np.pi, v, endpoint=False)
    xy = np.stack([0.5 + 0.3 * np.cos(around), 0.5 + 0.3 * np.sin(around)], axis=1)
    return Pose(
        xy=(xy * (width, height)).astype(np.float32),
        xyz=np.zeros((v, 3), np.float32),
        conf=np.ones(v, np.float32),
        layout=layout,
    )


def estimates_at(
    t: float, *, untrained: bool = False, emotion: bool = True
) -> tuple[Estimate, ...]:
    """A decided gesture, and an emotion that is not sure; both are about a second before `t`."""
    top = (("Touching jaw", 0.8), ("Folding arms", 0.15))
    gesture = Estimate("micro-gesture", "Touching jaw", 0.8, t, None, top, untrained, t - 1)
    sides = (("positive", 0.58), ("negative", 0.42))
    state = Estimate("emotion", None, 0.58, t, "not sure", sides, untrained, t - 1)
    return (gesture, state) if emotion else (gesture,)


def predictions_at(t: float) -> tuple[Prediction, ...]:
    def of(task: str, probs: Sequence[float]) -> Prediction:
        return Prediction(
            source="clip.mp4", task=task, start=t - 2, end=t, at=t - 1,
            probs=np.array(probs, np.float32), coverage=0.9, latency_s=0.1234567, bundle="demo 1.0",
        )  # fmt: skip

    return of("micro-gesture", (0.8, 0.15, 0.04, 0.01)), of("emotion", (0.58, 0.42))


def event(start: float = 1.0, label: str = "Touching jaw") -> Event:
    return Event("micro-gesture", label, start, start + 1.25, start + 0.5, 0.8765)


def snapshot(
    t: float = 3.0,
    *,
    image: np.ndarray | None = None,
    pose: Pose | None = None,
    face: bool = False,
    estimates: tuple[Estimate, ...] | None = None,
    predictions: tuple[Prediction, ...] = (),
    new_events: tuple[Event, ...] = (),
    status: Status | None = None,
) -> Snapshot:
    image = np.full((360, 640, 3), 128, np.uint8) if image is None else image
    h, w = image.shape[:2]
    frame = Frame(image=image, t=t, index=int(t * 30), source="videos/clip.mp4", arrived=0.0)
    box = np.array([0.4 * w, 0.1 * h, 0.6 * w, 0.4 * h], np.float32)
    observation = Observation(
        t=t, index=frame.index, source=frame.source, arrived=0.0,
        rgb=np.zeros((8, 8, 3), np.uint8), crop=np.array([0, 0, w, h], np.float32), pose=pose,
        face=Face(np.zeros((112, 112, 3), np.uint8), box, 0.9) if face else None,
    )  # fmt: skip
    return Snapshot(
        frame, observation, estimates_at(t) if estimates is None else estimates, predictions,
        new_events, status or Status(bundle="demo 1.0", runtime="OpenVINO CPU f32"),
    )  # fmt: skip

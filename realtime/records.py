"""The records that cross the runtime's module boundaries.

All are frozen. Arrays are C-contiguous and become read-only when their record is made. Images are
RGB. Stream time (`t`, `start`, `end`, ...) is in seconds of the source's own clock; `arrived` is
`time.monotonic()` and serves latency figures only.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


def _freeze(*arrays: np.ndarray) -> None:
    for array in arrays:
        array.setflags(write=False)


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a source. Made by a Source, read by the Perceiver and the overlay."""

    image: Image
    """uint8 [H, W, 3] RGB."""
    t: float
    """Stream seconds, strictly increasing within one connection of a source."""
    index: int
    """Number of the frame in its source, from 0, counting frames that were dropped later."""
    source: str
    """The source's id: its URI without credentials."""
    arrived: float
    """`time.monotonic()` on the line after the read."""

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(
                f"Frame.image must be uint8 [H, W, 3], got {self.image.dtype} {self.image.shape}"
            )
        _freeze(self.image)


@dataclass(frozen=True, eq=False)
class Pose:
    """The subject's keypoints in one frame. Made by `perception.pose`."""

    xy: Floats
    """float32 [V, 2] px in the frame."""
    xyz: Floats
    """float32 [V, 3] m, hip-centred; x right, y down, z away from the camera."""
    conf: Floats
    """float32 [V] 0..1: the estimator's visibility."""
    layout: str
    """Name of the `engines.skeleton` layout, V joints."""

    def __post_init__(self) -> None:
        v = len(self.conf)
        if self.xy.shape != (v, 2) or self.xyz.shape != (v, 3) or self.conf.shape != (v,):
            raise ValueError(
                f"Pose needs xy [V, 2], xyz [V, 3], conf [V]; "
                f"got {self.xy.shape}, {self.xyz.shape}, {self.conf.shape}"
            )
        _freeze(self.xy, self.xyz, self.conf)


@dataclass(frozen=True, eq=False)
class Face:
    """The subject's face in one frame. Made by `perception.face`."""

    crop: Image
    """uint8 [112, 112, 3] RGB, aligned to the ArcFace five-point template."""
    box: Floats
    """float32 [4] px xyxy in the frame."""
    conf: float
    """0..1: the detector's score, or the pose's visibility where the face came from the pose."""

    def __post_init__(self) -> None:
        _freeze(self.crop, self.box)


@dataclass(frozen=True, eq=False)
class Observation:
    """What was perceived in one frame. Made by the Perceiver, read by buffer, overlay, prepare."""

    t: float
    index: int
    source: str
    arrived: float
    rgb: Image
    """uint8 [h, w, 3]: the subject's region at the bundle's storage size."""
    crop: Floats
    """float32 [4] px xyxy: where `rgb` lies in the frame (it may reach over the frame's edge)."""
    pose: Pose | None
    face: Face | None
    following: str = ""
    """One line for people: who is followed."""
    is_new_subject: bool = False
    """True if this is somebody else than before: earlier evidence is another person's."""
    is_cut: bool = False
    """True if another shot of edited footage begins: what differs from before is no movement."""

    def __post_init__(self) -> None:
        _freeze(self.rgb, self.crop)


@dataclass(frozen=True, eq=False)
class Prediction:
    """One engine's scores for one window and task. Made by the Predictor."""

    source: str
    task: str
    start: float
    """Stream seconds of the window's first evidence."""
    end: float
    """Stream seconds of the window's last evidence."""
    at: float
    """Stream seconds that the label is about: in the window, where the manifest's anchor says."""
    probs: Floats
    """float32 [K], sums to 1, calibrated."""
    coverage: float
    """0..1: share of the window's samples in which the person was seen."""
    latency_s: float
    """From the arrival of the window's last frame to this result."""
    bundle: str
    """Name and version of the bundle."""
    stretch: int = 0
    """Number of the stretch of evidence, of one person and without a pause, that it saw."""
    shot: int = 0
    """Number of the shot, between two cuts, that the label is about."""

    def __post_init__(self) -> None:
        _freeze(self.probs)


@dataclass(frozen=True)
class Estimate:
    """The smoothed present state of one task. Made by the Decider, read by overlay and page."""

    task: str
    label: str | None
    """The decided class, or None while abstaining."""
    prob: float
    """Of `label`, 0..1: mean smoothed probability of an event since it began, by which it has its
    name; present one of a state, or of the most probable class while abstaining."""
    since: float
    """Stream seconds since when `label` (or the abstention) holds."""
    reason: str | None
    """Why it abstains: `waiting`, `too little seen`, `not sure` or `background`; else None."""
    top: tuple[tuple[str, float], ...]
    """The most probable classes (at most 5) with their smoothed probabilities, best first."""
    untrained: bool = False
    """True where the bundle's weights are random: whatever shows this must say so."""
    at: float | None = None
    """Stream seconds that it is about: `Prediction.at` of its last prediction; None before one."""

    @property
    def is_abstaining(self) -> bool:
        """True if no label is decided."""
        return self.label is None


@dataclass(frozen=True)
class Event:
    """One closed interval of a task. Made by the Decider of gestures, by `states` of emotion."""

    task: str
    label: str
    start: float
    end: float
    apex: float
    """Stream seconds of the highest smoothed probability."""
    peak: float
    """The highest smoothed probability, 0..1."""


@dataclass(frozen=True)
class Status:
    """How a camera and its predictions are doing, for the status line. Rates are per second."""

    connected: bool = True
    lost_since: float | None = None
    """`time.monotonic()` since when the source is lost; None while it delivers."""
    message: str = ""
    """One line for people: why it is lost, who is followed, what is being done."""
    capture_hz: float = 0.0
    perception_hz: float = 0.0
    prediction_hz: float = 0.0
    frames_dropped: int = 0
    windows_dropped: int = 0
    latency_p50_s: float = float("nan")
    """Arrival of a window's last frame -> its prediction."""
    latency_p95_s: float = float("nan")
    prediction_age_s: float = float("nan")
    """Age of the shown prediction: now minus the arrival of the last frame that it saw."""
    runtime: str = ""
    """Runtime, device and precision, e.g. `OpenVINO CPU bf16`."""
    bundle: str = ""
    """Names and versions of the bundles."""
    untrained: bool = False
    """True where any bundle's weights are random."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All that a reader shows or writes for one frame. Made by pipeline and session."""

    frame: Frame
    observation: Observation
    estimates: tuple[Estimate, ...]
    predictions: tuple[Prediction, ...] = ()
    """Predictions that became known since the previous snapshot."""
    new_events: tuple[Event, ...] = ()
    """Events that closed since the previous snapshot."""
    status: Status = field(default_factory=Status)

"""The manifest's entries for the graph's inputs and outputs.

How each input is sampled, resized and normalised, and what each output means.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from engines.skeleton import LAYOUTS

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Triple = tuple[float, float, float]
FeedArray = NDArray[np.float32 | np.uint8]
"""What a graph takes under one name, batch first."""
Feeds = Mapping[str, FeedArray]
SHOULDERS = ("left_shoulder", "right_shoulder")
HIPS = ("left_hip", "right_hip")
HANDS = tuple(
    tuple(f"{side}_{j}" for j in ("wrist", "index", "pinky")) for side in ("left", "right")
)
"""For each hand the joints that say where it is; the last two are knuckles."""
WHOLE_HANDS = tuple(
    tuple(f"{side}_{j}" for j in ("wrist", "pinky", "index", "thumb")) for side in ("left", "right")
)
"""For each hand all of its joints."""
SCALE_JOINTS = {"shoulders": SHOULDERS, "torso": SHOULDERS + HIPS, "none": ()}
"""Which joints each `PoseInput.scale` measures."""


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Sampling:
    """K instants, `span_s / frames` apart, the last at the window's end; nearest sample each."""

    frames: Count
    span_s: Positive
    tolerance_s: Positive
    """An instant with no sample this near counts as missing."""


@dataclass(frozen=True, config=STRICT, kw_only=True)
class RgbInput:
    """Frames: [B, 3, T, crop, crop], resized and centre-cropped RGB.

    A network sees (RGB / 255 - mean) / std; `dtype` says who computes that.
    """

    modality: Literal["rgb"]
    name: str
    shape: tuple[Count, Count, Count, Count]
    """[3, T, H, W], without the batch."""
    dtype: Literal["uint8", "float32"]
    """`uint8`: the graph is fed bytes and normalises them, a quarter of what is copied otherwise.
    `float32`: it is fed normalised values, as in bundles of old."""
    sampling: Sampling
    resize: Count
    """Shorter side after resizing, bilinear without anti-aliasing, rounded to uint8."""
    crop: Count
    """Side of the centre crop."""
    mean: Triple
    std: tuple[Positive, Positive, Positive]
    missing: Literal["hold"]
    """An instant without a sample repeats the nearest one."""

    @model_validator(mode="after")
    def _check(self) -> "RgbInput":
        _require_shape(self.name, self.shape, (3, self.sampling.frames, self.crop, self.crop))
        if self.crop > self.resize:
            raise ValueError(
                f"input {self.name}: crop {self.crop} is larger than resize {self.resize}"
            )
        return self


@dataclass(frozen=True, config=STRICT, kw_only=True)
class PoseInput:
    """Poses: float32 [B, 3, T, V], and their mask: float32 [B, T, V], 1 = seen."""

    modality: Literal["pose"]
    name: str
    mask: str
    """Name of the mask input."""
    shape: tuple[Count, Count, Count]
    """[3, T, V], without the batch."""
    dtype: Literal["float32"]
    sampling: Sampling
    layout: str
    """Layout whose joints are the V axis, in its order."""
    coordinates: Literal["world", "weak_perspective", "image"]
    """`world`: x, y, z in m. `weak_perspective`: x, y of the image and z of the world, each over
    its own scale, so that movements of the whole body stay visible. `image`: x, y of the image, and
    conf."""
    root: tuple[str, ...]
    """The mean of these joints becomes the origin."""
    root_per: Literal["window", "sample"]
    """`window`: the mean over the sampled instants that show all of them. `sample`: of each instant
    its own, and the window's where not all of them are seen."""
    scale: Literal["shoulders", "torso", "none"]
    """Divide by the window's median shoulder width, or shoulder-to-hip length."""
    min_conf: Share
    """Joints below this confidence are missing."""
    missing: Literal["zero"]
    """Missing joints are 0 after normalisation, and 0 in the mask: all of them in a window that
    never shows the joints of the root or of the scale."""

    @model_validator(mode="after")
    def _check(self) -> "PoseInput":
        if self.layout not in LAYOUTS:
            raise ValueError(f"input {self.name}: layout must be one of {sorted(LAYOUTS)}")
        layout = LAYOUTS[self.layout]
        if not self.root:
            raise ValueError(f"input {self.name}: root needs at least one joint")
        layout.indices(self.root)
        layout.indices(SCALE_JOINTS[self.scale])
        _require_shape(self.name, self.shape, (3, self.sampling.frames, layout.num_joints))
        return self

    @property
    def mask_shape(self) -> tuple[int, ...]:
        """[T, V]."""
        return self.shape[1:]


@dataclass(frozen=True, config=STRICT, kw_only=True)
class FaceInput:
    """Face crops: float32 [B, T, 3, S, S] = (RGB / 255 - mean) / std; mask: float32 [B, T]."""

    modality: Literal["face"]
    name: str
    mask: str
    """Name of the mask input."""
    shape: tuple[Count, Count, Count, Count]
    """[T, 3, S, S], without the batch."""
    dtype: Literal["float32"]
    sampling: Sampling
    size: Count
    """S: crops are resized (area) where perception stores another size."""
    mean: Triple
    std: tuple[Positive, Positive, Positive]
    missing: Literal["zero"]
    """Missing crops are 0 after normalisation, and 0 in the mask."""

    @model_validator(mode="after")
    def _check(self) -> "FaceInput":
        _require_shape(self.name, self.shape, (self.sampling.frames, 3, self.size, self.size))
        return self

    @property
    def mask_shape(self) -> tuple[int, ...]:
        """[T]."""
        return self.shape[:1]


@dataclass(frozen=True, config=STRICT, kw_only=True)
class HandInput:
    """Pictures of the hands: float32 [B, T, 2, 3, S, S] = (RGB / 255 - mean) / std, left first.

    Each is cut out of a stored frame, pixel for pixel, about the knuckles as the pose has them; its
    mask, float32 [B, T, 2], is 1 where it is. What reaches over the frame's edge is black.
    """

    modality: Literal["hand"]
    name: str
    mask: str
    """Name of the mask input."""
    shape: tuple[Count, Literal[2], Count, Count, Count]
    """[T, 2, 3, S, S], without the batch."""
    dtype: Literal["float32"]
    sampling: Sampling
    size: Count
    """S, px of the stored frame."""
    min_conf: Share
    """Below this confidence of wrist or knuckles a hand is missing."""
    mean: Triple
    std: tuple[Positive, Positive, Positive]
    missing: Literal["zero"]
    """Missing hands are 0 after normalisation, and 0 in the mask."""

    @model_validator(mode="after")
    def _check(self) -> "HandInput":
        _require_shape(self.name, self.shape, (self.sampling.frames, 2, 3, self.size, self.size))
        return self

    @property
    def mask_shape(self) -> tuple[int, ...]:
        """[T, 2]."""
        return self.shape[:2]


InputSpec = Annotated[RgbInput | PoseInput | FaceInput | HandInput, Field(discriminator="modality")]


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Thresholds:
    """On smoothed probabilities: entered at `on` and left below `off`.

    Of a state its own probability, of events that of any: 1 less the background's.
    """

    on: Share
    off: Share

    @model_validator(mode="after")
    def _check(self) -> "Thresholds":
        if self.off > self.on:
            raise ValueError(f"thresholds: off {self.off} must not exceed on {self.on}")
        return self


@dataclass(frozen=True, config=STRICT, kw_only=True)
class OutputSpec:
    """Logits float32 [B, K] of one task."""

    name: str
    task: str
    class_names: Annotated[tuple[str, ...], Field(min_length=2)]
    background: int | None
    """Index of the class that means `nothing to report`, or None."""
    kind: Literal["events", "state"]
    """`events`: intervals that come and go (gestures). `state`: one slow value (emotion)."""
    activation: Literal["softmax"]
    temperature: Positive
    thresholds: Thresholds

    @model_validator(mode="after")
    def _check(self) -> "OutputSpec":
        if len(set(self.class_names)) != len(self.class_names):
            raise ValueError(f"output {self.name}: class_names must be unique")
        if self.background is not None and not 0 <= self.background < len(self.class_names):
            raise ValueError(
                f"output {self.name}: background {self.background} is not a class index"
            )
        return self


def _require_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if shape != expected:
        raise ValueError(
            f"input {name}: shape must be {list(expected)} to agree with its other entries, "
            f"got {list(shape)} ({math.prod(shape)} values)"
        )

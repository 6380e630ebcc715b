"""Performance: one person's movement over time, ready to be rendered or projected."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.labels import ILLUSTRATIVE


@dataclass(frozen=True)
class TimedLabel:
    """A gesture that is performed from `start` to `end`."""

    label: int
    """Index into `train.labels.MICRO_GESTURES`."""
    start: float
    """Stream seconds."""
    end: float
    """Stream seconds."""


def gesture_at(truth: Sequence[TimedLabel], t: float) -> int:
    """The gesture at a stream time (s), the shortest of several; background where there is none."""
    covering = [k for k in truth if k.start <= t <= k.end]
    return min(covering, key=lambda k: k.end - k.start).label if covering else ILLUSTRATIVE


@dataclass(frozen=True, eq=False)
class Performance:
    """T frames of one avatar's movement with their truth."""

    t: NDArray[np.float64]
    """float64 [T] stream seconds, strictly increasing."""
    bones: NDArray[np.float32]
    """float32 [T, B, 4, 4]: world matrix of each bone of the avatar's skeleton, cm, y up."""
    morphs: NDArray[np.float32]
    """float32 [T, K]: weight of each of the avatar's blend shapes; K = 0 where it has none."""
    truth: tuple[TimedLabel, ...]
    """In time order; what is in no interval is background (class 31)."""
    actions: NDArray[np.float32]
    """float32 [T, 14]: how far the face moves, 0..1 (`train.synth.controls.FACE`)."""
    emotion: int | None
    """Index into `train.labels.EMOTIONS`; None for a face in between."""

"""Videos with scores written by hand, and a bundle that scores the tiny store."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from engines.manifest import PerceptionSpec
from tests.engines.tiny_bundle import write_tiny_bundle
from tests.train.tiny_recipe import FACE_SIDE, tiny
from train.labels import ILLUSTRATIVE, MICRO_GESTURES
from train.metrics import Probs
from train.perception import perception_of
from train.scoring import ScoredVideo
from train.store_files import Span, StoredVideo

SPAN_S = 1.0
"""Of the tiny bundle's windows."""


def fitting_bundle(folder: Path, *, face_size: int = FACE_SIDE, **changes: Any) -> Path:
    """A tiny bundle that sees as the tiny store was seen; its weights are random."""
    spec = replace(perception_of(tiny()), face_size=face_size)
    perception = TypeAdapter(PerceptionSpec).dump_python(spec, mode="json")
    return write_tiny_bundle(folder, perception=perception, **changes)


def gesture_probs(label: int, sure: float, *, evenly: bool = False) -> Probs:
    """One row: `sure` for the label, the rest for no gesture; of that, or if so told, evenly."""
    row = np.full(len(MICRO_GESTURES), (1 - sure) / (len(MICRO_GESTURES) - 1), np.float32)
    if label != ILLUSTRATIVE and not evenly:
        row[:] = 1e-9
        row[ILLUSTRATIVE] = 1 - sure
    row[label] = sure
    return row


def scored_video(
    name: str,
    said: Sequence[tuple[int, float]],
    spans: Sequence[tuple[int, float, float]] = (),
    *,
    positive: Sequence[float] | None = None,
    emotion: int | None = None,
    subject: str = "s",
    hop_s: float = 0.25,
    coverage: Mapping[int, float] | None = None,
    evenly: bool = False,
    is_between: bool = False,
) -> ScoredVideo:
    """A video from 0 s, whose first window is about 0.5 s.

    Args:
        name: its id.
        said: (label, probability) of the gesture that each window is scored with.
        spans: (label, start s, end s) of the truth.
        positive: the probability of the positive emotion of each window; else 0.5.
        emotion: the truth.
        subject: who is seen.
        hop_s: between windows.
        coverage: window -> its coverage, where that is not 1.
        evenly: see `gesture_probs`.
        is_between: known to show no emotion.
    """
    count = len(said)
    ends = SPAN_S + hop_s * np.arange(count)
    yes = np.array([0.5] * count if positive is None else positive, np.float32)
    video = StoredVideo(
        id=name, split="val", subject=subject, emotion=emotion,
        spans=tuple(Span(*span) for span in spans), start=0.0, end=float(ends[-1]),
        frames=int(ends[-1] * 10) + 1, poses=1, faces=1,
    )  # fmt: skip
    covered = np.ones(count)
    for k, value in (coverage or {}).items():
        covered[k] = value
    return ScoredVideo(
        video=video, ends=ends, at=ends - SPAN_S / 2,
        probs={
            "micro_gesture": np.stack([gesture_probs(*item, evenly=evenly) for item in said]),
            "emotion": np.stack([1 - yes, yes], axis=1),
        },
        coverage={"micro_gesture": covered, "emotion": covered}, is_between=is_between,
    )  # fmt: skip


def told(
    spans: Sequence[tuple[int, float, float]],
    seconds: float,
    sure: float = 0.9,
    hop_s: float = 0.25,
) -> list[tuple[int, float]]:
    """What a model that is always right would say of a video, every `hop_s`."""
    out = []
    for at in np.arange(SPAN_S / 2, seconds - SPAN_S / 2 + 1e-6, hop_s):
        labels = [label for label, start, end in spans if start <= at <= end]
        out.append((labels[0] if labels else ILLUSTRATIVE, sure))
    return out

"""Logits -> calibrated scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.errors import BundleError
from engines.manifest import Manifest

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scores:
    """One task's probabilities for one window."""

    task: str
    probs: Floats
    """float32 [K], sums to 1, calibrated, in the order of the manifest's class names; read-only."""
    coverage: float
    """0..1: share of the sampling instants that show the person."""

    def __post_init__(self) -> None:
        self.probs.setflags(write=False)


def postprocess(
    outputs: Mapping[str, Floats], manifest: Manifest, coverages: Sequence[float]
) -> list[dict[str, Scores]]:
    """Scores of each window.

    Args:
        outputs: name -> logits float32 [B, K].
        manifest: names the tasks and their temperatures.
        coverages: B numbers, 0..1.

    Returns:
        B dicts, task -> scores.

    Raises:
        BundleError: a logit is not a finite number.
    """
    results: list[dict[str, Scores]] = [{} for _ in coverages]
    for spec in manifest.outputs:
        logits = outputs[spec.name]
        if not np.isfinite(logits).all():
            raise BundleError(
                f"The bundle {manifest.id} computed a {spec.task} logit that is no finite number; "
                f"run `python -m engines verify` on it"
            )
        probs = softmax(logits, spec.temperature)
        for result, row, share in zip(results, probs, coverages, strict=True):
            result[spec.task] = Scores(spec.task, row, share)
    return results


def softmax(logits: Floats, temperature: float) -> Floats:
    """Softmax of `logits / temperature` over the last axis, float32 [..., K], stable."""
    scaled = logits.astype(np.float64) / temperature
    exp = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(exp / exp.sum(axis=-1, keepdims=True), np.float32)

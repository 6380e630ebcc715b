"""Logits -> calibrated scores."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.errors import BundleError
from engines.manifest import Manifest
from engines.preprocess import coverage
from engines.window import Window

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scores:
    """One task's probabilities for one window."""

    task: str
    probs: Floats
    """float32 [K], sums to 1, calibrated, in the order of the manifest's class names; read-only."""
    coverage: float
    """0..1: share of the sampling instants that show what the task looks at."""

    def __post_init__(self) -> None:
        self.probs.setflags(write=False)


def postprocess(
    outputs: Mapping[str, Floats],
    manifest: Manifest,
    windows: Sequence[Window],
    tasks: Collection[str] | None = None,
) -> list[dict[str, Scores]]:
    """Scores of each window.

    Args:
        outputs: name -> logits float32 [B, K].
        manifest: names the tasks and their temperatures.
        windows: the B windows, of which it is said how much was seen.
        tasks: those that are wanted, None for all; the logits of others are not read.

    Returns:
        B dicts, wanted task -> scores.

    Raises:
        BundleError: a logit is not a finite number.
    """
    results: list[dict[str, Scores]] = [{} for _ in windows]
    for spec in manifest.outputs:
        if tasks is not None and spec.task not in tasks:
            continue
        logits = outputs[spec.name]
        if not np.isfinite(logits).all():
            raise BundleError(
                f"The bundle {manifest.id} computed a {spec.task} logit that is no finite number; "
                f"run `python -m engines verify` on it"
            )
        probs = softmax(logits, spec.temperature)
        for result, row, window in zip(results, probs, windows, strict=True):
            result[spec.task] = Scores(spec.task, row, coverage(window, manifest, spec))
    return results


def softmax(logits: Floats, temperature: float) -> Floats:
    """Softmax of `logits / temperature` over the last axis, float32 [..., K], stable."""
    scaled = logits.astype(np.float64) / temperature
    exp = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(exp / exp.sum(axis=-1, keepdims=True), np.float32)

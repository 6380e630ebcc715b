"""Calibrate: temperature and thresholds on the validation split, written into the bundle.

The temperature minimises the negative log likelihood of single windows (Guo et al. 2017). The
thresholds of events maximise the F1 of spotting through the live decision layer.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar

from engines.bundle import MANIFEST_NAME, load_bundle
from engines.errors import BundleError
from engines.manifest import Manifest, OutputSpec, TaskMetrics, Thresholds, dump_manifest
from engines.postprocess import softmax
from realtime.config import Config
from train.evaluate import EMOTION, GESTURE, Labelled, spotted, windows_of
from train.metrics import Probs, Reliability, reliability
from train.scoring import ScoredVideo
from train.spotting import spot

_ON = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8)
_OFF = (0.5, 0.7, 0.85)
"""Shares of `on`."""
_LOWEST, _HIGHEST = 0.2, 10.0


@dataclass(frozen=True, eq=False)
class Calibration:
    """What one task gets."""

    task: str
    temperature: float
    thresholds: Thresholds
    before: Reliability
    after: Reliability
    spotting_f1: float | None
    """On the validation split; None for a state."""


def calibrate(
    scored: Sequence[ScoredVideo], manifest: Manifest, config: Config
) -> tuple[Manifest, list[Calibration]]:
    """The manifest with new temperatures and thresholds, and how they came about.

    A task without truth in these videos keeps what it has.
    """
    found = []
    for output in manifest.outputs:
        windows = windows_of(scored, output.task, output.background)
        if not len(windows.labels):
            continue
        factor = fit_temperature(windows)
        after = [_tempered(item, output.task, factor) for item in scored]
        new = replace(output, temperature=output.temperature * factor)
        f1 = None
        if output.task == GESTURE:
            new, f1 = _with_thresholds(after, manifest, new, config)
        elif output.task == EMOTION:
            new = replace(new, thresholds=Thresholds(on=0.65, off=0.55))
        manifest = replace(
            manifest, outputs=tuple(new if o.task == new.task else o for o in manifest.outputs)
        )
        tempered = windows_of(after, output.task, output.background)
        found.append(Calibration(
            output.task, new.temperature, new.thresholds,
            reliability(windows.probs, windows.labels),
            reliability(tempered.probs, tempered.labels), f1,
        ))  # fmt: skip
    return manifest, found


def fit_temperature(windows: Labelled) -> float:
    """By which the present temperature must be multiplied."""
    logits = np.log(np.maximum(windows.probs, 1e-12))

    def loss(log_factor: float) -> float:
        probs = softmax(logits, float(np.exp(log_factor)))
        right = probs[np.arange(len(windows.labels)), windows.labels]
        return float(-np.log(np.maximum(right, 1e-12)).mean())

    bounds = (float(np.log(_LOWEST)), float(np.log(_HIGHEST)))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def _tempered(item: ScoredVideo, task: str, factor: float) -> ScoredVideo:
    probs: Probs = softmax(np.log(np.maximum(item.probs[task], 1e-12)), factor)
    return replace(item, probs={**item.probs, task: probs})


def _with_thresholds(
    scored: Sequence[ScoredVideo], manifest: Manifest, output: OutputSpec, config: Config
) -> tuple[OutputSpec, float]:
    """The thresholds of highest F1 of spotting; of equals the highest."""
    best: tuple[float, float, float] = (-1.0, 0.5, 0.35)
    for on in _ON:
        for share in _OFF:
            off = round(on * share, 3)
            trial = replace(output, thresholds=Thresholds(on=on, off=off))
            outputs = tuple(trial if o.task == trial.task else o for o in manifest.outputs)
            pairs = spotted(scored, replace(manifest, outputs=outputs), config)
            best = max(best, (spot(list(pairs.values())).f1, on, off))
    f1, on, off = best
    return replace(output, thresholds=Thresholds(on=on, off=off)), f1


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Give a bundle another manifest; the graph and the golden vectors stay as they are.

    Raises:
        BundleError: the bundle would not open with it, or cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as name:
            staging = Path(name) / "bundle"
            shutil.copytree(folder, staging)
            (staging / MANIFEST_NAME).write_text(dump_manifest(manifest), encoding="utf-8")
            load_bundle(staging)
            (staging / MANIFEST_NAME).replace(folder / MANIFEST_NAME)
    except OSError as error:
        raise BundleError(f"{folder}: cannot be written ({error.strerror})") from None


def with_metrics(manifest: Manifest, metrics: Sequence[TaskMetrics]) -> Manifest:
    """The manifest with new measurements; those of other tasks and splits stay."""
    new = {(m.task, m.split) for m in metrics}
    kept = [m for m in manifest.metrics if (m.task, m.split) not in new]
    return replace(manifest, metrics=(*kept, *metrics))

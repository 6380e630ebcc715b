"""Calibrate: temperature and thresholds on the validation split, written into the bundle.

The temperature minimises the negative log likelihood of single windows, background included (Guo
et al. 2017), but is not below 1 on labelled windows alone: the few people of a validation may be
told more surely than training left it, others then are told too surely. Rendered faces that show
no emotion hold it back themselves: of them each state is as true as the other. Thresholds are tried
through the live decision layer: those of events maximise the F1 of spotting, those of a state the
time that it is shown rightly, less twice the time that it is shown wrongly: it pays to show a state
from two thirds on, and otherwise to abstain. Faces of each state count as much as those of another;
and so do rendered ones that show none, of which any state is shown wrongly: in life most faces are
so.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar

from engines.bundle import MANIFEST_NAME, check_digests
from engines.errors import BundleError
from engines.manifest import (
    Manifest,
    OutputSpec,
    TaskMetrics,
    Thresholds,
    dump_manifest,
    parse_manifest,
)
from engines.postprocess import softmax
from realtime.config import Config
from train.annotations import DataError
from train.evaluate import truths_and_events
from train.judged import Labelled, annotated, windows_of
from train.metrics import Probs, Reliability, reliability
from train.out_paths import write_whole
from train.scoring import ScoredVideo, windows_between
from train.spotting import spot
from train.states import shown

logger = logging.getLogger(__name__)

_ON = (0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
_OFF = (0.5, 0.7, 0.85, 1.0)
"""Shares of `on`."""
_STATE_ON = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
_STATE_OFF = (0.05, 0.1)
"""Below `on`."""
_WRONG = 2.0
"""What a wrong state costs; a right one is worth 1."""
_GOALS = {"events": "spotting F1", "state": "time shown rightly less twice wrongly"}
_LOWEST, _LOWEST_HELD, _HIGHEST = 1.0, 0.3, 10.0
"""Of temperatures: by labelled windows alone, by those and faces in between, by any. Below 1
labelled faces alone, which show one emotion or the other, would have every face in between told
surely; and even on m017 the likeliest one for gestures, 0.89, had an ECE of 0.076, and 1 has 0.055.
Where a model tells nothing, the likeliest one would be infinite."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What one task gets."""

    task: str
    temperature: float
    thresholds: Thresholds
    before: Reliability
    after: Reliability
    goal_name: str
    """What the thresholds maximise."""
    goal: float
    """What they attain on these videos."""


def calibrate(
    scored: Sequence[ScoredVideo], manifest: Manifest, config: Config
) -> tuple[Manifest, list[Calibration]]:
    """The manifest with new temperatures and thresholds, and how they came about.

    A task without truth in these videos, or with one class alone, keeps what it has: the surer it
    is of that class, the better it would seem. The others lose the ECE that was measured before.

    Raises:
        DataError: there is no other task.
    """
    found = []
    for output in manifest.outputs:
        windows = windows_of(scored, output.task, output.background)
        if len(classes := np.unique(windows.labels)) < 2:
            if len(classes):
                logger.warning(
                    "%s: not calibrated, all windows of this split are %r; `train prepare "
                    "--hold-out 0.2` takes more from training",
                    output.task, output.class_names[classes[0]],
                )  # fmt: skip
            continue
        between = windows_between(scored, output.task) if output.kind == "state" else None
        factor = fit_temperature(windows, output.temperature, between)
        after = [_tempered(item, output.task, factor) for item in scored]
        new = replace(output, temperature=output.temperature * factor)
        new, goal = _with_thresholds(after, manifest, new, config)
        manifest = _with_output(manifest, new)
        tempered = windows_of(after, output.task, output.background)
        found.append(Calibration(
            output.task, new.temperature, new.thresholds,
            reliability(windows.probs, windows.labels),
            reliability(tempered.probs, tempered.labels), _GOALS[output.kind], goal,
        ))  # fmt: skip
    if not found:
        raise DataError(
            "nothing to calibrate on: no video of this split has a label of any task, or all have "
            "the same; `train prepare --hold-out 0.2` takes some from training"
        )
    return _without_ece(manifest, [item.task for item in found]), found


def _without_ece(manifest: Manifest, tasks: Sequence[str]) -> Manifest:
    """It was that of another temperature."""
    metrics = (replace(m, ece=None) if m.task in tasks else m for m in manifest.metrics)
    return replace(manifest, metrics=tuple(metrics))


def fit_temperature(windows: Labelled, present: float = 1.0, between: Probs | None = None) -> float:
    """By which the present temperature must be multiplied.

    Args:
        windows: with one truth each.
        present: temperature; times the factor it becomes 1 at least, or 0.3 where there is
            `between`.
        between: float32 [N, K] of windows of which each class is as true as the others.
    """
    labels = windows.labels
    truth = np.full((len(labels), windows.probs.shape[1]), 0.0)
    truth[np.arange(len(labels)), labels] = 1.0
    logits, lowest = np.log(np.maximum(windows.probs, 1e-12)), _LOWEST
    if between is not None and len(between):
        truth = np.concatenate([truth, np.full(between.shape, 1 / between.shape[1])])
        logits, lowest = np.concatenate([logits, np.log(np.maximum(between, 1e-12))]), _LOWEST_HELD

    def loss(log_factor: float) -> float:
        probs = softmax(logits, float(np.exp(log_factor)))
        return float(-(truth * np.log(np.maximum(probs, 1e-12))).sum(axis=1).mean())

    bounds = (float(np.log(lowest / present)), float(np.log(_HIGHEST / present)))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def _tempered(item: ScoredVideo, task: str, factor: float) -> ScoredVideo:
    probs: Probs = softmax(np.log(np.maximum(item.probs[task], 1e-12)), factor)
    return replace(item, probs={**item.probs, task: probs})


def _with_thresholds(
    scored: Sequence[ScoredVideo], manifest: Manifest, output: OutputSpec, config: Config
) -> tuple[OutputSpec, float]:
    """The thresholds that attain most; of equals the highest."""
    is_state = output.kind == "state"
    if is_state:
        pairs = [(on, round(on - below, 3)) for on in _STATE_ON for below in _STATE_OFF]
    else:
        pairs = [(on, round(on * share, 3)) for on in _ON for share in _OFF]
    results = []
    for on, off in pairs:
        trial = replace(output, thresholds=Thresholds(on=on, off=off))
        changed = _with_output(manifest, trial)
        if is_state:
            goal = _shown_rightly(scored, changed, config, output.task)
        else:
            known = annotated(scored)
            goal = spot([truths_and_events(item, changed, config) for item in known]).f1
        results.append((goal, on, off))
    goal, on, off = max(results)
    return replace(output, thresholds=Thresholds(on=on, off=off)), goal


def _shown_rightly(
    scored: Sequence[ScoredVideo], manifest: Manifest, config: Config, task: str
) -> float:
    """Share of the time that a state is shown rightly, less twice that of wrongly.

    The mean of these over the videos of each state, and of none.
    """
    kinds = shown(scored, manifest, config, task).values()
    return float(np.mean([kind.right - _WRONG * kind.wrong for kind in kinds]))


def _with_output(manifest: Manifest, output: OutputSpec) -> Manifest:
    outputs = tuple(output if o.task == output.task else o for o in manifest.outputs)
    return replace(manifest, outputs=outputs)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Give a bundle another manifest; the graph and the golden vectors stay as they are.

    Raises:
        BundleError: the bundle would not open with it, or cannot be written.
    """
    text = dump_manifest(manifest)
    check_digests(folder, parse_manifest(text))
    try:
        write_whole(folder / MANIFEST_NAME, lambda file: file.write(text.encode()))
    except OSError as error:
        raise BundleError(f"{folder}: cannot be written ({error.strerror or error})") from None


def check_writable(folder: Path) -> None:
    """Make sure, before minutes of scoring, that a bundle's manifest can be replaced.

    Raises:
        BundleError: it cannot.
    """
    if folder.is_dir() and not os.access(folder, os.W_OK):
        raise BundleError(f"{folder}: cannot be written (no permission); copy the bundle first")


def with_metrics(manifest: Manifest, metrics: Sequence[TaskMetrics]) -> Manifest:
    """The manifest with new measurements; those of other tasks and splits stay."""
    new = {(m.task, m.split) for m in metrics}
    kept = [m for m in manifest.metrics if (m.task, m.split) not in new]
    return replace(manifest, metrics=(*kept, *metrics))

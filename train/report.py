"""Reports: text for the terminal, numbers for machines, pictures for everyone else."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from engines.manifest import Manifest
from train import real_people
from train.calibrate import Calibration
from train.evaluate import EmotionReport, Report, SpottingReport
from train.judged import EMOTION, GESTURE
from train.labels import EMOTIONS
from train.metrics import (
    Interval,
    Reliability,
    confusion,
    majority,
    number_or_none,
    reliability,
)
from train.out_paths import check_folder, writing
from train.spotting import Spotting
from train.states import Shown

_DPI = 110


def text(report: Report, manifest: Manifest) -> str:
    """What the terminal shows."""
    gone = " and ".join(report.without)
    lines = [f"all of it without {gone}, in the same windows"] if gone else []
    if (g := report.gesture) is not None:
        names = _names(manifest, GESTURE)
        lines += [
            f"gestures cut out ({len(g.clips.labels)})",
            f"  top-1     {g.top1}",
            f"  top-5     {g.top5:.3f}",
            f"  macro-F1  {g.macro_f1} over {len(g.table)} classes",
            f"  ECE       {g.ece:.3f}; {g.window_ece:.3f} of single windows, background included",
            f"  log loss  {g.log_loss:.3f} of single windows, background included",
            *(f"  {name or 'unknown'}: top-1 {value:.3f}" for name, value in g.by_subject.items()),
            f"  {'class':52}{'P':>6}{'R':>6}{'F1':>6}{'n':>6}",
        ]
        lines += [
            f"  {names[r.label][:50]:52}{r.precision:6.2f}{r.recall:6.2f}{r.f1:6.2f}{r.support:6d}"
            for r in g.table
        ]
    if (s := report.spotting) is not None:
        lines.append("whole videos through the live decisions")
        for iou, result in s.at.items():
            lines.append(
                f"  IoU > {iou}  P {result.precision:.3f}  R {result.recall:.3f}  "
                f"F1 {result.f1:.3f}  ({result.hits} of {result.truths}, {result.events} events)"
            )
        kit = s.starter_kit
        lines += [
            f"  F1 at IoU > 0.3: {s.f1}",
            f"  IoU > 0.3 as the starter kit counts  P {kit.precision:.3f}  R {kit.recall:.3f}  "
            f"F1 {kit.f1:.3f}",
        ]
    if (e := report.emotion) is not None:
        lines += _emotion_lines(e)
    if report.people is not None:
        lines += real_people.lines(report.people)
    return "\n".join([*lines, *report.notes])


def _emotion_lines(found: EmotionReport) -> list[str]:
    labels = found.videos.labels
    said = confusion(found.videos.probs, labels)
    return [
        f"emotion, one answer a video ({len(labels)})",
        f"  accuracy  {found.accuracy}; always the same would have {majority(labels):.3f}",
        f"  balanced  {found.balanced}",
        f"  AUC       {found.auc}",
        *(
            f"  of {said[k].sum()} {truth}: "
            + ", ".join(f"{n} told as {name}" for n, name in zip(said[k], EMOTIONS, strict=True))
            for k, truth in enumerate(EMOTIONS)
        ),
        f"  ECE       {found.ece:.3f} of single windows" + _with_between(found),
        f"  log loss  {found.log_loss:.3f} of single windows",
        *shown_lines(found.shown),
    ]


def _with_between(found: EmotionReport) -> str:
    if found.ece_between is None:
        return ""
    return f"; {found.ece_between:.3f} with faces in between, of which either emotion is half true"


def _emotion_name(truth: int | None) -> str:
    return "neither" if truth is None else EMOTIONS[truth]


def shown_lines(by_truth: Mapping[int | None, Shown]) -> list[str]:
    """For people: of the time of each kind of face, what the page says."""
    return [
        f"  shown live, {s.videos} of {_emotion_name(truth) + ':':10}"
        + ("" if truth is None else f"rightly {s.right:.0%}, ")
        + f"wrongly {s.wrong:.0%}, else not sure"
        for truth, s in by_truth.items()
    ]


def numbers(report: Report, manifest: Manifest, measured: Mapping[str, object]) -> dict[str, Any]:
    """The same for machines, and what was measured: files, data, split."""
    out: dict[str, Any] = {
        "bundle": manifest.id, "revision": manifest.source.revision, "measured": dict(measured),
    }  # fmt: skip
    if (g := report.gesture) is not None:
        names = _names(manifest, GESTURE)
        out["trimmed"] = {
            "n": len(g.clips.labels), "top1": _interval(g.top1), "top5": g.top5,
            "macro_f1": _interval(g.macro_f1), "ece": g.ece,
            "window_ece": number_or_none(g.window_ece),
            "window_log_loss": number_or_none(g.log_loss),
            "by_subject": g.by_subject,
            "confusion": g.confusion.tolist(),
            "classes": {names[r.label]: {"precision": r.precision, "recall": r.recall, "f1": r.f1,
                                         "n": r.support} for r in g.table},
        }  # fmt: skip
    if (s := report.spotting) is not None:
        out["untrimmed"] = {
            **{f"{iou}": _spotting(result) for iou, result in s.at.items()},
            "f1": _interval(s.f1), "starter_kit": _spotting(s.starter_kit),
        }  # fmt: skip
    if (e := report.emotion) is not None:
        out["emotion"] = {
            "n": len(e.videos.labels), "accuracy": _interval(e.accuracy),
            "balanced": _interval(e.balanced), "auc": _interval(e.auc),
            "ece": number_or_none(e.ece), "majority": majority(e.videos.labels),
            "confusion": confusion(e.videos.probs, e.videos.labels).tolist(),
            "ece_between": e.ece_between, "log_loss": number_or_none(e.log_loss),
            "shown": {_emotion_name(truth): asdict(s) for truth, s in e.shown.items()},
        }  # fmt: skip
    if report.people is not None:
        out["real_people"] = real_people.numbers(report.people)
    return out | {"notes": report.notes}


def write(report: Report, manifest: Manifest, folder: Path, measured: Mapping[str, object]) -> None:
    """`report.json`, `report.txt` and pictures into a folder.

    Args:
        report: what was found.
        manifest: of what was measured.
        folder: made if it is not there.
        measured: which files, data and split.

    Raises:
        DataError: it cannot be written.
    """
    check_folder(folder)
    with writing(folder):
        (folder / "report.txt").write_text(text(report, manifest) + "\n", encoding="utf-8")
        content = json.dumps(numbers(report, manifest, measured), indent=2)
        (folder / "report.json").write_text(content + "\n", encoding="utf-8")
        if report.gesture is not None:
            _confusion(report, manifest).savefig(folder / "confusion.png", dpi=_DPI)
        if report.gesture is not None or report.emotion is not None:
            _reliabilities(report).savefig(folder / "reliability.png", dpi=_DPI)
        if report.spotting is not None:
            _timeline(report.spotting, manifest).savefig(folder / "timeline.png", dpi=_DPI)


def calibration_picture(found: Sequence[Calibration], path: Path) -> None:
    """Reliability before and after, side by side for each task.

    Raises:
        DataError: it cannot be written.
    """
    figure = Figure(figsize=(9, 4 * len(found)), layout="constrained")
    axes = np.atleast_2d(figure.subplots(len(found), 2))
    for row, item in zip(axes, found, strict=True):
        _reliability(row[0], item.before, f"{item.task}: before")
        _reliability(row[1], item.after, f"after, temperature {item.temperature:.2f}")
    check_folder(path.parent)
    with writing(path):
        figure.savefig(path, dpi=_DPI)


def _names(manifest: Manifest, task: str) -> tuple[str, ...]:
    return next(o.class_names for o in manifest.outputs if o.task == task)


def _interval(value: Interval) -> dict[str, float | None]:
    return {k: number_or_none(v) for k, v in vars(value).items()}


def _spotting(found: Spotting) -> dict[str, float]:
    return {
        "precision": found.precision, "recall": found.recall, "f1": found.f1,
        **vars(found),
    }  # fmt: skip


def _confusion(report: Report, manifest: Manifest) -> Figure:
    assert report.gesture is not None
    names = [name[:34] for name in _names(manifest, GESTURE)]
    counts = report.gesture.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(12, 11), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="magma", vmin=0, vmax=1)
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation=90, fontsize=7)
    axes.set_yticks(ticks, names, fontsize=7)
    axes.set_xlabel("said")
    axes.set_ylabel("true")
    for y, x in zip(*np.nonzero(counts), strict=True):
        colour = "black" if shares[y, x] > 0.6 else "white"
        axes.text(x, y, str(counts[y, x]), ha="center", va="center", fontsize=6, color=colour)
    figure.suptitle(f"Gestures cut out: top-1 {report.gesture.top1}")
    return figure


def _reliabilities(report: Report) -> Figure:
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    if report.gesture is not None:
        clips = report.gesture.clips
        _reliability(left, reliability(clips.probs, clips.labels), "gestures cut out")
    if report.emotion is not None:
        videos = report.emotion.videos
        _reliability(right, reliability(videos.probs, videos.labels), f"{EMOTION}, videos")
    return figure


def _reliability(axes: Axes, found: Reliability, title: str) -> None:
    centres = (np.arange(len(found.share)) + 0.5) / len(found.share)
    axes.bar(centres, np.nan_to_num(found.accuracy), 0.9 / len(centres), color="#4477aa")
    axes.plot([0, 1], [0, 1], "--", color="#888888")
    axes.plot(found.confidence, found.accuracy, "o", color="#cc6677", markersize=4)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share right")
    axes.set_title(f"{title}: ECE {found.ece:.3f}", fontsize=10)


def _timeline(spotting: SpottingReport, manifest: Manifest) -> Figure:
    """Truth above, events below, one band a video, 12 spread over all; a colour a class."""
    names = _names(manifest, GESTURE)
    videos = list(spotting.events.items())
    videos = videos[:: math.ceil(len(videos) / 12)]  # of every store some
    figure = Figure(figsize=(13, 0.9 * len(videos) + 1.2), layout="constrained")
    axes = figure.subplots()
    for k, (_, (truths, events)) in enumerate(videos):
        for y, spans in ((-k + 0.02, truths), (-k - 0.36, events)):
            for span in spans:
                hue = f"C{span.label % 10}"
                axes.barh(y, span.end - span.start, 0.34, span.start, color=hue, alpha=0.75)
                label = names[span.label].split(",")[0].removeprefix("Touching or ")
                axes.text(span.start, y, label[:20], fontsize=5, va="center", clip_on=True)
    axes.set_yticks([-k - 0.17 for k in range(len(videos))], [name for name, _ in videos])
    axes.set_xlabel("seconds")
    axes.set_title("above: truth; below: events of the live decisions", fontsize=10)
    return figure

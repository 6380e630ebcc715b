"""Evaluate: gestures cut out, whole videos through the live decisions, emotion a video."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from engines.manifest import Manifest, TaskMetrics
from realtime.config import Config
from train.judged import (
    EMOTION,
    GESTURE,
    Labelled,
    annotated,
    cut_out,
    inside_of,
    pooled,
    windows_of,
)
from train.labels import EMOTIONS
from train.metrics import (
    ClassRow,
    Indices,
    Interval,
    Probs,
    auc,
    balanced_accuracy,
    bootstrap,
    class_table,
    confusion,
    log_loss,
    macro_f1,
    majority,
    number_or_none,
    reliability,
    share_right,
    top_k,
)
from train.real_people import RealPeople
from train.scoring import ScoredVideo, live_events, windows_between
from train.spotting import Spotting, f1_interval, spot
from train.states import Shown, shown
from train.store_files import Span


@dataclass(frozen=True, eq=False)
class GestureReport:
    """Gestures cut out of their videos: windows about each are averaged."""

    clips: Labelled
    top1: Interval
    top5: float
    macro_f1: Interval
    ece: float
    window_ece: float
    """Of single windows, background included: of what is said live."""
    log_loss: float
    """Of the same."""
    table: list[ClassRow]
    confusion: Indices
    by_subject: dict[str, float]
    """Subject -> top-1."""


@dataclass(frozen=True, eq=False)
class SpottingReport:
    """Whole videos through the live decision layer."""

    at: dict[float, Spotting]
    """Overlap -> result, one to one."""
    starter_kit: Spotting
    """Overlap above 0.3, as the challenge's own scorer counts."""
    f1: Interval
    """Overlap above 0.3, one to one."""
    events: dict[str, tuple[tuple[Span, ...], tuple[Span, ...]]]
    """Video -> its truths and its events."""


@dataclass(frozen=True, eq=False)
class EmotionReport:
    """One answer a video: the mean of its windows."""

    videos: Labelled
    accuracy: Interval
    balanced: Interval
    auc: Interval
    ece: float
    """Of single windows of faces with an emotion."""
    log_loss: float
    """Of the same."""
    ece_between: float | None
    """With rendered faces in between, of which each emotion is half true; None where there are
    none."""
    shown: dict[int | None, Shown]
    """Truth, None for neither -> what the live decision layer shows."""


@dataclass(frozen=True, eq=False)
class Report:
    """All of it; what the model has no task for, or the data no truth, is None."""

    gesture: GestureReport | None = None
    spotting: SpottingReport | None = None
    emotion: EmotionReport | None = None
    people: RealPeople | None = None
    notes: list[str] = field(default_factory=list)
    without: tuple[str, ...] = ()
    """Modalities that the model had to do without."""


def evaluate(scored: Sequence[ScoredVideo], manifest: Manifest, config: Config) -> Report:
    """Everything that can be said about a model from its scores."""
    tasks = set(manifest.tasks)
    report = Report()
    if GESTURE in tasks:
        known = annotated(scored)
        clips = cut_out(known)
        if len(clips.labels):
            report = replace(report, gesture=_gestures(clips, known, manifest))
            report = replace(report, spotting=_spotting(known, manifest, config))
            report.notes.extend(_without_middle(known))
        else:
            report.notes.append("no annotated gesture: gestures were not evaluated")
        if hidden := len(scored) - len(known):
            report.notes.append(f"{hidden} videos with hidden labels: not judged by their gestures")
    if EMOTION in tasks:
        videos = pooled(scored)
        if len(videos.labels):
            report = replace(report, emotion=_emotion(videos, scored, manifest, config))
        else:
            report.notes.append("no video with a known emotion: emotion was not evaluated")
    return report


def _without_middle(scored: Sequence[ScoredVideo]) -> list[str]:
    count = sum(not inside_of(item, span).any() for item in scored for span in item.video.spans)
    if not count:
        return []
    return [f"{count} of the gestures hold no window's middle: judged by the nearest window"]


def _gestures(clips: Labelled, scored: Sequence[ScoredVideo], manifest: Manifest) -> GestureReport:
    probs, labels = clips.probs, clips.labels
    background = next(o.background for o in manifest.outputs if o.task == GESTURE)
    windows = windows_of(scored, GESTURE, background)
    subject_of = {item.video.id: item.video.subject for item in scored}
    subjects = np.array([subject_of[name] for name in clips.videos])
    return GestureReport(
        clips=clips,
        top1=share_right(probs, labels, clips.videos),
        top5=top_k(probs, labels, 5),
        macro_f1=bootstrap(macro_f1, probs, labels, clips.videos),
        ece=reliability(probs, labels).ece,
        window_ece=reliability(windows.probs, windows.labels).ece,
        log_loss=log_loss(windows.probs, windows.labels),
        table=class_table(probs, labels),
        confusion=confusion(probs, labels),
        by_subject={
            str(name): top_k(probs[subjects == name], labels[subjects == name], 1)
            for name in np.unique(subjects)
        },
    )


def truths_and_events(
    item: ScoredVideo, manifest: Manifest, config: Config
) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Of one video, background left out: what is annotated, what the live decision layer tells."""
    background = next(o.background for o in manifest.outputs if o.task == GESTURE)
    return (
        tuple(s for s in item.video.spans if s.label != background),
        tuple(live_events(item, manifest, config, GESTURE)),
    )


def _spotting(scored: Sequence[ScoredVideo], manifest: Manifest, config: Config) -> SpottingReport:
    events = {item.video.id: truths_and_events(item, manifest, config) for item in scored}
    pairs = list(events.values())
    return SpottingReport(
        at={iou: spot(pairs, iou=iou) for iou in (0.1, 0.3, 0.5)},
        starter_kit=spot(pairs, mode="starter_kit"),
        f1=f1_interval(pairs),
        events=events,
    )


def _emotion(
    videos: Labelled, scored: Sequence[ScoredVideo], manifest: Manifest, config: Config
) -> EmotionReport:
    windows = windows_of(scored, EMOTION, None)

    def measured(measure: Callable[[Probs, Indices], float]) -> Interval:
        return bootstrap(measure, videos.probs, videos.labels, videos.videos, needs_all=True)

    return EmotionReport(
        videos=videos,
        accuracy=share_right(videos.probs, videos.labels, videos.videos),
        balanced=measured(balanced_accuracy),
        auc=measured(auc),
        ece=reliability(windows.probs, windows.labels).ece,
        log_loss=log_loss(windows.probs, windows.labels),
        ece_between=_ece_between(windows, scored),
        shown=shown(scored, manifest, config, EMOTION),
    )


def _ece_between(windows: Labelled, scored: Sequence[ScoredVideo]) -> float | None:
    """As if every window stood there once for each emotion: with its own twice, or with each."""
    between = windows_between(scored, EMOTION)
    if not len(between):
        return None
    truths = [np.full(len(between), k, np.intp) for k in range(len(EMOTIONS))]
    probs = [windows.probs, between] * len(EMOTIONS)
    labels = [part for truth in truths for part in (windows.labels, truth)]
    return reliability(np.concatenate(probs), np.concatenate(labels)).ece


def manifest_metrics(report: Report, split: str) -> tuple[TaskMetrics, ...]:
    """What a bundle's manifest says of its quality."""
    out = []
    if report.gesture is not None:
        g = report.gesture
        out.append(TaskMetrics(
            task=GESTURE, split=split, n=len(g.clips.labels), top1=g.top1.value,
            macro_f1=g.macro_f1.value, ece=number_or_none(g.window_ece),
            majority=majority(g.clips.labels),
        ))  # fmt: skip
    if report.emotion is not None:
        e = report.emotion
        out.append(TaskMetrics(
            task=EMOTION, split=split, n=len(e.videos.labels), top1=e.accuracy.value,
            macro_f1=macro_f1(e.videos.probs, e.videos.labels), ece=number_or_none(e.ece),
            majority=majority(e.videos.labels),
        ))  # fmt: skip
    return tuple(out)

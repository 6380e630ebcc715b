"""What is judged: gestures cut out, single windows, whole videos, with their scores and truth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.labels import EMOTIONS, UNLABELLED
from train.metrics import Indices, Probs
from train.scoring import ScoredVideo
from train.store_files import Span, StoredVideo

GESTURE, EMOTION = "micro_gesture", "emotion"


@dataclass(frozen=True, eq=False)
class Labelled:
    """N things with scores, truth and the video that each is from."""

    probs: Probs
    labels: Indices
    videos: tuple[str, ...]


def annotated(scored: Sequence[ScoredVideo]) -> list[ScoredVideo]:
    """The videos by which gestures can be judged."""
    return [item for item in scored if item.video.is_annotated]


def cut_out(scored: Sequence[ScoredVideo]) -> Labelled:
    """Every annotated gesture with the mean scores of the windows whose middle lies in it.

    Of a gesture in the first or last half window of its video no window has the middle: it is
    judged by the nearest window, as everything that is annotated must be answered for. Windows that
    the live loop would not have count only where there is no other.
    """
    rows, labels, videos = [], [], []
    for item in scored:
        for span in item.video.spans:
            inside = inside_of(item, span)
            if not inside.any():
                inside[np.abs(item.at - (span.start + span.end) / 2).argmin()] = True
            rows.append(_mean(item, GESTURE, inside))
            labels.append(span.label)
            videos.append(item.video.id)
    probs = np.stack(rows) if rows else np.zeros((0, 1), np.float32)
    return Labelled(probs, np.array(labels, np.intp), tuple(videos))


def rows_of(video: StoredVideo) -> list[int]:
    """Of each span, its row of the label file; in stores that do not know them, counted."""
    return [k if span.row is None else span.row for k, span in enumerate(video.spans)]


def inside_of(item: ScoredVideo, span: Span) -> NDArray[np.bool_]:
    """Which windows have their middle (the instant that they are about) in a gesture."""
    return np.asarray((item.at >= span.start) & (item.at <= span.end))


def _mean(item: ScoredVideo, task: str, among: NDArray[np.bool_]) -> Probs:
    seen = among & (item.coverage[task] > 0)
    return np.asarray(item.probs[task][seen if seen.any() else among].mean(axis=0))


def windows_of(scored: Sequence[ScoredVideo], task: str, background: int | None) -> Labelled:
    """Single windows with their truth: the gesture in the middle, or background; or the emotion.

    Without those that the live loop would not have, gestures of videos without annotation, and of
    trimmed ones what is outside of their gesture.
    """
    rows, labels, videos = [], [], []
    for item in scored:
        for k in np.flatnonzero(item.coverage[task] > 0).tolist():
            label = window_truth(item, k, task, background)
            if label != UNLABELLED:
                rows.append(item.probs[task][k])
                labels.append(label)
                videos.append(item.video.id)
    probs = np.stack(rows) if rows else np.zeros((0, 2), np.float32)
    return Labelled(probs, np.array(labels, np.intp), tuple(videos))


def window_truth(item: ScoredVideo, k: int, task: str, background: int | None) -> int:
    """What is true of window `k`; `UNLABELLED` where nobody knows."""
    label = item.video.emotion
    if task == GESTURE:
        covering = [s for s in item.video.spans if s.start <= item.at[k] <= s.end]
        shortest = min(covering, key=lambda s: s.end - s.start, default=None)
        outside = None if item.is_trimmed else background
        label = outside if shortest is None else shortest.label
        label = label if item.video.is_annotated else None
    return UNLABELLED if label is None else label


def pooled(scored: Sequence[ScoredVideo]) -> Labelled:
    """Every video of a known emotion with the mean scores of its windows."""
    known = [item for item in scored if item.video.emotion is not None]
    probs = [emotion_of(item) for item in known]
    labels = np.array([item.video.emotion for item in known], np.intp)
    stacked = np.stack(probs) if probs else np.zeros((0, len(EMOTIONS)), np.float32)
    return Labelled(stacked, labels, tuple(item.video.id for item in known))


def emotion_of(item: ScoredVideo) -> Probs:
    """float32 [K]: the one answer about a video, the mean of its windows.

    Windows that the live loop would not have count only where there is no other.
    """
    return _mean(item, EMOTION, np.ones(len(item.at), bool))

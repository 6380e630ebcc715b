"""Submission files of the MiGA challenge's three tracks."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from engines.manifest import Manifest
from realtime.config import Config
from train.imigue import raw_class
from train.judged import GESTURE, cut_out, emotion_of, rows_of
from train.labels import EMOTIONS
from train.out_paths import writing
from train.scoring import ScoredVideo, live_events
from train.store import Store


def classification(scored: Sequence[ScoredVideo], path: Path, *, year: int) -> int:
    """Track 1: a class 0 to 31 for every annotated clip `VIDEO_k`, k its row of the label file.

    From 2025 on with the header `Id,Target`, before without one. Returns the number of rows.
    """
    clips = cut_out(scored)
    names = [f"{item.video.id}_{k}" for item in scored for k in rows_of(item.video)]
    rows = [(name, int(p.argmax())) for name, p in zip(names, clips.probs, strict=True)]
    _write(path, [("Id", "Target"), *rows] if year >= 2025 else rows)
    return len(rows)


def unanswered(scored: Sequence[ScoredVideo]) -> list[str]:
    """Ids of track 1 without an answer: `prepare` had to leave their label rows out."""
    return [
        f"{item.video.id}_{k}"
        for item in scored
        for k in sorted(set(range(item.video.rows)) - set(rows_of(item.video)))
    ]


def without_clips(scored: Sequence[ScoredVideo]) -> list[str]:
    """Videos without label file: which clips of them track 1 asks for is not known."""
    return [item.video.id for item in scored if not (item.video.is_annotated or item.video.rows)]


def recognition(
    scored: Sequence[ScoredVideo], store: Store, manifest: Manifest, config: Config, folder: Path
) -> int:
    """Track 2: `VIDEO_prediction.csv` with rows class,start,end, as in the data set's label files.

    So of iMiGUE frames count from 0, of SMG from 1, a shift of them is undone, and those that could
    not be decoded count, too.
    """
    total, first = 0, store.info.first_frame
    for item in scored:
        t, lost = store.times(item.video.id), store.video(item.video.id).lost
        numbers = np.delete(np.arange(len(t) + len(lost)), lost) + first
        rows = []
        for event in live_events(item, manifest, config, GESTURE):
            at = [int(abs(t - s).argmin()) for s in (event.start, event.end)]
            frames = [max(0, int(number)) for number in numbers[at]]
            rows.append((raw_class(event.label), *frames))
        _write(folder / f"{item.video.id}_prediction.csv", rows)
        total += len(rows)
    return total


def emotion(scored: Sequence[ScoredVideo], path: Path) -> int:
    """Track 3: `video_id,label`, 1 for a won match: the answers that `evaluate` judges."""
    positive = EMOTIONS.index("positive")
    rows = [(item.video.id, int(emotion_of(item).argmax() == positive)) for item in scored]
    _write(path, [("video_id", "label"), *rows])
    return len(rows)


def _write(path: Path, rows: Iterable[Sequence[object]]) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)

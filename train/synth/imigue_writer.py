"""Rendered videos in iMiGUE's own layouts, so that the same readers take both.

Layout A (the challenge's) has no place for subject and emotion: they stand in `tells_truth.csv` at
the root. Layout B (the full distribution's) has both in its one label file; its emotion is empty
for a face in between.
"""

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from realtime.truth import COLUMNS
from train.annotations import Video
from train.imigue import A_FOLDERS, B_COLUMNS, B_FOLDERS, raw_class
from train.labels import EMOTIONS, ILLUSTRATIVE, MICRO_GESTURES
from train.synth.performance import Performance
from train.truth_file import TRUTH_FILE, TRUTH_WITH_SPLIT

LayoutName = Literal["A", "B"]
B_LABELS = Path("Label") / "labels_20200831.csv"
_RESULT = {"positive": "Win", "negative": "Lose"}


def video_path(root: Path, layout: LayoutName, split: str, name: str) -> Path:
    """Where the MP4 of a video belongs; `name` is its number, four digits."""
    folder = A_FOLDERS[split][1] if layout == "A" else B_FOLDERS[split]
    return root / folder / name / f"{name}.mp4"


def write_labels(root: Path, video: Video) -> None:
    """The label file of one video of layout A, whole or not at all.

    Raises:
        OSError: the disk is full, or the folder cannot be written to.
    """
    rows = [(raw_class(s.label), s.start, s.end) for s in video.segments]
    folder = root / A_FOLDERS[video.split][0] / video.id
    _write_csv(folder / f"{video.id}_label.csv", rows)


def write_script(path: Path, performance: Performance) -> None:
    """What is performed, in seconds of the video: `task,label,start_s,end_s`.

    It is what `python -m realtime analyze --truth` reads.

    Raises:
        OSError: the disk is full, or the folder cannot be written to.
    """
    t = performance.t - performance.t[0]
    rows: list[tuple[object, ...]] = [
        (
            "micro_gesture", MICRO_GESTURES[k.label],
            round(max(k.start - performance.t[0], 0.0), 2),
            round(min(k.end - performance.t[0], t[-1]), 2),
        )
        for k in performance.truth
        if k.label != ILLUSTRATIVE
    ]  # fmt: skip
    if performance.emotion is not None:
        rows.append(("emotion", EMOTIONS[performance.emotion], 0.0, round(float(t[-1]), 2)))
    _write_csv(path, [COLUMNS, *rows])


def write_summary(root: Path, layout: LayoutName, videos: Sequence[Video]) -> None:
    """What layout A lacks, or the one label file of layout B."""
    if layout == "A":
        rows = [
            (v.id, v.split, v.subject, "" if v.emotion is None else EMOTIONS[v.emotion])
            for v in videos
        ]
        _write_csv(root / TRUTH_FILE, [TRUTH_WITH_SPLIT, *rows])
        return
    table: list[tuple[object, ...]] = [B_COLUMNS]
    for v in videos:
        result = "" if v.emotion is None else _RESULT[EMOTIONS[v.emotion]]
        table += [(v.id, raw_class(s.label), s.start, s.end, v.subject, result) for s in v.segments]
    _write_csv(root / B_LABELS, table)


def _write_csv(path: Path, rows: Iterable[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    os.replace(partial, path)

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

import numpy as np
from openpyxl import Workbook

from train.annotations import Video
from train.labels import EMOTIONS, ILLUSTRATIVE, MICRO_GESTURES
from train.synth.performance import Performance
from train.synth.rotations import Floats

LayoutName = Literal["A", "B"]
TRUTH_FILE = "tells_truth.csv"
TRUTH_COLUMNS = ("video_id", "split", "subject", "emotion")
SCRIPT_COLUMNS = ("task", "label", "start_s", "end_s")
B_LABELS = Path("Label") / "labels_20200831.csv"
B_COLUMNS = ("video_id", "class", "start_frame", "end_frame", "subject_id", "win_or_lose")
_A_VIDEO = {
    "train": "imigue_rgb_phase1/train_data",
    "val": "imigue_rgb_phase1/validation_data",
    "test": "imigue_rgb_phase2",
}
_A_SKELETON = {
    "train": "imigue_data_phase1/datasets/imigue_skeleton_train",
    "val": "imigue_data_phase1/datasets/imigue_skeleton_validate",
    "test": "imigue_data_phase2/imigue_skeleton_test",
}
_B_VIDEO = {
    "train": "iMiGUE_RGB_Phase1/imigue_rgb_train",
    "val": "iMiGUE_RGB_Phase1/imigue_rgb_validate",
    "test": "iMiGUE_RGB_Phase2/imigue_rgb_test",
}
_RESULT = {"positive": "Win", "negative": "Lose"}
_TIPS = (4, 8, 12, 16, 20)


def video_path(root: Path, layout: LayoutName, split: str, name: str) -> Path:
    """Where the MP4 of a video belongs; `name` is its number, four digits."""
    folder = (_A_VIDEO if layout == "A" else _B_VIDEO)[split]
    return root / folder / name / f"{name}.mp4"


def write_annotations(
    root: Path, layout: LayoutName, video: Video, keypoints: Floats, *, xlsx: bool
) -> None:
    """The files of one video, each whole or not at all.

    Args:
        root: of the data set.
        layout: A or B.
        video: what happens in it.
        keypoints: float32 [T, 137, 3]: OpenPose's x px, y px, confidence.
        xlsx: write the large table of all keypoints, too.

    Raises:
        OSError: the disk is full, or the folder cannot be written to.
    """
    name = video.id
    if layout == "A":
        folder = root / _A_SKELETON[video.split] / name
        rows = [(raw_class(s.label), s.start, s.end) for s in video.segments]
        _write_csv(folder / f"{name}_label.csv", rows)
        _write_csv(folder / f"{name}_light_hand.csv", _light_hand(keypoints))
        if xlsx:
            _write_xlsx(folder / f"{name}_openpose.xlsx", keypoints)
    elif xlsx:
        _write_xlsx(root / "mg_skeleton_only" / name / f"{name}_2.xlsx", keypoints)


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
    _write_csv(path, [SCRIPT_COLUMNS, *rows])


def write_summary(root: Path, layout: LayoutName, videos: Sequence[Video]) -> None:
    """What layout A lacks, or the one label file of layout B."""
    if layout == "A":
        rows = [
            (v.id, v.split, v.subject, "" if v.emotion is None else EMOTIONS[v.emotion])
            for v in videos
        ]
        _write_csv(root / TRUTH_FILE, [TRUTH_COLUMNS, *rows])
        return
    table: list[tuple[object, ...]] = [B_COLUMNS]
    for v in videos:
        result = "" if v.emotion is None else _RESULT[EMOTIONS[v.emotion]]
        table += [(v.id, raw_class(s.label), s.start, s.end, v.subject, result) for s in v.segments]
    _write_csv(root / B_LABELS, table)


def raw_class(label: int) -> int:
    """iMiGUE's own number of a class: 1 to 31, and 99 for illustrative movements."""
    return 99 if label == ILLUSTRATIVE else label + 1


def _light_hand(keypoints: Floats) -> Iterable[Sequence[object]]:
    """Header and one row a frame: its number and 35 joints, the body's and ten finger tips."""
    names = [f"joint{k}" for k in range(25)] + [f"RightFinger{k}" for k in range(5)]
    names += [f"LeftFinger{k}" for k in range(5)]
    yield ["frame", *(f"{n}_{axis}" for n in names for axis in ("x", "y", "conf"))]
    chosen = [*range(25), *(116 + k for k in _TIPS), *(95 + k for k in _TIPS)]
    flat = np.round(keypoints[:, chosen].reshape(len(keypoints), -1), 2)
    for k, row in enumerate(flat.tolist()):
        yield [k, *row]


def _write_csv(path: Path, rows: Iterable[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    os.replace(partial, path)


def _write_xlsx(path: Path, keypoints: Floats) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in np.round(keypoints.reshape(len(keypoints), -1), 2).tolist():
        sheet.append(row)
    partial = path.with_suffix(".partial")
    book.save(partial)
    os.replace(partial, path)

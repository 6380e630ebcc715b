"""Predictions: every probability by which a report was made, as a table for each task.

`predictions_TASK.csv` has a row for each thing that was scored:

- `of`: `window`, `clip` (a gesture cut out) or `video` (emotion's one answer);
- `video`; `row` of its label file, of clips; `end_s` and `at_s` of windows: the stream seconds at
  which it ends, and that it is about;
- `truth`: a class, empty where nobody knows;
- a column for each class: its probability.

Windows are those that the live loop would have.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from engines.manifest import Manifest, OutputSpec
from train.judged import EMOTION, GESTURE, cut_out, emotion_of, rows_of, window_truth
from train.labels import UNLABELLED
from train.metrics import Probs
from train.out_paths import writing
from train.scoring import ScoredVideo

COLUMNS = ("of", "video", "row", "end_s", "at_s", "truth")


def write_predictions(scored: Sequence[ScoredVideo], manifest: Manifest, folder: Path) -> None:
    """Write the tables into a folder that is there.

    Raises:
        DataError: they cannot be written.
    """
    for output in manifest.outputs:
        path = folder / f"predictions_{output.task}.csv"
        with writing(path), path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow((*COLUMNS, *output.class_names))
            writer.writerows(_rows(scored, output))


def _rows(scored: Sequence[ScoredVideo], output: OutputSpec) -> Iterator[tuple[object, ...]]:
    def named(label: int | None) -> str:
        return "" if label is None or label == UNLABELLED else output.class_names[label]

    for item in scored:
        name = item.video.id
        if output.task == GESTURE:
            clips = cut_out([item])
            rows = zip(rows_of(item.video), clips.labels, clips.probs, strict=True)
            for row, label, probs in rows:
                yield "clip", name, row, "", "", named(label), *_digits(probs)
        if output.task == EMOTION:
            yield "video", name, "", "", "", named(item.video.emotion), *_digits(emotion_of(item))
        for k in np.flatnonzero(item.coverage[output.task] > 0).tolist():
            truth = named(window_truth(item, k, output.task, output.background))
            times = (f"{item.ends[k]:.3f}", f"{item.at[k]:.3f}")
            yield "window", name, "", *times, truth, *_digits(item.probs[output.task][k])


def _digits(probs: Probs) -> list[str]:
    return [f"{p:.5f}" for p in probs]

"""The stretches in which an emotion was shown, as rows of `events.csv`."""

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from realtime.config import Config
from realtime.decide import Decider, TaskSpec
from realtime.records import Prediction
from realtime.text_sinks import CsvSink
from realtime.truth import read_truth
from tests.realtime.scene import OUTPUTS, snapshot

PAUSE = None
CONFIG = Config(state_tau_s=0.0)
HEAD = "task,label,start_s,apex_s,end_s,peak\n"


def record(path: Path, script: Iterable[float | None]) -> list[tuple[str, ...]]:
    """Rows for probabilities of `positive` about second 1.0, 1.25, ..., as they are decided."""
    decider = Decider([TaskSpec(OUTPUTS[1], 0.5, untrained=False)], CONFIG)
    with CsvSink(path, states=["emotion"], hop_s=0.25) as sink:
        for i, glad in enumerate(script):
            at, seen = 1 + i / 4, []
            if glad is None:
                decider.flush(at + 1)
            else:
                probs = np.array([glad, 1 - glad], np.float32)
                seen = [Prediction("s", "emotion", at - 1, at + 1, at, probs, 0.9, 0.1, "b")]
            estimates, _ = decider.step(seen, now=at + 1)
            for _ in range(3):  # every estimate is repeated by some frames
                sink.write(snapshot(at + 1, estimates=estimates))
    with path.open() as file:
        return [tuple(row.values()) for row in csv.DictReader(file)]


def test_a_state_is_a_row_from_the_first_moment_of_which_it_is_said(tmp_path: Path) -> None:
    rows = record(tmp_path / "e.csv", [0.6, 0.7, 0.9, 0.8, 0.5, 0.1, 0.1, 0.95])
    assert rows == [
        ("emotion", "positive", "1.250", "1.500", "2.000", "0.900"),
        ("emotion", "negative", "2.250", "2.250", "2.750", "0.900"),
        ("emotion", "positive", "2.750", "2.750", "3.000", "0.950"),
    ]


def test_it_is_held_below_the_level_at_which_it_was_entered(tmp_path: Path) -> None:
    rows = record(tmp_path / "e.csv", [0.7, 0.6, 0.6, 0.5])
    assert rows == [("emotion", "positive", "1.000", "1.000", "1.750", "0.700")]


def test_a_pause_of_the_stream_parts_it_and_is_no_part_of_it(tmp_path: Path) -> None:
    rows = record(tmp_path / "e.csv", [0.7, 0.7, *[PAUSE] * 8, 0.7])
    assert [row[2:5:2] for row in rows] == [("1.000", "1.500"), ("3.500", "3.750")]


def test_where_nothing_was_decided_there_is_no_row(tmp_path: Path) -> None:
    assert record(tmp_path / "e.csv", [0.5, 0.6, PAUSE, 0.4]) == []
    assert (tmp_path / "e.csv").read_text() == HEAD


def test_without_states_only_events_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    with CsvSink(path) as sink:
        sink.write(snapshot())
    assert path.read_text() == HEAD


def test_the_rows_can_be_read_as_a_truth(tmp_path: Path) -> None:
    record(tmp_path / "e.csv", [0.7, PAUSE])
    (interval,) = read_truth(tmp_path / "e.csv").intervals
    assert (interval.task, interval.start, interval.end) == ("emotion", 1.0, 1.25)

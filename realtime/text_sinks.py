"""Text sinks: predictions and intervals, one line each.

Whole lines only are in the files, at any moment, so that a crash or a full disk costs no more than
what was not yet known.
"""

import csv
import io
import json
from collections.abc import Collection
from pathlib import Path

from engines.closing import Closing
from realtime.errors import OutputError
from realtime.output_folder import unwritable
from realtime.records import Event, Prediction, Snapshot
from realtime.states import StateIntervals

EVENT_COLUMNS = ("task", "label", "start_s", "apex_s", "end_s", "peak")


class _LineSink(Closing):
    """A text file to which whole lines are appended, each in the file before the next begins."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("xb", buffering=0)
        except FileExistsError:
            raise OutputError(f"{path} exists already: name another folder with --out") from None
        except OSError as error:
            raise unwritable(path, error) from None
        self._length = 0

    def _append(self, line: str) -> None:
        """Write one line; `line` ends in a newline.

        Raises:
            OutputError: it could not be written whole; the file ends after the last whole line.
        """
        rest = memoryview(line.encode())
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._file.truncate(self._length)
            raise unwritable(self._path, error) from None
        self._length += len(line.encode())

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()


class JsonlSink(_LineSink):
    """`predictions.jsonl`: one JSON object a line for each prediction."""

    def write(self, snapshot: Snapshot) -> None:
        """Append the snapshot's predictions.

        Raises:
            OutputError: the file cannot be written.
        """
        for prediction in snapshot.predictions:
            self._append(json.dumps(_as_json(prediction), ensure_ascii=False) + "\n")


def _as_json(prediction: Prediction) -> dict[str, object]:
    return {
        "source": prediction.source,
        "task": prediction.task,
        "start": round(prediction.start, 4),
        "end": round(prediction.end, 4),
        "at": round(prediction.at, 4),
        "probs": [round(float(p), 5) for p in prediction.probs],
        "coverage": round(prediction.coverage, 4),
        "latency_s": round(prediction.latency_s, 4),
        "bundle": prediction.bundle,
    }


class CsvSink(_LineSink):
    """`events.csv`: `task,label,start_s,apex_s,end_s,peak`, a row for each event and shown state.

    A row is written when its interval has ended: states that still hold, when the sink is left.
    """

    def __init__(self, path: Path, *, states: Collection[str] = (), hop_s: float = 0.25) -> None:
        """`states` are the tasks whose estimates are kept, too, each holding `hop_s` s at most."""
        super().__init__(path)
        self._states = StateIntervals(states, hop_s=hop_s)
        self.num_states = 0
        """Rows of shown states so far."""
        self._append_row(EVENT_COLUMNS)

    def write(self, snapshot: Snapshot) -> None:
        """Append the snapshot's new events, and the states that ended with it.

        Raises:
            OutputError: the file cannot be written.
        """
        for event in snapshot.new_events:
            self._append_row(_as_row(event))
        self._append_states(self._states.step(snapshot))

    def close(self) -> None:
        """Write the states that still hold, and close the file."""
        try:
            self._append_states(self._states.flush())
        finally:
            super().close()

    def _append_states(self, intervals: list[Event]) -> None:
        for interval in intervals:
            self._append_row(_as_row(interval))
            self.num_states += 1

    def _append_row(self, row: tuple[str, ...]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(row)
        self._append(text.getvalue())


def _as_row(interval: Event) -> tuple[str, ...]:
    numbers = (interval.start, interval.apex, interval.end, interval.peak)
    return interval.task, interval.label, *(f"{number:.3f}" for number in numbers)

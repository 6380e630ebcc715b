"""Truth: what is performed in a clip, and when, as its makers say; shown beside the predictions.

A prediction is about a moment in the past (`Prediction.at`, with the present bundles the middle of
their windows, about a second before the newest picture). What stands beside it is the truth of that
moment and not of the picture: only so do a right label and the truth change together, and a viewer
need not count seconds to see who was right. Whoever shows it says which moment that was.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from engines.manifest import OutputSpec
from realtime.errors import TruthError
from realtime.records import Estimate

COLUMNS = ("task", "label", "start_s", "end_s")
"""Of the CSV file; others (those of `events.csv`, say) may stand beside them."""
NOTHING = "none / at rest"
"""What is shown between two intervals."""
_TASKS = ("micro_gesture", "emotion")
_LONGEST_QUOTE = 60


@dataclass(frozen=True)
class TrueInterval:
    """Something that is performed, in seconds of the clip."""

    task: str
    label: str
    start: float
    end: float


@dataclass(frozen=True)
class TrueMoment:
    """What is true of one task at one moment."""

    task: str
    t: float
    """Stream seconds."""
    label: str | None
    """None between two intervals; two that overlap are joined by a plus."""


@dataclass(frozen=True)
class Truth:
    """The intervals of one clip, in the order of its file."""

    intervals: tuple[TrueInterval, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of which it says anything; of others it knows nothing, not even "none"."""
        return tuple(dict.fromkeys(i.task for i in self.intervals))

    def at(self, task: str, t: float, *, round_s: float | None = None) -> TrueMoment:
        """What is true of `task` at stream second `t`.

        `round_s` is the source's: a clip that is repeated begins anew so often, while stream time
        goes on.
        """
        clip_t = t % round_s if round_s else t
        now = [i.label for i in self.intervals if i.task == task and i.start <= clip_t < i.end]
        return TrueMoment(task, t, " + ".join(now) or None)

    def beyond(self, end_s: float) -> str:
        """A further line, about intervals that begin after the clip ends; nothing without any."""
        late = [i for i in self.intervals if i.start >= end_s]
        if not late:
            return ""
        return (
            f"\n{len(late)} of {len(self.intervals)} true intervals begin after the clip's end at "
            f"{end_s:.1f} s, the first at {late[0].start:g} s: is this the truth of this clip?"
        )

    def beside(
        self, estimates: Sequence[Estimate], *, round_s: float | None = None
    ) -> tuple[TrueMoment, ...]:
        """The truth of the moments that these estimates are about.

        None for an estimate that is about no moment yet, or whose task has no truth.
        """
        return tuple(
            self.at(estimate.task, estimate.at, round_s=round_s)
            for estimate in estimates
            if estimate.at is not None and estimate.task in self.tasks
        )


def read_truth(path: Path, outputs: Sequence[OutputSpec] = ()) -> Truth:
    """Read a CSV file with the columns `task,label,start_s,end_s`.

    Args:
        path: the file.
        outputs: of the opened bundles; labels of the tasks that they serve must be their classes.

    Raises:
        TruthError: it cannot be read, or a line of it cannot be true.
    """
    classes = {output.task: output.class_names for output in outputs}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets begin with a mark
            rows = csv.DictReader(file, strict=True)
            if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
                raise TruthError(
                    f"{path}: has no column {', '.join(missing)}; "
                    f"expected a CSV file that begins with the line {','.join(COLUMNS)}"
                )
            intervals = tuple(
                _interval(row, classes, f"{path}, line {rows.line_num}") for row in rows
            )
    except OSError as error:
        raise TruthError(
            f"{path}: cannot be read ({error.strerror}); name a CSV file with {','.join(COLUMNS)}"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise TruthError(
            f"{path}: is not a CSV file ({error}); expected the columns {','.join(COLUMNS)}"
        ) from None
    if not intervals:
        raise TruthError(f"{path}: holds no interval; expected at least one line below the first")
    return Truth(intervals)


def _interval(
    row: Mapping[str, str | None], classes: Mapping[str, Sequence[str]], where: str
) -> TrueInterval:
    task, label, start, end = ((row[name] or "").strip() for name in COLUMNS)
    tasks = tuple(dict.fromkeys((*_TASKS, *classes)))
    if task not in tasks:
        raise TruthError(f"{where}: unknown task {_quoted(task)}; expected {' or '.join(tasks)}")
    known = classes.get(task)
    if not label or (known is not None and label not in known):
        alike = get_close_matches(label, known or (), n=1)
        hint = f"did you mean {alike[0]!r}?" if alike else "expected a class of the bundle"
        raise TruthError(f"{where}: unknown label {_quoted(label)} of {task}; {hint}")
    interval = TrueInterval(task, label, _seconds(start, where), _seconds(end, where))
    if interval.end <= interval.start:
        raise TruthError(
            f"{where}: {_quoted(label)} ends at {interval.end:g} s, not after its start at "
            f"{interval.start:g} s; expected start_s < end_s"
        )
    return interval


def _seconds(text: str, where: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise TruthError(
            f"{where}: expected seconds of the clip, from 0 on, such as 1.5; got {_quoted(text)}"
        )
    return seconds


def _quoted(text: str) -> str:
    """`text` on one line, however long it is and whatever is in it."""
    return repr(text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "...")

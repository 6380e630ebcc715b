"""`events.eaf`: the intervals of `events.csv` for ELAN, in which researchers annotate video.

A tier for each task, and where the truth is known another of it. ELAN: https://archive.mpi.nl/tla/elan
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from realtime.errors import OutputError
from realtime.output_folder import unwritable
from realtime.truth import TrueInterval

TRUTH_TIER = "truth, {}"
"""How the tier of a task's truth is called."""


def write_elan(
    events: Path,
    path: Path,
    *,
    tasks: Sequence[str],
    truth: Sequence[TrueInterval] = (),
    media: Path | None = None,
) -> None:
    """Write what a finished `events.csv` says.

    Args:
        events: the file.
        path: the new one; one that is there is replaced.
        tasks: the tiers, in this order, also where there is no interval.
        truth: what happens in the source.
        media: the video beside it, if there is one.

    Raises:
        OutputError: it cannot be written, or `events` not be read.
    """
    from pympi import Eaf  # is of use at the end of a run only

    eaf = Eaf(author="Tells")
    try:
        with events.open(encoding="utf-8", newline="") as file:
            rows = [(r["task"], r["label"], r["start_s"], r["end_s"]) for r in csv.DictReader(file)]
    except OSError as error:  # somebody has moved it away meanwhile
        raise OutputError(
            f"No {path}: {events} cannot be read ({error.strerror}); leave it until the run ends"
        ) from None
    for task in tasks:
        _add_tier(eaf, task, [(s, e, name) for t, name, s, e in rows if t == task])
        true = [(i.start, i.end, i.label) for i in truth if i.task == task]
        if true:
            _add_tier(eaf, TRUTH_TIER.format(task), true)
    eaf.remove_tier("default")
    if media is not None:
        beside = f"./{media.name}"  # who gets the folder need not know where it lay
        eaf.add_linked_file(beside, beside, "video/mp4")
    try:
        path.unlink(missing_ok=True)  # else a copy of it would be kept
        eaf.to_file(str(path))
    except OSError as error:
        raise unwritable(path, error) from None


def _add_tier(
    eaf: Any, name: str, intervals: Iterable[tuple[float | str, float | str, str]]
) -> None:
    """Intervals of a tier may touch, and in ELAN not overlap: the later one then begins later."""
    eaf.add_tier(name)
    until = 0
    for start_s, end_s, label in sorted(intervals, key=lambda i: float(i[0])):
        start, end = max(until, round(1000 * float(start_s))), round(1000 * float(end_s))
        if end > start:
            eaf.add_annotation(name, start, end, label)
            until = end

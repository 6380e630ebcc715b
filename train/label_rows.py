"""Label files: rows of class, first and last frame -> Segments, whichever data set they are of."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from train.annotations import DataError, Segment, Skips
from train.labels import UNLABELLED


@dataclass(frozen=True)
class LabelRow:
    """One row of a label file."""

    line: int
    """In its file, from 1."""
    cells: tuple[str, ...]
    """Class, start, end, if it is well-formed."""


@dataclass(frozen=True)
class Counting:
    """How a data set counts classes and frames."""

    classes: Mapping[int, int]
    """Number in the file -> class index."""
    expected: str
    """The numbers, in words."""
    first_frame: int
    """Number of the first frame, 0 or 1."""
    shift: int = 0
    """Added to frame numbers: there are kits that are one frame off."""

    @property
    def offset(self) -> int:
        """Added to a number in the file it makes a frame, 0-based."""
        return self.shift - self.first_frame


def read_csv(table: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and stripped cells of each row that is not empty.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, [cell.strip() for cell in cells]
    except OSError as error:
        raise DataError(f"{table}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error):
        raise DataError(f"{table}: expected a CSV file in UTF-8, it is none") from None


def label_rows(table: Path) -> list[LabelRow]:
    """All rows of a file without a header.

    Raises:
        DataError: the file cannot be read.
    """
    return [LabelRow(line, tuple(cells)) for line, cells in read_csv(table)]


def segments_of(
    table: Path,
    rows: Sequence[LabelRow],
    counting: Counting,
    skips: Skips,
    *,
    skip_bad: bool,
    may_be_hidden: bool = False,
) -> tuple[Segment, ...]:
    """Rows as segments.

    Args:
        table: where they stand, for messages.
        rows: what stands there.
        counting: how the data set counts.
        skips: takes malformed rows, and those that the shift moves out of the video.
        skip_bad: leave malformed rows out.
        may_be_hidden: other numbers than the classes' stand for a class that is not told, as in a
            challenge's test; such segments are `UNLABELLED`, and counted.

    Raises:
        DataError: a row is malformed.
    """
    out = []
    for number, row in enumerate(rows):
        try:
            segment = replace(_segment(row, counting, may_be_hidden=may_be_hidden), row=number)
        except ValueError as error:
            where = f"{table}, line {row.line}"
            if not skip_bad:
                raise DataError(
                    f"{where}: {error}; mend it, or leave such rows out with --skip-bad"
                ) from None
            skips.add("label row malformed, left out", f"{where} ({error})")
            continue
        where = f"{table}, line {row.line}"
        if segment.label == UNLABELLED:
            skips.add(f"label without {counting.expected}, to be answered for", where)
        if segment.end < 0:
            skips.add("label before the video's start, left out", where)
        elif segment.start < 0:
            skips.add("label cut at the video's start", where)
            out.append(replace(segment, start=0))
        else:
            out.append(segment)
    return tuple(out)


def _segment(row: LabelRow, counting: Counting, *, may_be_hidden: bool) -> Segment:
    if len(row.cells) != 3:
        raise ValueError(f"expected class,start,end, got {len(row.cells)} columns")
    try:
        raw, start, end = (_whole(cell) for cell in row.cells)
    except ValueError:
        raise ValueError(f"expected three whole numbers, got {','.join(row.cells)}") from None
    if raw not in counting.classes and not may_be_hidden:
        raise ValueError(f"expected {counting.expected}, got {raw}")
    first = counting.first_frame
    if not first <= start <= end:
        raise ValueError(f"expected {first} <= start <= end, got {start} to {end}")
    label, offset = counting.classes.get(raw, UNLABELLED), counting.offset
    return Segment(label, start + offset, end + offset)


def _whole(cell: str) -> int:
    number = float(cell)  # tables that went through a spreadsheet say 12.0
    if not math.isfinite(number) or number != int(number):
        raise ValueError
    return int(number)

"""iMiGUE on disk -> Corpus: layout A (the MiGA challenge's) and layout B (the full distribution's).

Labels are 1 to 31, and 99 for illustrative movements; frames count from 0 and ends are inclusive.
The challenge's kit adds 1 to frame numbers for a header line: `frame_shift` does, too.
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from train.annotations import Corpus, DataError, Segment, Video
from train.imigue_splits import (
    EMOTION_TEST,
    EMOTION_TRAIN,
    MIGA_TEST,
    MIGA_VALIDATION,
    ORIGINAL_TRAIN_SUBJECTS,
)
from train.labels import EMOTIONS, ILLUSTRATIVE, MICRO_GESTURES

SplitName = Literal["original", "emotion", "miga"]
RAW_ILLUSTRATIVE = 99
EMPTY_SKELETONS = frozenset({218, 319, 347, 348})
"""Videos whose distributed skeletons are empty; their pictures are used all the same."""
TRUTH_FILE = "tells_truth.csv"
_A_FOLDERS = {
    "train": ("imigue_data_phase1/datasets/imigue_skeleton_train",
              "imigue_rgb_phase1/train_data"),
    "val": ("imigue_data_phase1/datasets/imigue_skeleton_validate",
            "imigue_rgb_phase1/validation_data"),
    "test": ("imigue_data_phase2/imigue_skeleton_test", "imigue_rgb_phase2"),
}  # fmt: skip
_B_VIDEOS = (
    "iMiGUE_RGB_Phase1/imigue_rgb_train",
    "iMiGUE_RGB_Phase1/imigue_rgb_validate",
    "iMiGUE_RGB_Phase2/imigue_rgb_test",
)
_B_COLUMNS = {"video_id", "class", "start_frame", "end_frame", "subject_id", "win_or_lose"}
_RESULTS = {"win": EMOTIONS.index("positive"), "lose": EMOTIONS.index("negative")}


def read_layout_a(root: Path, *, frame_shift: int = 0, skip_bad: bool = False) -> Corpus:
    """The MiGA challenge's folders, with the split that the folders name.

    Subjects and emotions are known where a `tells_truth.csv` (of rendered data) stands at the root.

    Args:
        root: holds `imigue_data_phase1` and so on, unzipped.
        frame_shift: added to frame numbers, 0 or 1.
        skip_bad: count malformed rows instead of refusing them.

    Raises:
        DataError: nothing is there, or a row is malformed.
    """
    _check_root(root, "imigue_data_phase1", "imigue_data_phase2")
    truth = _read_truth(root / TRUTH_FILE)
    skipped: Counter[str] = Counter()
    videos = []
    for split, (labels, pictures) in _A_FOLDERS.items():
        for folder in sorted(p for p in (root / labels).glob("[0-9]*") if p.is_dir()):
            name = folder.name
            path = root / pictures / name / f"{name}.mp4"
            table = folder / f"{name}_label.csv"
            if not table.exists():
                skipped["video without label file"] += 1
                continue
            if not path.exists():
                skipped["video missing"] += 1
                continue
            if name.isdigit() and int(name) in EMPTY_SKELETONS and not truth:
                skipped["distributed skeleton empty (video used)"] += 1
            rows = _rows(table)
            segments = _segments(table, rows, frame_shift, skipped if skip_bad else None)
            subject, emotion = truth.get(name, ("", None))
            videos.append(Video(name, path, split, subject, segments, emotion))
    return _corpus("iMiGUE, layout A", root, videos, skipped)


def read_layout_b(
    root: Path, *, frame_shift: int = 0, split: SplitName = "original", skip_bad: bool = False
) -> Corpus:
    """The full distribution's folders, split as published.

    Args:
        root: holds `Label` and `iMiGUE_RGB_Phase1`.
        frame_shift: added to frame numbers, 0 or 1.
        split: `original` by subject, `emotion` by its two lists of videos (others are left out),
            `miga` by the challenge's lists.
        skip_bad: count malformed rows instead of refusing them.

    Raises:
        DataError: nothing is there, or a row is malformed.
    """
    _check_root(root, "Label")
    tables = sorted((root / "Label").glob("labels_*.csv"))
    if not tables:
        raise DataError(f"{root / 'Label'}: expected labels_*.csv, found none")
    table = tables[-1]
    by_video = _read_b_table(table)
    skipped: Counter[str] = Counter()
    videos = []
    for name, entry in sorted(by_video.items()):
        paths = [root / folder / name / f"{name}.mp4" for folder in _B_VIDEOS]
        path = next((p for p in paths if p.exists()), None)
        where = _SPLITS[split](int(name), entry.subject)
        if where is None:
            skipped[f"video not in the split {split}"] += 1
        elif path is None:
            skipped["video missing"] += 1
        else:
            bad = skipped if skip_bad else None
            segments = _segments(table, entry.rows, frame_shift, bad)
            videos.append(Video(name, path, where, entry.subject, segments, entry.emotion))
    return _corpus(f"iMiGUE, layout B, split {split}", root, videos, skipped)


def layout_of(root: Path) -> Literal["A", "B"] | None:
    """Which of the two layouts a folder has; None if neither."""
    if any((root / name).is_dir() for name in ("imigue_data_phase1", "imigue_data_phase2")):
        return "A"
    return "B" if (root / "Label").is_dir() else None


@dataclass(frozen=True)
class _Row:
    number: int
    """In its file, from 1."""
    cells: tuple[str, str, str]
    """Class, start, end."""


@dataclass
class _Entry:
    subject: str
    emotion: int | None
    rows: list[_Row]


def _rows(table: Path) -> list[_Row]:
    out = []
    for number, cells in enumerate(_read_csv(table), start=1):
        if len(cells) != 3:
            raise DataError(
                f"{table}, row {number}: expected class,start,end, got {len(cells)} columns"
            )
        out.append(_Row(number, (cells[0], cells[1], cells[2])))
    return out


def _read_csv(table: Path) -> Iterator[list[str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            for cells in csv.reader(file):
                if any(cell.strip() for cell in cells):
                    yield [cell.strip() for cell in cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: cannot be read ({error})") from None


def _segments(
    table: Path, rows: Sequence[_Row], shift: int, bad: Counter[str] | None
) -> tuple[Segment, ...]:
    """Rows as segments; malformed ones are an error, or counted in `bad`."""
    out = []
    for row in rows:
        try:
            out.append(_segment(row, shift))
        except ValueError as error:
            if bad is None:
                raise DataError(
                    f"{table}, row {row.number}: {error}; mend it, or leave such rows out with "
                    "--skip-bad"
                ) from None
            bad["label row malformed"] += 1
    return tuple(out)


def _segment(row: _Row, shift: int) -> Segment:
    try:
        raw, start, end = (int(float(cell)) for cell in row.cells)
    except ValueError:
        raise ValueError(f"expected three numbers, got {','.join(row.cells)}") from None
    if raw == RAW_ILLUSTRATIVE:
        label = ILLUSTRATIVE
    elif 1 <= raw < len(MICRO_GESTURES):
        label = raw - 1
    else:
        raise ValueError(f"expected a class of 1 to 31, or 99, got {raw}")
    if start < 0 or end < start:
        raise ValueError(f"expected 0 <= start <= end, got {start} to {end}")
    return Segment(label, start + shift, end + shift)


def _read_truth(path: Path) -> Mapping[str, tuple[str, int | None]]:
    """Video -> subject and emotion, of rendered data."""
    if not path.exists():
        return {}
    header, *rows = _read_csv(path)
    if header != ["video_id", "split", "subject", "emotion"]:
        raise DataError(f"{path}: expected video_id,split,subject,emotion, got {','.join(header)}")
    return {
        name: (subject, EMOTIONS.index(emotion) if emotion in EMOTIONS else None)
        for name, _, subject, emotion in rows
    }


def _read_b_table(table: Path) -> dict[str, _Entry]:
    content = list(_read_csv(table))
    header = content[0] if content else []
    missing = sorted(_B_COLUMNS - set(header))
    if missing:
        raise DataError(f"{table}: expected the columns {', '.join(missing)}, they are not there")
    at = {column: header.index(column) for column in _B_COLUMNS}
    out: dict[str, _Entry] = {}
    for number, cells in enumerate(content[1:], start=2):
        if len(cells) != len(header):
            raise DataError(f"{table}, row {number}: expected {len(header)} cells")
        name = cells[at["video_id"]].zfill(4)
        result = cells[at["win_or_lose"]].lower()
        if not name.isdigit() or (result and result not in _RESULTS):
            raise DataError(
                f"{table}, row {number}: expected a number and Win or Lose, got {name} and {result}"
            )
        entry = out.setdefault(name, _Entry(cells[at["subject_id"]], _RESULTS.get(result), []))
        columns = ("class", "start_frame", "end_frame")
        raw, start, end = (cells[at[column]] for column in columns)
        entry.rows.append(_Row(number, (raw, start, end)))
    return out


def _original(video: int, subject: str) -> str | None:
    del video
    if not subject.isdigit():
        return None
    return "train" if int(subject) in ORIGINAL_TRAIN_SUBJECTS else "test"


def _emotion(video: int, subject: str) -> str | None:
    del subject
    return "train" if video in EMOTION_TRAIN else "test" if video in EMOTION_TEST else None


def _miga(video: int, subject: str) -> str | None:
    del subject
    return "test" if video in MIGA_TEST else "val" if video in MIGA_VALIDATION else "train"


_SPLITS: Mapping[SplitName, Callable[[int, str], str | None]] = {
    "original": _original, "emotion": _emotion, "miga": _miga,
}  # fmt: skip


def _check_root(root: Path, *expected: str) -> None:
    if any((root / name).is_dir() for name in expected):
        return
    if any(root.glob("*.zip")):
        raise DataError(f"{root}: expected {expected[0]}, found only archives; unzip them first")
    raise DataError(f"{root}: expected a folder with {' or '.join(expected)} in it")


def _corpus(name: str, root: Path, videos: list[Video], skipped: Counter[str]) -> Corpus:
    if not videos:
        why = "; ".join(f"{reason}: {count}" for reason, count in skipped.items()) or "no labels"
        raise DataError(f"{root}: no video can be used ({why})")
    return Corpus(name, MICRO_GESTURES, tuple(videos), skipped)

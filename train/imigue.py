"""iMiGUE on disk -> Corpus: layout A (the MiGA challenge's) and layout B (the full distribution's).

Labels are 1 to 31, and 99 for illustrative movements; frames count from 0 and ends are inclusive.
The challenge's kit adds 1 to frame numbers for a header line: `frame_shift` does, too. The
distributed skeletons are not read: poses come from the runtime's own perception.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engines.manifest import RENDERED_PEOPLE
from train.annotations import RENDERED, Corpus, DataError, Skips, Video
from train.archives import advice
from train.imigue_splits import (
    EMOTION_TEST,
    EMOTION_TRAIN,
    MIGA_TEST,
    MIGA_VALIDATION,
    ORIGINAL_TRAIN_SUBJECTS,
)
from train.label_rows import Counting, LabelRow, label_rows, read_csv, segments_of
from train.labels import EMOTIONS, ILLUSTRATIVE, MICRO_GESTURES, UNLABELLED
from train.truth_file import with_truth

SplitName = Literal["original", "emotion", "miga"]
_RAW_ILLUSTRATIVE = 99
EMPTY_SKELETONS = frozenset({218, 319, 347, 348})
"""Videos whose distributed skeletons are empty; their pictures are used all the same."""
_CLASSES = {index + 1: index for index in range(ILLUSTRATIVE)} | {_RAW_ILLUSTRATIVE: ILLUSTRATIVE}
A_FOLDERS = {
    "train": ("imigue_data_phase1/datasets/imigue_skeleton_train",
              "imigue_rgb_phase1/train_data"),
    "val": ("imigue_data_phase1/datasets/imigue_skeleton_validate",
            "imigue_rgb_phase1/validation_data"),
    "test": ("imigue_data_phase2/imigue_skeleton_test", "imigue_rgb_phase2"),
}  # fmt: skip
"""Of layout A, split -> folders of labels and of videos."""
B_FOLDERS = {
    "train": "iMiGUE_RGB_Phase1/imigue_rgb_train",
    "val": "iMiGUE_RGB_Phase1/imigue_rgb_validate",
    "test": "iMiGUE_RGB_Phase2/imigue_rgb_test",
}
"""Of layout B, in whose phases of the challenge videos lie: its own splits are others."""
B_COLUMNS = ("video_id", "class", "start_frame", "end_frame", "subject_id", "win_or_lose")
_RESULTS = {"win": EMOTIONS.index("positive"), "lose": EMOTIONS.index("negative")}


def read_layout_a(root: Path, *, frame_shift: int = 0, skip_bad: bool = False) -> Corpus:
    """The MiGA challenge's folders, with the split that the folders name.

    It does not say who is seen and who won: a `tells_truth.csv` at the root may. Rendered data have
    one; of real data it is the user's. Labels of the test may be hidden, in whole or by class.

    Args:
        root: holds `imigue_data_phase1` and so on, unzipped.
        frame_shift: added to frame numbers, -1, 0 or 1.
        skip_bad: count malformed rows instead of refusing them.

    Raises:
        DataError: nothing is there, a row is malformed, or a video is in two splits.
    """
    _check_root(root, "imigue_data_phase1", "imigue_data_phase2")
    is_rendered = (root / RENDERED).is_dir()
    skips, known = Skips(), set()
    videos: dict[str, Video] = {}
    for split, (labels, pictures) in A_FOLDERS.items():
        for name in sorted({*_numbers(root / labels), *_numbers(root / pictures)}):
            known.add(name)
            path = root / pictures / name / f"{name}.mp4"
            table = root / labels / name / f"{name}_label.csv"
            if not table.exists() and split != "test":
                skips.add("video without label file", f"{split} {name} (expected {table})")
                continue
            if not path.exists():
                skips.add("video missing", f"{split} {name} (expected {path})")
                continue
            if name in videos:
                raise DataError(
                    f"{root}: video {name} is in {videos[name].split} and in {split}; "
                    "remove it from one of them"
                )
            rows = label_rows(table) if table.exists() else None
            _note_oddities(name, rows, skips, is_rendered=is_rendered)
            segments = segments_of(
                table, rows or [], _counting(frame_shift), skips, skip_bad=skip_bad,
                may_be_hidden=split == "test",
            )  # fmt: skip
            hides = rows is None or any(s.label == UNLABELLED for s in segments)
            videos[name] = Video(
                name, path, split, "", segments, None, len(rows or []), is_annotated=not hides
            )  # fmt: skip
    videos = with_truth(videos, root, known, skips)
    return _corpus("layout A", root, videos, skips, frame_shift)


def read_layout_b(
    root: Path, *, frame_shift: int = 0, split: SplitName = "original", skip_bad: bool = False
) -> Corpus:
    """The full distribution's folders, split as published.

    Args:
        root: holds `Label` and `iMiGUE_RGB_Phase1`.
        frame_shift: added to frame numbers, -1, 0 or 1.
        split: `original` by subject, `emotion` by its two lists of videos (others are left out),
            `miga` by the challenge's lists.
        skip_bad: count malformed rows instead of refusing them.

    Raises:
        DataError: nothing is there, or a row is malformed.
    """
    _check_root(root, "Label")
    tables = sorted((root / "Label").glob("labels_*.csv"))
    if not tables:
        raise DataError(f"{root / 'Label'}: expected labels_*.csv, found none{advice(root)}")
    table = tables[-1]
    skips = Skips()
    videos: dict[str, Video] = {}
    for name, entry in sorted(_read_b_table(table).items()):
        paths = [root / folder / name / f"{name}.mp4" for folder in B_FOLDERS.values()]
        path = next((p for p in paths if p.exists()), None)
        where = _SPLITS[split](int(name), entry.subject)
        if where is None:
            skips.add(f"video not in the split {split}", name)
        elif path is None:
            skips.add("video missing", f"{name} (expected {paths[0]} or in another phase)")
        else:
            _note_oddities(name, entry.rows, skips, is_rendered=False)
            segments = segments_of(
                table, entry.rows, _counting(frame_shift), skips, skip_bad=skip_bad
            )
            videos[name] = Video(
                name, path, where, entry.subject, segments, entry.emotion, len(entry.rows)
            )  # fmt: skip
    return _corpus(f"layout B, split {split}", root, videos, skips, frame_shift)


def raw_class(label: int) -> int:
    """iMiGUE's own number of a class: 1 to 31, and 99 for illustrative movements."""
    return _RAW_ILLUSTRATIVE if label == ILLUSTRATIVE else label + 1


def layout_of(root: Path) -> Literal["A", "B"] | None:
    """Which of the two layouts a folder has; None if neither."""
    if any((root / name).is_dir() for name in ("imigue_data_phase1", "imigue_data_phase2")):
        return "A"
    return "B" if (root / "Label").is_dir() else None


@dataclass(frozen=True)
class _Entry:
    subject: str
    emotion: int | None
    rows: list[LabelRow]


def _counting(shift: int) -> Counting:
    return Counting(
        _CLASSES, f"a class of 1 to {ILLUSTRATIVE}, or {_RAW_ILLUSTRATIVE}", 0, shift
    )  # fmt: skip


def _numbers(folder: Path) -> list[str]:
    return [p.name for p in folder.glob("[0-9]*") if p.is_dir()]


def _note_oddities(
    name: str, rows: list[LabelRow] | None, skips: Skips, *, is_rendered: bool
) -> None:
    if name.isdecimal() and int(name) in EMPTY_SKELETONS and not is_rendered:
        skips.add("distributed skeleton empty, its video is used", name)
    if rows is None:
        skips.add("test video without label file, to be answered for", name)
    elif not rows:
        skips.add("label file empty, all of the video is background", name)


def _read_b_table(table: Path) -> dict[str, _Entry]:
    content = list(read_csv(table))
    header = content[0][1] if content else []
    missing = sorted(set(B_COLUMNS) - set(header))
    if missing:
        raise DataError(f"{table}: expected the columns {', '.join(missing)}, they are not there")
    at = {column: header.index(column) for column in B_COLUMNS}
    out: dict[str, _Entry] = {}
    for line, cells in content[1:]:
        if len(cells) != len(header):
            raise DataError(f"{table}, line {line}: expected {len(header)} cells, got {len(cells)}")
        name, subject = cells[at["video_id"]].zfill(4), cells[at["subject_id"]]
        result = cells[at["win_or_lose"]].lower()
        if not name.isdecimal() or (result and result not in _RESULTS):
            raise DataError(
                f"{table}, line {line}: expected a video's number and Win or Lose, "
                f"got {name} and {result}"
            )
        emotion = _RESULTS.get(result)
        entry = out.setdefault(name, _Entry(subject, emotion, []))
        if (entry.subject, entry.emotion) != (subject, emotion):
            raise DataError(
                f"{table}, line {line}: expected one subject and one result for video {name}, "
                "earlier lines say otherwise"
            )
        columns = ("class", "start_frame", "end_frame")
        entry.rows.append(LabelRow(line, tuple(cells[at[column]] for column in columns)))
    return out


def _original(video: int, subject: str) -> str | None:
    del video
    if not subject.isdecimal():
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
    if not any((root / name).is_dir() for name in expected):
        names = " or ".join(expected)
        raise DataError(f"{root}: expected a folder with {names} in it{advice(root)}")


def _corpus(what: str, root: Path, videos: Mapping[str, Video], skips: Skips, shift: int) -> Corpus:
    if not videos:
        why = "; ".join(f"{reason}: {n}" for reason, n in skips.counts.items()) or "no labels"
        raise DataError(f"{root}: no video can be used ({why}){advice(root)}")
    origin = RENDERED_PEOPLE if (root / RENDERED).is_dir() else "iMiGUE"
    name = f"{origin}, {what}" + (f", frames {shift:+d}" if shift else "")
    return Corpus(
        name, MICRO_GESTURES, tuple(videos.values()), skips.counts, tuple(skips.notes),
        first_frame=-_counting(shift).offset,
    )  # fmt: skip

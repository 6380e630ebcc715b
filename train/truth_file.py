"""`tells_truth.csv` at the root of layout A: who is seen in a video, and how it ended.

The challenge's folders do not say it. Rendered data have such a file; of real data it is the
user's: `video_id,subject,emotion`, as `0012,7,positive`. A column `split` before `subject` may say
again what the folders say.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path

from train.annotations import DataError, Skips, Video
from train.label_rows import read_csv
from train.labels import EMOTIONS

TRUTH_FILE = "tells_truth.csv"
TRUTH_COLUMNS = ("video_id", "subject", "emotion")
TRUTH_WITH_SPLIT = ("video_id", "split", "subject", "emotion")


@dataclass(frozen=True)
class _Row:
    line: int
    split: str
    """Empty where the file does not say."""
    subject: str
    emotion: int | None


def with_truth(
    videos: Mapping[str, Video], root: Path, known: Set[str], skips: Skips
) -> dict[str, Video]:
    """The videos with their subjects and emotions, if the file is there.

    Args:
        videos: without, by name.
        root: where the file may be.
        known: names of all videos, those that cannot be used among them.
        skips: takes rows without a video, and videos without a row.

    Raises:
        DataError: a row is malformed, or says another split than the folders.
    """
    path = root / TRUTH_FILE
    if not path.exists():
        return dict(videos)
    rows = _rows(path)
    for name in sorted(rows.keys() - {_padded(name) for name in known}):
        skips.add(f"row of {TRUTH_FILE} without a video", f"line {rows[name].line}, {name}")
    out = {}
    for name, video in videos.items():
        row = rows.get(_padded(name))
        if row is None:
            skips.add(f"video without a row in {TRUTH_FILE}", name)
            out[name] = video
            continue
        if row.split not in ("", video.split):
            raise DataError(
                f"{path}, line {row.line}: expected the split {video.split}, in whose folders "
                f"video {name} lies, got {row.split}; mend it, or leave the column split out"
            )
        out[name] = replace(video, subject=row.subject, emotion=row.emotion)
    return out


def _rows(path: Path) -> dict[str, _Row]:
    """By the video's name."""
    lines = list(read_csv(path))
    columns = tuple(lines[0][1]) if lines else ()
    if columns not in (TRUTH_COLUMNS, TRUTH_WITH_SPLIT):
        got = ",".join(columns) or "nothing"
        raise DataError(f"{path}: expected {','.join(TRUTH_COLUMNS)}, got {got}")
    out: dict[str, _Row] = {}
    for line, cells in lines[1:]:
        if len(cells) != len(columns) or cells[-1] not in (*EMOTIONS, ""):
            raise DataError(
                f"{path}, line {line}: expected {','.join(columns)} with an emotion of "
                f"{' or '.join(EMOTIONS)}, got {','.join(cells)}"
            )
        name, split = _padded(cells[0]), cells[1] if columns == TRUTH_WITH_SPLIT else ""
        if name in out:
            raise DataError(
                f"{path}, line {line}: expected one row a video, got {name} again (line "
                f"{out[name].line})"
            )
        emotion = EMOTIONS.index(cells[-1]) if cells[-1] else None
        out[name] = _Row(line, split, cells[-2], emotion)
    return out


def _padded(name: str) -> str:
    """Spreadsheets make 1 of 0001."""
    return name.zfill(4)

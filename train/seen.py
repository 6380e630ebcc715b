"""What another store has seen of the same videos: for other splits, folds or labels.

Perceiving a data set takes days, its labels seconds. So the new store has hard links to the
pictures and poses of the old one (copies on another disk) and only its labels are its own.
"""

import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from engines.manifest import PerceptionSpec
from realtime.sources import FileSource
from train.annotations import DataError, Video
from train.label_times import spans_of
from train.out_paths import write_whole
from train.store_files import (
    StoredVideo,
    cues_file,
    read_clock,
    read_info,
    read_video,
    unwritable,
)

_SAME_S = 1.0
"""By so much a video may be shorter in the store than its file says: not all can be decoded."""


class SeenStore:
    """An earlier store of the same data set.

    Raises:
        DataError: no store, or one of another perception.
    """

    def __init__(self, folder: Path, spec: PerceptionSpec, jpeg_quality: int) -> None:
        info = read_info(folder)
        if (info.perception, info.jpeg_quality) != (spec, jpeg_quality):
            raise DataError(
                f"{folder}: was perceived otherwise than this recipe does; leave --seen out, or "
                "give the recipe that it was prepared with"
            )
        self._folder = folder

    def take(self, video: Video, out: Path) -> StoredVideo | None:
        """Put a video with its present labels into another store; None if it was not seen.

        Raises:
            DataError: under this id the store has another video; or `out` cannot be written.
        """
        try:
            stored, (t, _) = read_video(self._folder, video.id), read_clock(self._folder, video.id)
        except DataError:
            return None
        shard = self._folder / "shards" / f"{video.id}.tar"
        if not shard.exists():
            return None
        self._check_length(video, stored)
        seen = {what: n for what, n in stored.problems.items() if not what.startswith("label")}
        problems = Counter(seen)
        spans = spans_of(video, t, problems)
        taken = replace(
            stored, split=video.split, subject=video.subject, emotion=video.emotion, spans=spans,
            problems=problems, rows=video.rows, is_annotated=video.is_annotated,
        )  # fmt: skip
        files = {
            shard: out / "shards" / shard.name,
            self._folder / "videos" / f"{video.id}.npy": out / "videos" / f"{video.id}.npy",
            cues_file(self._folder, video.id): cues_file(out, video.id),
        }
        text = TypeAdapter(StoredVideo).dump_json(taken)
        try:
            for source, target in files.items():
                if source.exists():
                    _link(source, target)
            write_whole(out / "videos" / f"{video.id}.json", lambda file: file.write(text))
        except OSError as error:
            raise unwritable(out, error) from None
        return taken

    def _check_length(self, video: Video, stored: StoredVideo) -> None:
        if any("video" in what for what in stored.problems):
            return  # it broke off
        with FileSource(video.path) as source:
            length_s = source.duration_s
        if length_s is not None and abs(length_s - stored.end) > _SAME_S + 0.1 * length_s:
            raise DataError(
                f"{self._folder}: its video {video.id} lasts {stored.end:.1f} s, {video.path} "
                f"{length_s:.1f} s: it is of another data set, leave --seen out"
            )


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk, or one that knows no links
        partial = target.with_suffix(f"{target.suffix}.partial")
        shutil.copyfile(source, partial)
        os.replace(partial, target)

"""Data sets through the runtime's own perception into a store: training sees what serving sees."""

import io
import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter
from webdataset import TarWriter

from engines.errors import TellsError
from engines.manifest import PerceptionSpec
from engines.skeleton import LAYOUTS
from realtime.buffer import in_crop
from realtime.perception import Perceiver, open_perceiver
from realtime.records import Observation
from realtime.sources import open_source
from train.annotations import Corpus, DataError, Segment, Video
from train.store import VERSION, Span, StoredVideo, StoreInfo

JPEG_QUALITY = 92
_BLOCK = 512
"""Bytes; tar files consist of such blocks."""


@dataclass(frozen=True)
class Prepared:
    """What became of one video."""

    id: str
    video: StoredVideo | None
    """None if it could not be used."""
    problems: Counter[str]


@dataclass(frozen=True)
class Tally:
    """What a run did."""

    videos: int
    frames: int
    poses: int
    faces: int
    resumed: int
    """Videos that an earlier run had finished."""
    skipped: Counter[str]
    seconds: float


def prepare(
    corpus: Corpus,
    spec: PerceptionSpec,
    out: Path,
    *,
    is_trimmed: bool,
    workers: int,
    report: Callable[[Prepared], None],
) -> Tally:
    """Perceive what is missing.

    Args:
        corpus: the data set.
        spec: the recipe's perception.
        out: the store's folder; what is finished there stays.
        is_trimmed: every video is one gesture.
        workers: processes, one video each at a time.
        report: called as each video is done.

    Raises:
        DataError: the folder belongs to another data set or perception, or cannot be written to.
        PerceptionError: the perception models are not there.
    """
    started = time.monotonic()
    info = StoreInfo(
        VERSION, corpus.name, corpus.class_names, spec, JPEG_QUALITY, is_trimmed, corpus.skipped
    )
    try:
        for folder in ("videos", "shards"):
            (out / folder).mkdir(parents=True, exist_ok=True)
        _claim(out, info)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror})") from None
    open_perceiver(spec).close()  # models are fetched once, and what is wrong is said at once
    todo = [v for v in corpus.videos if not (out / "videos" / f"{v.id}.json").exists()]
    skipped = Counter(corpus.skipped)
    done = []
    for result in _in_processes(todo, spec, out, workers):
        skipped += result.problems
        if result.video is not None:
            done.append(result.video)
        report(result)
    _write(out / "store.json", TypeAdapter(StoreInfo).dump_json(replace(info, skipped=skipped)))
    return Tally(
        videos=len(done),
        frames=sum(v.frames for v in done),
        poses=sum(v.poses for v in done),
        faces=sum(v.faces for v in done),
        resumed=len(corpus.videos) - len(todo),
        skipped=skipped,
        seconds=time.monotonic() - started,
    )


def _claim(out: Path, info: StoreInfo) -> None:
    """The first run says what the store is; later ones must agree."""
    path = out / "store.json"
    own = TypeAdapter(StoreInfo).dump_python(info, mode="json")
    if not path.exists():
        _write(path, TypeAdapter(StoreInfo).dump_json(info))
        return
    other = json.loads(path.read_text(encoding="utf-8"))
    changed = sorted(k for k in own if k != "skipped" and own[k] != other.get(k))
    if changed:
        raise DataError(
            f"{out}: was begun with another {', '.join(changed)}; repeat those options or name a "
            "new folder"
        )


def _in_processes(
    todo: Sequence[Video], spec: PerceptionSpec, out: Path, workers: int
) -> Iterator[Prepared]:
    if not todo:
        return
    context = multiprocessing.get_context("spawn")
    count = min(workers, len(todo))
    pool = ProcessPoolExecutor(count, context, initializer=_begin, initargs=(spec, out))
    try:
        futures = [pool.submit(_perceive, video) for video in todo]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool:
        raise DataError(
            "a worker process died (out of memory?); run the command again, with fewer --workers"
        ) from None
    finally:
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=True, cancel_futures=True)


_worker: tuple[Perceiver, Path] | None = None
"""A worker process's own: models take a second to open."""


def _begin(spec: PerceptionSpec, out: Path) -> None:
    global _worker
    cv2.setNumThreads(1)
    _worker = (open_perceiver(spec), out)


def _perceive(video: Video) -> Prepared:
    assert _worker is not None
    perceiver, out = _worker
    if not video.path.exists():
        return Prepared(video.id, None, Counter({"video missing": 1}))
    try:
        return perceive_video(video, perceiver, out)
    except OSError as error:
        raise DataError(
            f"{out}: cannot be written ({error.strerror}); make room and run the command again"
        ) from None


def perceive_video(video: Video, perceiver: Perceiver, out: Path) -> Prepared:
    """One video into the store; a video that breaks off is kept as far as it goes.

    Raises:
        OSError: the disk is full.
    """
    problems: Counter[str] = Counter()
    perceiver.reset()
    shard = out / "shards" / f"{video.id}.partial"
    track = _Track()
    try:
        with (
            shard.open("wb") as file,
            TarWriter(file, mtime=0, user="", group="", encoder=False) as tar,
        ):
            try:
                with open_source(str(video.path)) as source:
                    for frame in source:
                        track.add(perceiver(frame), tar)
            except TellsError:
                problems["video broken, kept as far as it goes" if track.t else "video broken"] += 1
        if not track.t:
            problems["video without frames"] += not problems
            return Prepared(video.id, None, problems)
        spans = tuple(_in_seconds(video.segments, np.array(track.t), problems))
        arrays = track.arrays()
        stored = StoredVideo(
            id=video.id, split=video.split, subject=video.subject, emotion=video.emotion,
            spans=spans, start=track.t[0], end=track.t[-1], frames=len(track.t),
            poses=int((arrays["conf"] > 0).any(axis=1).sum()), faces=int(arrays["has_face"].sum()),
        )  # fmt: skip
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        _write(out / "videos" / f"{video.id}.npz", buffer.getvalue())
        os.replace(shard, shard.with_suffix(".tar"))
        _write(out / "videos" / f"{video.id}.json", TypeAdapter(StoredVideo).dump_json(stored))
        return Prepared(video.id, stored, problems)
    finally:
        shard.unlink(missing_ok=True)


def _in_seconds(
    segments: Sequence[Segment], t: NDArray[np.float64], problems: Counter[str]
) -> Iterator[Span]:
    last = len(t) - 1
    for segment in segments:
        if segment.start > last:
            problems["label beyond the video's end"] += 1
            continue
        if segment.end > last:
            problems["label cut at the video's end"] += 1
        yield Span(segment.label, float(t[segment.start]), float(t[min(segment.end, last)]))


class _Track:
    """Observations of one video as they come."""

    def __init__(self) -> None:
        self.t: list[float] = []
        self._rows: list[tuple[Any, ...]] = []
        self._stretch = 0
        self._end = 0
        """Bytes of the shard so far."""

    def add(self, observation: Observation, tar: TarWriter) -> None:
        """Append one observation: its pictures to the shard, the rest to memory."""
        if self.t and observation.is_new_subject:
            self._stretch += 1
        pose, face = observation.pose, observation.face
        v = LAYOUTS["mediapipe33"].num_joints
        if pose is None:
            xy, xyz = np.full((v, 2), np.nan, np.float32), np.full((v, 3), np.nan, np.float32)
            conf = np.zeros(v, np.float32)
        else:
            xy, xyz, conf = in_crop(pose.xy, observation), pose.xyz, pose.conf
        sample: dict[str, Any] = {
            "__key__": f"{len(self.t):06d}",
            "rgb.jpg": _jpeg(observation.rgb),
        }
        if face is not None:
            sample["face.jpg"] = _jpeg(face.crop)
        tar.write(sample)
        at = {}
        for name in sorted(k for k in sample if k != "__key__"):  # the order of TarWriter
            size = len(sample[name])
            at[name] = (self._end + _BLOCK, size)
            self._end += _BLOCK + -(-size // _BLOCK) * _BLOCK  # a header, then whole blocks
        self.t.append(observation.t)
        self._rows.append(
            (
                xy,
                xyz,
                conf,
                face is not None,
                self._stretch,
                at["rgb.jpg"],
                at.get("face.jpg", (0, 0)),
            )
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As the store keeps them."""
        xy, xyz, conf, has_face, stretch, rgb_at, face_at = zip(*self._rows, strict=True)
        return {
            "t": np.array(self.t, np.float64),
            "xy": np.stack(xy).astype(np.float32),
            "xyz": np.stack(xyz).astype(np.float32),
            "conf": np.stack(conf).astype(np.float32),
            "has_face": np.array(has_face, np.bool_),
            "stretch": np.array(stretch, np.int32),
            "rgb_at": np.array(rgb_at, np.int64),
            "face_at": np.array(face_at, np.int64),
        }


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    ok, blob = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert ok
    return bytes(blob)


def _write(path: Path, blob: bytes) -> None:
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_bytes(blob)
    os.replace(partial, path)

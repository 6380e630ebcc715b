"""Data sets through the runtime's own perception into a store: training sees what serving sees."""

import logging
import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from pydantic import TypeAdapter
from webdataset import TarWriter

from engines.manifest import PerceptionSpec
from realtime.camera import AnyPerceiver
from realtime.errors import SourceError
from realtime.perception import open_perceiver
from realtime.sources import FileSource
from realtime.sources.stream import MISSING_S, MISSING_SHARE
from train.annotations import Corpus, DataError, Video, cues_beside
from train.label_times import DAMAGED, lost_frames, spans_of
from train.out_paths import write_whole
from train.seen import SeenStore
from train.store_files import (
    VERSION,
    StoredVideo,
    StoreInfo,
    cues_file,
    read_clock,
    read_info,
    read_video,
    unwritable,
)
from train.track import JPEG_QUALITY, Track


@dataclass(frozen=True)
class Prepared:
    """What became of one video."""

    id: str
    video: StoredVideo | None
    """None if it could not be used."""
    problems: Counter[str] = field(default_factory=Counter)
    why: str = ""
    """What the source said, where it broke off."""
    is_resumed: bool = False
    """An earlier run has prepared it."""


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
    """Over all of the store's videos, those of earlier runs among them."""
    seconds: float


def prepare(
    corpus: Corpus,
    spec: PerceptionSpec,
    out: Path,
    *,
    is_trimmed: bool,
    workers: int,
    report: Callable[[Prepared], None],
    seen: Path | None = None,
) -> Tally:
    """Perceive what is missing.

    Args:
        corpus: the data set.
        spec: the recipe's perception.
        out: the store's folder; what is finished there stays.
        is_trimmed: every video is one gesture.
        workers: processes, one video each at a time.
        report: called for each video, at once for those that are there already.
        seen: another store of the same videos, from which what was perceived is taken.

    Raises:
        DataError: the folder belongs to another data set or perception, or cannot be written to.
        PerceptionError: the perception models are not there.
    """
    started = time.monotonic()
    earlier = None if seen is None else SeenStore(seen, spec, JPEG_QUALITY)
    begin_store(out, corpus, spec, is_trimmed=is_trimmed)
    finished: list[Prepared] = []
    for video in corpus.videos:  # told one by one: what was seen on another disk is copied
        if (result := _finished(video, out, earlier)) is not None:
            finished.append(result)
            report(result)
    names = {result.id for result in finished}
    todo = [video for video in corpus.videos if video.id not in names]
    if todo:
        open_perceiver(spec).close()  # models are fetched once; what is wrong is said at once
    skipped = Counter(corpus.skipped)
    for result in finished:
        skipped += result.problems
    done = []
    for result in _in_processes(todo, spec, out, workers):
        skipped += result.problems
        if result.video is not None:
            done.append(result.video)
        report(result)
    info = replace(read_info(out), skipped=skipped, first_frame=corpus.first_frame)
    _write_json(out / "store.json", info)
    return Tally(
        videos=len(done),
        frames=sum(v.frames for v in done),
        poses=sum(v.poses for v in done),
        faces=sum(v.faces for v in done),
        resumed=len(finished),
        skipped=skipped,
        seconds=time.monotonic() - started,
    )


def begin_store(out: Path, corpus: Corpus, spec: PerceptionSpec, *, is_trimmed: bool) -> None:
    """Make the folder; the first run says what the store is, later ones must agree.

    Raises:
        DataError: it was begun with other options, or cannot be written to.
    """
    info = StoreInfo(
        VERSION, corpus.name, corpus.class_names, spec, JPEG_QUALITY, is_trimmed,
        corpus.skipped, corpus.first_frame,
    )  # fmt: skip
    try:
        for folder in ("videos", "shards"):
            (out / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(out, error) from None
    if not (out / "store.json").exists():
        _write_json(out / "store.json", info)
        return
    own, its = (TypeAdapter(StoreInfo).dump_python(i, mode="json") for i in (info, read_info(out)))
    changed = sorted(k for k in own.keys() - {"skipped", "first_frame"} if own[k] != its[k])
    if changed:
        what = ", ".join(changed).replace("is_trimmed", "--trimmed")
        cure = "" if "perception" in changed else f" (--seen {out} perceives nothing again)"
        raise DataError(
            f"{out}: was begun with another {what}; repeat those options or name a new folder{cure}"
        )


def _finished(video: Video, out: Path, seen: SeenStore | None) -> Prepared | None:
    """What an earlier run, or store, has made of a video; None if it is to be done (again)."""
    shard = out / "shards" / f"{video.id}.tar"
    try:
        stored, (t, _) = read_video(out, video.id), read_clock(out, video.id)
    except DataError:
        return _taken(video, out, seen)
    if not shard.exists():
        return _taken(video, out, seen)
    spans = spans_of(video, t, Counter({DAMAGED: stored.problems[DAMAGED]}))
    own = (video.split, video.subject, video.emotion, spans, video.is_annotated)
    its = (stored.split, stored.subject, stored.emotion, stored.spans, stored.is_annotated)
    if own != its:
        raise DataError(
            f"{out}: its video {video.id} has other labels, split or subject than the data set "
            f"says now; name a new folder (--seen {out} perceives nothing again), or delete "
            f"videos/{video.id}.json to prepare it again"
        )
    return Prepared(video.id, stored, stored.problems, is_resumed=True)


def _taken(video: Video, out: Path, seen: SeenStore | None) -> Prepared | None:
    if seen is None or (stored := seen.take(video, out)) is None:
        return None
    return Prepared(video.id, stored, stored.problems, is_resumed=True)


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


_worker: tuple[AnyPerceiver, Path] | None = None
"""A worker process's own: models take a second to open."""


def _begin(spec: PerceptionSpec, out: Path) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    logging.getLogger("realtime.sources").setLevel(logging.ERROR)  # what it warns of is counted
    cv2.setNumThreads(1)
    _worker = (open_perceiver(spec), out)


def _perceive(video: Video) -> Prepared:
    assert _worker is not None
    perceiver, out = _worker
    try:
        return perceive_video(video, perceiver, out)
    except OSError as error:
        raise unwritable(out, error) from None


def perceive_video(video: Video, perceiver: AnyPerceiver, out: Path) -> Prepared:
    """One video into the store; a video that breaks off is kept as far as it goes.

    Raises:
        DataError: `out` is no store that was begun.
        OSError: the disk is full.
    """
    layout = read_info(out).perception.layout
    problems: Counter[str] = Counter()
    why = ""
    perceiver.reset()
    shard = out / "shards" / f"{video.id}.partial"
    try:
        with (
            shard.open("wb") as file,
            TarWriter(file, mtime=0, user="", group="", encoder=False) as tar,
        ):
            track = Track(tar, layout)
            try:
                _run(video, perceiver, track, problems)
            except SourceError as error:
                problems["video broken, kept as far as it goes" if track.t else "video broken"] += 1
                why = str(error)
        if not track.t:
            return Prepared(video.id, None, problems, why)
        return Prepared(video.id, _keep(video, track, problems, out), problems, why)
    finally:
        shard.unlink(missing_ok=True)


def _run(video: Video, perceiver: AnyPerceiver, track: Track, problems: Counter[str]) -> None:
    with FileSource(video.path) as source:
        try:
            for frame in source:
                track.add(perceiver(frame))
        finally:  # labels go by it also in a video that breaks off
            if source.corrupt_frames:
                problems[DAMAGED] += source.corrupt_frames
        length_s = source.duration_s or 0.0
        if length_s - track.t[-1] > MISSING_S + MISSING_SHARE * length_s:
            problems["video cut off, kept as far as it goes"] += 1


def _keep(video: Video, track: Track, problems: Counter[str], out: Path) -> StoredVideo:
    """Write what makes a video whole; its JSON comes last."""
    spans = spans_of(video, np.array(track.t), problems)
    frames = track.frames()
    stored = StoredVideo(
        id=video.id, split=video.split, subject=video.subject, emotion=video.emotion,
        spans=spans, start=track.t[0], end=track.t[-1], frames=len(track.t),
        poses=int((frames["conf"] > 0).any(axis=1).sum()), faces=int(frames["has_face"].sum()),
        problems=problems, rows=video.rows, cuts=tuple(track.cuts),
        is_annotated=video.is_annotated, lost=lost_frames(video, np.array(track.t), problems),
    )  # fmt: skip
    write_whole(out / "videos" / f"{video.id}.npy", lambda file: np.save(file, frames))
    if (cues := cues_beside(video.path)).exists():
        known = cues.read_bytes()
        write_whole(cues_file(out, video.id), lambda file: file.write(known))
    shard = out / "shards" / f"{video.id}.partial"
    os.replace(shard, shard.with_suffix(".tar"))
    text = TypeAdapter(StoredVideo).dump_json(stored)
    write_whole(out / "videos" / f"{video.id}.json", lambda file: file.write(text))
    return stored


def _write_json(path: Path, info: StoreInfo) -> None:
    text = TypeAdapter(StoreInfo).dump_json(info)
    try:
        write_whole(path, lambda file: file.write(text))
    except OSError as error:
        raise unwritable(path.parent, error) from None

"""The synth job: videos rendered by several processes, each watched, all resumable.

A worker that shows no new frame for a while is ended and its video begun again: software renderers
were seen to hang. A video is finished when its record stands in `.synth/`; what is unfinished is
done again by the next run.
"""

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from engines.errors import TellsError
from train.annotations import DataError, Video
from train.out_paths import writing
from train.synth.imigue_writer import write_summary
from train.synth.take import RECORDS, Studio, SynthOptions

_SILENCE_S = 45.0
"""A frame takes some 20 ms; a first one, with textures, under a second."""
_ATTEMPTS = 3
_REPORT_EVERY = 10
_VIDEO = TypeAdapter(Video)
_FLAGS = {
    "is_untrimmed": "--untrimmed",
    "is_portrait": "--portraits",
    "is_strangers": "--strangers",
    "people": "--people, --validate or --test",
}
"""Options that the command line calls otherwise."""


@dataclass(frozen=True)
class Tally:
    """What a run did."""

    videos: int
    frames: int
    resumed: int
    """Videos that an earlier run had finished."""
    hangs: int
    """Times that a worker hung and was replaced."""
    seconds: float


def synthesise(options: SynthOptions, workers: int, report: Callable[[int, int], None]) -> Tally:
    """Render what is missing.

    Args:
        options: what to render.
        workers: processes.
        report: called with (new videos, new frames) as they are done.

    Raises:
        DataError: the folder belongs to other options or cannot be written to.
        AvatarError: an avatar is missing.
    """
    started = time.monotonic()
    records = options.out / RECORDS
    with writing(options.out):
        records.mkdir(parents=True, exist_ok=True)
        _claim(options)
    todo = [k for k in range(options.clips) if not options.record(k).exists()]
    resumed = options.clips - len(todo)
    crew = _Crew(options, todo)
    frames = 0
    try:
        for finished, count in crew.run(min(workers, max(len(todo), 1))):
            frames += count
            report(finished, count)
    finally:
        crew.dismiss()
    videos = [_recorded(options.record(k)) for k in range(options.clips)]
    write_summary(options.out, options.layout, videos)
    return Tally(len(todo), frames, resumed, crew.hangs, time.monotonic() - started)


def _claim(options: SynthOptions) -> None:
    """The first run says what the folder is; later ones must agree, but may add clips."""
    own = TypeAdapter(SynthOptions).dump_python(options, mode="json")
    for key in ("avatars", "out", "clips"):
        del own[key]
    path = options.out / RECORDS / "options.json"
    if path.exists():
        other = _begun_with(path)
        defaults = {f.name: f.default for f in fields(SynthOptions)}  # for options that are newer
        changed = sorted(key for key in own if own[key] != other.get(key, defaults[key]))
        if changed:
            flags = ", ".join(_FLAGS.get(key, f"--{key.replace('_', '-')}") for key in changed)
            raise DataError(
                f"{options.out}: was begun with another {flags}; repeat what was asked for then, "
                "or name a new folder"
            )
        return
    path.write_text(json.dumps(own, indent=2) + "\n", encoding="utf-8")


def _begun_with(path: Path) -> dict[str, object]:
    try:
        other = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        other = None
    if not isinstance(other, dict):
        raise DataError(f"{path}: expected the options of an earlier run; name a new folder")
    return other


def _recorded(path: Path) -> Video:
    try:
        return _VIDEO.validate_json(path.read_text(encoding="utf-8"))
    except ValueError:
        raise DataError(
            f"{path}: expected the record of a video; remove the file, and it is rendered again"
        ) from None


@dataclass(eq=False)
class _Worker:
    process: Any
    pipe: Connection
    clip: int
    heard: float


class _Crew:
    """Worker processes and the videos that they still have to do."""

    def __init__(self, options: SynthOptions, todo: list[int]) -> None:
        self._options, self._todo = options, list(reversed(todo))
        self._attempts = dict.fromkeys(todo, 0)
        self._workers: list[_Worker] = []
        self._context = multiprocessing.get_context("spawn")
        self.hangs = 0

    def run(self, count: int) -> Iterator[tuple[int, int]]:
        """(videos, frames) as they are finished."""
        for _ in range(count):
            self._hire()
        while self._workers:
            ready = wait([w.pipe for w in self._workers], timeout=1.0)
            for worker in list(self._workers):
                if worker.pipe in ready:
                    yield self._hear(worker)
                elif time.monotonic() - worker.heard > _SILENCE_S:
                    self._replace(worker)

    def dismiss(self) -> None:
        """End whoever still works."""
        for worker in self._workers:
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()
        self._workers = []

    def _hire(self) -> None:
        if not self._todo:
            return
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(self._options, theirs), daemon=True)
        process.start()
        theirs.close()
        worker = _Worker(process, ours, -1, time.monotonic())
        self._workers.append(worker)
        self._assign(worker)

    def _assign(self, worker: _Worker) -> None:
        if self._todo:
            worker.clip = self._todo.pop()
            worker.pipe.send((worker.clip, self._attempts[worker.clip]))
        else:
            worker.clip = -1
            worker.pipe.send(None)

    def _hear(self, worker: _Worker) -> tuple[int, int]:
        try:
            message = worker.pipe.recv()
        except EOFError:
            self._retire(worker)
            if worker.clip >= 0:
                self._again(worker.clip, "its worker died")
            return 0, 0
        worker.heard = time.monotonic()
        if isinstance(message, BaseException):
            raise message
        is_finished, frames = message
        if is_finished:
            self._assign(worker)
        return int(is_finished), frames

    def _replace(self, worker: _Worker) -> None:
        self.hangs += 1
        worker.process.kill()
        self._retire(worker)
        self._again(worker.clip, "its worker hung")

    def _again(self, clip: int, reason: str) -> None:
        self._attempts[clip] += 1
        if self._attempts[clip] >= _ATTEMPTS:
            raise DataError(f"video {clip + 1:04d} failed {_ATTEMPTS} times: {reason}")
        self._todo.append(clip)
        self._hire()

    def _retire(self, worker: _Worker) -> None:
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)


def _work(options: SynthOptions, pipe: Connection) -> None:
    """A worker: one video after the other until there are no more."""
    os.environ["LP_NUM_THREADS"] = "0"  # one thread a worker: llvmpipe's own threads cost more
    try:
        studio = Studio(options)
        while (order := pipe.recv()) is not None:
            clip, attempt = order
            done = told = 0
            for done in studio.shoot(clip, attempt=attempt):
                if done % _REPORT_EVERY == 0:
                    pipe.send((False, done - told))
                    told = done
            pipe.send((True, done - told))
        studio.close()
    except (TellsError, KeyboardInterrupt) as error:
        _tell(pipe, error)
    except OSError as error:
        _tell(pipe, DataError(f"{options.out}: cannot be written ({error.strerror or error})"))


def _tell(pipe: Connection, error: BaseException) -> None:
    try:
        pipe.send(error)
    except OSError:  # nobody listens any more
        return

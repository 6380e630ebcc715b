"""Cameras onto the terminal, or recorded beside the page: one engine for all, a folder for each."""

import contextlib
import functools
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from engines.errors import TellsError
from realtime.config import Config
from realtime.errors import OutputError
from realtime.feed import EndOfStream
from realtime.interrupt import ended_by_signals
from realtime.output_folder import RUN_FILE, camera_folders, prepare_output
from realtime.perception import open_perceiver
from realtime.recording import Recording
from realtime.records import Snapshot
from realtime.session import LiveSession
from realtime.sources import open_source, open_sources
from realtime.terminal import Terminal

logger = logging.getLogger(__name__)


def open_session(
    *,
    bundles: Sequence[Path],
    config: Config,
    device: str,
    pose_model: Path | None,
    face_model: Path | None,
) -> LiveSession:
    """A live session, to be entered, whose perception uses the named model files.

    Raises:
        TellsError: bundles that cannot be used.
    """
    perceive = functools.partial(open_perceiver, pose_model=pose_model, face_model=face_model)
    return LiveSession(bundles, config, device, perceive=perceive)


def run_headless(
    session: LiveSession,
    uris: Sequence[str],
    *,
    out: Path | None,
    duration_s: float | None,
    has_video: bool = True,
) -> tuple[str, bool]:
    """Watch sources without a page, until their end, `duration_s` seconds, or Ctrl-C.

    Events are printed as they become known. With `out`, all is recorded as by `run_analyze`, also
    when nobody reads what is printed any more; of several sources each has a folder in it. Returns
    what was left, in words, and whether every source was watched to the end: one that fails leaves
    the others alone.

    Raises:
        TellsError: what cannot be opened or written; of several sources, if it is so of all.
        OSError: nothing can be printed, and nothing is recorded.
    """
    config = session.lineup.config
    reopen = functools.partial(
        open_source, realtime=True, timeout_s=config.source_timeout_s, names=config.names
    )
    with ExitStack() as stack:
        opened = open_sources(uris, reopen, config.names)
        sources = [stack.enter_context(source) for source in opened]
        stack.enter_context(session)
        is_ended = stack.enter_context(ended_by_signals())  # until all files are finished
        # Before any thread: while MediaPipe's chatter is held back, stderr is no terminal.
        line = stack.enter_context(tqdm(bar_format="{desc}", desc="starting", disable=None))
        cameras = [
            session.add_camera(s, reopen=functools.partial(reopen, uri) if s.is_live else None)
            for uri, s in zip(uris, sources, strict=True)
        ]
        recordings = _recordings(session, out, cameras, has_video)
        terminal = Terminal(line, session.lineup, cameras)
        end = time.monotonic() + (duration_s if duration_s is not None else math.inf)

        def watch(camera: str, recording: Recording | None) -> None:
            with recording or contextlib.nullcontext(), ExitStack() as ending:
                ending.callback(terminal.end, camera)
                is_heard = True
                for snapshot in _snapshots(session, camera, is_ended, end):
                    if recording is not None:
                        recording.write(snapshot)
                        recording.is_interrupted = is_ended.is_set()
                    try:
                        if is_heard:
                            terminal.tell(camera, snapshot)
                    except OSError:
                        if recording is None:
                            raise
                        is_heard = False

        return _each(watch, dict(zip(cameras, recordings, strict=True)), is_ended)


def _recordings(
    session: LiveSession, out: Path | None, cameras: Sequence[str], has_video: bool
) -> list[Recording | None]:
    if out is None:
        return [None] * len(cameras)
    return [
        Recording(
            folder,
            command="live",
            source=camera,
            lineup=session.lineup,
            device=session.device,
            runtime=session.runtime,
            stage_ms=session.stages.median_ms,
            has_video=has_video,
        )
        for folder, camera in zip(camera_folders(out, cameras), cameras, strict=True)
    ]


def _each(
    watch: Callable[[str, Recording | None], None],
    recordings: dict[str, Recording | None],
    is_ended: threading.Event,
) -> tuple[str, bool]:
    """Watch each camera on a thread of its own; what was left, and whether all went well.

    Raises:
        BaseException: what ended the last camera of several that failed, or the only one.
    """
    failed: dict[str, BaseException] = {}

    def run(camera: str, recording: Recording | None) -> None:
        try:
            watch(camera, recording)
        except TellsError as error:
            failed[camera] = error
            if len(failed) < len(recordings):
                logger.warning("%s: %s; the other cameras go on", camera, error)
        except BaseException:
            is_ended.set()
            raise

    with ThreadPoolExecutor(len(recordings), thread_name_prefix="watch") as pool:
        jobs = [pool.submit(run, *item) for item in recordings.items()]
        # In short waits, because on Windows a long one does not notice Ctrl-C.
        while wait(jobs, timeout=0.2).not_done:
            pass
    for job in jobs:
        job.result()
    if len(failed) == len(recordings):
        raise next(reversed(failed.values()))
    left = [r.summary() for c, r in recordings.items() if r is not None and c not in failed]
    return "\n".join(left), not failed


@contextlib.contextmanager
def recording_beside(
    session: LiveSession, out: Path | None, num_cameras: int = 1, *, has_video: bool = True
) -> Iterator[list[str]]:
    """Record the session's first cameras into a folder while something else shows them.

    Gives a list that holds afterwards, in words, what was left in the folder.

    Raises:
        OutputError: the folder or a file cannot be written; while it runs that is a log line.
    """
    summaries: list[str] = []
    if out is None:
        yield summaries
        return
    prepare_output(out)
    if num_cameras > 1 and (earlier := next(out.glob(f"*/{RUN_FILE}"), None)) is not None:
        # Said before the page is up: whoever looks at it sees no line of the log.
        raise OutputError(f"{earlier.parent} holds an earlier run: name another folder with --out")
    is_ended = threading.Event()

    def record() -> None:
        while len(session.cameras) < num_cameras:
            if is_ended.wait(0.05):
                return
        cameras = session.cameras[:num_cameras]
        session.recorded |= set(cameras)
        try:
            recordings = _recordings(session, out, cameras, has_video)
            summary, _ = _each(
                functools.partial(_record, session, is_ended),
                dict(zip(cameras, recordings, strict=True)),
                is_ended,
            )
            summaries.append(summary)
        except TellsError as error:
            logger.warning("%s; the page goes on without a recording", error)
        finally:
            session.recorded -= set(cameras)

    thread = threading.Thread(target=record, name="record", daemon=True)
    thread.start()
    try:
        yield summaries
    finally:
        is_ended.set()
        with ended_by_signals():  # whoever is impatient loses no file
            thread.join()


def _record(
    session: LiveSession, is_ended: threading.Event, camera: str, recording: Recording | None
) -> None:
    assert recording is not None
    reader = session.reader(camera)
    try:
        with recording, contextlib.suppress(EndOfStream):
            # When the page has ended, its camera has too: what is left comes at once.
            while (snapshot := reader.next(timeout_s=0.2)) is not None or not is_ended.is_set():
                if snapshot is not None:
                    recording.write(snapshot)
    finally:
        session.recorded.discard(camera)


def _snapshots(
    session: LiveSession, camera: str, is_ended: threading.Event, end: float
) -> Iterator[Snapshot]:
    """Snapshots as they come; when the time or somebody ends it, those that are left."""
    reader = session.reader(camera)
    with contextlib.suppress(EndOfStream):
        while not is_ended.is_set() and time.monotonic() < end:
            if (snapshot := reader.next(timeout_s=0.2)) is not None:
                yield snapshot
        session.remove_camera(camera)
        while True:
            if (snapshot := reader.next(timeout_s=0.2)) is not None:
                yield snapshot

"""Whole runs without a page: a clip into a folder of results, a camera onto the terminal."""

import contextlib
import functools
import logging
import math
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from engines.errors import TellsError
from realtime.config import Config
from realtime.errors import SourceError
from realtime.interrupt import ended_by_signals
from realtime.lineup import Lineup, describe_runtimes, load_lineup
from realtime.output_folder import prepare_output
from realtime.perception import open_perceiver
from realtime.pipeline import analyze
from realtime.recording import Recording
from realtime.records import Event, Frame, Snapshot, Status
from realtime.session import EndOfStream, LiveSession, SnapshotReader
from realtime.sources import Source, open_source
from realtime.stats import StageTimes
from realtime.truth import read_truth

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


def run_analyze(
    uri: str,
    out: Path,
    *,
    bundles: Sequence[Path],
    config: Config,
    device: str,
    pose_model: Path | None = None,
    face_model: Path | None = None,
    truth_file: Path | None = None,
    has_video: bool = True,
) -> tuple[str, bool]:
    """Analyze a clip into a folder: every frame, as fast as it goes, with a progress bar.

    Ctrl-C ends it between two frames, and the folder is finished all the same. `truth_file` says
    what is performed. Returns what was left, in words, and whether it is the whole clip.

    Raises:
        TellsError: what cannot be opened, read or written; nothing is lost.
    """
    lineup = load_lineup(bundles, config)
    truth = read_truth(truth_file, lineup.outputs) if truth_file else None
    stages = StageTimes()
    with ExitStack() as stack:
        source = stack.enter_context(_open_clip(uri, config))
        perceiver = stack.enter_context(
            open_perceiver(lineup.perception, pose_model=pose_model, face_model=face_model)
        )
        engines = lineup.open_engines(stack, device)
        runtime = describe_runtimes(engines)
        status = Status(runtime=runtime, bundle=lineup.names, untrained=lineup.is_untrained)
        recording = stack.enter_context(
            Recording(
                out, command="analyze", source=source.id, lineup=lineup, device=device,
                runtime=runtime, stage_ms=stages.median_ms, truth=truth, has_video=has_video,
            )
        )  # fmt: skip
        is_ended = stack.enter_context(ended_by_signals())
        snapshots = analyze(
            _with_progress(source, is_ended),
            stages.timed("perception", perceiver),
            lineup.buffer(),
            lineup.predictor(engines),
            lineup.decider(),
            status=status,
        )
        stack.callback(snapshots.close)
        stack.callback(source.close)  # first, so that nobody waits for its next frame
        write = stages.timed("recording", recording.write)
        for snapshot in snapshots:
            write(snapshot)
            if snapshot.predictions:
                stages.add_engines(engines)
        recording.is_interrupted = is_ended.is_set()
    return recording.summary(), not recording.is_interrupted


def _open_clip(uri: str, config: Config) -> Source:
    source = open_source(uri, timeout_s=config.source_timeout_s)
    if source.is_live:
        source.close()
        raise SourceError(f"{source.id} is a camera: watch it with `live`, or analyze a clip")
    return source


def _with_progress(source: Source, is_ended: threading.Event) -> Iterator[Frame]:
    """The frames until somebody ends it, with a bar that ends where the source says it ends."""
    with tqdm(total=source.num_frames, unit="frame", desc="analyze", dynamic_ncols=True) as bar:
        for frame in source:
            yield frame
            bar.update()
            if is_ended.is_set():
                return
        if bar.total is not None and bar.n < bar.total:
            bar.total = bar.n  # a container's count of frames may be an estimate


def run_headless(
    session: LiveSession,
    uri: str,
    *,
    out: Path | None,
    duration_s: float | None,
    has_video: bool = True,
) -> str:
    """Watch a source without a page, until its end, `duration_s` seconds, or Ctrl-C.

    Events are printed as they become known. With `out`, all is recorded as by `run_analyze`, also
    when nobody reads what is printed any more, and what was left is returned in words.

    Raises:
        TellsError: what cannot be opened or written.
        OSError: nothing can be printed, and nothing is recorded.
    """
    timeout_s = session.lineup.config.source_timeout_s
    reopen = functools.partial(open_source, uri, realtime=True, timeout_s=timeout_s)
    with ExitStack() as stack:
        source = stack.enter_context(reopen())
        stack.enter_context(session)
        recording = None
        if out is not None:
            recording = _recording(session, out, source.id, has_video)
            stack.enter_context(recording)
        camera = session.add_camera(source, reopen=reopen if source.is_live else None)
        reader = session.reader(camera)
        is_ended = stack.enter_context(ended_by_signals())
        line = stack.enter_context(tqdm(bar_format="{desc}", desc="starting", disable=None))
        is_heard = True
        for snapshot in _watch(session, camera, reader, is_ended, duration_s):
            if recording is not None:
                recording.write(snapshot)
                recording.is_interrupted = is_ended.is_set()
            try:
                if is_heard:
                    _tell(line, snapshot, session.lineup)
            except OSError:
                if recording is None:
                    raise
                is_heard = False
    return recording.summary() if recording is not None else ""


def _recording(session: LiveSession, out: Path, source: str, has_video: bool) -> Recording:
    return Recording(
        out,
        command="live",
        source=source,
        lineup=session.lineup,
        device=session.device,
        runtime=session.runtime,
        has_video=has_video,
    )


@contextlib.contextmanager
def recording_beside(
    session: LiveSession, out: Path | None, *, has_video: bool = True
) -> Iterator[list[str]]:
    """Record the session's first camera into a folder while something else shows it.

    Gives a list that holds afterwards, in words, what was left in the folder.

    Raises:
        OutputError: the folder or a file cannot be written; while it runs that is a log line.
    """
    summaries: list[str] = []
    if out is None:
        yield summaries
        return
    prepare_output(out)
    is_ended = threading.Event()

    def record() -> None:
        if summary := _record_first(session, out, is_ended, has_video):
            summaries.append(summary)

    thread = threading.Thread(target=record, name="record", daemon=True)
    thread.start()
    try:
        yield summaries
    finally:
        is_ended.set()
        thread.join()


def _record_first(
    session: LiveSession, out: Path, is_ended: threading.Event, has_video: bool
) -> str:
    """What was left, in words; nothing where there is no whole recording."""
    while not session.cameras:
        if is_ended.wait(0.05):
            return ""
    camera = session.recorded = session.cameras[0]
    reader = session.reader(camera)
    try:
        recording = _recording(session, out, camera, has_video)
        with recording, contextlib.suppress(EndOfStream):
            # When the page has ended, its camera has too: what is left comes at once.
            while (snapshot := reader.next(timeout_s=0.2)) is not None or not is_ended.is_set():
                if snapshot is not None:
                    recording.write(snapshot)
        return recording.summary()
    except TellsError as error:
        logger.warning("%s; the page goes on without a recording", error)
        return ""
    finally:
        session.recorded = None


def _watch(
    session: LiveSession,
    camera: str,
    reader: SnapshotReader,
    is_ended: threading.Event,
    duration_s: float | None,
) -> Iterator[Snapshot]:
    """Snapshots as they come; when the time or somebody ends it, those that are left."""
    end = time.monotonic() + (duration_s if duration_s is not None else math.inf)
    with contextlib.suppress(EndOfStream):
        while not is_ended.is_set() and time.monotonic() < end:
            if (snapshot := reader.next(timeout_s=0.2)) is not None:
                yield snapshot
        session.remove_camera(camera)
        while True:
            if (snapshot := reader.next(timeout_s=0.2)) is not None:
                yield snapshot


def _tell(line: "tqdm[None]", snapshot: Snapshot, lineup: Lineup) -> None:
    """Print the new events; keep one line of status up to date."""
    for event in snapshot.new_events if sys.stdout is not None else ():
        line.write(_describe(event) + ("  [untrained]" if lineup.is_untrained else ""))
    s = snapshot.status
    state = s.message if s.message else "ok"
    line.set_description_str(
        f"{snapshot.frame.t:7.1f} s  capture {s.capture_hz:.0f}/s  perception "
        f"{s.perception_hz:.0f}/s  prediction {s.prediction_hz:.1f}/s  age "
        f"{s.prediction_age_s:.2f} s  dropped {s.frames_dropped}+{s.windows_dropped}  {state}",
        refresh=False,
    )
    line.update()


def _describe(event: Event) -> str:
    return f"{event.start:8.2f} - {event.end:.2f} s  {event.label}  (peak {event.peak:.2f})"

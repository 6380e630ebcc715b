"""Clips into folders of results. `live_runs` has the runs of cameras."""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tqdm import tqdm

from realtime.config import Config
from realtime.errors import OutputError, SourceError
from realtime.interrupt import ended_by_signals
from realtime.lineup import describe_runtimes, load_lineup
from realtime.output_folder import camera_folders
from realtime.perception import open_perceiver
from realtime.pipeline import analyze
from realtime.recording import Recording
from realtime.records import Frame, Status
from realtime.run_record import is_finished
from realtime.sources import Source, open_source, without_credentials
from realtime.stats import StageTimes
from realtime.truth import read_truth

logger = logging.getLogger(__name__)


def analyze_each(uris: Sequence[str], out: Path, **options: Any) -> Iterator[tuple[str, bool]]:
    """`run_analyze` on each clip, with the same options: of several each has a folder in `out`.

    One that was finished before is not analyzed again, one that cannot be read, or whose folder
    holds another clip's run, is told in the log and passed over.

    Raises:
        TellsError: as `run_analyze`; of several clips at the end, if some could not be read.
    """
    if len(uris) == 1:
        yield run_analyze(uris[0], out, **options)
        return
    num_failed = 0
    names = [without_credentials(uri).removeprefix("file://") for uri in uris]
    for uri, name, folder in zip(uris, names, camera_folders(out, names), strict=True):
        if is_finished(folder, name):
            yield f"{folder}: analyzed before", True
            continue
        try:
            yield run_analyze(uri, folder, **options)
        except (SourceError, OutputError) as error:
            num_failed += 1
            logger.warning("%s", error)
    if num_failed:
        raise SourceError(
            f"{num_failed} of {len(uris)} clips were not analyzed, for the reasons above"
        )


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
        is_ended = stack.enter_context(ended_by_signals())  # until all files are finished
        recording = stack.enter_context(
            Recording(
                out, command="analyze", source=source.id, lineup=lineup, device=device,
                runtime=runtime, stage_ms=stages.median_ms, truth=truth, has_video=has_video,
            )
        )  # fmt: skip
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
            stages.add_engines(engines, snapshot.predictions)
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

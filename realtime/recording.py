"""Recording: the folder that a run leaves behind.

`annotated.mp4` if it is wanted, `events.csv`, the same as `events.eaf`, `predictions.jsonl`,
`timeline.png` and `run.json`. All but the timeline and `events.eaf` are readable at any moment; an
interrupted run has everything up to the interruption.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from realtime.elan import write_elan
from realtime.errors import OutputError
from realtime.lineup import Lineup
from realtime.output_folder import (
    ELAN_FILE,
    EVENTS_FILE,
    PREDICTIONS_FILE,
    TIMELINE_FILE,
    VIDEO_FILE,
    prepare_output,
)
from realtime.overlay import Overlay
from realtime.records import Snapshot
from realtime.run_record import RunRecord, Tally, write_run_json
from realtime.text_sinks import CsvSink, JsonlSink
from realtime.timeline import Timeline
from realtime.truth import Truth
from realtime.video_sink import VideoSink

_DRAWING = threading.Lock()
"""Matplotlib does not promise to draw on two threads, where two cameras' recordings end."""


class Recording:
    """Writes snapshots to all sinks; used as a context manager, by one thread.

    Raises:
        OutputError: the folder or a file cannot be written, or the folder holds an earlier run.
    """

    def __init__(
        self,
        folder: Path,
        *,
        command: str,
        source: str,
        lineup: Lineup,
        device: str,
        runtime: str,
        stage_ms: Callable[[], Mapping[str, float]],
        truth: Truth | None = None,
        has_video: bool = True,
    ) -> None:
        """Prepare the folder.

        `stage_ms` is asked at the end: stage -> median ms. `truth` is what happens in the source,
        where that is known: video and timeline show it. Without the video no picture of anybody is
        kept.
        """
        self._folder = prepare_output(folder)
        self._stage_ms = stage_ms
        self._record = RunRecord(
            command=command,
            source=source,
            bundles=lineup.manifests,
            device=device,
            runtime=runtime,
            started=_now(),
        )
        outputs = [spec.output for spec in lineup.tasks]
        self._tasks = [output.task for output in outputs]
        self._states = [output.task for output in outputs if output.kind == "state"]
        self._hop_s = lineup.config.hop_s
        self._tally, self._timeline = Tally(), Timeline(lineup.tasks, truth)
        self._overlay = Overlay(outputs, truth) if has_video else None
        self._video: VideoSink | None = None
        self._stack = ExitStack()
        self._sinks: tuple[CsvSink | JsonlSink, ...] = ()
        self._truth = truth
        self.is_interrupted = False
        """To be set where somebody ended the run before its source did."""
        self._last_frame: tuple[str, float] | None = None
        self._first_frame: str | None = None
        self._last_message = ""

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        with ExitStack() as stack:
            if self._overlay is not None:
                is_endless = self._record.command == "live"
                self._video = stack.enter_context(
                    VideoSink(self._folder / VIDEO_FILE, self._overlay.draw, is_endless=is_endless)
                )
            self._events = stack.enter_context(
                CsvSink(self._folder / EVENTS_FILE, states=self._states, hop_s=self._hop_s)
            )
            predictions = stack.enter_context(JsonlSink(self._folder / PREDICTIONS_FILE))
            self._sinks = (self._events, predictions)
            write_run_json(self._folder, self._record)
            self._stack = stack.pop_all()
        return self

    def write(self, snapshot: Snapshot) -> None:
        """Record one snapshot; one that repeats a frame adds its events and predictions only.

        Raises:
            OutputError: a file cannot be written; what came before stays readable.
        """
        frame = (snapshot.frame.source, snapshot.frame.t)
        is_new = frame != self._last_frame
        if self._first_frame is None:
            age_s = time.monotonic() - snapshot.frame.arrived
            self._first_frame = _iso(datetime.now(UTC) - timedelta(seconds=age_s), "milliseconds")
        for sink in self._sinks:
            sink.write(snapshot)
        self._timeline.write(snapshot)
        self._tally.write(snapshot, is_new_frame=is_new)
        if is_new and self._video is not None:
            self._video.write(snapshot)
        self._last_frame, self._last_message = frame, snapshot.status.message

    def summary(self) -> str:
        """What lies in the folder, in a line or two for people; to be asked after the end."""
        c = self._tally.counts
        video = f"{VIDEO_FILE}, " if self._overlay is not None and c.frames else ""
        states = f", {self._events.num_states} intervals of {', '.join(self._states)}"
        text = (
            f"{self._folder}: {video}{TIMELINE_FILE}, "
            f"{EVENTS_FILE} ({c.events} events{states if self._states else ''}), {ELAN_FILE}, "
            f"{PREDICTIONS_FILE} ({c.predictions} predictions of {c.frames} frames)"
        )
        if self._record.command == "live" and (c.frames_dropped or c.windows_dropped):
            all_frames = c.frames + c.frames_dropped
            text += (
                f"\nTo stay live, {c.frames_dropped} of {all_frames} frames and "
                f"{c.windows_dropped} windows were dropped."
            )
        if c.frames_with_nobody > c.frames / 2:
            text += f"\nNobody was seen in {c.frames_with_nobody} of {c.frames} frames."
        if not c.frames:
            text += "\nNo picture came."
        elif not c.predictions:
            text += "\nNo prediction was made: " + self._what_it_takes()
        if any(m.source.is_untrained for m in self._record.bundles):
            text += "\nThe bundle is untrained: its weights are random and its predictions too."
        if self._truth and self._last_frame and not self.is_interrupted:
            text += self._truth.beyond(self._last_frame[1])
        return text

    def _what_it_takes(self) -> str:
        windows = [m.window for m in self._record.bundles]
        span_s, gap_s = min(w.span_s for w in windows), min(w.max_gap_s for w in windows)
        text = f"it takes {span_s:.1f} s of one person without a pause of {gap_s:g} s"
        return f"{text} ({self._last_message})" if self._last_message else text

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._stack.close()
        finally:
            if kind is None:
                self._finish("interrupted" if self.is_interrupted else "finished")
            else:
                self._finish("interrupted" if issubclass(kind, KeyboardInterrupt) else "failed")

    def _finish(self, outcome: Literal["finished", "interrupted", "failed"]) -> None:
        """Write `events.eaf`, draw the timeline and complete `run.json`: as many as can be."""
        try:
            self._write_whole()
        except OutputError:
            outcome = "failed"
            raise
        finally:
            record = replace(
                self._record,
                outcome=outcome,
                first_frame=self._first_frame,
                ended=_now(),
                counts=self._tally.counts,
                wall_s=time.monotonic() - self._started,
                stream_s=self._tally.stream_s,
                stage_ms=self._stage_ms(),
                latency_p50_s=self._tally.latency_s(50),
                latency_p95_s=self._tally.latency_s(95),
                outages=self._tally.outages,
            )
            write_run_json(self._folder, record)

    def _write_whole(self) -> None:
        """What is written at the end alone."""
        try:
            write_elan(
                self._folder / EVENTS_FILE,
                self._folder / ELAN_FILE,
                tasks=self._tasks,
                truth=self._truth.intervals if self._truth else (),
                media=self._folder / VIDEO_FILE if self._video and self._first_frame else None,
            )
        finally:
            with _DRAWING:
                self._timeline.save(self._folder / TIMELINE_FILE)


def _now() -> str:
    return _iso(datetime.now(UTC), "seconds")


def _iso(moment: datetime, timespec: str) -> str:
    return moment.isoformat(timespec=timespec)

"""The run at a glance: which micro-gestures when, and how the emotion went, as one picture."""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.manifest import OutputSpec
from realtime.decide import TaskSpec
from realtime.output_folder import unwritable
from realtime.records import Event, Snapshot
from realtime.timeline_picture import TimelineContent, Track, draw_timeline
from realtime.truth import Truth

_CAPACITY = 4096
_MAX_EVENTS = 10_000


class _Record:
    """Points of one task in bounded memory: when full, neighbours are merged in pairs."""

    def __init__(self, output: OutputSpec) -> None:
        k = len(output.class_names)
        # Columns: t, coverage, smooth, is_decided, then the K probabilities.
        self._rows = np.empty((_CAPACITY, 4 + k), np.float64)
        self._n = 0
        self._stride, self._pending = 1, 0
        # A gesture shorter than the merged step must stay visible; a state must not be exaggerated.
        self._merge: Callable[..., NDArray[np.float64]] = (
            np.max if output.kind == "events" else np.mean
        )

    def append(self, row: Sequence[float]) -> None:
        if self._n and row[0] <= self._rows[self._n - 1, 0]:
            return  # the source began anew; a picture has one time axis
        if self._pending:
            last = self._rows[self._n - 1]
            last[:] = self._merged(np.stack([last, np.asarray(row)])[None])[0]
        else:
            if self._n == _CAPACITY:
                self._rows[: self._n // 2] = self._merged(self._rows.reshape(self._n // 2, 2, -1))
                self._n //= 2
                self._stride *= 2
            self._rows[self._n] = row
            self._n += 1
        self._pending = (self._pending + 1) % self._stride

    def _merged(self, pairs: NDArray[np.float64]) -> NDArray[np.float64]:
        out = pairs[:, 1].copy()
        out[:, 1:3] = np.mean(pairs[:, :, 1:3], axis=1)
        out[:, 4:] = self._merge(pairs[:, :, 4:], axis=1)
        return out

    def track(self, min_coverage: float) -> Track | None:
        if not self._n:
            return None
        rows = self._rows[: self._n]
        return Track(
            t=rows[:, 0],
            probs=rows[:, 4:].astype(np.float32),
            coverage=rows[:, 1].astype(np.float32),
            smooth=rows[:, 2].astype(np.float32),
            is_decided=rows[:, 3] > 0.5,
            is_seen=rows[:, 1] >= min_coverage,
        )


class Timeline:
    """Collects predictions, estimates and events of one source; `save` draws them.

    Memory is bounded (about 1 MB a task): beyond 4096 predictions neighbours are merged. For one
    thread.
    """

    def __init__(self, tasks: Sequence[TaskSpec], truth: Truth | None = None) -> None:
        """`tasks` are those of all opened bundles, `truth` is the source's, if it has one."""
        self._truth = truth
        self._specs = {spec.output.task: spec for spec in tasks}
        self._records = {task: _Record(spec.output) for task, spec in self._specs.items()}
        self._events: deque[Event] = deque(maxlen=_MAX_EVENTS)
        self._cuts: deque[float] = deque(maxlen=_MAX_EVENTS)
        self._bundles: dict[str, None] = {}
        self._source = ""
        self._runtime = ""
        self._is_untrained = False
        self._span: tuple[float, float] | None = None

    def write(self, snapshot: Snapshot) -> None:
        """Take in what became known with this snapshot."""
        frame_t = snapshot.frame.t
        first, last = self._span or (frame_t, frame_t)
        self._span = (min(first, frame_t), max(last, frame_t))
        self._source = snapshot.frame.source
        self._runtime = snapshot.status.runtime
        self._events.extend(snapshot.new_events)
        is_told = bool(self._cuts) and self._cuts[-1] == frame_t  # live, a frame may come again
        if snapshot.observation.is_cut and not is_told:
            self._cuts.append(frame_t)
        estimates = {e.task: e for e in snapshot.estimates}
        self._is_untrained |= snapshot.status.untrained
        self._is_untrained |= any(e.untrained for e in snapshot.estimates)
        for prediction in snapshot.predictions:
            spec = self._specs.get(prediction.task)
            if spec is None:
                continue
            self._bundles[prediction.bundle] = None
            estimate = estimates.get(prediction.task)
            top = dict(estimate.top) if estimate else {}
            decided = float(estimate is not None and not estimate.is_abstaining)
            smooth = top.get(max(spec.output.class_names), float("nan"))
            row = (prediction.at, prediction.coverage, smooth, decided, *prediction.probs)
            self._records[prediction.task].append(row)

    def save(self, path: Path) -> None:
        """Draw all that was collected as a PNG of 1600x900 px.

        Raises:
            OutputError: it cannot be written.
        """
        tracks = [
            (spec.output, self._records[task].track(spec.min_coverage))
            for task, spec in self._specs.items()
        ]
        figure = draw_timeline(
            TimelineContent(
                source=self._source,
                facts=self._facts(),
                is_untrained=self._is_untrained,
                span=self._span or (0.0, 0.0),
                tracks=[(output, track) for output, track in tracks if track is not None],
                events=tuple(self._events),
                cuts=tuple(self._cuts),
                truth=() if self._truth is None else self._truth.intervals,
            )
        )
        try:
            figure.savefig(path, format="png", dpi=100)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise unwritable(path, error) from None

    def _facts(self) -> str:
        return "   |   ".join(text for text in (", ".join(self._bundles), self._runtime) if text)

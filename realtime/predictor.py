"""Predictor: which (camera, engine) is due, and one batch after the other."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from engines.engine import Engine
from engines.errors import WindowError
from engines.window import Window
from realtime.buffer import ObservationBuffer
from realtime.records import Prediction


@dataclass(frozen=True)
class _Due:
    source: str
    wanted: float  # stream s at which it became due
    end: float
    arrived: float
    stretch: int
    shot: int
    at: float
    window: Window


class Predictor:
    """Runs every engine on every camera each `hop_s` seconds of stream time.

    The pace is set by the newest evidence: what is late is dropped and counted. Only the thread
    that opened the engines calls it.
    """

    def __init__(self, engines: Sequence[Engine], *, hop_s: float) -> None:
        self._engines = tuple(engines)
        self._hop_s = hop_s
        self._next: dict[tuple[str, int], float] = {}
        self._stretch: dict[tuple[str, int], int] = {}
        self._last_turn: dict[tuple[str, int], int] = {}
        self._num_turns = 0
        self.num_dropped: dict[str, int] = {}
        """Source -> windows that were due and never ran."""
        self.waiting: dict[str, str] = {}
        """Source -> why its last due window could not form."""

    def step(self, buffers: Mapping[str, ObservationBuffer]) -> list[Prediction]:
        """Predictions of the most overdue engine that has evidence: one batch of cameras."""
        for i in self._engines_by_delay(buffers):
            if batch := self._due(buffers, i)[: self._engines[i].runtime.max_batch]:
                return self._run(i, batch)
        return []

    def is_due(self, source: str, buffer: ObservationBuffer) -> bool:
        """True if an engine still has a window of this camera to work on."""
        return any(self._due({source: buffer}, i) for i in range(len(self._engines)))

    def keep(self, sources: Collection[str]) -> None:
        """Forget all cameras but these."""
        self._next = {key: t for key, t in self._next.items() if key[0] in sources}
        self._stretch = {key: n for key, n in self._stretch.items() if key[0] in sources}
        self._last_turn = {key: n for key, n in self._last_turn.items() if key[0] in sources}
        self.num_dropped = {s: n for s, n in self.num_dropped.items() if s in sources}
        self.waiting = {s: why for s, why in self.waiting.items() if s in sources}

    def _engines_by_delay(self, buffers: Mapping[str, ObservationBuffer]) -> list[int]:
        newest = {source: n[0] for source, buffer in buffers.items() if (n := buffer.newest)}
        delay = {
            i: max((end - self._next.get((s, i), -inf) for s, end in newest.items()), default=0.0)
            for i in range(len(self._engines))
        }
        return sorted(delay, key=lambda i: -delay[i])

    def _due(self, buffers: Mapping[str, ObservationBuffer], i: int) -> list[_Due]:
        """The cameras at which engine `i` is due and has a window, in turn."""
        due = []
        for source, buffer in buffers.items():
            if (newest := buffer.newest) is None:
                continue
            end, arrived = newest
            stretch = buffer.stretch
            wanted = self._next.get((source, i), end)
            is_other = wanted - end > self._hop_s + 1e-6  # another stream under the same name
            if is_other or self._stretch.get((source, i), stretch) != stretch:
                wanted = end  # In a pause, and until another person fills a window, none was due.
            if end < wanted - 1e-6:
                continue
            spec = self._engines[i].manifest.window
            try:
                window = buffer.window(end, spec.span_s, spec.anchor)
            except WindowError as reason:
                self.waiting[source] = str(reason)
                continue
            self.waiting.pop(source, None)
            at = window.start + spec.anchor * (end - window.start)
            shot = buffer.shot_at(at)
            due.append(_Due(source, wanted, end, arrived, stretch, shot, at, window))
        # Not by how overdue: beside a slow engine that would leave out who is new or has ended.
        return sorted(due, key=lambda d: self._last_turn.get((d.source, i), 0))

    def _run(self, i: int, batch: list[_Due]) -> list[Prediction]:
        engine = self._engines[i]
        scores = engine([d.window for d in batch])
        done = time.monotonic()
        self._num_turns += 1
        for d in batch:
            self._last_turn[d.source, i] = self._num_turns
            self._advance(i, d)
        return [
            Prediction(
                source=d.source,
                task=task,
                start=d.window.start,
                end=d.end,
                at=d.at,
                probs=score.probs,
                coverage=score.coverage,
                latency_s=done - d.arrived,
                bundle=engine.manifest.id,
                stretch=d.stretch,
                shot=d.shot,
            )
            for d, by_task in zip(batch, scores, strict=True)
            for task, score in by_task.items()
        ]

    def _advance(self, i: int, d: _Due) -> None:
        """Keep the phase, so that the mean rate is 1 / hop_s at any frame rate; drop the late."""
        following = d.wanted + self._hop_s
        if following <= d.end:
            late = int((d.end - following) / self._hop_s) + 1
            self.num_dropped[d.source] = self.num_dropped.get(d.source, 0) + late
            following += late * self._hop_s
        self._next[d.source, i], self._stretch[d.source, i] = following, d.stretch

"""Rates and latency percentiles over the last seconds, for the status line; times of stages."""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from engines.engine import STAGES, Engine
from realtime.records import Prediction

T = TypeVar("T")
R = TypeVar("R")

_FEWEST, _MOST = 4, 1000
"""Events that a rate is taken over, however rare or frequent they are."""
_SILENCE = 3.0
"""So many times the usual interval without an event, and at least the span, is a silence."""


class Rate:
    """Events per second over the last `span_s` seconds, or the last few if they are rarer.

    One thread writes, others may read.
    """

    def __init__(self, span_s: float = 3.0) -> None:
        self._span_s = span_s
        self._times: deque[float] = deque(maxlen=_MOST)

    def tick(self, now: float) -> None:
        """Count one event at `now` (monotonic s)."""
        self._times.append(now)

    def hz(self, now: float) -> float:
        """Events per second up to `now`; 0 before the second event or after a silence."""
        times = tuple(self._times)
        recent = [t for t in times if t > now - self._span_s]
        recent = recent if len(recent) >= _FEWEST else list(times[-_FEWEST:])
        if len(recent) < 2:
            return 0.0
        # Over whole intervals; one that has lasted longer than usual counts, so that a rate falls
        # when its events stop.
        taken = recent[-1] - recent[0]
        usual = taken / (len(recent) - 1)
        if now - recent[-1] > max(self._span_s, _SILENCE * usual):
            return 0.0
        return (len(recent) - 1) / max(taken + max(now - recent[-1] - usual, 0.0), 1e-9)


class Latencies:
    """The last `most` latencies in seconds."""

    def __init__(self, most: int = 240) -> None:
        self._values: deque[float] = deque(maxlen=most)

    def add(self, seconds: float) -> None:
        """Remember one latency."""
        self._values.append(seconds)

    def percentile(self, q: float) -> float:
        """The q-th percentile (0..100) in seconds; NaN while there is none."""
        values = tuple(self._values)
        return float(np.percentile(values, q)) if values else float("nan")


class StageTimes:
    """How long each stage of a run took."""

    def __init__(self) -> None:
        self._latencies: defaultdict[str, Latencies] = defaultdict(lambda: Latencies(most=10_000))

    def timed(self, name: str, stage: Callable[[T], R]) -> Callable[[T], R]:
        """The same stage, its calls timed."""

        def call(argument: T) -> R:
            started = time.perf_counter()
            result = stage(argument)
            self._latencies[name].add(time.perf_counter() - started)
            return result

        return call

    def add_engines(self, engines: Sequence[Engine], predictions: Sequence[Prediction]) -> None:
        """Take over how long the engines' last calls took, of those that predicted just now."""
        called = {prediction.bundle for prediction in predictions}
        for engine in (e for e in engines if e.manifest.id in called):
            for name, seconds in zip(STAGES, engine.stage_times_s, strict=True):
                self._latencies[f"{engine.manifest.name} {name}"].add(seconds)

    def median_ms(self) -> dict[str, float]:
        """Stage -> median milliseconds."""
        return {name: 1000 * x.percentile(50) for name, x in tuple(self._latencies.items())}

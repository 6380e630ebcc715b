"""When a state was shown: what the decision layer said of emotion, as intervals.

An `Event` is a gesture, which closes by itself; a state holds until another moment is decided
otherwise. Both are written to `events.csv`, and only events are counted as such.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from realtime.records import Estimate, Snapshot


@dataclass(frozen=True)
class StateInterval:
    """One state from the first to the last moment of which it was said."""

    task: str
    label: str
    start: float
    """Stream seconds that the first estimate is about, as `end` and `apex` are."""
    end: float
    apex: float
    """Stream seconds of the highest smoothed probability."""
    peak: float
    """The highest smoothed probability, 0..1."""


class StateIntervals:
    """Follows the estimates of some tasks; `step` gives what has ended. For one source."""

    def __init__(self, tasks: Collection[str], *, hop_s: float) -> None:
        """`tasks` are states; what is decided of a moment holds for `hop_s` s at most."""
        self._tasks, self._hop_s = frozenset(tasks), hop_s
        self._open: dict[str, StateInterval] = {}

    def step(self, snapshot: Snapshot) -> list[StateInterval]:
        """The intervals that ended with this snapshot's estimates."""
        ended = []
        for estimate in snapshot.estimates:
            if estimate.task in self._tasks:
                ended += self._follow(estimate)
        return ended

    def flush(self) -> list[StateInterval]:
        """The intervals that are still open: the stream is over."""
        ended = [self._extended(interval) for interval in self._open.values()]
        self._open.clear()
        return ended

    def _follow(self, now: Estimate) -> list[StateInterval]:
        before = self._open.get(now.task)
        goes_on = before is not None and (before.label, before.start) == (now.label, now.since)
        ended = []
        if before is not None and not goes_on:
            del self._open[now.task]
            # `waiting` is about no moment: the stream has paused, and nothing was decided anew.
            is_decided = now.at is not None and now.since > before.start
            ended = [replace(before, end=now.since) if is_decided else self._extended(before)]
        if now.label is None or now.at is None:
            return ended
        if before is None or not goes_on:
            before = StateInterval(now.task, now.label, now.since, now.at, now.at, now.prob)
        elif now.prob > before.peak:
            before = replace(before, apex=now.at, peak=now.prob)
        self._open[now.task] = replace(before, end=now.at)
        return ended

    def _extended(self, interval: StateInterval) -> StateInterval:
        return replace(interval, end=interval.end + self._hop_s)

"""When a state was shown: what the decision layer said of emotion, as intervals.

A gesture closes by itself; a state holds until another moment is decided otherwise. Both are
written to `events.csv`, and only gestures are counted as events.
"""

from collections.abc import Collection
from dataclasses import replace

from realtime.records import Estimate, Event, Snapshot


class StateIntervals:
    """Follows the estimates of some tasks; `step` gives what has ended. For one source."""

    def __init__(self, tasks: Collection[str], *, hop_s: float) -> None:
        """`tasks` are states; what is decided of a moment holds for `hop_s` s at most."""
        self._tasks, self._hop_s = frozenset(tasks), hop_s
        self._open: dict[str, Event] = {}

    def step(self, snapshot: Snapshot) -> list[Event]:
        """The intervals that ended with this snapshot's estimates."""
        ended = []
        for estimate in snapshot.estimates:
            if estimate.task in self._tasks:
                ended += self._follow(estimate)
        return ended

    def flush(self) -> list[Event]:
        """The intervals that are still open: the stream is over."""
        ended = [self._extended(interval) for interval in self._open.values()]
        self._open.clear()
        return ended

    def _follow(self, now: Estimate) -> list[Event]:
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
            before = Event(now.task, now.label, now.since, now.at, now.at, now.prob)
        elif now.prob > before.peak:
            before = replace(before, apex=now.at, peak=now.prob)
        self._open[now.task] = replace(before, end=now.at)
        return ended

    def _extended(self, interval: Event) -> Event:
        return replace(interval, end=interval.end + self._hop_s)

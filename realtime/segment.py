"""From smoothed probabilities to events: when something is done, and what it is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.manifest import OutputSpec
from realtime.records import Event, Floats

_NAMED = 0.3
"""Of the mean probability: an event whose likeliest class has less has no name."""
_CLEARLY = 2.0
"""So many times likelier than an event's name is what may be another event."""


@dataclass
class _Interval:
    """An event in the making. Its name is the class that was likeliest all in all."""

    start: float
    end: float
    sums: Floats
    """float32 [K] of the probabilities so far; the background's stays 0."""
    peaks: Floats
    """float32 [K]."""
    apexes: NDArray[np.float64]
    """float64 [K] stream seconds of the peaks."""
    count: int = 0
    is_open: bool = True

    def add(self, probs: Floats, t: float) -> None:
        self.sums = self.sums + probs
        self.apexes = np.where(probs > self.peaks, t, self.apexes)
        self.peaks = np.maximum(probs, self.peaks)
        self.count += 1

    def join(self, other: "_Interval") -> None:
        """Take in a later one."""
        self.sums, self.count = self.sums + other.sums, self.count + other.count
        self.apexes = np.where(other.peaks > self.peaks, other.apexes, self.apexes)
        self.peaks, self.end = np.maximum(self.peaks, other.peaks), other.end

    @property
    def label(self) -> int:
        return int(np.argmax(self.sums))

    @property
    def prob(self) -> float:
        """Mean probability of its name."""
        return float(self.sums[self.label]) / self.count

    @property
    def is_named(self) -> bool:
        return self.prob >= _NAMED


class EventSegmenter:
    """Closed intervals, one after the other: when is decided first, then what.

    An event begins where it is as likely as `on` that there is any gesture, and ends where that is
    less than `off`: so it has its whole length even where its name is in doubt between neighbours.
    It is named by the class of the largest mean probability in it; where none has `_NAMED` it is
    not told. Where another class is clearly likelier for `split_s`, another event has begun.

    Short ones are discarded and near ones of one name merged, so an event becomes known `gap_s`
    after its end, and later by the probabilities' lag.
    """

    def __init__(
        self, output: OutputSpec, *, min_s: float, gap_s: float, split_s: float, lag_s: float = 0.0
    ) -> None:
        """Nothing has begun.

        Args:
            output: of the task; without a background its likeliest class stands for any gesture.
            min_s: shorter events are discarded; like the others in s.
            gap_s: between two of one name, which then are one.
            split_s: how long another class must be clearly likelier.
            lag_s: by which the probabilities are late.
        """
        self._output, self._min_s, self._gap_s = output, min_s, gap_s
        self._split_s, self._lag_s = split_s, lag_s
        self._current: _Interval | None = None
        self._rival: _Interval | None = None
        """The last part of `_current`, if another class is likelier in it."""
        self._last: tuple[float, float] | None = None
        """Stream seconds and activity of the last step."""
        self._earliest = 0.0
        self._is_late = True
        """Whether the last step's probabilities were."""

    def step(self, probs: Floats, t: float, *, is_late: bool = True) -> list[Event]:
        """Take smoothed probabilities at stream time `t`; return events that became final.

        Args:
            probs: float32 [K]; all 0 where too little was seen.
            t: stream s, later than before.
            is_late: by `lag_s`; not where smoothing begins anew, as at a cut.
        """
        self._is_late = is_late
        of_gestures = probs.copy()
        if self._output.background is None:
            activity = float(probs.max())
        else:
            of_gestures[self._output.background] = 0
            activity = float(of_gestures.sum())
        if self._last is None:
            self._earliest, self._last = t, (t, activity)
        events = self._follow(of_gestures, self._last, (t, activity))
        self._last = (t, activity)
        return events

    def _follow(
        self, probs: Floats, before: tuple[float, float], present: tuple[float, float]
    ) -> list[Event]:
        thresholds, (t, activity), events = self._output.thresholds, present, []
        if (
            self._current is not None
            and not self._current.is_open
            and t - self._lag_s - self._current.end > self._gap_s
        ):
            events += self._close()
        if self._current is not None and self._current.is_open:
            if activity < thresholds.off:
                self._settle()
                self._current.end = self._in_time(_crossing(before, present, thresholds.off))
                self._current.is_open = False
            else:
                events += self._go_on(probs, t)
        elif activity >= thresholds.on:
            if self._current is not None and self._current.label == int(np.argmax(probs)):
                self._current.is_open = True
            else:
                events += self._close()
                start = self._in_time(_crossing(before, present, thresholds.on))
                self._current = _interval(start, probs)
            self._current.add(probs, t)
            self._current.end = t
        return events

    def _go_on(self, probs: Floats, t: float) -> list[Event]:
        """Another moment of what is open, or of what has begun in its place."""
        assert self._current is not None
        label, likeliest = self._current.label, int(np.argmax(probs))
        if likeliest == label or probs[likeliest] < _CLEARLY * probs[label]:
            self._settle()
            self._current.add(probs, t)
            self._current.end = t
            return []
        if self._rival is None:
            self._rival = _interval(self._in_time(t), probs)
        self._rival.add(probs, t)
        self._rival.end = t
        if t - self._lag_s - self._rival.start < self._split_s:
            return []
        self._current.end, following, self._rival = self._rival.start, self._rival, None
        events = self._close()
        self._current = following
        return events

    def _settle(self) -> None:
        """What was likelier for a while belongs to the event after all."""
        if self._current is not None and self._rival is not None:
            self._current.join(self._rival)
        self._rival = None

    def _in_time(self, t: float) -> float:
        """`t` as it would be without the probabilities' lag, not before the event that is open."""
        begun = (
            self._current.start
            if self._current is not None and self._current.is_open
            else self._earliest
        )
        return max(t - self._lag_s, begun) if self._is_late else max(t, begun)

    def flush(self) -> list[Event]:
        """End what is open where it is: the stream is over or interrupted."""
        self._settle()
        events = self._close()
        self._last = None
        return events

    def open_event(self) -> tuple[int, float, float] | None:
        """(class, start in stream s, its mean probability since) of what is open now.

        None if nothing is, and while it has no name. A name may give way to a better one while the
        event goes on.
        """
        if self._current is None or not self._current.is_open or not self._current.is_named:
            return None
        return self._current.label, self._current.start, self._current.prob

    def _close(self) -> list[Event]:
        i, self._current = self._current, None
        if i is None:
            return []
        self._earliest = i.end
        if i.end - i.start < self._min_s or not i.is_named:
            return []
        return [
            Event(
                task=self._output.task,
                label=self._output.class_names[i.label],
                start=i.start,
                end=i.end,
                apex=min(max(float(i.apexes[i.label]) - self._lag_s, i.start), i.end),
                peak=float(i.peaks[i.label]),
            )
        ]


def _interval(start: float, probs: Floats) -> _Interval:
    nothing = np.zeros_like(probs)
    return _Interval(start, start, nothing, nothing, np.full(len(probs), start))


def _crossing(before: tuple[float, float], present: tuple[float, float], level: float) -> float:
    """Time at which the straight line between two (t, p) points passes `level`."""
    (t0, p0), (t1, p1) = before, present
    if p0 == p1 or not min(p0, p1) <= level <= max(p0, p1):
        return t1
    return t0 + (t1 - t0) * (level - p0) / (p1 - p0)

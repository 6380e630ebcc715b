"""From predictions to what is said: smoothing in time, hysteresis, abstention.

All parameters are in seconds and all decisions read stream time only, so that the same input gives
the same events offline and live, at any frame rate. Gestures are events with a beginning and an
end; emotion is a slow state.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engines.manifest import OutputSpec
from realtime.config import Config
from realtime.records import Estimate, Event, Floats, Prediction

TOP = 5


@dataclass(frozen=True)
class TaskSpec:
    """What the decision layer needs to know of one task."""

    output: OutputSpec
    min_coverage: float
    untrained: bool


class Smoother:
    """Exponential moving average of probabilities with a time constant in seconds."""

    def __init__(self, tau_s: float) -> None:
        self._tau_s = tau_s
        self._mean: Floats | None = None
        self._t = 0.0

    def step(self, probs: Floats, t: float) -> Floats:
        """Float32 [K]: the average after `probs` at stream time `t`."""
        if self._mean is None or self._tau_s == 0:
            self._mean = probs
        else:
            keep = math.exp(-max(t - self._t, 0.0) / self._tau_s)
            self._mean = keep * self._mean + (1 - keep) * probs
        self._t = t
        return self._mean

    def reset(self) -> None:
        """Forget the past: the next probabilities are taken as they are."""
        self._mean = None


@dataclass
class _Interval:
    start: float
    end: float
    apex: float
    peak: float
    is_open: bool = True


class EventSegmenter:
    """Closed intervals of each class: entered at `on`, left below `off`.

    Short ones are discarded and near ones merged, so an event becomes known `gap_s` after its end.
    """

    def __init__(self, output: OutputSpec, *, min_s: float, gap_s: float) -> None:
        self._output, self._min_s, self._gap_s = output, min_s, gap_s
        self._intervals: dict[int, _Interval] = {}
        self._last: tuple[float, Floats] | None = None

    def step(self, probs: Floats, t: float) -> list[Event]:
        """Take smoothed probabilities [K] at stream time `t`; return events that became final."""
        events = []
        before_t, before = self._last if self._last is not None else (t, probs)
        for k in range(len(probs)):
            if k == self._output.background:
                continue
            was, now = float(before[k]), float(probs[k])
            interval = self._intervals.get(k)
            if interval is not None and not interval.is_open and t - interval.end > self._gap_s:
                events += self._close(k)
                interval = None
            self._follow(k, interval, (before_t, was), (t, now))
        self._last = (t, probs)
        return events

    def _follow(
        self,
        k: int,
        interval: _Interval | None,
        before: tuple[float, float],
        present: tuple[float, float],
    ) -> None:
        on, off = self._output.thresholds.on, self._output.thresholds.off
        t, p = present
        if p >= on and interval is None:
            self._intervals[k] = _Interval(_crossing(before, present, on), t, t, p)
        elif interval is not None:
            if p >= on:
                interval.is_open = True
            if interval.is_open:
                if p < off:
                    interval.is_open, interval.end = False, _crossing(before, present, off)
                else:
                    interval.end = t
            if p > interval.peak:
                interval.apex, interval.peak = t, p

    def flush(self) -> list[Event]:
        """End all intervals where they are: the stream is over or interrupted."""
        events = [event for k in sorted(self._intervals) for event in self._close(k)]
        self._last = None
        return events

    def open_label(self) -> tuple[int, float] | None:
        """(class, start in stream s) of the strongest interval that is open now, or None."""
        if self._last is None:
            return None
        probs = self._last[1]
        is_open = [k for k, interval in self._intervals.items() if interval.is_open]
        if not is_open:
            return None
        k = max(is_open, key=lambda k: probs[k])
        return k, self._intervals[k].start

    def _close(self, k: int) -> list[Event]:
        i = self._intervals.pop(k)
        if i.end - i.start < self._min_s:
            return []
        return [
            Event(
                task=self._output.task,
                label=self._output.class_names[k],
                start=i.start,
                end=i.end,
                apex=min(max(i.apex, i.start), i.end),
                peak=i.peak,
            )
        ]


class _TaskDecider:
    """Smoothing, segmentation and the present estimate of one task."""

    def __init__(self, spec: TaskSpec, config: Config) -> None:
        self._spec = spec
        is_state = spec.output.kind == "state"
        self._smoother = Smoother(config.state_tau_s if is_state else config.tau_s)
        self._segmenter = (
            None
            if is_state
            else EventSegmenter(spec.output, min_s=config.min_s, gap_s=config.gap_s)
        )
        # Without a prediction for this long, the last one says nothing about the present.
        self._stale_s = max(5.0, 6 * config.hop_s)
        self._last_end: float | None = None
        self._state: int | None = None
        self.estimate = Estimate(
            spec.output.task, None, 0.0, 0.0, "waiting", top=(), untrained=spec.untrained
        )

    def step(self, prediction: Prediction) -> list[Event]:
        events = []
        if self._last_end is not None and prediction.end - self._last_end > self._stale_s:
            events = self.interrupt(prediction.end)
        self._last_end = prediction.end
        probs, at = prediction.probs, prediction.at
        if prediction.coverage < self._spec.min_coverage:
            self._smoother.reset()
            self._state = None
            if self._segmenter is not None:
                events += self._segmenter.step(np.zeros_like(probs), at)
            self.estimate = self._abstain("too little seen", at, None)
            return events
        smooth = self._smoother.step(probs, at)
        if self._segmenter is not None:
            events += self._segmenter.step(smooth, at)
            decided = self._segmenter.open_label()
        else:
            decided = self._hold(smooth, at)
        self.estimate = self._decide(smooth, at, decided)
        return events

    def interrupt(self, now: float) -> list[Event]:
        """The stream paused or ended: close what is open and begin anew."""
        self._smoother.reset()
        self._last_end = self._state = None
        self.estimate = replace(self._abstain("waiting", now, None), at=None)
        return self._segmenter.flush() if self._segmenter is not None else []

    def is_stale(self, now: float) -> bool:
        return self._last_end is not None and now - self._last_end > self._stale_s

    def _hold(self, smooth: Floats, at: float) -> tuple[int, float] | None:
        """The state and since when; it is entered at `on` and left below `off`."""
        thresholds, best = self._spec.output.thresholds, int(np.argmax(smooth))
        if self._state is not None and smooth[self._state] < thresholds.off:
            self._state = None
        if smooth[best] >= thresholds.on:
            self._state = best
        if self._state is None:
            return None
        label = self._spec.output.class_names[self._state]
        return self._state, (self.estimate.since if self.estimate.label == label else at)

    def _decide(self, smooth: Floats, at: float, decided: tuple[int, float] | None) -> Estimate:
        if decided is None:
            is_background = int(np.argmax(smooth)) == self._spec.output.background
            return self._abstain("background" if is_background else "not sure", at, smooth)
        k, since = decided
        return Estimate(
            task=self._spec.output.task,
            label=self._spec.output.class_names[k],
            prob=float(smooth[k]),
            since=since,
            reason=None,
            top=self._top(smooth),
            untrained=self._spec.untrained,
            at=at,
        )

    def _abstain(self, reason: str, at: float, smooth: Floats | None) -> Estimate:
        return Estimate(
            task=self._spec.output.task,
            label=None,
            prob=float(smooth.max()) if smooth is not None else 0.0,
            since=self.estimate.since if self.estimate.reason == reason else at,
            reason=reason,
            top=self._top(smooth) if smooth is not None else (),
            untrained=self._spec.untrained,
            at=at,
        )

    def _top(self, smooth: Floats) -> tuple[tuple[str, float], ...]:
        names = self._spec.output.class_names
        return tuple((names[k], float(smooth[k])) for k in np.argsort(-smooth, kind="stable")[:TOP])


class Decider:
    """Turns one camera's predictions into its present estimates and its closed events."""

    def __init__(self, tasks: Sequence[TaskSpec], config: Config) -> None:
        self._tasks = {spec.output.task: _TaskDecider(spec, config) for spec in tasks}
        self._stretch = 0

    def step(
        self, predictions: Iterable[Prediction], now: float, *, stretch: int = 0
    ) -> tuple[tuple[Estimate, ...], tuple[Event, ...]]:
        """Estimates at stream time `now`, and the events that became final.

        Another stretch than before (of the predictions, or `stretch`, the buffer's present one) is
        another person or follows a pause: nothing goes on from one to the next.
        """
        events: list[Event] = []
        for prediction in predictions:
            events += self._begin(prediction.stretch, now)
            events += self._tasks[prediction.task].step(prediction)
        events += self._begin(stretch, now)
        for task in self._tasks.values():
            if task.is_stale(now):
                events += task.interrupt(now)
        return tuple(task.estimate for task in self._tasks.values()), _in_order(events)

    def _begin(self, stretch: int, now: float) -> list[Event]:
        if stretch <= self._stretch:
            return []
        self._stretch = stretch
        return list(self.flush(now))

    def flush(self, now: float) -> tuple[Event, ...]:
        """Close what is open: the stream is over or was interrupted at `now`."""
        return _in_order([e for task in self._tasks.values() for e in task.interrupt(now)])


def _in_order(events: list[Event]) -> tuple[Event, ...]:
    return tuple(sorted(events, key=lambda e: (e.start, e.task, e.label)))


def _crossing(before: tuple[float, float], present: tuple[float, float], level: float) -> float:
    """Time at which the straight line between two (t, p) points passes `level`."""
    (t0, p0), (t1, p1) = before, present
    if p0 == p1 or not min(p0, p1) <= level <= max(p0, p1):
        return t1
    return t0 + (t1 - t0) * (level - p0) / (p1 - p0)

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
from realtime.segment import EventSegmenter

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

    @property
    def is_fresh(self) -> bool:
        """Whether the next probabilities are taken as they are."""
        return self._mean is None

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


class _TaskDecider:
    """Smoothing, segmentation and the present estimate of one task."""

    def __init__(self, spec: TaskSpec, config: Config) -> None:
        self._spec = spec
        is_state = spec.output.kind == "state"
        self._smoother = Smoother(config.state_tau_s if is_state else config.tau_s)
        self._segmenter = (
            None
            if is_state
            else EventSegmenter(
                spec.output,
                min_s=config.min_s,
                gap_s=config.gap_s,
                split_s=config.split_s,
                lag_s=config.tau_s,
            )
        )
        # Without a prediction for this long, the last one says nothing about the present.
        self._stale_s = max(5.0, 6 * config.hop_s)
        self._last_end: float | None = None
        self._shot = 0
        self._state: int | None = None
        self.estimate = Estimate(
            spec.output.task, None, 0.0, 0.0, "waiting", top=(), untrained=spec.untrained
        )

    def step(self, prediction: Prediction) -> list[Event]:
        events = []
        if self._last_end is not None and prediction.end - self._last_end > self._stale_s:
            events = self.interrupt(prediction.end)
        self._last_end = prediction.end
        if prediction.shot != self._shot:  # perhaps of somebody else; an event may go on
            self._shot, self._state = prediction.shot, None
            self._smoother.reset()
        probs, at = prediction.probs, prediction.at
        if prediction.coverage < self._spec.min_coverage:
            self._smoother.reset()
            self._state = None
            if self._segmenter is not None:
                events += self._segmenter.step(np.zeros_like(probs), at, is_late=False)
            self.estimate = self._abstain("too little seen", at, None)
            return events
        is_late, smooth = not self._smoother.is_fresh, self._smoother.step(probs, at)
        if self._segmenter is not None:
            events += self._segmenter.step(smooth, at, is_late=is_late)
            decided = self._segmenter.open_event()
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

    def _hold(self, smooth: Floats, at: float) -> tuple[int, float, float] | None:
        """The state, since when, how likely; it is entered at `on` and left below `off`."""
        thresholds, best = self._spec.output.thresholds, int(np.argmax(smooth))
        if self._state is not None and smooth[self._state] < thresholds.off:
            self._state = None
        if smooth[best] >= thresholds.on:
            self._state = best
        if self._state is None:
            return None
        label = self._spec.output.class_names[self._state]
        since = self.estimate.since if self.estimate.label == label else at
        return self._state, since, float(smooth[self._state])

    def _decide(
        self, smooth: Floats, at: float, decided: tuple[int, float, float] | None
    ) -> Estimate:
        if decided is None:
            is_background = int(np.argmax(smooth)) == self._spec.output.background
            return self._abstain("background" if is_background else "not sure", at, smooth)
        k, since, prob = decided
        return Estimate(
            task=self._spec.output.task,
            label=self._spec.output.class_names[k],
            prob=prob,
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

import math
from dataclasses import replace

import numpy as np
import pytest

from engines.manifest import OutputSpec, Thresholds
from realtime.config import Config
from realtime.decide import Decider, Smoother, TaskSpec
from realtime.records import Event, Prediction

CLASSES = ("ears", "neck", "nothing")
GESTURES = OutputSpec(
    name="g",
    task="micro_gesture",
    class_names=CLASSES,
    background=2,
    kind="events",
    activation="softmax",
    temperature=1.0,
    thresholds=Thresholds(on=0.6, off=0.4),
)
EMOTION = OutputSpec(
    name="e",
    task="emotion",
    class_names=("negative", "positive"),
    background=None,
    kind="state",
    activation="softmax",
    temperature=1.0,
    thresholds=Thresholds(on=0.7, off=0.55),
)
RAW = Config(tau_s=0.0, state_tau_s=0.0, min_s=0.3, gap_s=0.4)


def predict(
    at: float, probs: list[float], *, task: str = "micro_gesture", coverage: float = 1.0
) -> Prediction:
    return Prediction(
        source="s",
        task=task,
        start=at - 1,
        end=at + 1,
        at=at,
        probs=np.array(probs, np.float32),
        coverage=coverage,
        latency_s=0.1,
        bundle="b 1",
    )


def test_after_a_cut_smoothing_begins_anew_and_an_event_goes_on() -> None:
    specs = [TaskSpec(GESTURES, 0.5, untrained=False), TaskSpec(EMOTION, 0.5, untrained=False)]
    decider = Decider(specs, Config(tau_s=1.0, state_tau_s=1.0, min_s=0.3, gap_s=0.4))
    events: list[Event] = []
    for i in range(16):
        shot, glad = (0, 0.9) if i < 8 else (1, 0.6)
        both = (
            predict(i / 4, [0.9, 0.0, 0.1]),
            predict(i / 4, [1 - glad, glad], task="emotion"),
        )
        estimates, new = decider.step([replace(p, shot=shot) for p in both], now=i / 4)
        events += new
        emotion = next(e for e in estimates if e.task == "emotion")
        assert emotion.label == ("positive" if i < 8 else None)
        assert emotion.prob == pytest.approx(glad)
    (event,) = [*events, *decider.flush(4.0)]
    assert (event.start, event.end) == pytest.approx((0.0, 3.75), abs=0.3)


@pytest.mark.parametrize("is_seen", [True, False])
def test_an_event_lies_in_the_shot_that_shows_it_and_in_the_time_in_which_it_is_seen(
    *,
    is_seen: bool,
) -> None:
    """Of 2.0 to 3.75 s; what is decided there at once is not put back by the average's lag."""
    decider = Decider([TaskSpec(GESTURES, 0.5, untrained=False)], Config())
    events: list[Event] = []
    for i in range(24):
        shot, coverage = (i // 8, 1.0) if is_seen else (0, float(i // 8 == 1))
        probs = [0.9, 0.0, 0.1] if i // 8 == 1 else [0.05, 0.0, 0.95]
        prediction = replace(predict(i / 4, probs, coverage=coverage), shot=shot)
        events += decider.step([prediction], now=i / 4)[1]
    (event,) = [*events, *decider.flush(6.0)]
    assert 1.75 < event.start <= 2.0
    assert 3.75 < event.end <= 4.0


def run(script: list[tuple[float, float]], config: Config = RAW) -> list[Event]:
    """The events of a script of (t, probability of `ears`)."""
    decider = Decider([TaskSpec(GESTURES, 0.5, untrained=False)], config)
    events: list[Event] = []
    for t, p in script:
        events += decider.step([predict(t, [p, 0.0, 1 - p])], now=t)[1]
    return events + list(decider.flush(script[-1][0]))


def ramp(*levels: float, hop: float = 0.25) -> list[tuple[float, float]]:
    return [(i * hop, level) for i, level in enumerate(levels)]


def test_an_event_begins_and_ends_where_the_line_crosses_the_thresholds() -> None:
    (event,) = run(ramp(0, 0, 0.9, 0.95, 0.9, 0, 0, 0, 0))
    assert (event.label, event.apex) == ("ears", 0.75)
    assert event.start == pytest.approx(0.25 + 0.25 * 0.6 / 0.9, abs=1e-6)
    assert event.end == pytest.approx(1.0 + 0.25 * (0.9 - 0.4) / 0.9, abs=1e-6)
    assert event.peak == pytest.approx(0.95)


def test_hysteresis_holds_an_event_between_the_thresholds() -> None:
    (event,) = run(ramp(0, 0.9, 0.5, 0.45, 0.5, 0.9, 0, 0, 0))
    assert event.end - event.start > 1.0
    assert run(ramp(0, 0.5, 0.5, 0.5, 0)) == []


def test_two_intervals_closer_than_the_gap_are_one_event_and_farther_ones_are_two() -> None:
    near = ramp(0, 0.9, 0.9, 0.9, 0.1, 0.9, 0.9, 0.9, 0, 0, 0)
    assert len(run(near)) == 1
    far = ramp(0, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.9, 0.9, 0.9, 0, 0, 0)
    assert len(run(far)) == 2


def test_a_flicker_is_discarded() -> None:
    assert run(ramp(0, 0.62, 0, 0, 0, 0)) == []


def test_the_background_class_is_never_an_event() -> None:
    assert run(ramp(0, 0, 0, 0, 0, 0)) == []


def test_what_is_open_at_the_end_of_the_stream_is_closed_there() -> None:
    (event,) = run(ramp(0, 0.9, 0.9, 0.9))
    assert event.end == 0.75


def test_events_do_not_depend_on_the_hop() -> None:
    def probability(t: float) -> float:
        return 0.9 if 1.0 <= t < 3.0 else 0.05

    config = Config(tau_s=0.3, min_s=0.3, gap_s=0.4)
    for hop in (0.1, 0.25):
        (event,) = run([(i * hop, probability(i * hop)) for i in range(int(5 / hop))], config)
        assert event.start == pytest.approx(1.0, abs=0.3)  # the average's lag is taken out
        assert event.end == pytest.approx(3.0, abs=0.3)


def test_smoother_follows_a_step_with_its_time_constant_at_any_rate() -> None:
    for hz in (4, 30):
        smoother = Smoother(tau_s=0.5)
        smoother.step(np.array([0.0], np.float32), 0.0)
        for i in range(1, hz + 1):
            value = smoother.step(np.array([1.0], np.float32), i / hz)
        assert value[0] == pytest.approx(1 - math.exp(-1 / 0.5), abs=1e-5)


def test_low_coverage_abstains_and_ends_the_event() -> None:
    decider = Decider([TaskSpec(GESTURES, 0.5, untrained=False)], RAW)
    for i in range(4):
        decider.step([predict(i * 0.25, [0.9, 0.0, 0.1])], now=i * 0.25)
    events: list[Event] = []
    for i in range(4, 8):
        estimates, new = decider.step(
            [predict(i * 0.25, [0.9, 0.0, 0.1], coverage=0.2)], now=i * 0.25
        )
        events += new
    assert (estimates[0].label, estimates[0].reason) == (None, "too little seen")
    assert [e.label for e in events] == ["ears"]


def test_the_estimate_names_the_open_gesture_and_since_when() -> None:
    decider = Decider([TaskSpec(GESTURES, 0.5, untrained=True)], RAW)
    for i in range(6):
        (estimate,), _ = decider.step([predict(i * 0.25, [0.9, 0.05, 0.05])], now=i * 0.25)
    assert (estimate.label, estimate.since, estimate.reason) == ("ears", 0.0, None)
    assert [name for name, _ in estimate.top] == ["ears", "neck", "nothing"]
    assert estimate.untrained
    (estimate,), _ = decider.step([predict(1.5, [0.1, 0.1, 0.8])], now=1.5)
    assert (estimate.label, estimate.reason) == (None, "background")


def test_emotion_is_a_state_that_is_held_until_it_is_left() -> None:
    decider = Decider([TaskSpec(EMOTION, 0.5, untrained=False)], RAW)
    labels = []
    for i, p in enumerate([0.5, 0.65, 0.8, 0.6, 0.56, 0.5, 0.2]):
        (estimate,), events = decider.step([predict(i, [1 - p, p], task="emotion")], now=i)
        labels.append(estimate.label)
        assert events == ()
    assert labels == [None, None, "positive", "positive", "positive", None, "negative"]


def test_estimates_go_back_to_waiting_when_predictions_stop() -> None:
    decider = Decider([TaskSpec(GESTURES, 0.5, untrained=False)], RAW)
    for i in range(4):
        decider.step([predict(i * 0.25, [0.9, 0.0, 0.1])], now=i * 0.25)
    (estimate,), events = decider.step([], now=20.0)
    assert estimate.reason == "waiting"
    assert [e.label for e in events] == ["ears"]


def test_nothing_goes_on_from_one_person_to_the_next() -> None:
    decider = Decider([TaskSpec(GESTURES, 0.5, untrained=False)], Config(min_s=0.3, gap_s=5.0))
    for i in range(5):
        decider.step([predict(i * 0.25, [0.9, 0.0, 0.1])], now=i * 0.25)
    (estimate,), events = decider.step([], now=1.3, stretch=1)
    assert estimate.reason == "waiting"
    assert [(e.label, e.end) for e in events] == [("ears", 1.0)]
    other = replace(predict(1.5, [0.2, 0.1, 0.7]), stretch=1)
    (estimate,), events = decider.step([other], now=1.5, stretch=1)
    assert dict(estimate.top)["ears"] == pytest.approx(0.2), "nothing of the first is left"
    assert events == ()

"""When something is done, and what: events of hand-written probabilities."""

import itertools

import numpy as np
import pytest

from engines.manifest import OutputSpec, Thresholds
from realtime.records import Event
from realtime.segment import EventSegmenter

GESTURES = OutputSpec(
    name="g", task="micro_gesture", class_names=("ears", "neck", "nose", "nothing"), background=3,
    kind="events", activation="softmax", temperature=1.0, thresholds=Thresholds(on=0.6, off=0.4),
)  # fmt: skip
HOP_S = 0.25
EARS, NECK, NOTHING = (0.9, 0.05, 0.0, 0.05), (0.05, 0.9, 0.0, 0.05), (0.05, 0.0, 0.0, 0.95)


def segmenter(*, lag_s: float = 0.0, gap_s: float = 0.4) -> EventSegmenter:
    return EventSegmenter(GESTURES, min_s=0.3, gap_s=gap_s, split_s=0.75, lag_s=lag_s)


def run(*moments: tuple[float, ...], by: EventSegmenter | None = None) -> list[Event]:
    by = by or segmenter()
    events: list[Event] = []
    for i, probs in enumerate(moments):
        events += by.step(np.array(probs, np.float32), i * HOP_S)
    return events + by.flush()


def spans(events: list[Event]) -> list[tuple[str, float, float]]:
    return [(e.label, round(e.start, 2), round(e.end, 2)) for e in events]


def test_an_event_has_its_whole_length_where_its_name_is_in_doubt() -> None:
    doubt = (0.45, 0.5, 0.0, 0.05)
    (event,) = run(NOTHING, doubt, doubt, EARS, EARS, doubt, doubt, NOTHING, NOTHING)
    assert event.label == "ears"
    assert event.start < 0.25
    assert event.end > 1.5
    assert event.apex == 0.75
    assert event.peak == pytest.approx(0.9)


def test_what_is_like_nothing_in_particular_is_not_told() -> None:
    vague = (0.29, 0.29, 0.29, 0.13)
    by = segmenter()
    assert run(NOTHING, vague, vague, vague, NOTHING, NOTHING, NOTHING, by=by) == []
    assert by.open_event() is None
    untrained = (0.25,) * 4
    assert run(*[untrained] * 20) == []


def test_a_name_is_given_as_soon_as_there_is_one_and_may_give_way_to_a_better_one() -> None:
    by, names = segmenter(), []
    for i, probs in enumerate((NOTHING, (0.28, 0.27, 0.25, 0.2), EARS, NECK, NECK, NECK)):
        by.step(np.array(probs, np.float32), i * HOP_S)
        names.append(by.open_event())
    assert [name if name is None else name[0] for name in names] == [None, None, 0, 0, 0, 0]
    assert all(name[1] < 0.25 for name in names[2:] if name is not None)
    by.step(np.array(NECK, np.float32), 6 * HOP_S)
    label, start, prob = by.open_event() or (None, None, None)
    assert (label, start) == (1, 0.75), "another gesture, for so long"
    assert prob == pytest.approx(NECK[1]), "its own, not what the one before had"


def test_an_open_event_is_as_likely_as_its_name_was_on_the_whole() -> None:
    by = segmenter()
    for i, probs in enumerate((NOTHING, EARS, EARS, EARS, NECK)):
        by.step(np.array(probs, np.float32), i * HOP_S)
    label, _, prob = by.open_event() or (None, None, None)
    assert label == 0
    assert prob == pytest.approx(EARS[0])


def test_another_gesture_without_a_pause_is_another_event() -> None:
    events = run(NOTHING, *[EARS] * 6, *[NECK] * 6, NOTHING, NOTHING, NOTHING)
    assert [e.label for e in events] == ["ears", "neck"]
    assert events[0].end == events[1].start == pytest.approx(7 * HOP_S)


def test_a_moment_that_looks_otherwise_is_no_other_event() -> None:
    (event,) = run(NOTHING, *[EARS] * 4, NECK, NECK, *[EARS] * 4, NOTHING, NOTHING, NOTHING)
    assert event.label == "ears"
    assert event.end - event.start > 9 * HOP_S


def test_what_looks_otherwise_at_the_end_belongs_to_the_event() -> None:
    (event,) = run(NOTHING, *[EARS] * 6, NECK, NECK, NOTHING, NOTHING, NOTHING)
    assert event.label == "ears"
    assert event.end > 8 * HOP_S
    (event,) = run(NOTHING, *[EARS] * 6, NECK, NECK)
    assert spans([event]) == [("ears", 0.15, 2.0)]


def test_a_pause_joins_one_gesture_and_parts_two() -> None:
    one = run(NOTHING, *[EARS] * 3, NOTHING, *[EARS] * 3, NOTHING, NOTHING, NOTHING)
    two = run(NOTHING, *[EARS] * 3, NOTHING, *[NECK] * 3, NOTHING, NOTHING, NOTHING)
    assert [e.label for e in one] == ["ears"]
    assert [e.label for e in two] == ["ears", "neck"]
    assert two[0].end < two[1].start


@pytest.mark.parametrize("lag_s", [0.0, 0.2, 0.4])
def test_probabilities_that_are_late_make_no_pause_longer(lag_s: float) -> None:
    """Below 0.4 at 0.9 s, at 0.6 again at 1.15 s: 0.25 s, whenever that becomes known."""
    moments = (*[EARS] * 4, NOTHING, *[EARS] * 3, *[NOTHING] * 3)
    assert [e.label for e in run(*moments, by=segmenter(lag_s=lag_s))] == ["ears"]
    before, after = run(*moments, by=segmenter(lag_s=lag_s, gap_s=0.2))
    assert before.end < after.start


def test_times_are_those_of_the_movement_not_of_the_average_that_is_late() -> None:
    moments = (NOTHING, NOTHING, NOTHING, *[EARS] * 8, NOTHING, NOTHING, NOTHING)
    (late,), (event,) = run(*moments), run(*moments, by=segmenter(lag_s=0.2))
    assert event.start == pytest.approx(late.start - 0.2)
    assert event.end == pytest.approx(late.end - 0.2)
    (first,) = run(*[EARS] * 6, by=segmenter(lag_s=0.2))
    assert (first.start, first.end) == (0.0, 1.25), "nothing begins before it was looked at"


def test_events_follow_each_other() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        moments = rng.dirichlet((0.3,) * 4, 60)
        events = run(*map(tuple, moments), by=segmenter(lag_s=0.4, gap_s=rng.uniform(0, 1)))
        for event in events:
            assert event.start <= event.apex <= event.end
            assert event.end - event.start >= 0.3
        for before, after in itertools.pairwise(events):
            assert before.end <= after.start + 1e-9


def test_each_is_reported_once() -> None:
    by = segmenter()
    assert [e.label for e in run(*[EARS] * 8, *[NECK] * 12, by=by)] == ["ears", "neck"]
    assert by.flush() == []

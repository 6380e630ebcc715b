"""The challenge's rule of what is found, worked by hand."""

import math

import pytest

from train.spotting import Spotting, f1_interval, overlap, spot
from train.store_files import Span


def test_overlap_is_intersection_over_the_whole_extent() -> None:
    assert overlap(Span(0, 1.0, 3.0), Span(0, 2.0, 5.0)) == pytest.approx(1 / 4)
    assert overlap(Span(0, 1.0, 2.0), Span(0, 3.0, 5.0)) == pytest.approx(-1 / 4)
    assert overlap(Span(0, 1.0, 2.0), Span(0, 1.0, 2.0)) == 1.0


@pytest.mark.parametrize(
    ("event", "hits"),
    [
        (Span(4, 0.0, 3.1), 1),
        (Span(4, 0.0, 3.0), 0),  # exactly 0.3 is not more than 0.3
        (Span(5, 0.0, 10.0), 0),  # another class
        (Span(4, 7.0, 12.0), 0),  # 3 of 12
        (Span(4, 6.0, 11.0), 1),  # 4 of 11
    ],
)
def test_an_event_counts_if_its_class_is_right_and_it_overlaps_enough(
    event: Span, hits: int
) -> None:
    assert spot([([Span(4, 0.0, 10.0)], [event])]).hits == hits


TWO_TRUTHS = [Span(4, 0.0, 2.0), Span(4, 2.0, 4.0)]
ONE_LONG_EVENT = [Span(4, 0.0, 4.0)]


def test_one_event_serves_one_truth_but_several_in_the_starter_kit() -> None:
    honest = spot([(TWO_TRUTHS, ONE_LONG_EVENT)])
    assert (honest.hits, honest.precision, honest.recall) == (1, 1.0, 0.5)
    assert honest.f1 == pytest.approx(2 / 3)
    kit = spot([(TWO_TRUTHS, ONE_LONG_EVENT)], mode="starter_kit")
    # The kit divides both truths by the one event: a precision of 2.
    assert (kit.hits, kit.precision, kit.recall) == (2, 2.0, 1.0)
    assert kit.f1 == pytest.approx(2 * 2 * 1 / (2 + 1 + 1e-7))


def test_two_events_of_one_truth_are_one_hit_and_one_false_alarm() -> None:
    truths, events = [Span(4, 0.0, 4.0)], [Span(4, 0.0, 2.0), Span(4, 2.0, 4.0)]
    for found in (spot([(truths, events)]), spot([(truths, events)], mode="starter_kit")):
        assert (found.hits, found.precision, found.recall) == (1, 0.5, 1.0)


def test_events_are_matched_as_well_as_can_be() -> None:
    """The first event fits both truths, the second only the first: greed would lose one."""
    truths = [Span(4, 0.0, 2.0), Span(4, 2.0, 4.0)]
    events = [Span(4, 0.5, 3.5), Span(4, 0.0, 1.0)]
    assert spot([(truths, events)]).hits == 2


def test_counts_are_pooled_over_all_videos_before_they_are_divided() -> None:
    found = spot(
        [
            ([Span(1, 0.0, 1.0)], [Span(1, 0.0, 1.0), Span(2, 0.0, 1.0), Span(3, 0.0, 1.0)]),
            ([Span(1, 0.0, 1.0), Span(2, 5.0, 6.0)], []),
            ([], [Span(9, 0.0, 1.0)]),
        ]
    )
    assert found == Spotting(hits=1, truths=3, events=4)
    assert found.f1 == pytest.approx(2 * (1 / 4) * (1 / 3) / (1 / 4 + 1 / 3 + 1e-7))


def test_nothing_said_and_nothing_true_is_zero() -> None:
    found = spot([([], [])])
    assert (found.precision, found.recall, found.f1) == (0.0, 0.0, 0.0)


def test_a_lower_overlap_finds_more() -> None:
    pair = ([Span(1, 0.0, 10.0)], [Span(1, 0.0, 2.0)])
    assert [spot([pair], iou=iou).hits for iou in (0.1, 0.3)] == [1, 0]


def test_the_interval_draws_whole_videos() -> None:
    hit = ([Span(1, 0.0, 1.0)], [Span(1, 0.0, 1.0)])
    miss = ([Span(1, 0.0, 1.0)], [Span(2, 0.0, 1.0)])
    same = f1_interval([hit] * 5)
    assert same.value == pytest.approx(1.0)
    assert math.isnan(same.low)  # what cannot vary has no interval
    mixed = f1_interval([hit, miss] * 5)
    assert mixed.value == pytest.approx(0.5)
    assert mixed.low < 0.35
    assert mixed.high > 0.65

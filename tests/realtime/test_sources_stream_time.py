from collections.abc import Sequence
from itertools import pairwise

import pytest

from realtime.sources.stream_time import StreamTime

Stamps = Sequence[tuple[float | None, float]]
"""(presentation stamp, arrival) in seconds."""


def seconds(stamps: Stamps, *, is_live: bool) -> list[float]:
    clock = StreamTime(0.04, is_live=is_live)
    times = [clock.step(pts, arrived) for pts, arrived in stamps]
    assert times[0] == 0
    assert all(b > a for a, b in pairwise(times)), times
    return times


def test_stamps_are_kept_but_for_their_beginning() -> None:
    times = seconds([(7.0, 0), (7.1, 0), (7.35, 0), (9.35, 0)], is_live=False)
    assert times == pytest.approx([0, 0.1, 0.35, 2.35])


@pytest.mark.parametrize("is_live", [True, False])
def test_repeated_and_slightly_backward_stamps_become_small_steps(is_live: bool) -> None:
    stamps = [0.0, 0.04, 0.04, 0.08, 0.07, 0.16]
    times = seconds([(pts, 0.0) for pts in stamps], is_live=is_live)
    assert times == pytest.approx(stamps, abs=0.012)
    assert times[-1] == pytest.approx(0.16)


def test_clips_in_a_row_in_one_file_go_on_by_one_interval() -> None:
    times = seconds([(0, 0), (1, 0), (2, 0), (0, 0), (1, 0)], is_live=False)
    assert times == pytest.approx([0, 1, 2, 2.04, 3.04])


@pytest.mark.parametrize("jump", [-50.0, 3600.0])
def test_a_camera_that_sets_its_clock_goes_on_by_the_wall_clock(jump: float) -> None:
    stamps = [(0.1 * i + jump * (i >= 5), 100 + 0.1 * i) for i in range(10)]
    assert seconds(stamps, is_live=True) == pytest.approx([0.1 * i for i in range(10)])


def test_a_stall_of_the_network_is_no_jump() -> None:
    arrivals = [0, 0.1, 4.0, 4.0, 4.0, 4.01]
    stamps = [(0.1 * i, arrived) for i, arrived in enumerate(arrivals)]
    assert seconds(stamps, is_live=True) == pytest.approx([0.1 * i for i in range(6)])


@pytest.mark.parametrize("pts", [None, 5.0])
def test_a_camera_without_useful_stamps_runs_by_arrival(pts: float | None) -> None:
    times = seconds([(pts, 100 + 0.1 * i) for i in range(50)], is_live=True)
    assert times == pytest.approx([0.1 * i for i in range(50)])


def test_a_file_without_stamps_runs_at_its_nominal_rate() -> None:
    assert seconds([(None, 0.0)] * 4, is_live=False) == pytest.approx([0, 0.04, 0.08, 0.12])


def test_the_next_round_of_a_clip_follows_after_one_interval() -> None:
    clock = StreamTime(0.04, is_live=False)
    times = [clock.step(pts, 0) for pts in (0.5, 1.0)]
    clock.restart()
    times += [clock.step(pts, 0) for pts in (0.5, 1.0)]
    assert times == pytest.approx([0, 0.5, 0.54, 1.04])

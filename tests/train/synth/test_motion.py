"""Windows without pictures: what a camera and an estimator make of a performance."""

from dataclasses import replace

import numpy as np
import pytest

from engines.skeleton import MEDIAPIPE33
from train.labels import ILLUSTRATIVE
from train.synth.body import Body
from train.synth.motion import RATE_HZ, Estimator, Take, draw_ends, draw_take, observe

SPAN_S = 3.0
PERFECT = Estimator(
    hand=(0, 0), low_hand=0, elbow=(0, 0), hip=(0, 0), head=(0, 0), single=(0, 0), shake=(0, 0),
    lag_s=0, loss=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def take(man: Body) -> Take:
    return draw_take(np.random.default_rng(4), man, 20.0)


def test_a_take_has_points_at_its_rate_and_a_label_at_any_time(take: Take) -> None:
    assert take.points.shape == (len(take.t), 33, 3)
    np.testing.assert_allclose(np.diff(take.t), 1 / RATE_HZ, atol=0.02)
    assert len(take.truth) >= 3
    for part in take.truth:
        assert take.label_at((part.start + part.end) / 2) == part.label
    assert take.label_at(-5) == ILLUSTRATIVE


def test_a_perfect_estimator_sees_a_person_in_metres_and_pixels(take: Take) -> None:
    window = observe(np.random.default_rng(0), take, 10.0, SPAN_S, PERFECT)
    assert window.layout == MEDIAPIPE33.name
    assert window.xyz.shape == (len(window.t), 33, 3)
    assert window.t[-1] - window.t[0] == pytest.approx(SPAN_S, abs=0.1)
    assert (window.conf == 1).all()
    hips = window.xyz[:, MEDIAPIPE33.indices(["left_hip", "right_hip"])].mean(1)
    np.testing.assert_allclose(hips, 0, atol=1e-4)
    ends = MEDIAPIPE33.indices(["left_shoulder", "right_shoulder"])
    width = np.linalg.norm(window.xyz[:, ends[0]] - window.xyz[:, ends[1]], axis=1)
    assert 0.28 < width.mean() < 0.55
    nose, hip = window.xyz[:, 0, 1], window.xyz[:, ends[0], 1]
    assert (nose < hip).all(), "y points down"


def test_errors_are_about_as_large_as_stated(take: Take) -> None:
    shoulders = MEDIAPIPE33.indices(["left_shoulder", "right_shoulder"])
    hand, elbow, wander = [], [], []
    for seed in range(60):
        noisy = replace(Estimator(), lag_s=0.0, loss=0.0, low_hand=0.0)
        seen = observe(np.random.default_rng(seed), take, 12.0, SPAN_S, noisy)
        true = observe(np.random.default_rng(seed), take, 12.0, SPAN_S, PERFECT)
        width = np.linalg.norm(true.xyz[0, shoulders[0]] - true.xyz[0, shoulders[1]])
        error = (seen.xyz - true.xyz) / width
        hand.append(error[:, 15].mean(0))
        elbow.append(error[:, 13].mean(0))
        wander.append(error[:, 13].std(0))
    for errors, flat, deep in ((hand, 0.11, 0.26), (elbow, 0.07, 0.15)):
        spread = np.std(errors, axis=0)
        assert 0.5 * flat < spread[0] < 1.7 * flat
        assert 0.5 * deep < spread[2] < 1.7 * deep
    assert np.mean(wander) < 0.06, "most of an error lasts as long as a window"


def test_a_lost_hand_has_no_coordinates(take: Take) -> None:
    window = observe(np.random.default_rng(0), take, 9.0, SPAN_S, replace(Estimator(), loss=1.0))
    gone = window.conf == 0
    assert gone.any()
    assert np.isnan(window.xyz[gone]).all()
    assert np.isfinite(window.xyz[~gone]).all()
    assert set(np.flatnonzero(gone.any(0))) <= {15, 16, 17, 18, 19, 20, 21, 22}


def test_cameras_differ_and_one_seed_sees_the_same(take: Take) -> None:
    a, b, c = (
        observe(np.random.default_rng(seed), take, 9.0, SPAN_S, Estimator()) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(a.xyz, b.xyz)
    assert np.nanmax(np.abs(a.xyz - c.xyz)) > 0.02


def test_windows_end_where_gestures_are_and_are_labelled_at_their_anchor(take: Take) -> None:
    ends = draw_ends(np.random.default_rng(0), take, SPAN_S, 0.5, 300)
    for end, label in ends:
        assert take.t[0] + SPAN_S <= end <= take.t[-1]
        assert label == take.label_at(end - 0.5 * SPAN_S)
    assert len({label for _, label in ends}) >= 3
    assert np.mean([label != ILLUSTRATIVE for _, label in ends]) > 0.4

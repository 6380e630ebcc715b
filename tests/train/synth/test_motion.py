"""Windows without pictures: what a camera and an estimator make of a performance."""

import numpy as np
import pytest

from engines.skeleton import MEDIAPIPE33
from tests.train.synth.exact_estimator import exact
from train.labels import ILLUSTRATIVE
from train.synth.body import Body
from train.synth.estimator import JOINTS, Estimator, load_estimator
from train.synth.motion import RATE_HZ, Take, draw_end, draw_take, observe
from train.synth.performance import gesture_at

SPAN_S = 3.0


@pytest.fixture(scope="module")
def measured() -> Estimator:
    return load_estimator()


@pytest.fixture(scope="module")
def take(man: Body) -> Take:
    return draw_take(np.random.default_rng(4), man, 20.0)


def test_a_take_has_points_at_its_rate_and_a_label_at_any_time(take: Take) -> None:
    assert take.points.shape == (len(take.t), 33, 3)
    np.testing.assert_allclose(np.diff(take.t), 1 / RATE_HZ, atol=0.02)
    assert len(take.truth) >= 3
    for part in take.truth:
        assert gesture_at(take.truth, (part.start + part.end) / 2) == part.label
    assert gesture_at(take.truth, -5) == ILLUSTRATIVE


def test_an_exact_estimator_sees_a_person_in_metres_and_pixels(take: Take) -> None:
    window = observe(np.random.default_rng(0), take, 10.0, SPAN_S, exact())
    assert window.layout == MEDIAPIPE33.name
    assert window.xyz.shape == (len(window.t), 33, 3)
    assert window.t[-1] - window.t[0] == pytest.approx(SPAN_S, abs=0.1)
    assert (window.conf[:, :JOINTS] == 1).all()
    assert not window.conf[:, JOINTS:].any()
    hips = window.xyz[:, MEDIAPIPE33.indices(["left_hip", "right_hip"])].mean(1)
    np.testing.assert_allclose(hips, 0, atol=0.1)
    ends = MEDIAPIPE33.indices(["left_shoulder", "right_shoulder"])
    width = np.linalg.norm(window.xyz[:, ends[0]] - window.xyz[:, ends[1]], axis=1)
    assert 0.28 < width.mean() < 0.55
    nose, hip = window.xyz[:, 0, 1], window.xyz[:, ends[0], 1]
    assert (nose < hip).all(), "y points down"


def test_the_picture_shows_what_the_estimator_makes_of_it(take: Take, measured: Estimator) -> None:
    """Hands are off by more than shoulders, in both views of the same body."""
    moved = []
    for seed in range(20):
        seen = observe(np.random.default_rng(seed), take, 12.0, SPAN_S, measured)
        true = observe(np.random.default_rng(seed), take, 12.0, SPAN_S, exact())
        width = np.linalg.norm(true.xy[0, 11] - true.xy[0, 12])
        moved.append(np.linalg.norm(seen.xy - true.xy, axis=-1).mean(0) / width)
    error = np.mean(moved, axis=0)
    assert error[15:23].mean() > 2 * error[11:13].mean()
    assert 0.1 < error[15:23].mean() < 0.6


def test_cameras_differ_and_one_seed_sees_the_same(take: Take, measured: Estimator) -> None:
    a, b, c = (
        observe(np.random.default_rng(seed), take, 9.0, SPAN_S, measured) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(a.xyz, b.xyz)
    assert np.nanmax(np.abs(a.xyz - c.xyz)) > 0.02


def test_windows_end_where_gestures_are_and_are_labelled_at_their_anchor(take: Take) -> None:
    rng = np.random.default_rng(0)
    ends = [draw_end(rng, take.t, take.truth, SPAN_S, 0.5) for _ in range(300)]
    for end, label in ends:
        assert take.t[0] + SPAN_S <= end <= take.t[-1]
        assert label == gesture_at(take.truth, end - 0.5 * SPAN_S)
    assert len({label for _, label in ends}) >= 3
    assert np.mean([label != ILLUSTRATIVE for _, label in ends]) > 0.4

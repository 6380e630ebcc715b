"""The estimator's errors: borrowed from moments that were alike, kept, and refused if broken."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.train.synth.exact_estimator import SIZE, exact
from train.annotations import DataError
from train.synth.estimator import (
    JOINTS,
    KNOTS,
    MEASURED,
    as_body,
    key_of,
    load_estimator,
    save_estimator,
    shoulder_width,
)
from train.synth.rotations import Floats

SHAKE = 0.1


def body_of(hand: float) -> Floats:
    """Two seconds of a body that stands still with its hands so far to the right."""
    body = np.zeros((32, JOINTS, 3), np.float32)
    body[:, 15:23, 0] = hand
    return body


def test_without_errors_what_is_there_is_seen() -> None:
    body = body_of(1.0)
    seen, conf = exact().see(np.random.default_rng(0), body)
    np.testing.assert_allclose(seen, body, atol=1e-6)
    assert (conf == 1).all()


def test_what_shook_shakes_and_what_was_still_is_still() -> None:
    """One moment in which hands shook by 0.1; cameras may halve that, or treble it."""
    shakes = np.zeros((1, JOINTS, 3), np.float32)
    shakes[:, 15:23] = SHAKE
    estimator, body = replace(exact(1), shakes=shakes), body_of(1.0)
    sizes = []
    for seed in range(40):
        seen, _ = estimator.see(np.random.default_rng(seed), body)
        error = seen - body
        np.testing.assert_allclose(error[:, :15], 0, atol=1e-6)
        sizes.append(error[:, 15:23].std() / SHAKE)
    assert 0.45 < min(sizes) < 0.8 < 1.8 < max(sizes) < 3.3


def test_what_was_left_over_is_borrowed_from_moments_that_were_alike() -> None:
    """Twenty moments with hands at 0 had no error, twenty with hands at 2 saw them 0.5 too low."""
    base = exact()
    keys, rests, conf = base.keys.copy(), base.rests.copy(), base.conf.copy()
    keys[:20], keys[20:] = key_of(body_of(0.0)), key_of(body_of(2.0))
    rests[20:, :, 15:23, 1] = 0.5
    conf[20:, :, 15] = 0.1
    estimator = replace(base, keys=keys, rests=rests, conf=conf)
    for hand, error, sure in ((0.2, 0.0, 1.0), (1.8, 0.5, 0.1)):
        seen, found = estimator.see(np.random.default_rng(1), body_of(hand))
        assert (seen - body_of(hand))[:, 15:23, 1].mean() == pytest.approx(error, abs=1e-6)
        assert found[:, 15].mean() == pytest.approx(sure)


def test_the_network_says_what_is_missed_on_average() -> None:
    base = exact()
    always = np.zeros(SIZE, np.float32)
    always[0] = 0.25  # the nose, to the right
    seen = replace(base, biases=(*base.biases[:2], always)).mean_error(body_of(0.0))
    assert seen[:, 0, 0] == pytest.approx(0.25)
    assert np.abs(seen).sum() == pytest.approx(0.25 * len(seen))


def test_moments_of_any_length_are_stretched_over_the_body() -> None:
    base = exact(1)
    rests = base.rests.copy()
    rests[:, :, 0, 0] = np.linspace(0, 1, KNOTS)
    for frames in (8, 33, 64):
        body = np.zeros((frames, JOINTS, 3), np.float32)
        seen, _ = replace(base, rests=rests).see(np.random.default_rng(0), body)
        np.testing.assert_allclose(seen[:, 0, 0], np.linspace(0, 1, frames), atol=1e-6)


def test_bodies_are_about_the_shoulders_in_their_widths() -> None:
    xy, z = np.zeros((2, 33, 2), np.float32), np.zeros((2, 33), np.float32)
    xy[:, 11], xy[:, 12], xy[:, 0] = (120, 50), (80, 50), (100, 30)
    z[:, 0] = -10
    body = as_body(xy, z, (shoulder_width(xy), 20.0))
    assert body.shape == (2, JOINTS, 3)
    np.testing.assert_allclose(body[0, 0], [0, -0.5, -0.5])
    np.testing.assert_allclose(body[0, 11], [0.5, 0, 0])


def test_it_is_kept_in_half_precision(tmp_path: Path) -> None:
    path = tmp_path / "estimator.npz"
    estimator = replace(exact(3), spread=np.full(SIZE, 1 / 3, np.float32))
    save_estimator(path, estimator)
    again = load_estimator(path)
    np.testing.assert_allclose(again.spread, estimator.spread, rtol=1e-3)
    assert again.rests.dtype == np.float32
    assert len(again.weights) == len(again.biases) == 3


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    for name, content in (("a.npz", None), ("b.npz", b"PK nothing"), ("c.npz", b"")):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}: expected the errors of an estimator"):
            load_estimator(path)


def test_what_was_measured_is_a_plausible_estimator() -> None:
    """Hands are missed by more than the head, and the deeper the more, as MediaPipe's README says
    of depth; nothing is off by more than a body; what is tracked is smooth."""
    estimator = load_estimator(MEASURED)
    spread = estimator.rests.std(axis=(0, 1))
    head, hands = spread[:11], spread[15:23]
    assert 0.01 < head[:, :2].mean() < 0.1 < hands[:, :2].mean() < 0.4
    assert hands[:, 2].mean() > hands[:, :2].mean()
    assert np.abs(estimator.rests).max() < 6
    assert 0 < estimator.shakes[:, :11, :2].mean() < estimator.shakes[:, 15:23, :2].mean() < 0.02
    assert 0.5 < estimator.conf[..., 15:23].mean() <= 1
    assert len(estimator.keys) >= 500

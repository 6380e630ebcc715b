"""Augmentation: Window -> Window, another picture of the same movement."""

from dataclasses import fields, replace

import numpy as np
import pytest

from engines.skeleton import MEDIAPIPE33
from engines.window import Window
from tests.fakes import ScriptedPerceiver, frame_at
from tests.train.tiny_recipe import tiny
from train.augment import Augmentation, Timing, augment, draw_timing, lost_hands, mirrored
from train.perception import perception_of

NOTHING = Augmentation(**{entry.name: 0 for entry in fields(Augmentation)})
SIDES = ("left", "right")
J = {name: k for k, name in enumerate(MEDIAPIPE33.joints)}


def some_window(n: int = 20) -> Window:
    """A body whose right wrist swings, before a picture that is brighter on its right."""
    spec = replace(perception_of(tiny()), storage=(48, 64))
    seen = [ScriptedPerceiver(spec)(frame_at(k / 10)) for k in range(n)]
    poses = [s.pose for s in seen if s.pose is not None]
    rgb = np.zeros((n, 48, 64, 3), np.uint8)
    rgb[:] = np.linspace(30, 200, 64).astype(np.uint8)[:, None]
    faces = np.zeros((n, 28, 28, 3), np.uint8)
    faces[:, :, 14:] = 150
    return Window(
        t=np.arange(n) / 10, rgb=rgb, xy=np.stack([p.xy for p in poses]),
        xyz=np.stack([p.xyz for p in poses]), conf=np.stack([p.conf for p in poses]), faces=faces,
        has_face=np.ones(n, np.bool_), layout="mediapipe33",
    )  # fmt: skip


def equal(a: Window, b: Window) -> bool:
    return all(
        np.array_equal(getattr(a, f.name), getattr(b, f.name), equal_nan=f.name in ("xy", "xyz"))
        for f in fields(Window)
    )


def changed(a: Window, b: Window) -> set[str]:
    return {
        f.name for f in fields(Window)
        if not np.array_equal(getattr(a, f.name), getattr(b, f.name))
    }  # fmt: skip


def test_switched_off_it_changes_nothing() -> None:
    window = some_window()
    rng = np.random.default_rng(0)
    for _ in range(20):  # one in twenty pictures is greyed, and these are grey
        assert equal(augment(rng, window, NOTHING), window)
        assert draw_timing(rng, NOTHING) == Timing(1.0, None)


def test_the_same_random_state_gives_the_same_window_and_another_one_another() -> None:
    window, how = some_window(), Augmentation()
    first, again, other = (augment(np.random.default_rng(s), window, how) for s in (5, 5, 6))
    assert equal(first, again)
    assert changed(first, other) >= {"rgb", "xy", "xyz"}
    assert equal(window, some_window())  # it is not touched


def test_a_mirror_swaps_sides_in_pictures_points_and_names() -> None:
    window = some_window()
    other = mirrored(window)
    assert np.array_equal(other.rgb, window.rgb[:, :, ::-1])
    assert np.array_equal(other.faces, window.faces[:, :, ::-1])
    right, left = window.xy[:, J["right_wrist"]], other.xy[:, J["left_wrist"]]
    assert np.allclose(left, np.stack([64 - right[:, 0], right[:, 1]], axis=1))
    assert np.ptp(other.xy[:, J["left_wrist"], 0]) > 5 > np.ptp(other.xy[:, J["right_wrist"], 0])
    assert np.allclose(other.xyz[:, J["left_hip"]], window.xyz[:, J["right_hip"]] * (-1, 1, 1))
    assert np.allclose(mirrored(other).xy, window.xy)
    assert changed(mirrored(other), window) <= {"xy"}


@pytest.mark.parametrize("how", [{"shift": 0.1}, {"build": 0.4}])
def test_a_shift_or_build_moves_picture_and_points_together(how: dict[str, float]) -> None:
    """A bright spot stays at its keypoint."""
    window = some_window()
    xy = window.xy.copy()
    xy[:, J["nose"]] = (20.5, 14.5)
    rgb = np.full_like(window.rgb, 20)
    rgb[:, 13:16, 19:22] = 255
    window = replace(window, rgb=rgb, xy=xy)
    rng, offsets = np.random.default_rng(1), []
    for _ in range(20):
        out = augment(rng, window, replace(NOTHING, **how))
        rows, columns = np.nonzero(out.rgb[7, ..., 0] > 100)
        where = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
        assert np.abs(where - out.xy[7, J["nose"]]).max() < 0.7
        assert np.array_equal(out.xy[0, J["nose"]], out.xy[-1, J["nose"]])
        offsets.append(where - 20)
    assert np.std(offsets, axis=0).min() > 0.8


def test_build_changes_width_over_height_about_the_middle() -> None:
    window, rng = some_window(), np.random.default_rng(4)
    middle = np.array(window.rgb.shape[2:0:-1]) / 2
    for _ in range(5):
        out = augment(rng, window, replace(NOTHING, build=0.4))
        x, y = ((out.xy - middle) / (window.xy - middle))[0, J["right_hip"]]
        assert x * y == pytest.approx(1, abs=1e-4)
        assert 1 / 1.5 < x / y < 1.5
        assert abs(x / y - 1) > 1e-3


def test_light_is_the_same_in_all_pictures_of_a_window() -> None:
    window = some_window()
    out = augment(np.random.default_rng(2), window, replace(NOTHING, light=0.3))
    assert changed(out, window) == {"rgb", "faces"}
    assert (out.rgb == out.rgb[:1]).all()


def test_a_face_is_bent_alike_in_all_pictures_of_a_window() -> None:
    window, rng = some_window(), np.random.default_rng(3)
    how = replace(NOTHING, bend=0.022)
    edges = []
    for _ in range(20):
        out = augment(rng, window, how)
        assert changed(out, window) == {"faces"}
        assert (out.faces == out.faces[:1]).all()
        edges.append(int((out.faces[0, 14, :, 0] < 75).sum()))  # the edge lies at 14 of 28 px
    assert 10 <= min(edges) < 14 < max(edges) <= 18


def test_frames_that_the_store_left_black_stay_black() -> None:
    window = some_window()
    rgb = window.rgb.copy()
    rgb[::2] = 0
    out = augment(np.random.default_rng(2), replace(window, rgb=rgb), Augmentation(noise=40))
    assert not out.rgb[::2].any()
    assert out.rgb[1::2].any(axis=(1, 2, 3)).all()


def test_lost_joints_have_no_place_and_lost_faces_no_picture() -> None:
    window, rng = some_window(), np.random.default_rng(4)
    how = replace(NOTHING, joint_loss=0.5, evidence_loss=1.0)
    lost = []
    for _ in range(20):
        out = augment(rng, window, how)
        missing = out.conf == 0
        assert np.isnan(out.xy[missing]).all()
        assert np.isnan(out.xyz[missing]).all()
        assert np.isfinite(out.xy[~missing]).all()
        assert not out.faces[~out.has_face].any()
        assert not out.has_face.all()
        assert not out.has_pose.all()
        lost.append(missing.mean())
    assert 0.1 < np.mean(lost) < 0.8


def test_movement_stays_movement() -> None:
    """Noise on the keypoints is far below a gesture's path."""
    window = some_window()
    swing = np.ptp(window.xy[:, J["right_wrist"], 0])
    out = augment(np.random.default_rng(5), window, replace(NOTHING, jitter=0.012))
    error = (out.xy - out.xy.mean(axis=0)) - (window.xy - window.xy.mean(axis=0))
    assert 0 < np.abs(error).std() < 0.05 * swing


def test_speed_and_rate_stay_in_their_limits() -> None:
    rng, how = np.random.default_rng(6), Augmentation(speed=0.2, thinning=0.3)
    drawn = [draw_timing(rng, how) for _ in range(400)]
    speeds = np.array([timing.speed for timing in drawn])
    rates = [timing.rate_hz for timing in drawn if timing.rate_hz is not None]
    assert 1 / 1.2 <= speeds.min() < 0.87
    assert 1.15 < speeds.max() <= 1.2
    assert len(rates) / 400 == pytest.approx(0.3, abs=0.08)
    assert 9 <= min(rates) <= max(rates) <= 16


def test_a_lost_hand_is_elsewhere_for_a_while_as_a_whole() -> None:
    window = some_window(40)
    hands = [[J[f"{side}_{p}"] for p in ("wrist", "pinky", "index", "thumb")] for side in SIDES]
    others = sorted(set(range(33)) - {*hands[0], *hands[1]})
    shares = []
    for seed in range(60):
        seen, is_lost = lost_hands(np.random.default_rng(seed), window)
        assert changed(seen, window) <= {"xy", "conf"}
        moved = seen.xy - window.xy
        np.testing.assert_array_equal(moved[:, others], 0)
        for k, hand in enumerate(hands):
            np.testing.assert_allclose(np.ptp(moved[:, hand], axis=1), 0, atol=1e-4)
            is_away = np.abs(moved[:, hand[0]]).max(axis=-1) > 0
            np.testing.assert_array_equal(is_away & ~is_lost[:, k], False)
            assert (seen.conf[:, hand] <= window.conf[:, hand]).all()
            edges = np.diff(np.pad(is_lost[:, k], 1).astype(int))
            assert (edges == 1).sum() <= 1, "one time at most"
        shares.append(is_lost.any(axis=0).mean())
        again, when = lost_hands(np.random.default_rng(seed), window)
        assert equal(again, seen)
        np.testing.assert_array_equal(when, is_lost)
    assert 0.03 < np.mean(shares) < 0.25

"""Places of joints: where they are in what the branch is fed; what a branch that knows loses."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from engines.skeleton import MEDIAPIPE33
from engines.tensor_specs import HandInput, RgbInput
from engines.window import Window
from train.models.mvit import MViTConfig
from train.places import (
    JOINTS,
    HandPlacesProbe,
    PlacesProbe,
    places_at_hands,
    places_in,
    places_loss,
    unknown_places,
)
from train.recipes import demo

RGB = next(spec for spec in demo().inputs if isinstance(spec, RgbInput))
HAND = next(spec for spec in demo().inputs if isinstance(spec, HandInput))
JOINT = MEDIAPIPE33.joints.index


def window(xy: tuple[float, float], conf: float = 1.0) -> Window:
    """Two frames of 128 px in which every joint is at one place."""
    joints = len(MEDIAPIPE33.joints)
    return Window(
        t=np.array([0.0, 0.5]), rgb=np.zeros((2, 128, 128, 3), np.uint8),
        xy=np.broadcast_to(np.array(xy, np.float32), (2, joints, 2)).copy(),
        xyz=np.zeros((2, joints, 3), np.float32), conf=np.full((2, joints), conf, np.float32),
        faces=np.zeros((2, 1, 1, 3), np.uint8), has_face=np.zeros(2, np.bool_),
        layout=MEDIAPIPE33.name,
    )  # fmt: skip


def test_places_are_shares_of_what_is_left_after_cutting() -> None:
    """128 px are stored, the middle 112 are fed: (8 + 28, 8 + 84) is at (1/4, 3/4)."""
    places = places_in(window((36, 92)), np.array([1, 0, 1]), RGB)
    assert places.shape == (3, JOINTS, 2)
    np.testing.assert_allclose(places, np.broadcast_to([0.25, 0.75], places.shape), atol=1e-6)


def test_what_is_cut_off_or_outside_the_cameras_picture_is_unknown() -> None:
    sampled = np.array([0])
    assert np.isnan(places_in(window((4, 64)), sampled, RGB)).all()
    assert np.isnan(places_in(window((64, 64), conf=0.0), sampled, RGB)).all()


def test_at_a_hand_its_own_joints_come_first_and_the_other_hands_are_told_apart() -> None:
    shown = window((100, 60))  # of both wrists and all knuckles: both pictures begin at (68, 28)
    xy = shown.xy.copy()
    xy[:, JOINT("left_thumb")], xy[:, JOINT("right_thumb")] = (76, 44), (84, 36)
    xy[:, JOINT("nose")], xy[:, JOINT("left_elbow")] = (92, 52), (60, 100)
    shown = replace(shown, xy=xy)
    left, right = places_at_hands(shown, shown, np.array([1]), HAND)
    own, other = JOINT("left_thumb"), JOINT("right_thumb")
    np.testing.assert_allclose([left[own], left[other]], [[0.125, 0.25], [0.25, 0.125]])
    np.testing.assert_allclose([right[own], right[other]], [[0.25, 0.125], [0.125, 0.25]])
    np.testing.assert_allclose([p[JOINT("nose")] for p in (left, right)], [[0.375, 0.375]] * 2)
    elbows = [JOINT("left_elbow"), JOINT("right_elbow")]  # the picture's own, and the other
    assert np.isnan(left[elbows]).all(axis=1).tolist() == [True, False]  # the left one is outside
    assert np.isnan(right[elbows]).all(axis=1).tolist() == [False, True]


def test_places_are_true_where_the_picture_was_cut_beside_the_hand() -> None:
    shown, missed = window((100, 60)), window((104, 52))
    places = places_at_hands(shown, missed, np.array([0]), HAND)
    np.testing.assert_allclose(places, np.broadcast_to([28 / 64, 40 / 64], places.shape))
    assert np.isnan(places_at_hands(shown, window((104, 52), 0.2), np.array([0]), HAND)).all()


def test_the_probe_of_hands_says_a_cell_for_every_picture_and_joint() -> None:
    gesture = demo().net.micro_gesture
    assert gesture is not None
    assert gesture.hands is not None
    maps = torch.randn(3 * 8, gesture.hands.widths[-1], 4, 4)
    assert HandPlacesProbe(gesture.hands)(maps, 8).shape == (3, 8, JOINTS, 16)


def test_the_probe_says_a_cell_for_every_picture_and_joint() -> None:
    trunk = demo().net.mvit
    grid = trunk.token_grid(4, 112, 112)
    tokens = torch.randn(3, 1 + math.prod(grid), trunk.dims[-1])
    assert PlacesProbe(trunk)(tokens).shape == (3, 4, JOINTS, grid[1] * grid[2])


def test_pictures_of_one_token_are_told_apart_in_time_order() -> None:
    """Tokens of one instant speak for its pictures and no others."""
    trunk = MViTConfig(
        dims=(4,), heads=(1,), q_strides=((1, 1, 1),), num_classes=2, embed_dim=4, frames=4, size=8
    )
    t, h, w = trunk.token_grid(4, 8, 8)
    probe = PlacesProbe(trunk)
    tokens = torch.zeros(1, 1 + t * h * w, 4)
    still = probe(tokens)
    tokens[:, 1 + h * w :] = 1.0  # the second half of the time
    changed = (probe(tokens) != still).flatten(2).any(-1)[0]
    assert changed.tolist() == [False, False, True, True]


def test_the_loss_is_least_where_the_joint_is() -> None:
    """At a cell's centre all weight is on it; halfway between two, half on each: ln 2 at best."""
    places = unknown_places(1, JOINTS)[None]
    places[0, 0, 0] = torch.tensor([1.5 / 4, 2.5 / 4])
    logits = torch.zeros(1, 1, JOINTS, 16)
    assert float(places_loss(logits, places)) == pytest.approx(math.log(16), abs=1e-5)
    logits[0, 0, 0, 2 * 4 + 1] = 30.0
    assert float(places_loss(logits, places)) == pytest.approx(0.0, abs=1e-5)
    places[0, 0, 0, 0] = 2.0 / 4
    logits[0, 0, 0, 2 * 4 + 2] = 30.0
    assert float(places_loss(logits, places)) == pytest.approx(math.log(2), abs=1e-4)


def test_nothing_known_is_no_loss() -> None:
    logits = torch.randn(2, 3, JOINTS, 49, requires_grad=True)
    loss = places_loss(logits, torch.stack([unknown_places(3, JOINTS)] * 2))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_joints_are_mediapipes_without_legs() -> None:
    assert MEDIAPIPE33.joints[JOINTS - 1] == "right_hip"

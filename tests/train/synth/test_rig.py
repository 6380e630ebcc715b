"""The rig: whatever the controls say, bones keep their lengths and joints bend as joints do."""

from itertools import pairwise

import numpy as np
import pytest

from tests.train.synth.anatomy import bone, turned
from train.synth.body import SIDES, Body
from train.synth.controls import Controls, still
from train.synth.gestures.classes import PERFORMED, perform
from train.synth.gestures.reach import Goal, reach
from train.synth.rig import joints, pose
from train.synth.script import idle

T = np.arange(0, 3.0, 1 / 15)


def performed(body: Body, label: int, seed: int) -> Controls:
    rng = np.random.default_rng([seed, label])
    controls = idle(rng, body, T, 1)
    perform(rng, controls, body, label, 0.2, 2.8)
    return controls


def test_without_any_movement_the_person_stands_as_modelled(people: tuple[Body, ...]) -> None:
    for body in people:
        bones, morphs = pose(body, still(T[:2], body, is_seated=False))
        assert morphs.shape == (2, 0)
        moved = np.linalg.norm(bones[0, :, :3, 3] - body.rest[:, :3, 3], axis=1)
        names = body.avatar.skeleton.names
        arms = ("Forearm", "Finger", "Clavicle", "UpperArm", "Hand", "Elbow", "Twist")
        others = [k for k, name in enumerate(names) if not any(a in name for a in arms)]
        assert moved[others].max() < 0.01
        for letter in "LR":
            assert moved[body.bone(f"{letter} Hand")] < 0.5


def test_arms_keep_their_lengths_and_bones_only_turn(people: tuple[Body, ...]) -> None:
    pairs = (("UpperArm", "Forearm"), ("Forearm", "Hand"), ("Hand", "Finger2"))
    for body in people:
        for label in PERFORMED[::3]:
            bones, _ = pose(body, performed(body, label, 1))
            assert np.isfinite(bones).all()
            for letter in "LR":
                for a, b in pairs:
                    a, b = f"{letter} {a}", f"{letter} {b}"
                    length = np.linalg.norm(bone(body, bones, a) - bone(body, bones, b), axis=1)
                    expected = np.linalg.norm(body.at(a) - body.at(b))
                    np.testing.assert_allclose(length, expected, rtol=2e-3)
                    own = turned(body, bones, a)
                    np.testing.assert_allclose(np.linalg.det(own), 1, atol=1e-3)


def test_hands_bend_against_forearms_no_further_than_wrists_do(man: Body) -> None:
    for label in PERFORMED:
        bones, _ = pose(man, performed(man, label, 2))
        for side in SIDES:
            letter = side[0].upper()
            fingers = turned(man, bones, f"{letter} Hand") @ man.hands[side].fingers
            fore = bone(man, bones, f"{letter} Hand") - bone(man, bones, f"{letter} Forearm")
            cosine = (fingers * fore).sum(-1) / np.linalg.norm(fore, axis=1)
            assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 75


def test_only_what_is_asked_for_equals_the_whole(man: Body) -> None:
    controls = performed(man, 8, 3)
    bones, _ = pose(man, controls)
    names = ("Head", "L Hand", "R Finger22", "L Foot")
    rotations, positions = joints(man, controls, names)
    for k, name in enumerate(names):
        np.testing.assert_allclose(positions[:, k], bone(man, bones, name), atol=1e-3)
        np.testing.assert_allclose(rotations[:, k], turned(man, bones, name), atol=1e-4)


@pytest.mark.parametrize("side", SIDES)
def test_a_hand_goes_where_it_is_told_and_far_goals_stretch_the_arm(man: Body, side: str) -> None:
    controls = still(T[:2], man, is_seated=False)
    letter, sign = side[0].upper(), 1.0 if side == "left" else -1.0
    chest = man.landmarks["chest"].point
    always = np.ones(2, np.float32)
    near = np.asarray(chest + np.array([0, -5, 30]), np.float32)
    reach(controls, side, always, Goal(near, (-0.3, 0.2, 0.9), (-0.9, 0, 0), tip=0.0))
    bones, _ = pose(man, controls)
    assert np.linalg.norm(bone(man, bones, f"{letter} Hand")[0] - near) < 0.5
    far = np.asarray(chest + np.array([sign * 10, 0, 300]), np.float32)
    reach(controls, side, always, Goal(far, (0, 0, 1), (-1, 0, 0), tip=0.0))
    bones, _ = pose(man, controls)
    arm = bone(man, bones, f"{letter} Hand")[0] - bone(man, bones, f"{letter} UpperArm")[0]
    names = [f"{letter} {b}" for b in ("UpperArm", "Forearm", "Hand")]
    whole = sum(float(np.linalg.norm(man.at(a) - man.at(b))) for a, b in pairwise(names))
    assert 0.98 * whole < np.linalg.norm(arm) < whole


def test_seated_people_have_their_thighs_before_them(man: Body) -> None:
    bones, _ = pose(man, still(T[:2], man, is_seated=True))
    thigh = bone(man, bones, "L Calf")[0] - bone(man, bones, "L Thigh")[0]
    assert thigh[2] > 0.9 * np.linalg.norm(thigh)


def test_fingers_curl_towards_the_palm_and_spread_apart(man: Body) -> None:
    for side in SIDES:
        letter = side[0].upper()
        spans, reached = {}, {}
        for curl, spread in ((0.0, 0.0), (0.9, 0.0), (0.0, 1.0)):
            controls = still(T[:2], man, is_seated=False)
            controls.hands[side].curl[:] = curl
            controls.hands[side].spread[:] = spread
            bones, _ = pose(man, controls)
            at = {f: bone(man, bones, f"{letter} Finger{f}2")[0] for f in (1, 2, 4)}
            hand = turned(man, bones, f"{letter} Hand")[0]
            wrist = bone(man, bones, f"{letter} Hand")[0]
            shape = man.hands[side]
            reached[curl, spread] = [
                float((at[2] - wrist) @ (hand @ v)) for v in (shape.palm, shape.fingers)
            ]
            spans[curl, spread] = float(np.linalg.norm(at[1] - at[4]))
        (low, far), (high, near) = reached[0.0, 0.0], reached[0.9, 0.0]
        assert high > low + 1
        assert near < far - 3
        assert spans[0.0, 1.0] > spans[0.0, 0.0] + 1

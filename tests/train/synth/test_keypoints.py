"""Keypoints from bones: where estimators would find them, in their own orders."""

import numpy as np

from engines.skeleton import MEDIAPIPE33
from tests.train.synth.performances import show
from train.synth.body import Body
from train.synth.keypoints import (
    carry,
    carry_joints,
    finger_places,
    mediapipe_places,
)


def test_mediapipe_landmarks_are_where_bodies_have_them(people: tuple[Body, ...]) -> None:
    for body in people:
        places = mediapipe_places(body)
        assert len(places) == 33
        points = carry(body, body.rest[None], places)[0]
        at = dict(zip(MEDIAPIPE33.joints, points, strict=True))
        order = ("nose", "mouth_left", "left_shoulder", "left_elbow", "left_knee", "left_ankle")
        heights = [at[name][1] for name in order]
        assert heights == sorted(heights, reverse=True)
        for name in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
            left, right = at[f"left_{name}"], at[f"right_{name}"]
            assert left[0] > 0 > right[0]
            np.testing.assert_allclose(left * (-1, 1, 1), right, atol=3)
        assert at["left_foot_index"][2] > at["left_heel"][2]


def test_points_move_with_their_bones_and_the_short_way_is_the_same(man: Body) -> None:
    shown = show(man, 8, 0)
    places = mediapipe_places(man)
    whole = carry(man, shown.bones, places)
    np.testing.assert_allclose(carry_joints(man, shown.controls, places), whole, atol=0.01)
    wrists = list(MEDIAPIPE33.indices(["left_wrist", "right_wrist"]))
    assert np.ptp(whole[:, wrists], axis=0).max() > 30


def test_fingers_have_four_points_that_go_away_from_the_wrist_to_the_tip(man: Body) -> None:
    for side in ("left", "right"):
        wrist = man.at(f"{side[0].upper()} Hand")
        points = carry(man, man.rest[None], finger_places(man, side))[0]
        for chain in points.reshape(5, 4, 3):
            away = [float(np.linalg.norm(p - wrist)) for p in chain]
            assert away == sorted(away)
            assert 9 < away[-1] < 22

"""Keypoints from bones: where estimators would find them, in their own orders."""

import numpy as np

from engines.skeleton import MEDIAPIPE33
from tests.train.synth.performances import show
from train.synth.body import Body
from train.synth.keypoints import (
    OPENPOSE,
    carry,
    carry_joints,
    mediapipe_places,
    openpose,
    openpose_places,
)
from train.synth.rotations import Floats


def plane(points: Floats) -> Floats:
    """A camera far away before the person: 1 cm is 1 px, 200 px wide and high."""
    return np.stack([100 + points[..., 0], 200 - points[..., 1]], -1)


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


def test_openpose_has_137_keypoints_and_none_outside_the_picture(man: Body) -> None:
    bones = show(man, 8, 0).bones[:3]
    points = openpose(man, bones, plane, (200, 200))
    assert points.shape == (3, OPENPOSE, 3)
    nose, right_wrist, left_wrist = points[0, 0], points[0, 4], points[0, 7]
    assert nose[2] == 1
    assert right_wrist[0] < nose[0] < left_wrist[0], "as seen by a camera, not mirrored"
    np.testing.assert_array_equal(points[:, 95], points[:, 7])
    np.testing.assert_array_equal(points[:, 116], points[:, 4])
    cut = openpose(man, bones, plane, (60, 200))  # what is below the chest is not in the picture
    assert cut[0, 0, 2] == 1
    np.testing.assert_array_equal(cut[:, 10], 0)
    assert set(np.unique(cut[..., 2])) == {0, 1}


def test_hands_have_21_keypoints_that_go_from_the_wrist_to_the_tips(man: Body) -> None:
    places = openpose_places(man)
    points = dict(zip(places, carry(man, man.rest[None], places)[0], strict=True))
    for start in (95, 116):
        for finger in range(5):
            chain = [points[start], *(points[start + 1 + 4 * finger + k] for k in range(4))]
            away = [float(np.linalg.norm(p - chain[0])) for p in chain]
            assert away == sorted(away)
            assert 9 < away[-1] < 22

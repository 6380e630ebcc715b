"""The face: where it is found, what stands in for the detector, and how it is cut out."""

import json
from pathlib import Path

import numpy as np
import pytest

from realtime.perception.face import TEMPLATE_112, FaceFinder, similarity
from realtime.perception.models import PerceptionModels
from realtime.perception.pose import PoseEstimator
from realtime.records import Pose
from tests.realtime.test_perception import BLANK, HAND_TO_FACE, ONE_FACE, a_pose, frames


def test_a_close_face_without_a_pose_is_found(
    shared: Path, perception_models: PerceptionModels
) -> None:
    image = next(frames(shared / "media" / ONE_FACE)).image
    with FaceFinder(perception_models.face_path) as finder:
        face = finder(image, None, 0.0)
        assert finder(BLANK, None, 0.0) is None
    assert face is not None
    assert face.conf > 0.5


def test_between_detections_the_face_moves_with_the_pose(
    shared: Path, perception_models: PerceptionModels
) -> None:
    """Carried along for a tenth of a second, it lies where the detector would find it."""
    distances = []
    with (
        PoseEstimator(perception_models.pose_path) as estimate,
        FaceFinder(perception_models.face_path) as carrying,
        FaceFinder(perception_models.face_path) as detecting,
    ):
        for f in frames(shared / "media" / HAND_TO_FACE, 1, 45):
            pose = estimate(f.image, f.t)
            carried, detected = carrying(f.image, pose, f.t), detecting(f.image, pose, f.t)
            detecting.reset()
            assert carried is not None
            assert detected is not None
            side = detected.box[2] - detected.box[0]
            distances.append(np.abs(carried.box - detected.box).max() / side)
    assert min(distances) == 0  # where it was detected
    assert 0 < np.median(distances) < 0.05
    assert max(distances) < 0.25


def turned(pose: Pose) -> Pose:
    """The same person from behind: left and right change sides, the nose is far."""
    return Pose(pose.xy * (-1, 1) + (640, 0), pose.xyz * (-1, 1, -1), pose.conf.copy(), pose.layout)


def with_conf(pose: Pose, joint: int, conf: float) -> Pose:
    values = pose.conf.copy()
    values[joint] = conf
    return Pose(pose.xy.copy(), pose.xyz.copy(), values, pose.layout)


def test_the_pose_stands_in_for_a_blind_detector_only_where_it_can_be_trusted(
    perception_models: PerceptionModels,
) -> None:
    with FaceFinder(perception_models.face_path) as finder:
        face = finder(BLANK, a_pose(), 0.0)  # there is nothing that the detector could find
        assert face is not None
        assert face.conf == pytest.approx(0.99)
        assert face.box[0] < 320 < face.box[2]
        assert finder(BLANK, turned(a_pose()), 0.0) is None
        assert finder(BLANK, with_conf(a_pose(), 5, 0.2), 0.0) is None
        assert finder(BLANK, a_pose(centre=(320, 60)), 0.0) is None  # the eyes are above the edge
        profile = a_pose()
        xy = profile.xy.copy()
        xy[[2, 5], 0] = (322, 318)
        assert finder(BLANK, Pose(xy, profile.xyz.copy(), profile.conf.copy(), "x"), 0.0) is None


def test_similarity_equals_the_reference_matrices(shared: Path) -> None:
    cases = json.loads((shared / "parity" / "preprocess.json").read_text())["face_alignment"]
    assert np.array_equal(TEMPLATE_112, cases["template_112"])
    for case in cases["cases"]:
        matrix = similarity(np.array(case["landmarks"]), TEMPLATE_112)
        assert np.abs(matrix - case["matrix_2x3"]).max() < 1e-6


def test_a_mirrored_template_is_not_matched_by_reflecting() -> None:
    matrix = similarity(TEMPLATE_112 * (-1, 1), TEMPLATE_112)
    assert np.linalg.det(matrix[:, :2]) > 0

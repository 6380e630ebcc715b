"""Perception with the real models on real people: pose, face, region, and who is followed."""

from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from engines.manifest import CropRule, ModelFile, PerceptionSpec
from realtime.errors import PerceptionError
from realtime.perception import Perceiver, open_perceiver
from realtime.perception.crop import SubjectCrop, cut_square
from realtime.perception.face import FaceFinder
from realtime.perception.models import FACE_MODEL, POSE_MODEL, PerceptionModels
from realtime.perception.pose import PoseEstimator
from realtime.perception.subject import pixels_per_metre, shoulders
from realtime.records import Frame, Image, Observation, Pose

HAND_TO_FACE = "intel_asl_hand_to_face.mp4"
TORSO_HANDS = "intel_asl_torso_hands.mp4"
HEAD_TURN = "intel_head_turn_smile.mp4"
ONE_FACE = "pyfeat_single_face_neutral_smile.mp4"
RULE = CropRule(scale=3.0, shift=0.25, slack=0.08, tau_s=0.6)
SPEC = PerceptionSpec(
    layout="mediapipe33",
    pose_model=POSE_MODEL,
    face_model=FACE_MODEL,
    crop=RULE,
    storage=(256, 256),
    face_size=112,
)
BLANK = np.full((480, 640, 3), 127, np.uint8)


def frames(path: Path, step: int = 1, count: int = 10_000) -> Iterator[Frame]:
    with av.open(str(path)) as container:
        for index, picture in enumerate(container.decode(video=0)):
            if index % step == 0:
                image = np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)
                yield Frame(image, float(picture.time or 0), index, path.name, 0.0)
            if index >= step * (count - 1):
                return


def frame(image: Image, t: float) -> Frame:
    return Frame(image.copy(), t, round(t * 30), "composed", 0.0)


@pytest.fixture
def perceiver(perception_models: PerceptionModels) -> Iterator[Perceiver]:
    with Perceiver(SPEC, perception_models) as opened:
        yield opened


def a_pose(centre: tuple[float, float] = (320, 240), scale: float = 300.0) -> Pose:
    """Somebody upright who looks into the camera: 0.4 m shoulders, `scale` px a metre."""
    xyz = np.zeros((33, 3), np.float32)
    for joint, where in {
        0: (0, -0.25, -0.3), 2: (0.03, -0.29, -0.27), 5: (-0.03, -0.29, -0.27),
        7: (0.07, -0.27, -0.15), 8: (-0.07, -0.27, -0.15), 9: (0.025, -0.21, -0.27),
        10: (-0.025, -0.21, -0.27), 11: (0.2, 0, 0), 12: (-0.2, 0, 0),
        23: (0.1, 0.5, 0), 24: (-0.1, 0.5, 0),
    }.items():  # fmt: skip
        xyz[joint] = where
    xy = (xyz[:, :2] * scale + centre).astype(np.float32)
    conf = np.where((xyz != 0).any(1), 0.99, 0.1).astype(np.float32)
    return Pose(xy, xyz, conf, "mediapipe33")


@pytest.mark.parametrize(
    ("clip", "step"), [(HAND_TO_FACE, 5), (TORSO_HANDS, 8), (HEAD_TURN, 2), (ONE_FACE, 6)]
)
def test_pose_and_face_are_found_in_real_clips(
    shared: Path, perceiver: Perceiver, clip: str, step: int
) -> None:
    seen = [perceiver(f) for f in frames(shared / "media" / clip, step)]
    assert np.mean([o.pose is not None for o in seen]) >= 0.98
    assert np.mean([o.face is not None for o in seen]) >= 0.90
    assert seen[-1].following == "following the only person in view"
    for o in seen:
        assert o.rgb.shape == (256, 256, 3)
        assert o.rgb.dtype == np.uint8
        if o.pose and o.face:
            assert o.face.crop.shape == (112, 112, 3)
            nose = o.pose.xy[0]
            assert (nose > o.face.box[:2]).all()
            assert (nose < o.face.box[2:]).all()
    if clip == TORSO_HANDS:  # head, torso and arms are in the region
        for o in seen:
            assert o.pose is not None
            xy = o.pose.xy[:25][o.pose.conf[:25] > 0.8]
            xy = xy[((xy >= 0) & (xy < (640, 480))).all(1)]
            assert ((xy >= o.crop[:2]) & (xy <= o.crop[2:])).all()


def test_the_region_rests_on_somebody_who_stands_still(shared: Path, perceiver: Perceiver) -> None:
    crops = [perceiver(f).crop for f in frames(shared / "media" / ONE_FACE, 8)]
    assert all((c == crops[0]).all() for c in crops)


def test_the_same_clip_gives_the_same_observations(shared: Path, perceiver: Perceiver) -> None:
    def run() -> list[Observation]:
        perceiver.reset()  # the clock starts anew as well
        return [perceiver(f) for f in frames(shared / "media" / HAND_TO_FACE, 3, 6)]

    for a, b in zip(run(), run(), strict=True):
        assert a.pose is not None
        assert b.pose is not None
        assert (a.pose.xy == b.pose.xy).all()
        assert (a.rgb == b.rgb).all()


def test_without_a_person_there_is_only_the_centre_square(perceiver: Perceiver) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8)
    for t, image in enumerate((BLANK, noise[:, :480], np.zeros_like(BLANK))):
        o = perceiver(frame(image, float(t)))
        assert (o.pose, o.face) == (None, None)
    o = perceiver(frame(noise, 3.0))
    assert o.crop.tolist() == [140, 0, 500, 360]
    assert o.following == "no person in view"
    assert not o.is_new_subject


def test_frames_closer_than_a_millisecond_are_fine(shared: Path, perceiver: Perceiver) -> None:
    image = next(frames(shared / "media" / HAND_TO_FACE)).image
    for n in range(4):
        assert perceiver(frame(image, 5 + n * 1e-4)).pose is not None


def test_the_nearest_who_stays_is_followed(shared: Path, perceiver: Perceiver) -> None:
    near = list(frames(shared / "media" / HAND_TO_FACE, 6, 20))
    far = list(frames(shared / "media" / TORSO_HANDS, 6, 20))
    story = []
    for n in range(40):  # 5 a second
        t, image = n / 5, np.full((720, 1280, 3), 128, np.uint8)
        small = cv2.resize(far[n % 20].image, (480, 360), interpolation=cv2.INTER_AREA)
        image[200:560, 40:520] = small
        if t >= 2:
            image[120:600, 600:1240] = near[n % 20].image
        o = perceiver(frame(image, t))
        assert o.pose is not None
        story.append((o.pose.xy[0, 0] > 600, o.following, o.is_new_subject))
    on_near = [is_near for is_near, _, _ in story]
    assert not any(on_near[:11])  # nobody is left for somebody who has only just come
    assert all(on_near[21:])  # nor later than two surveys after
    assert story[0] == (False, "following the only person in view", True)
    assert "following the nearest of 2 people" in {text for _, text, _ in story}
    assert sum(changed for _, _, changed in story) == 2


def test_no_face_is_made_up_where_the_head_is_out_of_the_picture(
    shared: Path, perceiver: Perceiver
) -> None:
    poses = 0
    for f in frames(shared / "media" / HAND_TO_FACE, 5, 20):
        o = perceiver(frame(f.image[165:], f.t))
        poses += o.pose is not None
        assert o.face is None
    assert poses > 0  # it is not for want of a pose


def test_scale_and_shoulder_width_do_not_shrink_when_somebody_turns() -> None:
    front = a_pose(scale=250)
    assert pixels_per_metre(front) == pytest.approx(250, rel=1e-4)
    angle = np.deg2rad(60)
    spin = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    xyz = (front.xyz @ spin.T).astype(np.float32)
    side = Pose((xyz[:, :2] * 250 + (320, 240)).astype(np.float32), xyz, front.conf.copy(), "x")
    assert shoulders(side)[1] == pytest.approx(100, rel=1e-3)


def test_the_region_follows_the_rule() -> None:
    crop = SubjectCrop(CropRule(scale=2.0, shift=0.5, slack=0.1, tau_s=0.5), (64, 64))
    big = np.full((1000, 1000, 3), 200, np.uint8)
    assert crop(big, None, 0.0)[1].tolist() == [4, 4, 996, 996]  # whole blocks of 16 px
    rgb, first = crop(big, a_pose((500, 400), 500.0), 1.0)  # shoulders 200 px wide
    assert rgb.shape == (64, 64, 3)
    assert np.abs(first - (300, 300, 700, 700)).max() <= 4
    assert (crop(big, a_pose((535, 400), 500.0), 1.1)[1] == first).all()  # within the slack
    assert (crop(big, None, 1.2)[1] == first).all()  # held while the person is lost
    one_tau = crop(big, a_pose((600, 400), 500.0), 1.7)[1]
    assert one_tau[0] - first[0] == pytest.approx(60 * (1 - np.exp(-1)), abs=1)
    for n in range(60):
        last = crop(big, a_pose((600, 400), 500.0), 1.8 + n / 10)[1]
    assert last[0] - first[0] == pytest.approx(60, abs=1)  # it comes to rest at the slack's edge
    crop.reset()
    fresh = crop(big, a_pose((600, 400), 500.0), 9.0)[1]
    assert np.abs(fresh - (400, 300, 800, 700)).max() <= 4


def test_the_region_reaches_over_the_edge_no_farther_than_it_must() -> None:
    crop = SubjectCrop(CropRule(scale=2.0, shift=0.0, slack=0.1, tau_s=0.5), (64, 64))
    image = np.full((360, 640, 3), 255, np.uint8)
    left, top, right, bottom = crop(image, a_pose((20, 300), 500.0), 0.0)[1]
    assert left == 0  # moved inwards
    assert right - left > 360  # higher than the frame, so all of the height is in it
    assert top <= 0
    assert bottom >= 360
    crop.reset()
    left, _, right, _ = crop(image, a_pose((320, 300), 2000.0), 0.0)[1]
    assert right - left <= 640


def test_beyond_the_edge_is_black_and_shrinking_averages() -> None:
    checks = (np.indices((400, 400)).sum(0) % 2 * 255).astype(np.uint8)
    image = np.repeat(checks[..., None], 3, 2)
    rgb = cut_square(image, (-200, 0), 400, (100, 100))
    assert (rgb[:, :49] == 0).all()
    assert (np.abs(rgb[:, 51:].astype(int) - 127) <= 1).all()
    assert (cut_square(image, (1000, 1000), 50, (10, 10)) == 0).all()


def test_unusable_models_are_one_line(perception_models: PerceptionModels, tmp_path: Path) -> None:
    bad = tmp_path / "bad.task"
    bad.write_bytes(b"not a model")
    with pytest.raises(PerceptionError, match=r"bad.task cannot be used as a pose model") as pose:
        PoseEstimator(bad)
    with pytest.raises(PerceptionError, match=r"bad.task cannot be used as a face model") as face:
        FaceFinder(bad)
    assert "\n" not in f"{pose.value}{face.value}"
    odd = PerceptionSpec(**{**vars(SPEC), "face_size": 224})
    with pytest.raises(PerceptionError, match="112"):
        Perceiver(odd, perception_models)


def test_another_pose_model_than_the_bundles_is_refused(
    perception_models: PerceptionModels,
) -> None:
    heavy = ModelFile(name="pose_landmarker_heavy", sha256="0" * 64)
    with pytest.raises(PerceptionError, match=r"pose_landmarker_heavy.*pose_landmark_full"):
        open_perceiver(PerceptionSpec(**{**vars(SPEC), "pose_model": heavy}))


def test_mediapipe_says_nothing_on_stderr(
    shared: Path, perception_models: PerceptionModels, capfd: pytest.CaptureFixture[str]
) -> None:
    with Perceiver(SPEC, perception_models) as perceiver:
        for f in frames(shared / "media" / HAND_TO_FACE, 4, 4):
            perceiver(f)
    assert capfd.readouterr().err == ""

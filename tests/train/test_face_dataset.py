"""Faces made on the spot: aligned as perception does it, lively, and reproducible."""

from pathlib import Path

import numpy as np
import pytest
import torch

from realtime.perception.face import TEMPLATE_4, similarity
from train.dataset import BETWEEN
from train.face_dataset import FaceDataset, face_places
from train.labels import UNLABELLED
from train.places import LANDMARKS, PLACES
from train.recipes import demo
from train.synth.avatar import AvatarError, load_avatar
from train.synth.body import Body, measure
from train.synth.keypoints import carry, carry_face
from train.turns import AMONG

NAMES = ("m002", "f003")


@pytest.fixture(scope="module")
def dataset(shared: Path) -> FaceDataset:
    return FaceDataset(shared / "avatars", NAMES, demo(), 3)


def test_an_example_has_every_face_and_its_mood(dataset: FaceDataset) -> None:
    feeds, labels = dataset[0]
    assert {name: tuple(x.shape) for name, x in feeds.items()} == {
        "face": (2, 3, 112, 112), "face_mask": (2,),
    }  # fmt: skip
    assert feeds["face_mask"].tolist() == [1, 1]
    assert int(labels["micro_gesture"]) == UNLABELLED
    assert int(labels["emotion"]) in (0, 1, BETWEEN)
    first, second = feeds["face"]
    assert 0 < (first - second).abs().mean() < 0.5  # a second later: the same person, moved


def test_both_moods_people_and_lights_occur(dataset: FaceDataset) -> None:
    drawn = [dataset[k] for k in range(16)]
    assert {int(labels["emotion"]) for _, labels in drawn} == {0, 1, BETWEEN}
    levels = [float(feeds["face"].mean()) for feeds, _ in drawn]
    assert np.ptp(levels) > 0.2


def test_a_window_is_looked_at_again_but_never_quite_the_same(dataset: FaceDataset) -> None:
    """After all that take turns the first one comes once more, augmented anew."""
    first, once = dataset[0]
    second, again = dataset[AMONG]
    assert once["emotion"] == again["emotion"]
    assert not torch.equal(first["face"], second["face"])
    other, _ = dataset[1]
    near = [(first["face"] - second["face"][:, :, :, turn]).abs().mean()
            for turn in (slice(None), torch.arange(111, -1, -1))]  # fmt: skip
    assert min(near) < (first["face"] - other["face"]).abs().mean()


def test_an_example_follows_from_seed_and_draw_alone(dataset: FaceDataset, shared: Path) -> None:
    again = FaceDataset(shared / "avatars", NAMES, demo(), 3)
    other = FaceDataset(shared / "avatars", NAMES, demo(), 4)
    dataset[8]  # another person before the camera in between
    expected, label = dataset[7]
    feeds, same = again[7]
    assert same["emotion"] == label["emotion"]
    torch.testing.assert_close(feeds["face"], expected["face"], rtol=0, atol=0)
    assert not torch.equal(other[7][0]["face"], expected["face"])


def test_landmarks_are_where_they_are_in_the_face(dataset: FaceDataset) -> None:
    """Brows above lids above the nose above the lips."""
    number = {name: k for k, name in enumerate(LANDMARKS)}
    seen = []
    for draw in range(12):
        places = dataset[draw][1][PLACES]
        assert places.shape == (2, len(LANDMARKS), 2)
        seen.append(places)
    middle = torch.nanmedian(torch.cat(seen), dim=0).values
    heights = [float(middle[number[n], 1]) for n in (
        "LOuterEyebrow", "LEyeBlinkTop", "LEyeBlinkBottom", "MNose", "MUpperLip", "MBottomLip"
    )]  # fmt: skip
    assert heights == sorted(heights)
    eye, corner = middle[number["LEyeBlinkTop"]], middle[number["LMouthCorner"]]
    assert torch.allclose(eye * 112, torch.tensor([74.0, 50.0]), atol=9)  # the template's left eye
    assert torch.allclose(corner * 112, torch.tensor([71.0, 92.0]), atol=9)


def test_landmarks_of_a_face_go_with_its_blend_shapes(shared: Path) -> None:
    places = FaceDataset(shared / "avatars", ("f001",), demo(), 3)[0][1][PLACES]
    assert torch.isfinite(places).float().mean() > 0.9
    body = measure(load_avatar(shared / "avatars", "f001"))
    smiling = np.zeros((2, 175), np.float32)
    smiling[1, [body.avatar.morph_names.index(f"AK_{name}") for name in (
        "44_MouthSmileLeft", "45_MouthSmileRight")]] = 1  # fmt: skip
    marks = carry_face(body, np.stack([body.rest] * 2), smiling, ("LMouthCorner", "MNose"))
    np.testing.assert_allclose(marks[0, 0], body.at("LMouthCorner"), atol=1e-3)
    assert marks[1, 0, 1] > marks[0, 0, 1] + 0.2
    assert abs(marks[1, 1] - marks[0, 1]).max() < 0.2


def test_the_four_points_are_the_detectors(shared: Path) -> None:
    """Seen from the front they fit the template to within a few px: the crop is upright."""
    body: Body = measure(load_avatar(shared / "avatars", "m002"))
    points = carry(body, body.rest[None], face_places(body))[0]
    seen = np.stack([points[:, 0], -points[:, 1]], -1).astype(np.float64)
    matrix = similarity(seen, TEMPLATE_4)
    placed = seen @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(placed - TEMPLATE_4).max() < 6
    assert abs(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))) < 5


def test_a_missing_avatar_is_named(tmp_path: Path) -> None:
    with pytest.raises(AvatarError, match=r"m002\.glb"):
        FaceDataset(tmp_path, NAMES, demo(), 0)

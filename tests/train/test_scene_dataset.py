"""Scenes made on the spot: cut as perception cuts, joints where they are, reproducible."""

import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from realtime.perception.crop import cut_square
from train.cues import FACE_CUES, HAND_CUES
from train.dataset import BETWEEN
from train.labels import ILLUSTRATIVE
from train.places import JOINTS, PLACES
from train.recipes import demo
from train.scene_dataset import SceneDataset
from train.synth.avatar import AvatarError, load_avatar
from train.synth.body import measure, skin_matrices
from train.synth.render import Renderer
from train.synth.scene import CutCamera, draw_scene

NAMES = ("m002", "f003")


@pytest.fixture(scope="module")
def dataset(shared: Path) -> SceneDataset:
    return SceneDataset(shared / "avatars", NAMES, demo(), 3)


@pytest.fixture(scope="module")
def whole(shared: Path) -> SceneDataset:
    return SceneDataset(shared / "avatars", NAMES, demo(), 3, only=None)


def test_an_example_has_pictures_and_places(dataset: SceneDataset) -> None:
    feeds, labels = dataset[0]
    assert {name: tuple(x.shape) for name, x in feeds.items()} == {"rgb": (3, 4, 112, 112)}
    assert set(labels) == {"micro_gesture", "emotion", PLACES}
    assert labels[PLACES].shape == (4, JOINTS, 2)
    known = labels[PLACES][torch.isfinite(labels[PLACES])]
    assert ((known >= 0) & (known <= 1)).all()
    assert feeds["rgb"].dtype == torch.uint8
    assert feeds["rgb"].float().std() > 0.2 * 255 * 0.225


def test_heads_are_above_shoulders_and_mostly_in_the_picture(dataset: SceneDataset) -> None:
    places = torch.stack([dataset[k][1][PLACES] for k in range(12)])
    nose, shoulders = places[..., 0, 1], places[..., 11:13, 1].mean(-1)
    assert torch.isfinite(nose).float().mean() > 0.95
    both = torch.isfinite(nose) & torch.isfinite(shoulders)
    assert (nose < shoulders)[both].float().mean() > 0.95


def test_fusion_gets_faces_and_poses_as_estimated(whole: SceneDataset) -> None:
    feeds, labels = whole[0]
    assert set(feeds) == {"rgb", "pose", "pose_mask", "face", "face_mask", "hand", "hand_mask"}
    assert feeds["face_mask"].tolist() == [1, 1]
    assert feeds["face"].std() > 0.1
    assert feeds["pose_mask"].mean() > 0.7
    assert feeds["pose"].std() > 0.1
    assert set(labels) == {"micro_gesture", "emotion", FACE_CUES, HAND_CUES}
    moods = {int(whole[k][1]["emotion"]) for k in range(24)}
    assert moods == {BETWEEN, 0, 1}


def test_of_a_hand_that_is_lost_nothing_is_known(
    whole: SceneDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws, gone = range(8), 0
    monkeypatch.setattr("train.augment._LOST", 0.0)
    known = [whole[k][1] for k in draws]
    monkeypatch.setattr("train.augment._LOST", 1.0)
    for k in draws:
        _, labels = whole[k]
        there, was = (torch.isfinite(x[HAND_CUES]).all(-1) for x in (labels, known[k]))
        same = there & was
        torch.testing.assert_close(labels[HAND_CUES][same], known[k][HAND_CUES][same])
        torch.testing.assert_close(labels[FACE_CUES], known[k][FACE_CUES], equal_nan=True)
        gone += int((was & ~there).sum())
    assert gone > 4


def test_hands_alone_come_with_the_places_in_their_pictures(shared: Path) -> None:
    alone = SceneDataset(shared / "avatars", NAMES, demo(), 3, only="hand")
    feeds = [alone[k][0] for k in range(6)]
    places = torch.stack([alone[k][1][PLACES] for k in range(6)])
    assert all(set(some) == {"hand", "hand_mask"} for some in feeds)
    shown = torch.stack([some["hand_mask"] for some in feeds])
    assert 0.3 < shown.mean() < 1
    wrists = places[:, :, 15].unflatten(1, (4, 2))  # its own, near the middle of the picture
    assert torch.isfinite(wrists[shown > 0]).float().mean() > 0.7
    assert not torch.isfinite(wrists[shown == 0]).any()
    assert (wrists[shown > 0].nanmean(dim=0) - 0.5).abs().max() < 0.25
    pictures = torch.stack([some["hand"] for some in feeds])[shown > 0]
    assert pictures.std(dim=(1, 2, 3)).median() > 0.1  # some rooms are dark
    assert not torch.stack([some["hand"] for some in feeds])[shown == 0].any()


def test_gestures_and_background_occur(dataset: SceneDataset) -> None:
    counts = Counter(int(dataset[k][1]["micro_gesture"]) for k in range(40))
    assert len(counts) >= 6
    assert counts[ILLUSTRATIVE] < 30


def test_an_example_follows_from_seed_and_draw_alone(dataset: SceneDataset, shared: Path) -> None:
    copied = pickle.loads(pickle.dumps(SceneDataset(shared / "avatars", NAMES, demo(), 3)))
    other = SceneDataset(shared / "avatars", NAMES, demo(), 4)
    dataset[8]  # another person before the camera in between
    expected, label = dataset[7]
    feeds, same = copied[7]
    assert same["micro_gesture"] == label["micro_gesture"]
    torch.testing.assert_close(feeds["rgb"], expected["rgb"], rtol=0, atol=0)
    torch.testing.assert_close(same[PLACES], label[PLACES], rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(other[7][0]["rgb"], expected["rgb"])


def test_what_is_cut_at_once_is_what_perception_cuts_out_of_the_whole_picture(
    shared: Path,
) -> None:
    """Two ways to one region: rendered alone, and cut out of the camera's picture."""
    body = measure(load_avatar(shared / "avatars", "m002"))
    rng = np.random.default_rng(5)
    picture, corner, side, storage = (360, 640), (190, -20), 256, (128, 128)
    scene = draw_scene(rng, body)
    seen = scene.camera
    cut = CutCamera(
        seen.eye, seen.rotation, seen.field_of_view, picture=picture, corner=corner, side=side
    )
    matrices, grey = skin_matrices(body, body.rest), np.full((8, 8, 3), 90, np.uint8)
    morphs = np.zeros(len(body.avatar.morph_names), np.float32)
    with Renderer(picture) as large, Renderer(storage) as small:
        large.show(body.avatar)
        whole = large.draw(matrices, morphs, scene, grey)
        expected = cut_square(whole, corner, side, storage)
        small.show(body.avatar)
        found = small.draw(matrices, morphs, replace(scene, camera=cut), grey)
    top, bottom = cut.shown_rows(storage[0])
    assert (top, bottom) == (10, 128)
    assert not expected[: top - 1].any()
    difference = np.abs(expected[top + 1 :].astype(int) - found[top + 1 :].astype(int))
    assert difference.mean() < 4
    shifted = np.abs(expected[top + 1 :, 3:].astype(int) - found[top + 1 :, :-3].astype(int))
    assert shifted.mean() > 2 * difference.mean()
    point = body.landmarks["nose"].point[None]
    x, y = seen.project(point, picture)[0]
    np.testing.assert_allclose(
        cut.project(point, storage)[0], [(x - 190) / 2, (y + 20) / 2], atol=1e-3
    )


def test_a_missing_avatar_is_named(tmp_path: Path) -> None:
    with pytest.raises(AvatarError, match=r"m002\.glb"):
        SceneDataset(tmp_path, NAMES, demo(), 0)

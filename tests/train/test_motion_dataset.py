"""Motion as a data set: every example follows from (seed, draw) alone."""

import pickle
from pathlib import Path

import pytest
import torch

from engines.tensor_specs import PoseInput
from tests.train.tiny_recipe import tiny
from train.labels import MICRO_GESTURES, UNLABELLED
from train.motion_dataset import MotionDataset
from train.synth.avatar import AvatarError

NAMES = ("m002",)


@pytest.fixture(scope="module")
def dataset(shared: Path) -> MotionDataset:
    return MotionDataset(shared / "avatars", NAMES, tiny(), 7)


def test_an_example_has_the_shapes_of_the_recipe(dataset: MotionDataset) -> None:
    feeds, labels = dataset[0]
    pose = [spec for spec in tiny().inputs if isinstance(spec, PoseInput)]
    assert {name: tuple(value.shape) for name, value in feeds.items()} == {
        **{spec.name: spec.shape for spec in pose},
        **{f"{spec.name}_mask": spec.shape[1:] for spec in pose},
    }
    assert feeds[pose[0].name].std() > 0.01
    for value in feeds.values():
        assert torch.isfinite(value).all()
    assert 0 <= int(labels.pop("micro_gesture")) < len(MICRO_GESTURES)
    assert {int(value) for value in labels.values()} <= {UNLABELLED}


def test_an_example_follows_from_seed_and_draw_alone(dataset: MotionDataset, shared: Path) -> None:
    later = MotionDataset(shared / "avatars", NAMES, tiny(), 7)
    copied = pickle.loads(pickle.dumps(dataset))  # as a loader's worker gets it
    other = MotionDataset(shared / "avatars", NAMES, tiny(), 8)
    expected, label = dataset[41]
    for again in (later, copied):
        feeds, same = again[41]
        assert same == label
        for name, value in feeds.items():
            torch.testing.assert_close(value, expected[name], rtol=0, atol=0)
    assert not torch.equal(other[41][0]["pose"], expected["pose"])


def test_draws_differ_in_movement_and_class(dataset: MotionDataset) -> None:
    drawn = [dataset[k] for k in range(0, 100, 5)]
    assert len({int(labels["micro_gesture"]) for _, labels in drawn}) >= 5
    first = drawn[0][0]["pose"]
    assert all(not torch.equal(first, feeds["pose"]) for feeds, _ in drawn[1:])


def test_a_missing_avatar_is_named(tmp_path: Path) -> None:
    with pytest.raises(AvatarError, match=r"m002\.glb"):
        MotionDataset(tmp_path, NAMES, tiny(), 0)

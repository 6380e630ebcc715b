"""Checkpoints: weights with their recipe, to a path or into a file that is open."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.bundle import load_bundle
from engines.tensor_specs import FaceInput
from tests.conftest import PROJECT
from tests.train.tiny_recipe import tiny
from train.checkpoint import load_checkpoint, load_weights, save_checkpoint
from train.export import run_torch
from train.models.download import CheckpointError
from train.models.heads import build_net
from train.recipes import demo, dump_recipe

WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3), "b.count": torch.tensor(3)}


def test_weights_come_back_as_they_were(tmp_path: Path) -> None:
    path, file = tmp_path / "best.pt", io.BytesIO()
    save_checkpoint(path, tiny(), WEIGHTS)
    save_checkpoint(file, tiny(), WEIGHTS)
    other = tmp_path / "other.pt"
    other.write_bytes(file.getvalue())
    for source in (path, other):
        weights = load_checkpoint(source, tiny())
        assert weights.keys() == WEIGHTS.keys()
        assert all(torch.equal(weights[name], WEIGHTS[name]) for name in WEIGHTS)
        assert weights["b.count"].dtype == torch.int64


def test_another_recipe_is_named_with_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    save_checkpoint(path, replace(tiny(), face_size=56, storage=(64, 64)), WEIGHTS)
    with pytest.raises(CheckpointError, match=r"another recipe than tiny.*face_size, storage"):
        load_checkpoint(path, tiny())


def test_weights_that_looked_at_other_instants_can_be_trained_on_but_not_used(
    tmp_path: Path,
) -> None:
    recipe, path = tiny(), tmp_path / "best.pt"
    net, (*rest, face, hand) = recipe.net, recipe.inputs
    assert net.micro_gesture is not None
    assert net.emotion is not None
    assert isinstance(face, FaceInput)
    faces = net.micro_gesture.fusion.faces
    assert faces is not None
    clock = replace(faces.clock, samples=7)
    gesture = replace(net.micro_gesture.fusion, faces=replace(faces, clock=clock))
    emotion = replace(net.emotion.fusion, face_clock=clock)
    seven = replace(face, shape=(7, *face.shape[1:]), sampling=replace(face.sampling, frames=7))
    other = replace(
        recipe, inputs=(*rest, seven, hand),
        net=replace(
            net, micro_gesture=replace(net.micro_gesture, fusion=gesture),
            emotion=replace(net.emotion, fusion=emotion),
        ),
    )  # fmt: skip
    save_checkpoint(path, other, build_net(other.net).state_dict())
    with pytest.raises(CheckpointError, match=r"another recipe than tiny.*inputs\.2\.sampling"):
        load_checkpoint(path, recipe)
    weights = load_checkpoint(path, recipe, is_to_learn=True)
    load_weights(build_net(net), weights, str(path))
    save_checkpoint(path, replace(other, face_size=56), WEIGHTS)
    with pytest.raises(CheckpointError, match="differ in face_size;"):
        load_checkpoint(path, recipe, is_to_learn=True)


@pytest.mark.parametrize("stage", ["pose", "rgb", "face", "hand"])
def test_a_branch_is_no_whole_model_but_can_be_trained_on(stage: str, tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    save_checkpoint(path, tiny(), WEIGHTS, stage="fusion")
    assert load_checkpoint(path, tiny()).keys() == WEIGHTS.keys()
    save_checkpoint(path, tiny(), WEIGHTS, stage=stage)
    assert load_checkpoint(path, tiny(), is_to_learn=True).keys() == WEIGHTS.keys()
    with pytest.raises(
        CheckpointError, match=f"the stage {stage}, which trains one branch .* fusion"
    ):
        load_checkpoint(path, tiny())


def test_where_a_fit_stands_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({"net": WEIGHTS, "step": 3}, path)
    with pytest.raises(CheckpointError, match="expected a dict of recipe and state_dict"):
        load_checkpoint(path, tiny())


@pytest.mark.parametrize(
    "content",
    ["task,label\n", "hello", "some text", "a,b,c\n1,2,3\n", '{"a": 1}', "", "N.", "(lp0"],
)
def test_a_text_file_is_no_checkpoint(content: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(content)
    with pytest.raises(CheckpointError, match=r"labels\.csv: expected a "):
        load_checkpoint(path, tiny())


@pytest.mark.parametrize("weights", [5, "abc", {"a": 1.0}, [torch.zeros(1)]])
def test_weights_that_are_no_tensors_are_refused(weights: object, tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    torch.save({"recipe": dump_recipe(tiny()), "state_dict": weights}, path)
    with pytest.raises(CheckpointError, match="expected a dict of tensors as its state_dict"):
        load_checkpoint(path, tiny())


def test_the_weights_that_are_shipped_to_train_on_are_the_demo_bundle_s() -> None:
    bundle, path = load_bundle(PROJECT / "assets/demo"), PROJECT / "assets/demo_weights.pt"
    net = build_net(demo().net).eval()
    load_weights(net, load_checkpoint(path, demo()), str(path))
    golden = bundle.golden()
    for name, computed in run_torch(net, bundle.manifest, golden.feeds).items():
        expected = golden.outputs[name]
        assert np.abs(computed - expected).max() < 0.02 * expected.std()  # they are float16

"""Recipes: their parts agree, and the network takes what the manifest promises."""

import inspect
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engines.manifest import Manifest, dump_manifest, parse_manifest
from tests.train.tiny_recipe import tiny
from train.checkpoint import differing_keys
from train.cli.needs import RECIPE_NAMES
from train.export import ExportOptions, draft_manifest
from train.labels import ILLUSTRATIVE, MICRO_GESTURES, SMG_GESTURES
from train.models.heads import EmotionNet, JointNet, MicroGestureNet, build_net
from train.models.mvit import mvit_v2_s
from train.recipes import RECIPES, Recipe, dump_recipe

NETS: dict[str, type[MicroGestureNet | EmotionNet | JointNet]] = {
    "micro_gesture": MicroGestureNet,
    "emotion": EmotionNet,
    "smg": MicroGestureNet,
    "joint": JointNet,
    "demo": JointNet,
}


def manifest_of(recipe: Recipe) -> Manifest:
    return draft_manifest(recipe, ExportOptions(out=Path("nowhere")))


def some_feeds(manifest: Manifest, b: int) -> dict[str, torch.Tensor]:
    """Ones of the right dtypes."""
    dtypes = {name: getattr(torch, dtype) for name, dtype in manifest.feed_dtypes.items()}
    return {n: torch.ones(b, *s, dtype=dtypes[n]) for n, s in manifest.feeds.items()}


def test_there_are_32_gestures_and_the_last_means_nothing_to_report() -> None:
    assert len(set(MICRO_GESTURES)) == 32
    assert ILLUSTRATIVE == 31
    assert MICRO_GESTURES[0] == "Turtle neck"
    assert MICRO_GESTURES[30] == "Shaking shoulders"


def test_the_command_line_offers_every_recipe() -> None:
    assert list(RECIPE_NAMES) == list(RECIPES)
    assert all(make().name == name for name, make in RECIPES.items())


@pytest.mark.parametrize("name", RECIPES)
def test_a_network_takes_exactly_the_feeds_of_its_manifest(name: str) -> None:
    recipe = RECIPES[name]()
    manifest = manifest_of(recipe)
    assert parse_manifest(dump_manifest(manifest)) == manifest
    parameters = inspect.signature(NETS[name].forward).parameters.values()
    needed = {p.name for p in parameters if p.default is p.empty}
    assert needed <= {"self", *manifest.feeds} <= {p.name for p in parameters}
    with torch.device("meta"):  # shapes only: no weights, no arithmetic
        net = build_net(recipe.net).eval()
        assert isinstance(net, NETS[name])
        logits = net(**some_feeds(manifest, 3))
    expected = [(3, len(output.class_names)) for output in manifest.outputs]
    assert [tuple(x.shape) for x in logits] == expected


@pytest.mark.parametrize("name", ["micro_gesture", "emotion", "smg", "joint"])
def test_full_size_has_the_arrangement_of_the_paper(name: str) -> None:
    recipe = RECIPES[name]()
    assert recipe.net.mvit == mvit_v2_s()
    feeds = manifest_of(recipe).feeds
    assert feeds["rgb"] == (3, 16, 224, 224)
    gesture, emotion = recipe.net.micro_gesture, recipe.net.emotion
    if gesture is not None:
        assert feeds["pose"] == (3, 64, 25)
        assert (gesture.fusion.scene.clock.steps, gesture.fusion.scene.grid) == (8, (7, 7))
        assert (gesture.fusion.pose_channels, gesture.fusion.pose_clock.steps) == (256, 16)
    if emotion is not None:
        assert feeds["face"][1:] == (3, 112, 112)
        assert emotion.fusion.face_channels == 512


def test_smg_differs_from_micro_gesture_in_its_classes_alone() -> None:
    smg, other = RECIPES["smg"](), RECIPES["micro_gesture"]()
    assert differing_keys(dump_recipe(smg), dump_recipe(other)) == [
        "name", "net.micro_gesture.agcn.num_classes", "net.micro_gesture.fusion.num_classes",
        "outputs.0.background", "outputs.0.class_names",
    ]  # fmt: skip
    (output,) = smg.outputs
    assert (output.class_names, output.background) == (SMG_GESTURES, 16)


def test_demo_is_small_enough_for_a_laptop() -> None:
    net = build_net(RECIPES["demo"]().net)
    assert sum(p.numel() for p in net.parameters()) <= 5_900_000
    feeds = manifest_of(RECIPES["demo"]()).feeds
    assert (feeds["rgb"], feeds["pose"]) == ((3, 4, 112, 112), (3, 32, 25))
    assert feeds["face"] == (2, 3, 112, 112)
    assert feeds["hand"] == (4, 2, 3, 64, 64)
    gesture = RECIPES["demo"]().net.micro_gesture
    assert gesture is not None
    assert gesture.fusion.pose_clock.steps == 4


def test_a_dumped_recipe_says_where_another_differs() -> None:
    recipe = tiny()
    text = dump_recipe(recipe)
    assert json.loads(text)["net"]["micro_gesture"]["fusion"]["attention"]["width"] == 16
    assert differing_keys(text, dump_recipe(tiny())) == []
    other = replace(recipe, window=replace(recipe.window, anchor=0.25), face_size=56)
    assert differing_keys(text, dump_recipe(other)) == ["face_size", "window.anchor"]
    emotion = replace(recipe, net=replace(recipe.net, micro_gesture=None))
    assert differing_keys(text, dump_recipe(emotion)) == ["net.micro_gesture"]


def test_gestures_are_told_by_faces_only_where_something_looks_at_faces() -> None:
    with pytest.raises(ValueError, match="only beside the emotion head"):
        replace(tiny().net, emotion=None)


def test_missing_joints_give_no_bones() -> None:
    torch.manual_seed(0)
    net = build_net(tiny().net).eval()
    assert isinstance(net, JointNet)
    feeds = some_feeds(manifest_of(tiny()), 1)
    feeds |= {n: torch.randn_like(x) for n, x in feeds.items() if x.is_floating_point()}
    feeds["pose_mask"] = torch.ones_like(feeds["pose_mask"])
    feeds["pose_mask"][..., 15] = 0  # the left wrist; the hand's three points hang on it
    feeds["pose"] = feeds["pose"] * feeds["pose_mask"][:, None]
    before = net(**feeds)[0]
    # Whole-body shift of what was seen: bones stay, and no false bone to the origin appears.
    seen: list[torch.Tensor] = []
    net.micro_gesture.bone_stream.data_bn.register_forward_pre_hook(
        lambda _, args: seen.append(args[0].detach())
    )
    net(**feeds)
    feeds["pose"] = (feeds["pose"] + 2) * feeds["pose_mask"][:, None]
    after = net(**feeds)[0]
    torch.testing.assert_close(seen[0], seen[1], atol=1e-5, rtol=0)
    assert not torch.allclose(before, after, atol=1e-4)  # the joint stream has seen the shift

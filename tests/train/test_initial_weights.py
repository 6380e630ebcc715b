"""What a stage begins with: public files come through to the branch that they are for."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engines.skeleton import UPPER25
from tests.train.parity import reference
from tests.train.test_pretrained import small_swinface_file
from tests.train.tiny_recipe import tiny
from train.checkpoint import save_checkpoint
from train.cli.fit import _PUBLIC
from train.initial_weights import PUBLIC, Initial, check_public, initial_net
from train.models.agcn import AGCNConfig
from train.models.download import CHECKPOINTS, CheckpointError
from train.models.heads import JointNet, build_net
from train.recipes import RECIPES, Recipe
from train.stages import stages_of

NOWHERE = Path("no such run")
TO_TORCHVISION = (
    (r"^patch\.", "conv_proj."),
    (r"^class_token$", "pos_encoding.class_token"),
    (r"\.attn\.proj\.", ".attn.project.0."),
    (r"(\.pool_[qkv])\.conv\.", r"\1.pool."),
    (r"(\.pool_[qkv])\.norm\.", r"\1.norm_act.0."),
    (r"\.skip\.", ".project."),
    (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.fc2\.", ".mlp.3."),
    (r"^head\.", "head.1."),
)


def with_public_agcn() -> Recipe:
    """The tiny recipe with an AGCN of the public size."""
    recipe = tiny()
    gesture = recipe.net.micro_gesture
    assert gesture is not None
    agcn = AGCNConfig(UPPER25.bones, 25, 32)
    fusion = replace(gesture.fusion, pose_channels=256)
    gesture = replace(gesture, agcn=agcn, fusion=fusion)
    return replace(recipe, net=replace(recipe.net, micro_gesture=gesture))


def fresh(recipe: Recipe, seed: int) -> JointNet:
    torch.manual_seed(seed)
    net = build_net(recipe.net)
    assert isinstance(net, JointNet)
    return net


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor], where: str) -> None:
    names = [name for name in one if name.startswith(where)]
    assert names
    assert all(torch.equal(one[name], other[name]) for name in names)


def test_agcn_takes_the_public_streams_but_for_what_belongs_to_their_skeleton(
    tmp_path: Path,
) -> None:
    public = {"agcn_joint": tmp_path / "joint.pt", "agcn_bone": tmp_path / "bone.pt"}
    weights = reference.weights("agcn_ntu25_m1")  # its 25 joints are others than ours
    torch.save(weights, public["agcn_joint"])
    torch.save({name: 2 * value for name, value in weights.items()}, public["agcn_bone"])
    recipe = with_public_agcn()
    for stage in ("pose", "fusion"):
        net = initial_net(recipe, stage, NOWHERE, Initial(public=public), 5)
        own = fresh(recipe, 5).state_dict()
        state = net.state_dict()
        for stream, factor in (("joint", 1), ("bone", 2)):
            prefix = f"micro_gesture.{stream}_stream."
            assert torch.equal(
                state[f"{prefix}blocks.9.temporal.conv.weight"],
                factor * weights["l10.tcn1.conv.weight"],
            )
            for name in ("data_bn.", "blocks.0.graph.learned", "head."):
                assert_same(state, own, prefix + name)
        assert_same(state, own, "micro_gesture.fusion.")
        assert_same(state, own, "trunk.")
    others = initial_net(recipe, "rgb", NOWHERE, Initial(public=public), 5)
    assert_same(others.state_dict(), fresh(recipe, 5).state_dict(), "")


def test_mvit_and_swinface_come_through_to_their_stages_and_to_fusion(tmp_path: Path) -> None:
    donor = fresh(tiny(), 1)
    mvit = {}
    for name, value in donor.trunk.state_dict().items():
        for pattern, public in TO_TORCHVISION:
            name = re.sub(pattern, public, name)
        mvit[name] = value
    mvit["head.1.weight"], mvit["head.1.bias"] = torch.zeros(400, 32), torch.zeros(400)
    torch.save(mvit, tmp_path / "mvit.pth")
    face, _ = small_swinface_file(donor.emotion.swinface, tmp_path)
    initial = Initial(public={"mvit": tmp_path / "mvit.pth", "swinface": face})
    given, own = donor.state_dict(), fresh(tiny(), 5).state_dict()
    for stage, is_rgb, is_face in (
        ("rgb", True, False), ("face", False, True), ("fusion", True, True), ("pose", False, False)
    ):  # fmt: skip
        state = initial_net(tiny(), stage, NOWHERE, initial, 5).state_dict()
        assert_same(state, given if is_rgb else own, "trunk.blocks.")
        assert_same(state, own, "trunk.head.")
        assert_same(state, given if is_face else own, "emotion.swinface.")
        assert_same(state, own, "emotion.fusion.")


def test_fusion_takes_what_a_stage_has_learnt_then_its_file_then_public_ones(
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    (run / "rgb").mkdir(parents=True)
    save_checkpoint(run / "rgb" / "best.pt", tiny(), fresh(tiny(), 2).state_dict())
    donor = fresh(tiny(), 1)
    face, _ = small_swinface_file(donor.emotion.swinface, tmp_path)
    init = tmp_path / "init.pt"
    save_checkpoint(init, tiny(), fresh(tiny(), 3).state_dict())
    public = {"swinface": face}
    state = initial_net(tiny(), "fusion", run, Initial(public=public), 5).state_dict()
    assert_same(state, fresh(tiny(), 2).state_dict(), "trunk.")
    assert_same(state, donor.state_dict(), "emotion.swinface.")
    assert_same(state, fresh(tiny(), 5).state_dict(), "micro_gesture.")
    both = Initial(init={"fusion": init}, public=public)
    state = initial_net(tiny(), "fusion", run, both, 5).state_dict()
    assert_same(state, fresh(tiny(), 2).state_dict(), "trunk.")
    assert_same(state, fresh(tiny(), 3).state_dict(), "emotion.")
    assert_same(state, fresh(tiny(), 3).state_dict(), "micro_gesture.")
    # What the stage of poses has not looked at, it does not hand on.
    (run / "pose").mkdir()
    save_checkpoint(run / "pose" / "best.pt", tiny(), fresh(tiny(), 4).state_dict())
    state = initial_net(tiny(), "fusion", run, both, 5).state_dict()
    assert_same(state, fresh(tiny(), 4).state_dict(), "micro_gesture.joint_stream.")
    assert_same(state, fresh(tiny(), 3).state_dict(), "micro_gesture.hands.")
    told = both.describe()
    assert told["init"]["fusion"]["file"] == str(init)
    assert len(told["public"]["swinface"]["sha256"]) == 64


def checked_net(initial: Initial, recipe: Recipe, stages: tuple[str, ...]) -> None:
    check_public(initial, recipe, stages)
    initial_net(recipe, "fusion", NOWHERE, initial, 0)


def refusal(name: str, path: Path, recipe: Recipe, stages: tuple[str, ...] = ()) -> str:
    with pytest.raises(CheckpointError) as caught:
        checked_net(Initial(public={name: path}), recipe, stages or stages_of(recipe))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"--public {name}")
    return message


def test_public_files_that_do_not_fit_are_one_line_that_says_which_recipes_take_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "joint.pt"
    torch.save(reference.weights("agcn_ntu25_m1"), path)
    said = refusal("agcn_joint", path, tiny())
    assert "the recipes micro_gesture, smg, joint take it, tiny is smaller" in said
    assert str(path) in said
    assert "does not fit this model: " in said
    assert "surplus l" in said or "misshapen l" in said
    assert "no face branch; the recipes emotion, joint take it" in refusal(
        "swinface", path, RECIPES["micro_gesture"]()
    )
    assert "the recipes micro_gesture, emotion, smg, joint take it" in refusal("mvit", path, tiny())
    assert "this run has rgb, face" in refusal("agcn_bone", path, tiny(), ("rgb", "face"))
    assert "cannot be read" in refusal("mvit", tmp_path / "absent.pt", tiny())
    with pytest.raises(CheckpointError, match=r"absent.pt: cannot be read"):
        Initial(init={"pose": tmp_path / "absent.pt"}).describe()


def test_a_file_of_the_other_stream_or_with_another_digest_is_refused(tmp_path: Path) -> None:
    weights = reference.weights("agcn_ntu25_m1")
    bone = tmp_path / CHECKPOINTS["agcn_ntu_cv_bone"].url.rsplit("/", 1)[1]
    torch.save(weights, bone)
    assert "is published as agcn_ntu_cv_bone, expected agcn_ntu_cv_joint or" in refusal(
        "agcn_joint", bone, with_public_agcn()
    )
    mvit = tmp_path / CHECKPOINTS["mvit_v2_s"].url.rsplit("/", 1)[1]
    torch.save(weights, mvit)
    assert "expected sha256 ae3be167" in refusal("mvit", mvit, tiny())


def test_the_command_line_offers_every_public_model() -> None:
    assert tuple(PUBLIC) == _PUBLIC
    assert {name for place in PUBLIC.values() for name in place.published} == set(CHECKPOINTS)

"""Pictures of hands: the network, and its place in the fusion and in training."""

from dataclasses import replace

import pytest
import torch

from tests.train.tiny_recipe import HAND_SIDE, HANDS, POSES, tiny
from train.models.hands import HandNet, HandNetConfig, HandsProbe, around, around_size, by_side
from train.models.heads import JointNet, build_net
from train.recipes import demo
from train.stages import StageNet, branch_of, default_stage, freeze, stages_of

NET = HandNetConfig(stem=4, widths=(6, 8), grid=2)
B = 3


@pytest.fixture(autouse=True)
def _same_weights() -> None:
    torch.manual_seed(0)


def joint() -> JointNet:
    net = build_net(tiny().net)
    assert isinstance(net, JointNet)
    return net.eval()


def feeds() -> dict[str, torch.Tensor]:
    recipe = tiny()
    shapes = {spec.name: spec.shape for spec in recipe.inputs}
    return {
        "rgb": torch.randint(0, 256, (B, *shapes["rgb"]), dtype=torch.uint8),
        "pose": torch.randn(B, *shapes["pose"]),
        "pose_mask": torch.ones(B, *shapes["pose"][1:]),
        "face": torch.randn(B, *shapes["face"]),
        "face_mask": torch.ones(B, shapes["face"][0]),
        "hand": torch.randn(B, *shapes["hand"]),
        "hand_mask": torch.ones(B, HANDS, 2),
    }


def test_each_picture_becomes_a_map_of_its_own() -> None:
    net = HandNet(NET).eval()
    pictures = torch.randn(5, 3, 32, 32)
    maps = net(pictures)
    assert maps.shape == (5, 8, 2, 2)
    torch.testing.assert_close(net(pictures[2:3]), maps[2:3])


def test_maps_are_told_apart_by_side_and_instant() -> None:
    numbers = torch.arange(2 * HANDS * 2.0).reshape(-1, 1, 1, 1)  # B, T, side
    (left, seen), (right, _) = by_side(numbers, torch.tensor([[[1.0, 0]] * HANDS] * 2))
    assert left.flatten().tolist() == [0, 2, 4, 6]
    assert right.flatten().tolist() == [1, 3, 5, 7]
    assert seen.tolist() == [[1] * HANDS] * 2


def test_where_things_are_seen_from_a_hand() -> None:
    pose, mask = torch.zeros(1, 3, 2, 6), torch.ones(1, 2, 6)  # joints 0 to 3 are the hand's
    pose[0, :, 1, 4] = torch.tensor([0.5, -0.25, 0.0])
    mask[0, 1, 5] = mask[0, 1, 3] = 0
    pose[0, :, 1, 5] = 9.0
    told = around(pose, mask, (0, 1, 2, 3), (1,))
    assert told.shape == (1, 1, around_size(6))
    way, fine, seen = told[0, 0].split([72, 72, 6])
    way = way.reshape(3, 4, 6)
    assert way[:, 0, 4].tolist() == way[:, 2, 4].tolist() == [0.5, -0.25, 0.0]
    assert not way[..., 5].any(), "it was not seen"
    assert not way[:, 3].any(), "the hand's own point was not"
    torch.testing.assert_close(fine.reshape(3, 4, 6), (way / 0.4).tanh())
    assert seen.tolist() == [1, 1, 1, 0, 1, 0]


@torch.inference_mode()
def test_what_a_hand_touches_is_told_by_where_it_is_at_that_instant() -> None:
    net, given = joint(), feeds()
    told, _ = net.tell(**given)
    assert told.hands is not None
    at = net.micro_gesture.fusion.hands_at
    assert at == tuple(POSES // HANDS * (k + 1) - 1 for k in range(HANDS))
    given["pose"][1, :, at[1], net.micro_gesture.points[0][2]] += 0.5  # the left index finger
    moved, _ = net.tell(**given)
    assert moved.hands is not None
    is_other = (moved.hands - told.hands).abs().amax(-1) > 1e-5
    assert is_other[:, :, 0].nonzero().tolist() == [[1, 1]]
    assert is_other.any(-1).nonzero().tolist() == [[1, 1]], "the right hand sees it at that instant"


def test_other_numbers_beside_a_hand_are_refused() -> None:
    gesture = demo().net.micro_gesture
    assert gesture is not None
    assert gesture.fusion.hands is not None
    hands = replace(gesture.fusion.hands, beside=7)
    with pytest.raises(ValueError, match="come 625 numbers, got 7"):
        replace(gesture, fusion=replace(gesture.fusion, hands=hands))


@torch.inference_mode()
def test_a_missing_hand_says_nothing_and_a_seen_one_does() -> None:
    net, given = joint(), feeds()
    given["hand_mask"][:, :, 1] = 0
    gesture, emotion = net(**given)
    given["hand"][:, :, 1] = torch.randn_like(given["hand"][:, :, 1])
    same, _ = net(**given)
    torch.testing.assert_close(same, gesture)
    given["hand"][:, :, 0] = torch.randn_like(given["hand"][:, :, 0])
    other, unmoved = net(**given)
    assert not torch.allclose(other, gesture)
    torch.testing.assert_close(unmoved, emotion)


@torch.inference_mode()
def test_left_and_right_are_not_the_same() -> None:
    net, given = joint(), feeds()
    gesture, _ = net(**given)
    given["hand"] = given["hand"].flip(2)
    exchanged, _ = net(**given)
    assert not torch.allclose(exchanged, gesture)


def test_the_probe_means_over_what_was_seen() -> None:
    probe = HandsProbe(NET, 7).eval()
    maps = torch.randn(2 * HANDS * 2, 8, 2, 2)
    mask = torch.ones(2, HANDS, 2)
    mask[:, 0] = 0
    before = probe(maps, mask)
    maps.unflatten(0, (2, HANDS, 2))[:, 0] = 9
    torch.testing.assert_close(probe(maps, mask), before)
    assert torch.isfinite(probe(maps, torch.zeros_like(mask))).all()


def test_its_stage_learns_the_hands_alone() -> None:
    recipe = tiny()
    assert stages_of(recipe) == ("pose", "rgb", "face", "hand", "fusion")
    net = StageNet(build_net(recipe.net), "hand", {"micro_gesture": 32, "emotion": 2})
    hand = torch.randn(B, HANDS, 2, 3, HAND_SIDE, HAND_SIDE)
    logits = net({"hand": hand, "hand_mask": torch.ones(B, HANDS, 2)})
    assert logits["micro_gesture"].shape == (B, 32)
    logits["micro_gesture"].square().sum().backward()
    learning = {n for n, p in net.net.named_parameters() if p.grad is not None}
    assert learning
    assert all(name.startswith("micro_gesture.hands.") for name in learning)


def test_the_stage_of_poses_neither_hands_on_nor_freezes_the_hands() -> None:
    hand, pose = "micro_gesture.hands.stem.weight", "micro_gesture.joint_stream.data_bn.weight"
    assert (branch_of(hand), branch_of(pose)) == ("hand", "pose")
    assert branch_of("micro_gesture.fusion.hands.0.project.weight") == "pose"
    config = replace(default_stage(demo(), "fusion"), frozen="pose")
    net = StageNet(joint(), "fusion", {"micro_gesture": 32, "emotion": 2})
    freeze(net, config)
    learns = {name: p.requires_grad for name, p in net.net.named_parameters()}
    assert learns[hand]
    assert not any(on for name, on in learns.items() if "joint_stream" in name)


def test_a_network_without_a_place_for_its_maps_is_refused() -> None:
    gesture = demo().net.micro_gesture
    assert gesture is not None
    with pytest.raises(ValueError, match="a place in the fusion"):
        replace(gesture, hands=None)


@torch.inference_mode()
def test_light_and_contrast_of_a_room_hardly_matter() -> None:
    net = HandNet(NET).eval()
    pictures = 0.5 * torch.randn(2, 3, 32, 32)
    maps = net(pictures)
    torch.testing.assert_close(net(pictures + 0.3), maps, atol=1e-4, rtol=1e-3)
    assert (net(0.6 * pictures) - maps).abs().max() < 0.1 * maps.abs().max()
    assert torch.isfinite(net(torch.zeros_like(pictures))).all()  # a missing hand

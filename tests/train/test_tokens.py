"""Tokens of maps: one a cell, and one more that says what its picture shows by itself."""

import pytest
import torch
from torch import Tensor

from tests.train.tiny_recipe import tiny
from train.cues import FACE_CUES, HAND_CUES, SHOWN
from train.dataset import Labels
from train.labels import UNLABELLED
from train.losses import loss_of
from train.models.attention import AttentionConfig
from train.models.heads import JointNet, build_net
from train.models.tokens import MapConfig, MapTokens, TokenClock
from train.stages import StageConfig, StageNet
from train.synth.touches import TOUCHED

B, T, K = 2, 3, 4
ATTENTION = AttentionConfig(
    width=16, heads=2, blocks=1, mlp_ratio=2, dropout=0.0, time_features=6, periods_s=(0.25, 8.0)
)
MAPS = MapConfig(9, TokenClock(T, 1, 2.0), grid=(3, 2), dropout=0.0, cues=K)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def feeds() -> dict[str, Tensor]:
    """Two windows, as the smallest network takes them."""
    shapes = {spec.name: spec.shape for spec in tiny().inputs}
    masks = {"pose_mask": shapes["pose"][1:], "face_mask": shapes["face"][:1],
             "hand_mask": shapes["hand"][:2]}  # fmt: skip
    out = {name: torch.rand(2, *shape) for name, shape in shapes.items()}
    out["rgb"] = (255 * out["rgb"]).byte()
    return out | {name: torch.ones(2, *shape) for name, shape in masks.items()}


def test_each_picture_has_a_token_more_and_says_what_it_shows() -> None:
    tokens, maps = MapTokens(MAPS, ATTENTION).eval(), torch.randn(B * T, 9, 3, 2)
    there = torch.ones(B, T)
    there[1, 2] = 0
    read = tokens(maps, there)
    assert read.tokens.shape == (B, T * 7, 16)
    assert read.seen.unflatten(1, (T, 7)).all(-1).tolist() == [[True] * 3, [True, True, False]]
    assert read.cues.shape == (B, T, K)
    other = maps.clone()
    other[1, 0, 2, 1] += 3  # a cell of the second picture of the first window
    changed = tokens(other, there)
    moved = (changed.tokens - read.tokens).abs().amax(-1).unflatten(1, (T, 7)) > 1e-6
    assert moved.nonzero().tolist() == [[0, 1, 5], [0, 1, 6]], "its cell, and what it shows"
    told = (changed.cues - read.cues).abs().amax(-1) > 1e-6
    assert told.nonzero().tolist() == [[0, 1]]


def test_without_cues_there_are_the_cells_alone() -> None:
    plain = MapConfig(9, MAPS.clock, MAPS.grid, dropout=0.0)
    read = MapTokens(plain, ATTENTION).eval()(torch.randn(B * T, 9, 3, 2), torch.ones(B, T))
    assert read.tokens.shape == (B, T * 6, 16)
    assert read.cues is None
    with pytest.raises(ValueError, match="cues -1"):
        MapConfig(9, MAPS.clock, MAPS.grid, dropout=0.0, cues=-1)


def test_numbers_beside_a_picture_tell_its_cues_too() -> None:
    config = MapConfig(9, MAPS.clock, MAPS.grid, dropout=0.0, cues=K, beside=5)
    tokens, maps = MapTokens(config, ATTENTION).eval(), torch.randn(B * T, 9, 3, 2)
    there, beside = torch.ones(B, T), torch.randn(B, T, 5)
    read = tokens(maps, there, beside)
    assert read.tokens.shape == (B, T * 7, 16)
    beside = beside.clone()
    beside[1, 2] += 1
    changed = tokens(maps, there, beside)
    moved = (changed.tokens - read.tokens).abs().amax(-1).unflatten(1, (T, 7)) > 1e-6
    assert moved.nonzero().tolist() == [[1, 2, 6]], "its last token alone"
    assert ((changed.cues - read.cues).abs().amax(-1) > 1e-6).nonzero().tolist() == [[1, 2]]
    with pytest.raises(ValueError, match="there are none"):
        MapConfig(9, MAPS.clock, MAPS.grid, dropout=0.0, beside=5)


def test_the_nearest_samples_of_another_clip() -> None:
    assert TokenClock(4, 1, 2.13).nearest_in(TokenClock(32, 4, 2.13)) == (7, 15, 23, 31)
    assert TokenClock(2, 1, 2.0).nearest_in(TokenClock(8, 1, 1.0)) == (0, 7), (
        "or the first there is"
    )


def test_cues_are_told_in_training_and_teach_branches_and_fusion() -> None:
    net = build_net(tiny().net)
    assert isinstance(net, JointNet)
    stage = StageNet(net, "fusion", {"micro_gesture": 32, "emotion": 2}).train()
    logits = stage(feeds())
    assert logits[FACE_CUES].shape == (2, 2, len(SHOWN))
    assert logits[HAND_CUES].shape == (2, 2, 2, len(TOUCHED))
    assert set(stage.eval()(feeds())) == {"micro_gesture", "emotion"}
    labels: Labels = {task: torch.full((2,), UNLABELLED) for task in ("micro_gesture", "emotion")}
    for key in (FACE_CUES, HAND_CUES):
        labels[key] = torch.zeros_like(logits[key])
    config = StageConfig(steps=1, batch=2, lr=1e-3)
    loss_of(logits, labels, config).backward()
    assert net.micro_gesture.hands is not None
    for branch in (net.micro_gesture.hands, net.emotion.swinface.backbone):
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in branch.parameters())


def test_the_gesture_is_told_by_the_cues_too() -> None:
    net = build_net(tiny().net).eval()
    assert isinstance(net, JointNet)
    faces = net.micro_gesture.fusion.faces
    assert faces is not None
    assert faces.cues is not None
    given = feeds()
    before = net(**given)
    with torch.no_grad():
        faces.cues.judge.bias.add_(3)
    gesture, emotion = net(**given)
    assert (gesture - before[0]).abs().max() > 1e-4
    torch.testing.assert_close(emotion, before[1])

"""Fusion: both modalities matter, missing evidence is harmless, and time is in seconds."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from train.models.attention import AttentionConfig
from train.models.fusion import (
    CrossModalTokenFusion,
    InterFusion,
    InterFusionConfig,
    TokenFusionConfig,
)
from train.models.tokens import MapConfig, SceneConfig, TokenClock

B, JOINTS, SAMPLES, FACES = 3, 5, 16, 4
ATTENTION = AttentionConfig(
    width=16, heads=2, blocks=2, mlp_ratio=2, dropout=0.0, time_features=6, periods_s=(0.25, 8.0)
)
SCENE = SceneConfig(channels=12, clock=TokenClock(8, 2, 2.0), grid=(2, 3))
GESTURE = TokenFusionConfig(
    scene=SCENE, pose_channels=10, pose_clock=TokenClock(SAMPLES, 4, 2.0), joints=JOINTS,
    attention=ATTENTION, num_classes=7, rgb_dropout=0.0, pose_dropout=0.0,
)  # fmt: skip
WITH_FACES = replace(
    GESTURE, faces=MapConfig(9, TokenClock(FACES, 1, 2.0), grid=(3, 2), dropout=0.0)
)
EMOTION = InterFusionConfig(
    scene=SCENE, face_channels=9, face_clock=TokenClock(FACES, 1, 2.0),
    attention=ATTENTION, num_classes=2, rgb_dropout=0.0, face_dropout=0.0,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def rgb() -> Tensor:
    return torch.randn(B, 1 + 4 * 2 * 3, 12)


def streams() -> list[Tensor]:
    return [torch.randn(B, 10, 4, JOINTS) for _ in range(2)]


def seen_poses() -> Tensor:
    return torch.ones(B, SAMPLES, JOINTS)


def faces() -> Tensor:
    return torch.randn(B, FACES, 9)


def face_maps() -> Tensor:
    return torch.randn(B * FACES, 9, 3, 2)


def test_logits_depend_on_every_modality_and_stream() -> None:
    net = CrossModalTokenFusion(GESTURE).eval()
    a, pose, mask = rgb(), streams(), [seen_poses()] * 2
    logits = net(a, pose, mask)
    assert logits.shape == (B, 7)
    for other in (
        net(rgb(), pose, mask),
        net(a, [streams()[0], pose[1]], mask),
        net(a, [pose[0], streams()[1]], mask),
    ):
        assert (logits - other).abs().min(dim=1).values.max() > 1e-4


def test_emotion_logits_depend_on_face_and_scene() -> None:
    net = InterFusion(EMOTION).eval()
    a, f, mask = rgb(), faces(), torch.ones(B, FACES)
    logits = net(a, f, mask)
    assert logits.shape == (B, 2)
    assert not torch.allclose(logits, net(rgb(), f, mask), atol=1e-4)
    assert not torch.allclose(logits, net(a, faces(), mask), atol=1e-4)


def test_what_the_mask_hides_does_not_reach_the_logits() -> None:
    net = CrossModalTokenFusion(GESTURE).eval()
    a, pose, mask = rgb(), streams(), seen_poses()
    mask[:, 6:, 2] = 0  # token steps 2 and 3 of joint 2: samples 6..10 and 10..14 about 8 and 12
    changed = [x.clone() for x in pose]
    for x in changed:
        x[:, :, 2:, 2] = float("nan")
    torch.testing.assert_close(net(a, pose, [mask] * 2), net(a, changed, [mask] * 2))
    changed[0][:, 0, 1, 2] += 5  # step 1 is centred on sample 4: samples 2..6, partly seen
    assert not torch.allclose(net(a, pose, [mask] * 2), net(a, changed, [mask] * 2), atol=1e-4)


def test_a_window_without_any_pose_or_face_is_finite_and_still_reads_the_scene() -> None:
    gesture, emotion = CrossModalTokenFusion(GESTURE).eval(), InterFusion(EMOTION).eval()
    a, other = rgb(), rgb()
    no_pose, no_face = [torch.zeros(B, SAMPLES, JOINTS)] * 2, torch.zeros(B, FACES)
    pose, f = [x * float("inf") * 0 for x in streams()], faces()  # NaN behind the mask
    for logits, logits_other in (
        (gesture(a, pose, no_pose), gesture(other, pose, no_pose)),
        (emotion(a, f, no_face), emotion(other, f, no_face)),
    ):
        assert logits.isfinite().all()
        assert not torch.allclose(logits, logits_other, atol=1e-4)


def test_a_gesture_is_told_by_each_cell_of_a_face_that_is_there() -> None:
    net = CrossModalTokenFusion(WITH_FACES).eval()
    a, pose, mask, maps = rgb(), streams(), [seen_poses()] * 2, face_maps()
    there = torch.ones(B, FACES)
    there[0, 1] = 0
    logits = net(a, pose, mask, (maps, there))
    for window, crop, matters in ((0, 0, True), (0, 1, False), (1, 1, True)):
        for row, column in ((0, 0), (2, 1)):
            other = maps.clone()
            other[window * FACES + crop, 0, row, column] += (
                3  # of one channel: the norm takes out what all share
            )
            changed = net(a, pose, mask, (other, there))
            equal = [torch.allclose(changed[i], logits[i], atol=1e-5) for i in range(B)]
            assert equal == [not (matters and i == window) for i in range(B)]
    turned = maps.flip(3)  # where in the face something is counts, not only what it is
    assert not torch.allclose(net(a, pose, mask, (turned, there)), logits, atol=1e-4)


def test_without_faces_the_others_decide_whether_or_not_there_is_a_place_for_them() -> None:
    net, plain = CrossModalTokenFusion(WITH_FACES).eval(), CrossModalTokenFusion(GESTURE).eval()
    plain.load_state_dict(net.state_dict(), strict=False)
    a, pose, mask, maps = rgb(), streams(), [seen_poses()] * 2, face_maps()
    expected = plain(a, pose, mask)
    for faces_ in (None, (maps, torch.zeros(B, FACES))):
        torch.testing.assert_close(net(a, pose, mask, faces_), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(plain(a, pose, mask, (maps, torch.ones(B, FACES))), expected)


def test_training_takes_the_faces_from_some_windows() -> None:
    assert WITH_FACES.faces is not None
    some = replace(WITH_FACES, faces=replace(WITH_FACES.faces, dropout=0.5))
    tokens = CrossModalTokenFusion(some).faces
    assert tokens is not None
    for _ in range(20):
        seen = tokens(face_maps(), torch.ones(B, FACES)).seen
        assert all(row.all() or not row.any() for row in seen)  # of a window all or none
        if 0 < seen.any(dim=1).sum() < B:
            break
    else:
        pytest.fail("no window among others lost its faces")
    seen = tokens.eval()(face_maps(), torch.ones(B, FACES)).seen
    assert seen.all()


def test_one_window_does_not_see_its_neighbours_in_the_batch() -> None:
    net = CrossModalTokenFusion(GESTURE).eval()
    a, pose, mask = rgb(), streams(), seen_poses()
    mask[1] = 0
    alone = [
        net(a[i : i + 1], [x[i : i + 1] for x in pose], [mask[i : i + 1]] * 2) for i in range(B)
    ]
    torch.testing.assert_close(net(a, pose, [mask] * 2), torch.cat(alone), atol=1e-5, rtol=1e-5)


def test_gradients_are_finite_and_reach_all_parameters() -> None:
    gesture, emotion = CrossModalTokenFusion(WITH_FACES), InterFusion(EMOTION)
    pose_mask, face_mask = seen_poses(), torch.ones(B, FACES)
    pose_mask[0], face_mask[0] = 0, 0  # nothing at all: the learned missing tokens are read
    maps = (face_maps(), face_mask)
    loss = gesture(rgb(), streams(), [pose_mask] * 2, maps).square().sum()
    loss = loss + emotion(rgb(), faces(), face_mask).square().sum()
    loss.backward()
    for net in (gesture, emotion):
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            is_used = name != "scene.missing"  # RGB is only ever missing by modality dropout
            assert parameter.grad.any() == is_used, name


def test_modality_dropout_takes_one_modality_at_a_time_in_training_only() -> None:
    config = replace(GESTURE, rgb_dropout=0.5, pose_dropout=0.5)
    net = CrossModalTokenFusion(config)
    a, pose, mask = rgb(), streams(), [seen_poses()] * 2
    other_rgb, other_pose = rgb(), streams()
    both = net.eval()(a, pose, mask)
    torch.testing.assert_close(both, net(a, pose, mask))
    net.train()
    for seed in range(5):
        logits, blind, lame = (
            net(x, y, mask)
            for x, y in ((a, pose), (other_rgb, pose), (a, other_pose))
            if torch.manual_seed(seed)
        )
        without_rgb = [i for i in range(B) if torch.allclose(blind[i], logits[i])]
        without_pose = [i for i in range(B) if torch.allclose(lame[i], logits[i])]
        assert sorted(without_rgb + without_pose) == list(range(B))  # each lost exactly one


def test_rgb_is_kept_where_nothing_else_was_seen() -> None:
    net = CrossModalTokenFusion(replace(GESTURE, rgb_dropout=1.0)).train()
    mask = seen_poses()
    mask[0] = 0
    pose = streams()
    first, second = net(rgb(), pose, [mask] * 2), net(rgb(), pose, [mask] * 2)
    assert not torch.allclose(first[0], second[0], atol=1e-4)
    torch.testing.assert_close(first[1:], second[1:])


def test_without_pictures_pose_and_face_decide_alone_and_nothing_is_dropped() -> None:
    # As the stages of single branches are trained: half of all windows would lose their pose.
    gesture = CrossModalTokenFusion(replace(GESTURE, rgb_dropout=0.5, pose_dropout=0.5))
    emotion = InterFusion(replace(EMOTION, rgb_dropout=0.5, face_dropout=0.5))
    pose, mask, face, seen = streams(), [seen_poses()] * 2, faces(), torch.ones(B, FACES)
    in_training = [(gesture(None, pose, mask), emotion(None, face, seen)) for _ in range(4)]
    for net in (gesture, emotion):
        net.eval()
    for logits in in_training:
        torch.testing.assert_close(logits, (gesture(None, pose, mask), emotion(None, face, seen)))
    first = in_training[0]
    for logits, other in zip(
        first, (gesture(None, streams(), mask), emotion(None, faces(), seen)), strict=True
    ):
        assert (logits - other).abs().min(dim=1).values.max() > 1e-4


def test_without_pictures_one_missing_token_is_what_learns_of_the_scene() -> None:
    for net, logits in (
        (gesture := CrossModalTokenFusion(GESTURE), gesture(None, streams(), [seen_poses()] * 2)),
        (emotion := InterFusion(EMOTION), emotion(None, faces(), torch.ones(B, FACES))),
    ):
        assert net.scene.absent(B).shape == (B, 1, 16)
        logits.square().sum().backward()
        learning = {
            name for name, p in net.scene.named_parameters() if p.grad is not None and p.grad.any()
        }
        assert learning == {"missing", "whole", "modality"}


def test_dropping_both_modalities_is_refused() -> None:
    with pytest.raises(ValueError, match="shares of at most 1"):
        replace(GESTURE, rgb_dropout=0.6, pose_dropout=0.6)
    with pytest.raises(ValueError, match="shares of at most 1"):
        replace(EMOTION, rgb_dropout=-0.1)
    with pytest.raises(ValueError, match=r"1\.5 must be a share"):
        MapConfig(9, TokenClock(FACES, 1, 2.0), grid=(3, 2), dropout=1.5)


def test_steps_of_all_modalities_share_one_clock_in_seconds() -> None:
    video, pose = TokenClock(16, 2, 2.0), TokenClock(64, 4, 2.0)
    assert video.steps == 8
    assert pose.steps == 16
    assert video.seconds[-1] == pytest.approx(-0.125)  # sample 14 of 0..15, which is the end
    assert pose.seconds[-1] == pytest.approx(-0.09375)
    assert TokenClock(4, 1, 2.0).seconds == pytest.approx((-1.5, -1.0, -0.5, 0.0))
    assert TokenClock(90, 4, 3.0).steps == 23  # as AGCN's two strided blocks leave it


def test_weights_serve_another_number_of_steps() -> None:
    net = CrossModalTokenFusion(GESTURE)
    longer = CrossModalTokenFusion(
        replace(
            GESTURE,
            scene=replace(SCENE, clock=TokenClock(12, 2, 3.0)),
            pose_clock=TokenClock(24, 4, 3.0),
        )
    )
    longer.load_state_dict(net.state_dict())
    logits = longer.eval()(
        torch.randn(B, 1 + 6 * 6, 12),
        [torch.randn(B, 10, 6, JOINTS) for _ in range(2)],
        [torch.ones(B, 24, JOINTS)] * 2,
    )
    assert logits.shape == (B, 7)

"""Cues: what hands touch and faces do in rendered pictures, and how a network is taught it."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.tiny_recipe import tiny, without_emotion
from train.cues import (
    FACE_CUES,
    HAND_CUES,
    SHOWN,
    cues_loss,
    cues_of_faces,
    seen_only,
    unknown_cues,
)
from train.dataset import Labels
from train.labels import MICRO_GESTURES
from train.recipes import demo, joint
from train.scene_dataset import SceneDataset
from train.synth.avatar import load_avatar
from train.synth.body import Body, measure
from train.synth.performance import Performance
from train.synth.script import trimmed
from train.synth.touches import TOUCHED, touches
from train.turns import AMONG

HELD = slice(14, 24)
"""Of four seconds at 10 Hz, when a hand has arrived and not yet left."""


@pytest.fixture(scope="module")
def body(shared: Path) -> Body:
    return measure(load_avatar(shared / "avatars", "f003"))


def performed(body: Body, gesture: str, seed: int) -> Performance:
    label = MICRO_GESTURES.index(gesture)
    return trimmed(np.random.default_rng(seed), body, np.arange(40) / 10, None, label)


@pytest.mark.parametrize(
    ("gesture", "touched"),
    [
        ("Rubbing eyes", "eye"),
        ("Touching ears", "ear"),
        ("Touching or scratching forehead", "forehead"),
        ("Touching or covering suprasternal notch", "notch"),
        ("Minaret gesture", "hand"),
        ("Scratching or touching arms", "arm"),
    ],
)
def test_a_hand_touches_what_its_gesture_is_called_after(
    body: Body, gesture: str, touched: str
) -> None:
    found = []
    for seed in range(6):
        cues = touches(body, performed(body, gesture, seed).bones)
        assert cues.shape == (40, 2, len(TOUCHED))
        assert ((cues >= 0) & (cues <= 1)).all()
        found.append(cues[HELD, :, TOUCHED.index(touched)].max())
        assert cues[0, :, : TOUCHED.index("neck")].max() < 0.05, "at rest no hand is at the head"
    assert np.median(found) > 0.5


def test_the_hand_that_stays_touches_nothing_of_the_head(body: Body) -> None:
    eye = TOUCHED.index("eye")
    found = [
        np.sort(touches(body, performed(body, "Rubbing eyes", seed).bones)[HELD, :, eye].max(0))
        for seed in range(8)
    ]
    resting, rubbing = np.array(found).T
    assert (resting < 0.05).sum() >= 4, "three in ten rub with both hands"
    assert np.median(rubbing) > 0.8


def test_a_face_shows_what_it_does_and_that_a_hand_is_at_it(body: Body) -> None:
    performance = performed(body, "Pressing lips", 1)
    nobody = np.zeros((40, 2, len(TOUCHED)), np.float32)
    shown = cues_of_faces(performance.actions, nobody)
    assert shown.shape == (40, len(SHOWN))
    lips = shown[:, SHOWN.index("lip_roll")]
    assert lips[HELD].min() > 0.6
    assert lips[0] < 0.1
    at_mouth = nobody.copy()
    at_mouth[:, 1, TOUCHED.index("mouth")] = 0.7
    both = cues_of_faces(performance.actions, at_mouth)
    np.testing.assert_allclose(both[:, SHOWN.index("mouth")], 0.7)
    np.testing.assert_array_equal(both[:, : SHOWN.index("crown")], shown[:, : SHOWN.index("crown")])


def test_the_loss_is_least_at_the_truth_and_counts_only_what_is_known() -> None:
    truth = torch.tensor([[0.2, 0.9], [math.nan, math.nan]])
    logits = torch.logit(torch.tensor([[0.2, 0.9], [0.5, 0.5]])).requires_grad_()
    at_truth = cues_loss(logits, truth)
    (gradient,) = torch.autograd.grad(at_truth, logits)
    torch.testing.assert_close(gradient, torch.zeros(2, 2), atol=1e-6, rtol=0)
    entropy = -sum(p * math.log(p) + (1 - p) * math.log(1 - p) for p in (0.2, 0.9))
    assert at_truth.item() == pytest.approx(0.25 * entropy, rel=1e-5)
    assert cues_loss(logits + 1, truth) > at_truth
    nothing = cues_loss(logits, torch.full((2, 2), math.nan))
    assert nothing.item() == 0
    assert torch.autograd.grad(nothing, logits)[0].abs().sum() == 0


def test_only_a_network_that_is_asked_has_cues() -> None:
    shapes = {key: tuple(cues.shape) for key, cues in unknown_cues(demo().net).items()}
    assert shapes == {FACE_CUES: (2, len(SHOWN)), HAND_CUES: (4, 2, len(TOUCHED))}
    assert all(torch.isnan(cues).all() for cues in unknown_cues(demo().net).values())
    assert unknown_cues(joint().net) == {}
    assert unknown_cues(without_emotion(tiny().net)) == {}
    assert unknown_cues(replace(tiny().net, micro_gesture=None)) == {}


def test_pictures_that_are_not_there_show_nothing() -> None:
    cues = seen_only(np.full((3, 2), 0.5, np.float32), np.array([1, 0, 1], np.float32))
    assert torch.isnan(cues).all(-1).tolist() == [False, True, False]


def test_made_windows_know_the_cues_of_the_pictures_that_they_have(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.augment._LOST", 0.0)  # see test_scene_dataset
    dataset = SceneDataset(shared / "avatars", ("f003",), demo(), 3, only=None)
    differing = 0
    for k in range(6):
        one, another = dataset[k], dataset[k + AMONG]  # the same shot, mirrored or not
        for feeds, labels in (one, another):
            check_known(feeds, labels)
        hands = [some[1][HAND_CUES].nan_to_num(0.5) for some in (one, another)]
        differing += not torch.allclose(hands[0], hands[1])
        masks = [some[0]["hand_mask"] for some in (one, another)]
        if torch.equal(masks[0], masks[1].flip(-1)) and not torch.allclose(hands[0], hands[1]):
            torch.testing.assert_close(hands[0], hands[1].flip(1))
    assert differing > 0


def check_known(feeds: Mapping[str, torch.Tensor], labels: Labels) -> None:
    for key, mask in ((FACE_CUES, "face_mask"), (HAND_CUES, "hand_mask")):
        known = torch.isfinite(labels[key]).all(-1)
        assert torch.equal(known, feeds[mask] > 0.5)

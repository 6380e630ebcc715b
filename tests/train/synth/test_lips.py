"""Pressed lips look unlike a closed mouth: on every avatar, in every mood, their red is gone."""

from pathlib import Path

import numpy as np
import pytest

from tests.train.synth.performances import END, LENGTH, RATE_HZ, START
from train.avatar_names import AVATARS
from train.synth.avatar import load_avatar
from train.synth.body import Body, measure, skin_matrices
from train.synth.controls import Controls
from train.synth.faces import NEGATIVE, POSITIVE, draw_features
from train.synth.gestures.classes import perform
from train.synth.rig import pose
from train.synth.rotations import Floats
from train.synth.script import idle

PRESSING_LIPS = 28
MIDDLE = round((START + END) / 2 * RATE_HZ)
UPPER = ("MUpperLip", "LUpperlip", "RUpperlip")
LOWER = ("MBottomLip", "LMouthBottom", "RMouthBottom")


@pytest.fixture(scope="module", params=AVATARS)
def person(avatars: Path, request: pytest.FixtureRequest) -> Body:
    """Each of them."""
    return measure(load_avatar(avatars, request.param))


def performed(body: Body, emotion: int | None, seed: int) -> Controls:
    rng = np.random.default_rng(seed)
    t = np.arange(round(LENGTH * RATE_HZ)) / RATE_HZ
    controls = idle(rng, body, t, emotion)
    controls.features = draw_features(rng)
    perform(rng, controls, body, PRESSING_LIPS, START, END)
    return controls


def lips(body: Body, bones: Floats, morphs: Floats) -> tuple[Floats, Floats]:
    """The middle of the upper and of the lower lip, [N, 3] cm, as if the head had not moved."""
    (head,) = (part for part in body.avatar.parts if part.material.endswith("_head"))
    k = body.bone("Head")
    matrices = skin_matrices(body, body.rest[k] @ np.linalg.inv(bones[k]) @ bones)
    places = head.positions + np.tensordot(morphs, head.morphs, 1)
    places = np.concatenate([places, np.ones((len(places), 1))], axis=1)
    skin = np.einsum("nk,nkij,nj->ni", head.weights, matrices[head.joints], places)[:, :3]
    found = []
    for names in (UPPER, LOWER):
        held = np.isin(head.joints, [body.bone(name) for name in names]) * head.weights
        found.append(skin[(held.sum(1) > 0.52) & (abs(skin[:, 0]) < 1)])
    return found[0], found[1]


def height(upper: Floats, lower: Floats) -> float:
    """Of both lips together, cm."""
    return float(upper[:, 1].max() - lower[:, 1].min())


@pytest.mark.parametrize("emotion", [POSITIVE, NEGATIVE, None])
def test_pressed_lips_are_thin_and_shut(person: Body, emotion: int | None) -> None:
    rest = lips(person, person.rest, np.zeros(len(person.avatar.morph_names), np.float32))
    for seed in range(3):
        bones, morphs = pose(person, performed(person, emotion, seed))
        upper, lower = lips(person, bones[MIDDLE], morphs[MIDDLE])
        assert height(upper, lower) < 0.5 * height(*rest)
        assert upper[:, 1].min() < lower[:, 1].max(), "no teeth in between"
        for lip, before in zip((upper, lower), rest, strict=True):
            assert lip[:, 2].min() > before[:, 2].min() - 0.3, "nor in front"


def test_lips_are_rolled_in_and_out_again_each_time_a_little_otherwise(man: Body) -> None:
    tracks = [performed(man, POSITIVE, seed).face for seed in range(6)]
    depths = {round(float(face["lip_roll"][MIDDLE]), 3) for face in tracks}
    assert len(depths) > 4
    for face in tracks:
        assert face["lip_roll"][0] == face["lip_roll"][-1] == 0
        assert max(face[name][MIDDLE] for name in ("jaw_open", "smile", "lip_press")) < 0.01

"""Somebody else, made from an avatar, is a whole person: skin, bones and landmarks agree."""

from pathlib import Path

import numpy as np
import pytest

from tests.train.synth.anatomy import Trunk, bone, forearms, turned
from tests.train.synth.conftest import SIZE
from tests.train.synth.performances import show
from tests.train.synth.test_gestures import WHERE, distance
from train.synth.avatar import load_avatar
from train.synth.body import Body, measure, skin_matrices
from train.synth.gestures.classes import PERFORMED
from train.synth.gestures.touches import TOUCHES
from train.synth.people import somebody
from train.synth.render import Renderer
from train.synth.scene import draw_scene

GREY = np.full((*SIZE, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def strangers(man: Body, woman: Body) -> tuple[Body, ...]:
    """Several, from both."""
    made = [
        somebody(np.random.default_rng(seed), body) for seed in range(5) for body in (man, woman)
    ]
    return tuple(body for body in made if body not in (man, woman))


def positions(body: Body) -> np.ndarray:
    return np.concatenate([part.positions for part in body.avatar.parts])


def test_most_people_are_others_and_the_same_seed_makes_the_same_one(man: Body) -> None:
    made = [somebody(np.random.default_rng(seed), man) for seed in range(40)]
    assert 1 <= sum(body is man for body in made) <= 14
    others = [body for body in made if body is not man]
    heights = [np.ptp(b.avatar.parts[0].positions[:, 2]) for b in others]
    assert len(set(heights)) == len(others)
    again = somebody(np.random.default_rng(0), man)
    np.testing.assert_array_equal(positions(again), positions(made[0]))


def test_a_mouth_that_bulges_out_of_its_skin_is_found_all_the_same(avatars: Path) -> None:
    """Looking for skin ahead of this one went on for ever."""
    body = measure(load_avatar(avatars, "m017"))
    rng = np.random.default_rng([777, 2, 175])
    rng.integers(1)
    mouth, eyes = (somebody(rng, body).landmarks[name].point for name in ("mouth", "eyes"))
    assert 3 < eyes[1] - mouth[1] < 10
    assert abs(mouth[2] - eyes[2]) < 4


def test_the_avatar_itself_is_left_as_it_was(man: Body) -> None:
    before = positions(man).copy()
    for seed in range(3):
        somebody(np.random.default_rng(seed), man)
    np.testing.assert_array_equal(positions(man), before)


def test_they_differ_in_build_and_face_but_keep_two_like_sides(strangers: tuple[Body, ...]) -> None:
    def width(body: Body) -> float:
        return float(np.linalg.norm(body.at("L UpperArm") - body.at("R UpperArm")))

    def reach(body: Body, side: str) -> float:
        return float(np.linalg.norm(body.at(f"{side} Hand") - body.at(f"{side} UpperArm")))

    assert np.std([width(body) for body in strangers]) > 0.5
    assert np.std([reach(body, "L") for body in strangers]) > 0.5
    for body in strangers:
        assert 28 < width(body) < 50
        assert reach(body, "L") == pytest.approx(reach(body, "R"), rel=0.01)
        assert abs(body.at("LEye")[0] + body.at("REye")[0]) < 1.0
        eyes, chin = body.landmarks["eyes"].point, body.landmarks["chin"].point
        assert eyes[1] - chin[1] > 6


def test_skin_moves_with_the_bones_as_the_avatars_does(strangers: tuple[Body, ...]) -> None:
    """At rest each vertex stands where it was bent to, whichever bones hold it."""
    for body in strangers:
        matrices = skin_matrices(body, body.rest)
        holding = matrices[body.avatar.inverse_bind.any((1, 2))]
        assert abs(holding - holding[0]).max() < 0.02
        for part in body.avatar.parts:
            np.testing.assert_allclose(np.linalg.norm(part.normals, axis=1), 1, atol=1e-3)
            assert 0.05 < part.paint.min() <= part.paint.max() < 4


@pytest.mark.parametrize("label", sorted(TOUCHES))
def test_a_hand_comes_to_the_place_of_its_class_on_them_too(
    strangers: tuple[Body, ...], label: int
) -> None:
    for body in strangers[:4]:
        shown = show(body, label, 0)
        assert distance(shown, label)[shown.middle].mean() < WHERE[label][1] * 1.15


def test_their_arms_stay_outside_and_in_one_piece(strangers: tuple[Body, ...]) -> None:
    for body in strangers[:3]:
        trunk = Trunk(body)
        for label in PERFORMED[::4]:
            bones = show(body, label, 1).bones
            assert trunk.depth(bones[::6], forearms(body, bones[::6])) < 4.5
            for letter in "LR":
                upper = bone(body, bones, f"{letter} Forearm") - bone(
                    body, bones, f"{letter} UpperArm"
                )
                expected = np.linalg.norm(
                    body.at(f"{letter} Forearm") - body.at(f"{letter} UpperArm")
                )
                np.testing.assert_allclose(np.linalg.norm(upper, axis=1), expected, rtol=2e-3)
                own = turned(body, bones, f"{letter} Forearm")
                np.testing.assert_allclose(np.linalg.det(own), 1, atol=1e-3)


def test_a_picture_shows_who_stands_there_however_many_stood_there_before(
    renderer: Renderer, man: Body
) -> None:
    scene = draw_scene(np.random.default_rng(3), man)

    def picture(body: Body) -> np.ndarray:
        renderer.show(body.avatar)
        return renderer.draw(skin_matrices(body, body.rest), np.zeros(0, np.float32), scene, GREY)

    own = picture(man)
    others = [somebody(np.random.default_rng(seed), man) for seed in range(60)]
    first = picture(others[0])
    assert (abs(first.astype(int) - own) > 12).any(-1).mean() > 0.01
    for body in others:
        picture(body)
    np.testing.assert_array_equal(picture(others[0]), first)
    np.testing.assert_array_equal(picture(man), own)

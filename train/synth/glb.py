"""GLB: an avatar written to files that `train.synth.avatar` reads.

Vertices that have blend shapes are one mesh, the others another; names of the blend shapes are in
the mesh's `extras.targetNames`, as is the custom. Pictures lie beside the file.
"""

import json
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from train.out_paths import write_whole
from train.synth.avatar import Avatar, Part

_FLOAT, _INT, _BYTE = 5126, 5125, 5121
_HIDDEN_CM = 2e-3
"""Blend shapes move whatever moves less not at all."""
_QUALITY = 88


def write_avatar(folder: Path, avatar: Avatar) -> None:
    """Write `NAME.glb` and a picture for each material; the GLB appears last, and whole.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    for material, picture in avatar.textures.items():
        is_solid = bool((picture[..., 3] == 255).all())
        ending = "jpg" if is_solid else "png"
        code = cv2.COLOR_RGBA2BGR if is_solid else cv2.COLOR_RGBA2BGRA
        options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY] if is_solid else []
        _, packed = cv2.imencode(f".{ending}", cv2.cvtColor(picture, code), options)
        write_whole(folder / f"{material}_color.{ending}", packed.tofile)
    write_whole(folder / f"{avatar.name}.glb", lambda file: file.write(glb(avatar)))


def glb(avatar: Avatar) -> bytes:
    """The file's content: bones, skin, blend shapes; no pictures."""
    pack = _Packer()
    moving = [part for part in avatar.parts if len(part.morphs)]
    still = [part for part in avatar.parts if not len(part.morphs)]
    materials = [{"name": part.material} for part in (*moving, *still)]
    meshes: list[dict[str, Any]] = []
    for parts in (moving, still):
        primitives = [
            {**pack.part(part), "material": len(moving) * (parts is still) + k}
            for k, part in enumerate(parts)
        ]
        if primitives:
            meshes.append({"primitives": primitives})
    if moving:
        meshes[0]["extras"] = {"targetNames": list(avatar.morph_names)}
    skeleton = avatar.skeleton
    nodes: list[dict[str, Any]] = [
        {"name": name, "matrix": local.T.ravel().tolist()}
        for name, local in zip(skeleton.names, skeleton.rest_local, strict=True)
    ]
    for bone, parent in enumerate(skeleton.parents):
        if parent >= 0:
            nodes[parent].setdefault("children", []).append(bone)
    roots = [int(bone) for bone in np.flatnonzero(skeleton.parents < 0)]
    shown = [{"name": f"{avatar.name} {k}", "mesh": k, "skin": 0} for k in range(len(meshes))]
    inverse = pack.add(avatar.inverse_bind.swapaxes(1, 2).reshape(-1, 16), "MAT4", _FLOAT)
    document = {
        "asset": {"version": "2.0", "generator": "tells"},
        "scene": 0,
        "scenes": [{"nodes": [*roots, *range(len(nodes), len(nodes) + len(shown))]}],
        "nodes": [*nodes, *shown],
        "skins": [{"joints": list(range(len(nodes))), "inverseBindMatrices": inverse}],
        "materials": materials,
        "meshes": meshes,
        "accessors": pack.accessors,
        "bufferViews": pack.views,
        "buffers": [{"byteLength": len(pack.content)}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    chunks = (b"JSON", text + b" " * (-len(text) % 4)), (b"BIN\0", bytes(pack.content))
    body = b"".join(struct.pack("<I", len(chunk)) + kind + chunk for kind, chunk in chunks)
    return b"glTF" + struct.pack("<II", 2, 12 + len(body)) + body


class _Packer:
    """Arrays one behind the other, each at a multiple of four bytes."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def part(self, part: Part) -> dict[str, Any]:
        """A primitive; its material is up to the caller."""
        attributes = {
            "POSITION": self.add(part.positions, "VEC3", _FLOAT),
            "NORMAL": self.add(part.normals, "VEC3", _FLOAT),
            "TEXCOORD_0": self.add(part.uv, "VEC2", _FLOAT),
            "JOINTS_0": self.add(part.joints, "VEC4", _BYTE),
            "WEIGHTS_0": self.add(part.weights, "VEC4", _FLOAT),
        }
        out: dict[str, Any] = {
            "attributes": attributes,
            "indices": self.add(part.triangles.reshape(-1, 1), "SCALAR", _INT),
        }
        if len(part.morphs):
            out["targets"] = [{"POSITION": self._sparse(moves)} for moves in part.morphs]
        return out

    def add(self, values: NDArray[Any], kind: str, component: int) -> int:
        """The index of a new accessor of rows [n, width]."""
        accessor: dict[str, Any] = {"bufferView": self._view(values, component)}
        accessor |= {"componentType": component, "count": len(values), "type": kind}
        if component == _FLOAT and kind == "VEC3":
            accessor |= {"min": _numbers(values.min(0)), "max": _numbers(values.max(0))}
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def _sparse(self, moves: NDArray[np.float32]) -> int:
        rows = np.flatnonzero(abs(moves).max(axis=1) > _HIDDEN_CM)
        accessor: dict[str, Any] = {"componentType": _FLOAT, "count": len(moves), "type": "VEC3"}
        shown = moves[rows] if len(rows) else np.zeros((1, 3), np.float32)
        low, high = np.minimum(shown.min(0), 0), np.maximum(shown.max(0), 0)
        accessor |= {"min": _numbers(low), "max": _numbers(high)}
        if len(rows):
            indices = {"bufferView": self._view(rows, _INT), "componentType": _INT}
            values = {"bufferView": self._view(moves[rows], _FLOAT)}
            accessor["sparse"] = {"count": len(rows), "indices": indices, "values": values}
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def _view(self, values: NDArray[Any], component: int) -> int:
        dtype = {_FLOAT: "<f4", _INT: "<u4", _BYTE: "u1"}[component]
        raw = np.ascontiguousarray(values, dtype).tobytes()
        view = {"buffer": 0, "byteOffset": len(self.content), "byteLength": len(raw)}
        self.content += raw + b"\0" * (-len(raw) % 4)
        self.views.append(view)
        return len(self.views) - 1


def _numbers(row: NDArray[np.float32]) -> list[float]:
    return [float(x) for x in row]

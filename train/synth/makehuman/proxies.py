"""Proxies: hair, brows, eyes, teeth and clothes, which are made to measure for every body.

Each vertex of a proxy lies in the plane of three vertices of the base mesh and off it by an offset
(MakeHuman's `.mhclo` format, here as JSON), so it follows whatever shape the body has.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.synth.makehuman.material import (
    VERTICES,
    MaterialError,
    Mesh,
    Place,
    fan,
    read_json,
)
from train.synth.rotations import Floats

_QUAD, _HAS_MATERIAL, _HAS_UVS, _HAS_UV = 1, 2, 4, 8
"""Bits of a face's type in three.js's JSON format 3."""


@dataclass(frozen=True, eq=False)
class Proxy:
    """N vertices that hang on the base mesh."""

    mesh: Mesh
    anchors: NDArray[np.intp]
    """intp [N, 3]: vertices of the base mesh."""
    shares: Floats
    """float32 [N, 3]: barycentric."""
    offsets: Floats
    """float32 [N, 3] dm."""
    hidden: NDArray[np.bool_]
    """bool [19158]: vertices of the base mesh that nobody sees under it."""
    picture: Place

    def fit(self, shape: Floats) -> Floats:
        """Where its vertices are, float32 [N, 3], on a shaped base mesh [19158, 3]."""
        return np.asarray(self.spread(shape) + self.offsets, np.float32)

    def spread(self, values: Floats) -> Floats:
        """Values of the base mesh's vertices [19158, C] at its own vertices: [N, C]."""
        return np.asarray((values[self.anchors] * self.shares[..., None]).sum(1), np.float32)


def read_proxy(folder: Place, picture: str | None = None) -> Proxy:
    """One thing; its folder, its file and its picture are called alike.

    Args:
        folder: of `NAME.json` and `textures`.
        picture: one of `textures`; else the thing's own first one.

    Raises:
        MaterialError: it is missing or broken.
    """
    place = folder / f"{folder.name}.json"
    document = read_json(place)
    try:
        own = document["materials"][0]["mapDiffuse"]
        uv = np.array(document["uvs"][0], np.float32).reshape(-1, 2)
        faces, corners = triangles(document["faces"])
        hidden = np.zeros(VERTICES, np.bool_)
        flags = np.array(document["metadata"].get("deleteVerts") or [0], np.bool_)
        hidden[: len(flags)] = flags
        file = folder / f"textures/{picture}" if picture else folder / own
        return Proxy(
            mesh=Mesh(faces, corners, uv * (1, -1) + np.array((0, 1), np.float32)),
            anchors=np.array(document["ref_vIdxs"], np.intp),
            shares=np.array(document["weights"], np.float32),
            offsets=np.array(document["offsets"], np.float32),
            hidden=hidden,
            picture=file,
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise MaterialError(f"{place}: expected a MakeHuman proxy ({error!r})") from None


def triangles(numbers: list[int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Faces of three.js's JSON format 3 as triangles.

    Returns:
        Vertices intp [M, 3], and places in the picture intp [M, 3].

    Raises:
        ValueError: a face has no place in the picture, or the list ends early.
    """
    vertices: list[list[int]] = []
    corners: list[list[int]] = []
    at = 0
    while at < len(numbers):
        kind = numbers[at]
        if not kind & _HAS_UV or kind & ~(_QUAD | _HAS_MATERIAL | _HAS_UV):
            raise ValueError(f"face type {kind}")
        count = 4 if kind & _QUAD else 3
        first = at + 1
        second = first + count + bool(kind & _HAS_MATERIAL)
        at = second + count
        if at > len(numbers):
            raise ValueError("faces end early")
        for triangle in fan(count):
            vertices.append([numbers[first + k] for k in triangle])
            corners.append([numbers[second + k] for k in triangle])
    return np.array(vertices, np.intp).reshape(-1, 3), np.array(corners, np.intp).reshape(-1, 3)

"""Person: somebody put together as an avatar, with ARKit's expressions as blend shapes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from train.synth.avatar import Avatar, Part
from train.synth.faces import BLEND_SHAPES
from train.synth.makehuman.identity import draw_identity
from train.synth.makehuman.material import Material, Mesh, smooth_normals
from train.synth.makehuman.outfit import Outfit, Picture, draw_outfit
from train.synth.makehuman.proxies import Proxy
from train.synth.makehuman.skeleton import CM, Rigging, heaviest, place_bones
from train.synth.rotations import Floats

Box = tuple[float, float, float, float]
"""Left, top, width, height of a picture in an atlas, as shares of it."""
_HEAD_BONES = ("Neck", "Head")
"""What these and the bones of the face move is the head's skin."""
_SIDE = 512
"""px of the picture of a skin, of hair and of clothes; whatever else there is has half."""
_MADE_OF: Mapping[str, Mapping[str, float]] = {
    "mouthSmile?": {"mouthSmile?": 1.1, "cheekSquint?": 0.4},
    "mouthFrown?": {"mouthFrown?": 1.6, "mouthShrugLower": 0.15},
    "browDown?": {"browDown?": 1.7}, "browInnerUp": {"browInnerUp": 1.7},
    "browOuterUp?": {"browOuterUp?": 1.1}, "eyeSquint?": {"eyeSquint?": 1.3, "cheekSquint?": 0.25},
    "noseSneer?": {"noseSneer?": 1.8, "mouthUpperUp?": 0.5}, "mouthPucker": {"mouthPucker": 1.9},
    "cheekPuff": {"cheekPuff": 1.3},
}  # fmt: skip
"""ARKit's expression -> the sculptors' and how much of each; theirs alone are faint, as f001's."""


@dataclass(frozen=True, eq=False)
class _Piece:
    """Some triangles of one material, all in the same picture of an atlas."""

    mesh: Mesh
    points: Floats
    """float32 [N, 3] dm."""
    normals: Floats
    """float32 [N, 3]."""
    weights: Floats
    """float32 [N, B]."""
    morphs: Floats
    """float32 [K, N, 3] dm."""


def make_person(name: str, rng: np.random.Generator, material: Material, rigged: Rigging) -> Avatar:
    """Somebody.

    Args:
        name: of the avatar, beginning with `h`.
        rng: decides who it is.
        material: what people are made of.
        rigged: see `skeleton.rigging`.

    Raises:
        MaterialError: something is missing or broken.
    """
    who = draw_identity(rng, material)
    outfit = draw_outfit(rng, material, who)
    skeleton, places = place_bones(material, rigged, who.shape)
    shapes = {  # f001's are numbered in alphabetical order, too
        f"AK_{k + 1:02}_{n[0].upper()}{n[1:]}": n for k, n in enumerate(material.expression_names())
    }
    shapes = {name: own for name, own in shapes.items() if name in BLEND_SHAPES}
    moves = _expressions(material, list(shapes.values()))
    builder = _Builder(material, rigged, who.shape, moves)
    hidden = np.zeros(len(who.shape), np.bool_)
    for proxy, _ in outfit.clothes:
        hidden |= proxy.hidden
    skin, head = builder.skin(hidden)
    pieces = {
        "head": [head, builder.proxy(outfit.eyes), _seen_from_ahead(builder.proxy(outfit.teeth))],
        "opacity": [builder.proxy(hair, lift) for hair, _, lift in outfit.hairs],
        "skin": [skin],
        "body": [builder.proxy(proxy) for proxy, _ in outfit.clothes],
    }
    ground = float(who.shape[:, 1].min() * CM)
    parts, textures = [], {}
    for kind, pictures in _pictures(outfit).items():
        picture, boxes = atlas(pictures)
        if kind != "opacity":
            picture[..., 3] = 255
        textures[f"{name}_{kind}"] = picture
        parts.append(_part(f"{name}_{kind}", pieces[kind], boxes, kind in ("head", "opacity")))
    inverse = np.tile(np.eye(4, dtype=np.float32), (len(places), 1, 1))
    inverse[:, :3, 3] = -places
    avatar = Avatar(name, skeleton, inverse, tuple(parts), tuple(shapes), textures)
    return _standing(avatar, ground)


def _expressions(material: Material, names: Sequence[str]) -> Floats:
    """float32 [K, 19158, 3] dm."""
    out = np.zeros((len(names), *material.base.shape), np.float32)
    for k, name in enumerate(names):
        side = next((side for side in ("Left", "Right") if name.endswith(side)), "")
        parts = _MADE_OF.get(f"{name.removesuffix(side)}{'?' * bool(side)}", {name: 1.0})
        for part, amount in parts.items():
            rows, moves = material.expression(part.replace("?", side))
            out[k, rows] += moves * np.float32(amount)
    return out


class _Builder:
    """Pieces of one body."""

    def __init__(self, material: Material, rigged: Rigging, shape: Floats, moves: Floats) -> None:
        self._material, self._shape, self._moves = material, shape, moves
        self._rigged = rigged
        self._normals = smooth_normals(shape, material.body.vertices)

    def skin(self, hidden: NDArray[np.bool_]) -> tuple[_Piece, _Piece]:
        """The body's skin where it is to be seen, and the head's."""
        mesh, names = self._material.body, self._rigged.names
        of_head = [
            k for k, name in enumerate(names) if name in _HEAD_BONES or "Head" in self._ancestors(k)
        ]
        share = self._rigged.weights[:, of_head].sum(axis=1)
        is_head = (share[mesh.vertices] > 0.5).all(axis=1)
        is_bare = ~is_head & ~hidden[mesh.vertices].all(axis=1)
        return self._skin(is_bare), self._skin(is_head)

    def proxy(self, proxy: Proxy, lift: float = 0.0) -> _Piece:
        """A thing that hangs on the body, so many dm further off the skin than was meant."""
        points = proxy.fit(self._shape) + np.float32(lift) * proxy.spread(self._normals)
        moves = np.stack([proxy.spread(moved) for moved in self._moves])
        return _Piece(
            proxy.mesh, points, smooth_normals(points, proxy.mesh.vertices),
            proxy.spread(self._rigged.weights), moves,
        )  # fmt: skip

    def _skin(self, chosen: NDArray[np.bool_]) -> _Piece:
        mesh = self._material.body
        some = Mesh(mesh.vertices[chosen], mesh.corners[chosen], mesh.uv)
        return _Piece(some, self._shape, self._normals, self._rigged.weights, self._moves)

    def _ancestors(self, bone: int) -> set[str]:
        out, parents = set(), self._rigged.parents
        while (bone := int(parents[bone])) >= 0:
            out.add(self._rigged.names[bone])
        return out


def _seen_from_ahead(piece: _Piece) -> _Piece:
    """Without what nobody sees of teeth, which are finer than all else."""
    mesh = piece.mesh
    shown = piece.normals[mesh.vertices, 2].mean(axis=1) > 0
    return replace(piece, mesh=Mesh(mesh.vertices[shown], mesh.corners[shown], mesh.uv))


def _pictures(outfit: Outfit) -> dict[str, list[Picture]]:
    """Kind of material -> its pictures."""
    return {
        "head": [outfit.skin, outfit.iris, outfit.gums],
        "opacity": [picture for _, picture, _ in outfit.hairs],
        "skin": [outfit.skin],
        "body": [picture for _, picture in outfit.clothes],
    }


def atlas(pictures: Sequence[Picture]) -> tuple[Picture, list[Box]]:
    """Pictures in one: the first on the left, the others half as large below each other beside it.

    Args:
        pictures: uint8 [h, w, 4] each, one to three.

    Returns:
        uint8 [512, 512 or 768, 4], and where each picture is.
    """
    half = _SIDE // 2
    wide = _SIDE + half * (len(pictures) > 1)
    out = np.zeros((_SIDE, wide, 4), np.uint8)
    boxes = []
    for k, picture in enumerate(pictures):
        left, top, side = (_SIDE, (k - 1) * half, half) if k else (0, 0, _SIDE)
        small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        out[top : top + side, left : left + side] = small
        boxes.append((left / wide, top / _SIDE, side / wide, side / _SIDE))
    return out, boxes


def _part(
    material: str,
    pieces: Sequence[_Piece],
    boxes: Sequence[Box],
    is_moving: bool,
) -> Part:
    """Pieces as one part, cm; a vertex for each pair of a point and a place in the picture."""
    columns: dict[str, list[NDArray[np.float32]]] = {k: [] for k in ("p", "n", "u", "w", "m")}
    triangles, count = [], 0
    for piece, (left, top, width, height) in zip(pieces, boxes, strict=True):
        pairs = np.stack([piece.mesh.vertices.ravel(), piece.mesh.corners.ravel()], 1)
        unique, inverse = np.unique(pairs, axis=0, return_inverse=True)
        points, corners = unique.T
        uv = np.mod(piece.mesh.uv[corners], 1.0001) * (width, height) + (left, top)
        columns["p"].append(piece.points[points] * CM)
        columns["n"].append(piece.normals[points])
        columns["u"].append(uv.astype(np.float32))
        columns["w"].append(piece.weights[points])
        columns["m"].append(piece.morphs[:, points] * CM)
        triangles.append(inverse.reshape(-1, 3) + count)
        count += len(unique)
    points = np.concatenate(columns["p"])
    joints, weights = heaviest(np.concatenate(columns["w"]))
    return Part(
        material=material,
        positions=points,
        normals=np.concatenate(columns["n"]),
        uv=np.concatenate(columns["u"]),
        joints=joints,
        weights=weights,
        triangles=np.concatenate(triangles).astype(np.uint32),
        morphs=np.concatenate(columns["m"], axis=1)[: None if is_moving else 0],
        paint=np.ones_like(points),
    )


def _standing(avatar: Avatar, ground: float) -> Avatar:
    """With the soles at height 0."""
    up = np.array([0, ground, 0], np.float32)
    local, inverse = avatar.skeleton.rest_local.copy(), avatar.inverse_bind.copy()
    local[avatar.skeleton.parents < 0, :3, 3] -= up
    inverse[:, :3, 3] += up
    parts = tuple(replace(part, positions=part.positions - up) for part in avatar.parts)
    return replace(
        avatar,
        skeleton=replace(avatar.skeleton, rest_local=local),
        inverse_bind=inverse,
        parts=parts,
    )

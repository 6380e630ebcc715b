"""Skeleton: the bones that the rig poses, placed in a shaped body, and what skin each one moves.

They are called and hung up as Rocketbox's are, all with the world's axes; MakeHuman's 163 bones
lend their weights. Bones of the face have weights of their own, bells around a place on the face.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.synth.avatar import Skeleton
from train.synth.makehuman.material import VERTICES, Material
from train.synth.rotations import Floats

CM = np.float32(10.0)
"""Per decimetre."""
_HEAD_BELOW_EYES = 0.98
"""dm: there the head turns on the neck; MakeHuman's joint lies inside the skull."""
_TRUNK: Mapping[str, tuple[str, str]] = {
    "Spine": ("Pelvis", "spine-4"), "Spine1": ("Spine", "spine-2"), "Spine2": ("Spine1", "spine-1"),
    "Neck": ("Spine2", "neck"),
}  # fmt: skip
"""Bone -> parent, joint of the base mesh."""
_LIMBS: Mapping[str, tuple[str, str]] = {
    "Clavicle": ("Neck", "clavicle"), "UpperArm": ("? Clavicle", "shoulder"),
    "Forearm": ("? UpperArm", "elbow"), "Hand": ("? Forearm", "hand"),
    "Thigh": ("Spine", "upper-leg"), "Calf": ("? Thigh", "knee"), "Foot": ("? Calf", "ankle"),
    "Toe0": ("? Foot", "foot-1"),
}  # fmt: skip
_OF_JAW = ("jaw", "special04", "oris01", "oris02", "oris06.", "oris07", "tongue")
_OF_HEAD = (
    "head", "neck03", "levator", "oculi", "orbicularis", "oris", "risorius", "special",
    "temporalis", "eye",
)  # fmt: skip
_LENDERS: Mapping[str, tuple[str, ...]] = {
    "Pelvis": ("root", "pelvis", "spine05"), "Spine": ("spine04", "spine03"),
    "Spine1": ("spine02",), "Spine2": ("spine01", "breast"), "Neck": ("neck01",),
    "MJaw": _OF_JAW, "Head": _OF_HEAD,
    "? Clavicle": ("clavicle.", "shoulder01."), "? UpperArm": ("upperarm",),
    "? Forearm": ("lowerarm",), "? Hand": ("wrist.", "metacarpal"), "? Thigh": ("upperleg",),
    "? Calf": ("lowerleg",), "? Foot": ("foot.",), "? Toe0": ("toe",),
}  # fmt: skip
"""Bone -> beginnings of the names of MakeHuman's bones whose weights it gets; first match wins."""
_EITHER, _UPPER, _LOWER = range(3)


@dataclass(frozen=True)
class _Bell:
    """Weights around a place of the unshaped face, on the left or in the middle."""

    at: tuple[float, float, float]
    """dm."""
    wide: tuple[float, float, float]
    """dm: standard deviations."""
    most: float
    lip: int = _EITHER
    above: float = -np.inf
    """dm: no weight below."""
    below: float = np.inf


_FACE: Mapping[str, _Bell] = {
    "MUpperLip": _Bell((0, 6.66, 1.58), (0.10, 0.055, 0.12), 0.9, _UPPER),
    "?Upperlip": _Bell((0.14, 6.66, 1.53), (0.07, 0.055, 0.12), 0.8, _UPPER),
    "MBottomLip": _Bell((0, 6.56, 1.56), (0.10, 0.06, 0.12), 0.9, _LOWER),
    "?MouthBottom": _Bell((0.14, 6.57, 1.50), (0.07, 0.06, 0.12), 0.8, _LOWER),
    "?MouthCorner": _Bell((0.28, 6.63, 1.37), (0.07, 0.08, 0.12), 0.7),
    "?Caninus": _Bell((0.29, 6.82, 1.42), (0.09, 0.09, 0.12), 0.4),
    "MNose": _Bell((0, 6.94, 1.62), (0.14, 0.13, 0.15), 0.6),
    "?Cheek": _Bell((0.42, 6.95, 1.32), (0.14, 0.13, 0.15), 0.5),
    "?Masseter": _Bell((0.56, 6.60, 1.05), (0.15, 0.18, 0.2), 0.5),
    "?EyeBlinkTop": _Bell((0.33, 7.37, 1.42), (0.14, 0.04, 0.12), 0.7, above=7.29),
    "?EyeBlinkBottom": _Bell((0.33, 7.20, 1.40), (0.14, 0.04, 0.12), 0.4, below=7.27),
    "?InnerEyebrow": _Bell((0.20, 7.48, 1.46), (0.09, 0.07, 0.12), 0.8),
    "?OuterEyebrow": _Bell((0.45, 7.47, 1.33), (0.10, 0.07, 0.15), 0.8),
    "MMiddleEyebrow": _Bell((0, 7.45, 1.51), (0.07, 0.08, 0.12), 0.7),
}  # fmt: skip
_JAW_FALLS = 0.3
"""dm: by how much the lower lip falls as the jaw opens; the upper one does not move."""


@dataclass(frozen=True, eq=False)
class Rigging:
    """What is the same for everyone: which vertex of the base mesh follows which bone."""

    names: tuple[str, ...]
    """B bones, parents first, without `Bip01 `; the first is the root, called `Bip01`."""
    parents: NDArray[np.intp]
    weights: Floats
    """float32 [19158, B], rows sum to 1."""


def rigging(material: Material) -> Rigging:
    """Names, parents and weights of the bones."""
    parent_of = {"": "", "Pelvis": ""} | {name: parent for name, (parent, _) in _TRUNK.items()}
    parent_of |= {"Head": "Neck", "MJaw": "Head", "MTongue": "MJaw", "LEye": "Head", "REye": "Head"}
    for name, bell in _FACE.items():
        for letter in _letters(name):
            parent_of[name.replace("?", letter)] = "MJaw" if bell.lip == _LOWER else "Head"
    for letter in "LR":
        for name, (parent, _) in _LIMBS.items():
            parent_of[f"{letter} {name}"] = parent.replace("?", letter)
        for finger, _ in _fingers():
            parent = finger[:-1] if len(finger) > len("Finger0") else "Hand"
            parent_of[f"{letter} {finger}"] = f"{letter} {parent}"
    names = tuple(parent_of)
    parents = [-1, *(names.index(parent_of[name]) for name in names[1:])]
    return Rigging(names, np.array(parents, np.intp), _weights(material, names))


def place_bones(material: Material, rigged: Rigging, shape: Floats) -> tuple[Skeleton, Floats]:
    """The skeleton of a shaped body.

    Args:
        material: for its joints.
        rigged: which bones.
        shape: float32 [19158, 3] dm.

    Returns:
        The skeleton, cm, and where its bones begin, float32 [B, 3] cm.
    """
    at: dict[str, Floats] = {
        name: material.joint(shape, joint) for name, (_, joint) in _TRUNK.items()
    }
    for letter, side in (("L", "l"), ("R", "r")):
        limbs = [(name, joint) for name, (_, joint) in _LIMBS.items()] + _fingers()
        at |= {f"{letter} {bone}": material.joint(shape, f"{side}-{j}") for bone, j in limbs}
        at[f"{letter}Eye"] = material.joint(shape, f"{side}-eye")
    at["Pelvis"] = at[""] = np.asarray((at["L Thigh"] + at["R Thigh"]) / 2)
    eyes, skull = (at["LEye"] + at["REye"]) / 2, material.joint(shape, "head")
    share = (eyes[1] - _HEAD_BELOW_EYES - at["Neck"][1]) / (skull[1] - at["Neck"][1])
    at["Head"] = at["Neck"] + share * (skull - at["Neck"])
    at["MJaw"], at["MTongue"] = (material.joint(shape, j) for j in ("mouth", "tongue-2"))
    for k, name in enumerate(rigged.names):
        if name not in at:  # on the face
            weight = rigged.weights[:, k] ** 2
            at[name] = (shape * weight[:, None]).sum(0) / weight.sum()
    places = np.stack([at[name] for name in rigged.names]).astype(np.float32) * CM
    local = np.tile(np.eye(4, dtype=np.float32), (len(places), 1, 1))
    local[:, :3, 3] = places - np.where(rigged.parents[:, None] < 0, 0, places[rigged.parents])
    names = tuple(f"Bip01 {name}".strip() for name in rigged.names)
    return Skeleton(names, rigged.parents, local), places


def heaviest(weights: Floats) -> tuple[NDArray[np.intp], Floats]:
    """The four bones that move each vertex most.

    Args:
        weights: float32 [N, B].

    Returns:
        Bones intp [N, 4] and weights float32 [N, 4], rows sum to 1.
    """
    joints = np.argsort(-weights, axis=1, kind="stable")[:, :4]
    chosen = np.take_along_axis(weights, joints, axis=1)
    chosen = chosen / chosen.sum(axis=1, keepdims=True)
    return joints * (chosen > 0), chosen.astype(np.float32)


def _letters(name: str) -> str:
    return "LR" if name[0] == "?" else "M"


def _fingers() -> list[tuple[str, str]]:
    """Bones of a hand's fingers, thumb first, and their joints."""
    return [
        (f"Finger{finger}{k or ''}", f"finger-{finger + 1}-{k + 1}")
        for finger in range(5)
        for k in range(3)
    ]


def _lenders() -> list[tuple[str, str]]:
    """Beginning of the name of a bone of MakeHuman's, the bone that gets its weights."""
    out = [(start, bone) for bone, starts in _LENDERS.items() for start in starts]
    for finger in range(5):
        for k in range(3):
            out.append((f"finger{finger + 1}-{k + 1}.", f"? Finger{finger}{k or ''}"))
    return out


def _weights(material: Material, names: tuple[str, ...]) -> Floats:
    out = np.zeros((VERTICES, len(names)), np.float32)
    lenders = _lenders()
    for bone, (rows, values) in material.weights.items():
        # Half of the neck's middle turns with the head.
        goals = [("Neck", 0.5), ("Head", 0.5)] if bone == "neck02" else []
        if not goals:
            goal = next(goal for start, goal in lenders if bone.startswith(start))
            goals = [(goal.replace("?", bone[-1]), 1.0)]
        for goal, share in goals:
            np.add.at(out[:, names.index(goal)], rows, values * np.float32(share))
    column = {name: k for k, name in enumerate(names)}
    whole = {
        "helper-l-eye": "LEye", "helper-r-eye": "REye", "helper-upper-teeth": "Head",
        "helper-lower-teeth": "MJaw", "helper-tongue": "MTongue",
    }  # fmt: skip
    for group, bone in whole.items():
        out[material.groups[group]] = np.eye(len(names), dtype=np.float32)[column[bone]]
    bells = _bells(material, names) * (out[:, [column["Head"], column["MJaw"]]].sum(1) > 0)[:, None]
    for group in whole:
        bells[material.groups[group]] = 0
    total = bells.sum(axis=1, keepdims=True)
    bells /= np.maximum(total / 0.85, 1.0)
    out *= 1 - bells.sum(axis=1, keepdims=True)
    return (out + bells) / (out + bells).sum(axis=1, keepdims=True)


def _bells(material: Material, names: tuple[str, ...]) -> Floats:
    """Weights [19158, B] of the bones of the face."""
    fall = np.zeros(VERTICES, np.float32)
    rows, moves = material.expression("jawOpen")
    fall[rows] = -moves[:, 1]
    lower = np.clip(fall / _JAW_FALLS, 0, 1)
    lips = {_EITHER: np.ones_like(lower), _UPPER: 1 - lower, _LOWER: lower}
    out = np.zeros((VERTICES, len(names)), np.float32)
    height = material.base[:, 1]
    for name, bell in _FACE.items():
        for letter in _letters(name):
            flip = np.array([-1.0 if letter == "R" else 1.0, 1, 1])
            offset = (material.base - flip * bell.at) / bell.wide
            weight = bell.most * np.exp(-(offset**2).sum(1) / 2) * lips[bell.lip]
            weight[(height < bell.above) | (height > bell.below) | (weight < 0.02)] = 0
            out[:, names.index(name.replace("?", letter))] = weight
    return out

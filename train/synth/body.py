"""Body: where things are on one avatar, measured from its bones and its skin in the A-pose."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from train.synth.avatar import Avatar
from train.synth.rotations import Floats, unit

SIDES = ("left", "right")
_LIPS = (("MUpperLip", "LUpperlip", "RUpperlip"), ("MBottomLip", "LMouthBottom", "RMouthBottom"))
"""Bones of the upper and of the lower lip."""
_OVERLAP = 0.06
"""cm, of lips that are pressed onto each other: without it a camera from below sees teeth."""
_RADIUS = 1.6
"""cm: vertices so near to a line through the body belong to the skin around it."""


@dataclass(frozen=True)
class Landmark:
    """A place on the skin in the A-pose."""

    point: Floats
    """float32 [3] cm."""
    normal: Floats
    """float32 [3], outwards."""


@dataclass(frozen=True, eq=False)
class HandShape:
    """One hand in the A-pose."""

    fingers: Floats
    """float32 [3], unit: from the wrist to the middle knuckle."""
    palm: Floats
    """float32 [3], unit: out of the palm."""


@dataclass(frozen=True, eq=False)
class Lip:
    """The skin that one bone of a lip moves."""

    seam: Floats
    """float32 [3] cm: just beyond its edge at the other lip, in the A-pose."""
    hold: float
    """0..1: how much of a movement of the lip's bones its skin follows at most."""


@dataclass(frozen=True, eq=False)
class Body:
    """One avatar, measured."""

    avatar: Avatar
    rest: Floats
    """float32 [B, 4, 4]: world matrices in the A-pose, cm."""
    parents: NDArray[np.intp]
    """intp [B]: as the avatar's, but clavicles hang on the chest and thighs on the pelvis."""
    landmarks: dict[str, Landmark]
    hands: dict[str, HandShape]
    lips: dict[str, Lip]
    """By bone: bones of a lip lie off the lip itself, by up to 1 cm, differently for everyone."""
    shoulders: float
    """Shoulder joint to shoulder joint, cm."""
    torso: Floats
    """float32 [3] cm: half width, half depth and centre z of the ribs, for keeping arms outside."""

    def bone(self, name: str) -> int:
        """Position of `Bip01 <name>`."""
        return self.avatar.skeleton.index(name)

    def at(self, name: str) -> Floats:
        """float32 [3] cm: where the bone begins in the A-pose."""
        return np.asarray(self.rest[self.bone(name), :3, 3])


def measure(avatar: Avatar) -> Body:
    """The body of an avatar."""
    skeleton = avatar.skeleton
    rest = np.zeros_like(skeleton.rest_local)
    for i, parent in enumerate(skeleton.parents):
        local = skeleton.rest_local[i]
        rest[i] = local if parent < 0 else rest[parent] @ local
    parents = skeleton.parents.copy()
    for side in "LR":
        parents[skeleton.index(f"{side} Clavicle")] = skeleton.index("Spine2")
        parents[skeleton.index(f"{side} Thigh")] = skeleton.index("Pelvis")
    at = {name: rest[i, :3, 3] for i, name in enumerate(skeleton.names)}
    skin = _skin(avatar, rest)
    trunk = skin["body"]
    chest_y = float(at["Bip01 Spine2"][1])
    ribs = trunk[(abs(trunk[:, 1] - chest_y) < 4) & (abs(trunk[:, 0]) < 21)]
    torso = np.array(
        [
            np.percentile(abs(ribs[:, 0]), 97) * 0.95,
            np.ptp(ribs[:, 2]) / 2,
            (ribs[:, 2].max() + ribs[:, 2].min()) / 2,
        ],
        np.float32,
    )
    hands = {side: _hand_shape(at, side) for side in SIDES}
    shoulders = np.linalg.norm(at["Bip01 L UpperArm"] - at["Bip01 R UpperArm"])
    marks = {**_head_marks(skin, at), **_trunk_marks(skin, at), **_arm_marks(at)}
    lips = _lips(avatar, skin["head"])
    return Body(avatar, rest, parents, marks, hands, lips, float(shoulders), torso)


def skin_matrices(body: Body, bones: Floats) -> Floats:
    """float32 [..., B, 4, 4]: from the A-pose to where `bones` [..., B, 4, 4] take the skin."""
    return np.asarray(bones @ body.avatar.inverse_bind, np.float32)


def _skin(avatar: Avatar, rest: Floats) -> dict[str, Floats]:
    """Vertices [N, 3] of `head`, `hair` (with head) and `body` in the A-pose, world axes."""
    matrices = rest @ avatar.inverse_bind
    out: dict[str, list[Floats]] = {"head": [], "hair": [], "body": []}
    for part in avatar.parts:
        points = np.concatenate([part.positions, np.ones((len(part.positions), 1))], axis=1)
        posed = np.einsum("nk,nkij,nj->ni", part.weights, matrices[part.joints], points)[:, :3]
        what = part.material.rsplit("_", 1)[1]
        for key in {"head": ("head", "hair"), "opacity": ("hair",)}.get(what, ("body",)):
            out[key].append(posed.astype(np.float32))
    return {key: np.concatenate(value) for key, value in out.items()}


def _surface(points: Floats, through: ArrayLike, direction: ArrayLike, radius: float) -> Landmark:
    """The outermost skin along `direction` within `radius` cm of the line through a point."""
    axis = unit(np.asarray(direction, np.float32))
    offset = points - np.asarray(through, np.float32)
    along = offset @ axis
    aside = np.linalg.norm(offset - along[:, None] * axis, axis=1)
    is_ahead = (along > 0) | (along.max() <= 0)  # a stranger's lip may bulge out of its skin
    while not (near := (aside < radius) & is_ahead).any():
        radius *= 1.5
    point = np.asarray(through, np.float32) + axis * along[near].max()
    return Landmark(np.asarray(point, np.float32), axis)


def _head_marks(skin: dict[str, Floats], at: dict[str, Floats]) -> dict[str, Landmark]:
    face, hair = skin["head"], skin["hair"]
    left_eye, right_eye = at["Bip01 LEye"], at["Bip01 REye"]
    eyes = (left_eye + right_eye) / 2
    nose, mouth = at["Bip01 MNose"], at["Bip01 MUpperLip"]
    face = face[face[:, 1] > at["Bip01 Head"][1] - 6]
    middle = face[(abs(face[:, 0]) < 1.5) & (face[:, 2] > at["Bip01 Head"][2] + 4)]
    jaw = middle[middle[:, 2] > nose[2] - 5]
    chin_y = float(jaw[:, 1].min())
    crown_y = float(hair[:, 1].max())
    height = crown_y - chin_y
    forward, up = (0.0, 0.12, 1.0), (0.0, 1.0, 0.0)
    marks = {
        "eyes": _surface(face, eyes, forward, _RADIUS),
        "nose": Landmark(
            np.array([0, nose[1], middle[:, 2].max()], np.float32), np.array([0, 0, 1], np.float32)
        ),
        "mouth": _surface(face, mouth, (0, 0, 1), _RADIUS),
        "chin": Landmark(
            np.array([0, chin_y + 1.2, mouth[2] - 0.5], np.float32),
            unit(np.array([0, -0.5, 1.0], np.float32)),
        ),
        "under_chin": Landmark(
            np.array([0, chin_y, mouth[2] - 2.0], np.float32),
            unit(np.array([0, -1.0, 0.5], np.float32)),
        ),
        "forehead": _surface(face, eyes + (0, 0.22 * height, -4), (0.0, 0.35, 1.0), _RADIUS),
        "crown": _surface(hair, eyes + (0, 0, -7), up, 3.0),
        "hairline": _surface(hair, eyes + (0, 0.30 * height, -5), (0, 0.9, 1.0), 2.5),
        "back_head": _surface(hair, eyes + (0, 0.05 * height, -8), (0, 0.3, -1.0), 2.5),
    }
    for side, sign in (("left", 1.0), ("right", -1.0)):
        eye = left_eye if side == "left" else right_eye
        out = (sign, 0.0, 0.0)
        ear = np.array([0, (eyes[1] + nose[1]) / 2, at["Bip01 Head"][2] + 2.0], np.float32)
        marks |= {
            f"{side}_eye": _surface(face, eye, (sign * 0.15, 0, 1), 1.2),
            f"{side}_brow": _surface(face, eye + (sign * 0.5, 1.8, -2), (0, 0.1, 1), 1.4),
            f"{side}_temple": _surface(face, eye + (0, 1.0, -3.5), (sign, 0.15, 0.3), 2.0),
            f"{side}_cheek": _surface(
                face, (sign * 4.2, (nose[1] + mouth[1]) / 2, nose[2] - 6), (sign * 0.5, 0, 1), 1.6
            ),
            f"{side}_mouth": _surface(
                face, mouth + (sign * 2.4, -0.3, -3), (sign * 0.3, 0, 1), 1.3
            ),
            f"{side}_jaw": _surface(
                face, (0, chin_y + 2.5, nose[2] - 6.0), (sign, -0.25, 0.45), 1.6
            ),
            f"{side}_ear": _surface(face, ear, out, 2.0),
            f"{side}_hair": _surface(hair, ear + (0, 0.22 * height, 0), (sign, 0.5, 0), 2.5),
            f"{side}_crown": _surface(hair, eyes + (sign * 3, 0, -6), (sign * 0.35, 1, 0), 2.5),
        }
    return {name: _soft(mark) for name, mark in marks.items()}


def _trunk_marks(skin: dict[str, Floats], at: dict[str, Floats]) -> dict[str, Landmark]:
    whole = np.concatenate([skin["body"], skin["head"]])
    trunk = whole[abs(whole[:, 0]) < 24]
    neck, chest, pelvis = at["Bip01 Neck"], at["Bip01 Spine2"], at["Bip01 Pelvis"]
    clavicle = at["Bip01 L Clavicle"]
    forward = (0.0, 0.0, 1.0)
    notch_y = float(clavicle[1] + 0.15 * (neck[1] - clavicle[1]))
    marks = {
        "suprasternal": _surface(trunk, (0, notch_y, 0), (0, 0.3, 1), 1.6),
        "throat": _surface(trunk, (0, at["Bip01 Head"][1] - 3.0, neck[2]), forward, 2.0),
        "collar": _surface(trunk, (0, notch_y - 4, 0), forward, 2.0),
        "chest": _surface(trunk, (0, chest[1] + 4, 0), forward, 3.0),
        "belly": _surface(trunk, (0, at["Bip01 Spine1"][1], 0), forward, 3.0),
        "waist": _surface(trunk, (0, at["Bip01 Spine"][1], 0), forward, 3.0),
        "nape": _surface(trunk, (0, neck[1] + 4, neck[2]), (0, 0.2, -1), 2.0),
        "lower_back": _surface(trunk, (0, at["Bip01 Spine1"][1], 0), (0, 0, -1), 3.0),
        "seat": Landmark(np.array([0, pelvis[1] + 4, -14], np.float32), -np.eye(3)[2]),
    }
    for side, sign in (("left", 1.0), ("right", -1.0)):
        shoulder = at[f"Bip01 {side[0].upper()} UpperArm"]
        marks |= {
            f"{side}_neck": _surface(
                trunk, (0, at["Bip01 Head"][1] - 3.5, neck[2] + 1), (sign, 0, 0.5), 2.0
            ),
            f"{side}_nape": _surface(trunk, (0, neck[1] + 4, neck[2]), (sign, 0.3, -0.8), 2.0),
            f"{side}_collar": _surface(
                trunk, (sign * 4, notch_y - 1, 0), (sign * 0.3, 0.4, 1), 2.0
            ),
            f"{side}_chest": _surface(trunk, (sign * 8, chest[1] + 4, 0), forward, 3.0),
            f"{side}_shoulder": _surface(
                whole, shoulder + (-sign * 2, 0, 1), (sign * 0.3, 1, 0.3), 3.0
            ),
            f"{side}_shoulder_blade": _surface(
                trunk, (sign * 9, shoulder[1] - 4, 0), (0, 0, -1), 3.0
            ),
            f"{side}_hip": _surface(trunk, (0, pelvis[1] + 12, 0), (sign, 0, 0.2), 4.0),
            f"{side}_lap": Landmark(
                np.array([sign * 9, pelvis[1] + 8, 26], np.float32), np.eye(3)[1]
            ),
        }
    return {name: _soft(mark) for name, mark in marks.items()}


def _arm_marks(at: dict[str, Floats]) -> dict[str, Landmark]:
    """Places on the arms in the A-pose; they move with the arm bones, not with the chest."""
    marks = {}
    for side in SIDES:
        letter = side[0].upper()
        shoulder, elbow, wrist = (
            at[f"Bip01 {letter} {bone}"] for bone in ("UpperArm", "Forearm", "Hand")
        )
        for name, a, b, share in (
            ("upper_arm", shoulder, elbow, 0.6),
            ("elbow", shoulder, elbow, 1.0),
            ("forearm", elbow, wrist, 0.55),
            ("wrist", elbow, wrist, 0.95),
        ):
            marks[f"{side}_{name}"] = Landmark(a + (b - a) * share, np.array([0, 0, 1]))
    return {name: _soft(mark) for name, mark in marks.items()}


def _soft(mark: Landmark) -> Landmark:
    return Landmark(np.asarray(mark.point, np.float32), unit(np.asarray(mark.normal, np.float32)))


def _lips(avatar: Avatar, head: Floats) -> dict[str, Lip]:
    (part,) = (p for p in avatar.parts if p.material.endswith("_head"))
    out = {}
    for names, down in zip(_LIPS, (-1.0, 1.0), strict=True):
        bones = [avatar.skeleton.index(name) for name in names]
        held = (part.weights[..., None] * (part.joints[..., None] == bones)).sum(1)
        for name, weight in zip(names, held.T, strict=True):
            skin = head[weight > 0.5 * weight.max()]
            edge = skin[np.argmax(down * skin[:, 1])]
            seam = np.asarray(edge + (0, _OVERLAP * down, 0), np.float32)
            out[name] = Lip(seam, float(held.sum(1).max()))
    return out


def _hand_shape(at: dict[str, Floats], side: str) -> HandShape:
    letter, sign = side[0].upper(), 1.0 if side == "left" else -1.0
    wrist, index, middle, little = (
        at[f"Bip01 {letter} {bone}"] for bone in ("Hand", "Finger1", "Finger2", "Finger4")
    )
    fingers = unit(middle - wrist)
    across = unit(np.cross(index - wrist, little - wrist))
    towards_body = np.array([-sign, -0.5, 0], np.float32)
    palm = across if across @ towards_body > 0 else -across
    return HandShape(fingers, unit(palm - (palm @ fingers) * fingers))

"""Bones -> the keypoints that pose estimators would find."""

from collections.abc import Sequence

import numpy as np

from engines.skeleton import MEDIAPIPE33
from train.synth.body import SIDES, Body
from train.synth.controls import Controls
from train.synth.rig import FINGER_TIPS, joints
from train.synth.rotations import Floats

Place = tuple[str, Floats]
"""A bone and a point in A-pose coordinates, float32 [3] cm, that moves with it."""


def mediapipe_places(body: Body) -> tuple[Place, ...]:
    """The 33 landmarks of MediaPipe Pose, in its order."""
    places: dict[str, Place] = {"nose": ("Head", body.landmarks["nose"].point)}
    for side in SIDES:
        letter, sign = side[0].upper(), np.float32(1.0 if side == "left" else -1.0)
        x, _, z = np.eye(3, dtype=np.float32) * sign
        eye, mouth = body.landmarks[f"{side}_eye"].point, body.landmarks["mouth"].point
        foot = body.at(f"{letter} Foot")
        thumb = _between(body, f"{letter} Finger01", f"{letter} Finger02")
        places |= {
            f"{side}_eye_inner": ("Head", eye - 1.2 * x),
            f"{side}_eye": ("Head", eye),
            f"{side}_eye_outer": ("Head", eye + 1.3 * x),
            f"{side}_ear": ("Head", body.landmarks[f"{side}_ear"].point),
            f"mouth_{side}": ("Head", mouth + 2.6 * x - 0.6 * sign * z),
            f"{side}_shoulder": (f"{letter} UpperArm", body.at(f"{letter} UpperArm")),
            f"{side}_elbow": (f"{letter} Forearm", body.at(f"{letter} Forearm")),
            f"{side}_wrist": (f"{letter} Hand", body.at(f"{letter} Hand")),
            f"{side}_pinky": (f"{letter} Finger4", body.at(f"{letter} Finger4")),
            f"{side}_index": (f"{letter} Finger1", body.at(f"{letter} Finger1")),
            f"{side}_thumb": (f"{letter} Finger01", thumb),
            f"{side}_hip": (f"{letter} Thigh", body.at(f"{letter} Thigh")),
            f"{side}_knee": (f"{letter} Calf", body.at(f"{letter} Calf")),
            f"{side}_ankle": (f"{letter} Foot", foot),
            f"{side}_heel": (f"{letter} Foot", foot + np.array([0, -7, -5], np.float32)),
            f"{side}_foot_index": (f"{letter} Toe0", body.at(f"{letter} Toe0")),
        }
    return tuple(places[name] for name in MEDIAPIPE33.joints)


def _between(body: Body, a: str, b: str) -> Floats:
    return np.asarray((body.at(a) + body.at(b)) / 2, np.float32)


def finger_places(body: Body, side: str) -> tuple[Place, ...]:
    """Four points on each finger of a hand, from knuckle to tip, thumb first: 20."""
    places: list[Place] = []
    for finger in range(5):
        bones = [f"{side[0].upper()} Finger{finger}{k}" for k in ("", "1", "2")]
        places += [(bone, body.at(bone)) for bone in bones]
        phalanx = body.at(bones[2]) - body.at(bones[1])
        tip = body.at(bones[2]) + np.float32(FINGER_TIPS[finger]) * phalanx
        places.append((bones[2], tip))
    return tuple(places)


def carry(body: Body, bones: Floats, places: Sequence[Place]) -> Floats:
    """World points, cm, float32 [T, n, 3].

    Args:
        body: whose.
        bones: float32 [T, B, 4, 4] world matrices.
        places: n of them.
    """
    index = [body.bone(name) for name, _ in places]
    points = np.stack([point for _, point in places]) - body.rest[index][:, :3, 3]
    local = np.einsum("nji,nj->ni", body.rest[index][:, :3, :3], points)
    moved = np.einsum("tnij,nj->tni", bones[:, index][..., :3, :3], local)
    return np.asarray(moved + bones[:, index][..., :3, 3], np.float32)


def carry_face(body: Body, bones: Floats, morphs: Floats, names: Sequence[str]) -> Floats:
    """Where bones of the face are, and their skin with them, which blend shapes move without them.

    Args:
        body: whose.
        bones: float32 [T, B, 4, 4] world matrices.
        morphs: float32 [T, K] weights of the blend shapes.
        names: n bones.

    Returns:
        float32 [T, n, 3] world points, cm.
    """
    (part,) = (p for p in body.avatar.parts if p.material.endswith("_head"))
    index, head = [body.bone(name) for name in names], body.bone("Head")
    held = np.stack([(part.weights * (part.joints == bone)).sum(1) for bone in index], 1) ** 2
    moves = np.tensordot(part.morphs, held / held.sum(axis=0), (1, 0))  # [K, 3, n]
    to_rest = body.rest[head] @ body.avatar.inverse_bind[head]
    turned = bones[:, head, :3, :3] @ np.linalg.inv(body.rest[head])[:3, :3] @ to_rest[:3, :3]
    steps = turned @ np.tensordot(morphs, moves, 1)
    return np.asarray(bones[:, index][..., :3, 3] + steps.swapaxes(1, 2), np.float32)


def carry_joints(body: Body, controls: Controls, places: tuple[Place, ...]) -> Floats:
    """As `carry`, straight from the controls and only for what is asked: much faster."""
    names = tuple(sorted({name for name, _ in places}))
    turned, placed = joints(body, controls, names)
    at = [names.index(name) for name, _ in places]
    rest = np.stack([body.at(name) for name, _ in places])
    offset = np.stack([point for _, point in places]) - rest
    return np.asarray(np.einsum("tnij,nj->tni", turned[:, at], offset) + placed[:, at], np.float32)

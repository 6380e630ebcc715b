"""Where parts of a body are, worked out from its skin and bones alone, not from the script."""

import cv2
import numpy as np
from numpy.typing import NDArray

from train.synth.body import SIDES, Body
from train.synth.keypoints import carry, finger_places
from train.synth.rotations import Floats

_SLICE = 3.0
"""cm."""
_TRUNK = ("Spine", "Pelvis", "Thigh")


def bone(body: Body, bones: Floats, name: str) -> Floats:
    """float32 [T, 3] cm: where `Bip01 <name>` begins."""
    return np.asarray(bones[:, body.bone(name), :3, 3])


def turned(body: Body, bones: Floats, name: str) -> Floats:
    """float32 [T, 3, 3]: the bone's rotation away from the A-pose."""
    k = body.bone(name)
    return np.asarray(bones[:, k, :3, :3] @ body.rest[k, :3, :3].T)


def hand_points(body: Body, bones: Floats, side: str) -> Floats:
    """float32 [T, 6, 3] cm: five finger tips and the middle of the palm."""
    tips = carry(body, bones, finger_places(body, side)[3::4])
    wrist, knuckle = (bone(body, bones, f"{side[0].upper()} {k}") for k in ("Hand", "Finger2"))
    palm = wrist + 0.7 * (knuckle - wrist)
    return np.concatenate([tips, palm[:, None]], axis=1)


def mark(body: Body, bones: Floats, name: str, on: str) -> Floats:
    """float32 [T, 3] cm: a landmark, carried by a bone."""
    return carry(body, bones, ((on, body.landmarks[name].point),))[:, 0]


def speed(points: Floats, rate_hz: float) -> NDArray[np.float64]:
    """m/s between frames, of [T, ..., 3] cm."""
    return np.asarray(np.linalg.norm(np.diff(points, axis=0), axis=-1) * rate_hz / 100)


class Trunk:
    """Outlines of the skin around the spine, slice by slice in the A-pose."""

    def __init__(self, body: Body) -> None:
        self._body = body
        skin = _trunk_skin(body)
        self._bottom = float(skin[:, 1].min())
        self._outlines = []
        for y in np.arange(self._bottom, body.at("Neck")[1], _SLICE):
            near = (skin[:, 1] >= y - 1) & (skin[:, 1] < y + _SLICE + 1)
            self._outlines.append(cv2.convexHull(skin[near][:, [0, 2]].astype(np.float32)))

    def depth(self, bones: Floats, points: Floats) -> float:
        """The furthest that any of the points [T, n, 3] lies inside; cm, negative outside."""
        k = self._body.bone("Spine2")
        back = self._body.rest[k] @ np.linalg.inv(bones[:, k])
        local = np.einsum("tij,tnj->tni", back[:, :3, :3], points) + back[:, None, :3, 3]
        return max(self._at(p) for p in local.reshape(-1, 3))

    def _at(self, point: Floats) -> float:
        row = int((point[1] - self._bottom) // _SLICE)
        if not 0 <= row < len(self._outlines):
            return -99.0
        xz = (float(point[0]), float(point[2]))
        return cv2.pointPolygonTest(self._outlines[row], xz, measureDist=True)


def _trunk_skin(body: Body) -> Floats:
    names = body.avatar.skeleton.names
    is_trunk = np.array([any(part in name for part in _TRUNK) for name in names])
    matrices = body.rest @ body.avatar.inverse_bind
    out = []
    for part in body.avatar.parts:
        points = np.concatenate([part.positions, np.ones((len(part.positions), 1))], axis=1)
        posed = np.einsum("nk,nkij,nj->ni", part.weights, matrices[part.joints], points)[:, :3]
        out.append(posed[(part.weights * is_trunk[part.joints]).sum(1) > 0.6])
    skin = np.concatenate(out)
    return np.asarray(skin[skin[:, 1] > body.at("Pelvis")[1] - 2])


def forearms(body: Body, bones: Floats) -> Floats:
    """float32 [T, 14, 3] cm: the axes of both forearms, from below the elbow to the wrist."""
    share = np.linspace(0.15, 1.0, 7, dtype=np.float32)[:, None]
    out = []
    for side in SIDES:
        elbow = bone(body, bones, f"{side[0].upper()} Forearm")[:, None]
        wrist = bone(body, bones, f"{side[0].upper()} Hand")[:, None]
        out.append(elbow + (wrist - elbow) * share)
    return np.concatenate(out, axis=1)

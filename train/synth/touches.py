"""Touches: what each hand of a rendered person touches at each instant.

Nobody annotates it, but who moves the bones knows it. With how far the face moves it makes the cues
of a frame, which `train synth` writes beside each video; `train.cues` says what they are good for.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from train.synth.body import SIDES, Body
from train.synth.controls import FACE
from train.synth.keypoints import Place, carry, finger_places
from train.synth.performance import Performance
from train.synth.rotations import Floats

OF_HEAD: Mapping[str, tuple[str, ...]] = {
    "crown": ("crown", "?_crown"), "back of the head": ("back_head",), "hair": ("?_hair",),
    "hairline": ("hairline",), "temple": ("?_temple",), "forehead": ("forehead",),
    "brow": ("?_brow",), "eye": ("eyes", "?_eye"), "nose": ("nose",), "mouth": ("mouth", "?_mouth"),
    "cheek": ("?_cheek",), "ear": ("?_ear",), "chin": ("chin", "under_chin"), "jaw": ("?_jaw",),
}  # fmt: skip
_OF_TRUNK: Mapping[str, tuple[str, ...]] = {
    "neck": ("?_neck",), "nape": ("nape", "?_nape"), "throat": ("throat",),
    "collar": ("collar", "?_collar"), "notch": ("suprasternal",), "chest": ("chest", "?_chest"),
    "belly": ("belly",), "shoulder": ("?_shoulder",),
}  # fmt: skip
"""Name -> landmarks of `Body`; `?` stands for both sides."""
_ALONG, _THICK_CM = (0.25, 0.5, 0.75, 1.0), 3.5
"""Shares of a bone of the arm at which it is touched, so far from the skin."""
TOUCHED = (*OF_HEAD, *_OF_TRUNK, "arm", "hand")
"""What is said of a hand: the other arm and the other hand are the last ones."""
_SKIN_CM, _NEAR_CM = 1.0, 3.0
"""A touch is so deep, and a hand this much farther away touches with exp(-1)."""
CUES_DTYPE = np.dtype([
    ("t", "<f8"), ("touched", "<f2", (len(SIDES), len(TOUCHED))), ("actions", "<f2", len(FACE)),
])  # fmt: skip
"""Cues of one frame: stream seconds, `touches`, and how far the face moves (see `Performance`)."""


def touches(body: Body, bones: Floats) -> Floats:
    """How much each hand touches each of `TOUCHED`.

    Args:
        body: whose.
        bones: float32 [T, B, 4, 4] world matrices, cm.

    Returns:
        float32 [T, 2, 24], 0..1, of the left hand and of the right one.
    """
    hands = [carry(body, bones, finger_places(body, side)) for side in SIDES]
    groups = [_marks(body, "Head", names) for names in OF_HEAD.values()]
    groups += [_marks(body, "Spine2", names) for names in _OF_TRUNK.values()]
    out = np.empty((len(bones), len(SIDES), len(TOUCHED)), np.float32)
    for k, (hand, other) in enumerate(zip(hands, reversed(hands), strict=True)):
        things = [_distance(hand, carry(body, bones, group)) for group in groups]
        arm = _distance(hand, carry(body, bones, _arm(body, SIDES[1 - k]))) - _THICK_CM
        far = np.stack([*things, arm, _distance(hand, other)], axis=1)
        out[:, k] = np.exp(-((np.maximum(far - _SKIN_CM, 0) / _NEAR_CM) ** 2))
    return out


def _marks(body: Body, bone: str, names: tuple[str, ...]) -> tuple[Place, ...]:
    both = [name.replace("?", side) for name in names for side in SIDES]
    return tuple((bone, body.landmarks[name].point) for name in dict.fromkeys(both))


def _arm(body: Body, side: str) -> tuple[Place, ...]:
    """Points along the bones of an arm, from shoulder to wrist."""
    shoulder, elbow, wrist = (
        body.at(f"{side[0].upper()} {bone}") for bone in ("UpperArm", "Forearm", "Hand")
    )
    upper = [("UpperArm", shoulder + share * (elbow - shoulder)) for share in _ALONG]
    lower = [("Forearm", elbow + share * (wrist - elbow)) for share in _ALONG]
    return tuple((f"{side[0].upper()} {bone}", point) for bone, point in (*upper, *lower))


def _distance(a: Floats, b: Floats) -> Floats:
    """cm, float32 [T]: of the nearest two of points [T, n, 3] and [T, m, 3]."""
    apart = np.linalg.norm(a[:, :, None] - b[:, None], axis=-1)
    return np.asarray(apart.min(axis=(1, 2)), np.float32)


def write_cues(path: Path, body: Body, performance: Performance) -> None:
    """What hands touch and the face does in each frame, as an array of `CUES_DTYPE` [T].

    Raises:
        OSError: the disk is full, or the folder cannot be written to.
    """
    records = np.zeros(len(performance.t), CUES_DTYPE)
    records["t"] = performance.t - performance.t[0]
    records["touched"] = touches(body, performance.bones)
    records["actions"] = performance.actions
    np.save(path, records)

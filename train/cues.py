"""Cues: what each picture of a face or a hand shows by itself, told beside the gestures.

A gesture is one name for two seconds; of which only an instant may tell eyes from forehead. What a
hand touches at an instant, and how far lips are pressed or brows raised, is what names differ in,
and rendered people know it of every picture. The network tells it in training, and its answers go
on into the fusion (`train.models.tokens.CueToken`).
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from train.models.heads import NetConfig
from train.models.tokens import MapConfig
from train.synth.body import SIDES, Body
from train.synth.controls import FACE
from train.synth.keypoints import Place, carry, openpose_fingers
from train.synth.rotations import Floats

HAND_CUES, FACE_CUES = "hand_cues", "face_cues"
"""Keys among a window's labels."""
_OF_HEAD: Mapping[str, tuple[str, ...]] = {
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
TOUCHED = (*_OF_HEAD, *_OF_TRUNK, "arm", "hand")
"""What the cues of a hand say: the other arm and the other hand are the last ones."""
SHOWN = (*FACE, *_OF_HEAD)
"""What the cues of a face say: its actions (see `train.synth.faces`), and where a hand is at it."""
_SKIN_CM, _NEAR_CM = 1.0, 3.0
"""A touch is so deep, and a hand this much farther away touches with exp(-1)."""
_WEIGHT = 0.25
"""Of each picture's cues, beside one gesture a window."""


def touches(body: Body, bones: Floats) -> Floats:
    """How much each hand touches each of `TOUCHED`.

    Args:
        body: whose.
        bones: float32 [T, B, 4, 4] world matrices, cm.

    Returns:
        float32 [T, 2, 24], 0..1, of the left hand and of the right one.
    """
    hands = [carry(body, bones, openpose_fingers(body, side)) for side in SIDES]
    groups = [_marks(body, "Head", names) for names in _OF_HEAD.values()]
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


def cues_of_faces(actions: Floats, touched: Floats) -> Floats:
    """float32 [T, 28] as `SHOWN` has them, 0..1.

    Args:
        actions: float32 [T, 14]: channels of the face.
        touched: float32 [T, 2, 24] of `touches`.
    """
    at_face = touched[:, :, : len(_OF_HEAD)].max(axis=1)
    return np.concatenate([actions.clip(0, 1), at_face], axis=1)


def unknown_cues(net: NetConfig) -> dict[str, Tensor]:
    """All that a network is asked of a window, as NaN, as nobody knows it.

    Returns:
        Of what it is asked: `FACE_CUES` -> float32 [Tf, 28], `HAND_CUES` -> float32 [Th, 2, 24].
    """
    gesture = net.micro_gesture
    asked: dict[str, tuple[MapConfig | None, tuple[int, ...]]] = {}
    if gesture is not None:
        asked = {
            FACE_CUES: (gesture.fusion.faces, ()),
            HAND_CUES: (gesture.fusion.hands, (len(SIDES),)),
        }
    return {
        key: torch.full((maps.clock.samples, *sides, maps.cues), torch.nan)
        for key, (maps, sides) in asked.items()
        if maps is not None and maps.cues
    }


def seen_only(cues: Floats, mask: NDArray[np.float32]) -> Tensor:
    """Cues float32 [..., K] with NaN where `mask` [...] says that there is no picture."""
    return torch.from_numpy(np.where(mask[..., None] > 0.5, cues, np.nan).astype(np.float32))


def cues_loss(logits: Tensor, cues: Tensor) -> Tensor:
    """Binary cross entropy against shares: the sum of a picture's cues, the mean over pictures.

    Args:
        logits: float [..., K].
        cues: float32 [..., K], 0..1; NaN where nobody knows.

    Returns:
        A scalar; 0 with a gradient of 0 where nothing is known.
    """
    known = torch.isfinite(cues).all(-1)
    if not known.any():
        return 0.0 * logits.sum()
    loss = F.binary_cross_entropy_with_logits(logits[known].float(), cues[known], reduction="none")
    return _WEIGHT * loss.sum(-1).mean()

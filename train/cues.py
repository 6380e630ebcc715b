"""Cues: what each picture of a face or a hand shows by itself, told beside the gestures.

A gesture is one name for two seconds; of which only an instant may tell eyes from forehead. What a
hand touches at an instant, and how far lips are pressed or brows raised, is what names differ in,
and rendered people know it of every picture. The network tells it in training, and its answers go
on into the fusion (`train.models.tokens.CueToken`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from engines.preprocess import sample
from engines.tensor_specs import FaceInput, HandInput, InputSpec
from train.models.heads import NetConfig
from train.models.tokens import MapConfig
from train.synth.body import SIDES
from train.synth.controls import FACE
from train.synth.rotations import Floats
from train.synth.touches import OF_HEAD

HAND_CUES, FACE_CUES = "hand_cues", "face_cues"
"""Keys among a window's labels."""
SHOWN = (*FACE, *OF_HEAD)
"""What the cues of a face say: its actions (see `train.synth.faces`), and where a hand is at it."""
_WEIGHT = 0.25
"""Of each picture's cues, beside one gesture a window."""


@dataclass(frozen=True, eq=False)
class Cues:
    """What is known of T frames of a window."""

    t: NDArray[np.float64]
    """float64 [T] stream seconds, those of the window."""
    touched: Floats
    """float32 [T, 2, 24], 0..1, of `train.synth.touches`."""
    actions: Floats
    """float32 [T, 14], 0..1, see `Performance`."""

    def mirrored(self) -> "Cues":
        """Left becomes right."""
        return Cues(self.t, self.touched[:, ::-1], self.actions)


def cues_of_faces(actions: Floats, touched: Floats) -> Floats:
    """float32 [T, 28] as `SHOWN` has them, 0..1.

    Args:
        actions: float32 [T, 14]: channels of the face.
        touched: float32 [T, 2, 24] of `touches`.
    """
    at_face = touched[:, :, : len(OF_HEAD)].max(axis=1)
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


def cues_of_pictures(
    asked: Mapping[str, Tensor], cues: Cues, inputs: Sequence[InputSpec],
    arrays: Mapping[str, NDArray[Any]], is_lost: NDArray[np.bool_] | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """What is known of each picture of a window.

    Args:
        asked: `unknown_cues` of the network.
        cues: of the window's frames.
        inputs: which pictures there are.
        arrays: the window's tensors, with their masks.
        is_lost: bool [T, 2]: when left and right hand are not where they were cut out; None: never.

    Returns:
        As `asked`, NaN where there is no picture.
    """
    out = dict(asked)
    for spec in inputs:
        at, _ = sample(cues.t, spec.sampling)
        if FACE_CUES in out and isinstance(spec, FaceInput):
            shown = cues_of_faces(cues.actions[at], cues.touched[at])
            out[FACE_CUES] = seen_only(shown, arrays[spec.mask][0])
        elif HAND_CUES in out and isinstance(spec, HandInput):
            there = arrays[spec.mask][0]
            if is_lost is not None:
                there = np.where(is_lost[at], np.float32(0), there)
            out[HAND_CUES] = seen_only(cues.touched[at], there)
    return out


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

"""Units: what each part of the face does, as a second task of the face branch.

A mood a window teaches slowly how a face is read; how far each brow, lid and lip has moved is
known of every rendered face, and moods are made of it. The channels follow the action units of FACS
(see `train.synth.faces`). The linear map that tells them is thrown away after the stage.
"""

import math

import torch
from torch import Tensor

from train.synth.controls import FACE

UNITS = "units"
"""Key among a window's labels: float32 [T, 12] of the window's face crops; NaN if unknown."""
NUM_UNITS = len(FACE)
SPREAD = 0.15
"""Standard deviation of the channels, about."""


def unknown_units(faces: int) -> Tensor:
    """float32 [T, 12] of NaN: of faces about which nobody knows."""
    return torch.full((faces, NUM_UNITS), math.nan)


def units_loss(told: Tensor, units: Tensor) -> Tensor:
    """Mean squared error in units of the channels' spread.

    Args:
        told: float [B, T, 12], in these units, so that a fresh linear map is about right.
        units: float32 [B, T, 12].
    """
    known = torch.isfinite(units).all(-1)
    if not known.any():
        return 0.0 * told.sum()
    return (told[known].float() - units[known] / SPREAD).square().mean()

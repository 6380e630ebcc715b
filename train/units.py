"""Units: what each part of the face does, as a second task of the face branch.

A mood a window teaches slowly how a face is read; how far each brow, lid and lip has moved is
known of every rendered face, and moods are made of it. The channels follow the action units of FACS
(see `train.synth.faces`). They are told from all places of the backbone's maps: SwinFace's feature
attention takes the largest value of each channel alone, which hands a gradient to one place in 49.
The linear map that tells them is thrown away after the stage.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.models.swinface import SwinFaceConfig
from train.synth.controls import FACE

UNITS = "units"
"""Key among a window's labels: float32 [T, 12] of the window's face crops; NaN if unknown."""
NUM_UNITS = len(FACE)
SPREAD = 0.15
"""Standard deviation of the channels, about."""


class UnitsProbe(nn.Module):
    """Feature maps of the backbone -> what each part of the face does, in units of `SPREAD`."""

    def __init__(self, config: SwinFaceConfig) -> None:
        super().__init__()
        places = config.grid(len(config.depths) - 1) ** 2
        self.linear = nn.Linear(sum(config.source_dims) * places, NUM_UNITS)
        nn.init.zeros_(self.linear.weight)

    def forward(self, sources: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, 12]."""
        each = sources.flatten(2).transpose(1, 2)
        return self.linear(F.layer_norm(each, each.shape[2:]).flatten(1))


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

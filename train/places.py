"""Places: where things are in the pictures, as a second task of the branches that look at pictures.

One label a window teaches a network slowly; that a branch also has to say where in each picture
hands, elbows and face are, in a face lips, brows and lids, and at a hand its knuckles and what it
touches, makes it look at them from the first steps on. Only rendered windows know it. The linear
map that says it is thrown away after the stage, as the classifiers are.
"""

import itertools
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from engines.preprocess import hand_corner
from engines.skeleton import MEDIAPIPE33
from engines.tensor_specs import HANDS, HandInput, RgbInput
from engines.window import Window
from train.models.hands import HandNetConfig
from train.models.mvit import MViTConfig
from train.models.swinface import SwinFaceConfig

PLACES = "places"
"""Key among a window's labels."""
JOINTS = MEDIAPIPE33.joints.index("right_hip") + 1
"""The first of MediaPipe's: head, arms, hands, hips."""
_ARMS = slice(MEDIAPIPE33.joints.index("left_shoulder"), JOINTS)
LANDMARKS = (
    "MNose", "MUpperLip", "MBottomLip",
    *(f"{side}{name}" for side in "LR" for name in (
        "InnerEyebrow", "OuterEyebrow", "EyeBlinkTop", "EyeBlinkBottom", "Cheek", "MouthCorner"
    )),
)  # fmt: skip
"""Of the face: bones of the avatars."""


def places_in(window: Window, sampled: NDArray[np.intp], spec: RgbInput) -> NDArray[np.float32]:
    """Where the joints are in the pictures that the branch is fed.

    Args:
        window: with the true keypoints; those that are outside the camera's picture have no
            confidence.
        sampled: [T], which of its frames are fed.
        spec: how they are cut.

    Returns:
        float32 [T, 25, 2], 0..1 from left to right and from top to bottom; NaN where a joint is
        outside the picture.
    """
    side = window.rgb.shape[1]
    scale, margin = spec.resize / side, (spec.resize - spec.crop) / 2
    xy = (window.xy[sampled][:, :JOINTS] * scale - margin) / spec.crop
    unknown = ((xy < 0) | (xy > 1)).any(axis=-1) | (window.conf[sampled][:, :JOINTS] == 0)
    xy[unknown] = np.nan
    return np.asarray(xy, np.float32)


def places_at_hands(
    window: Window, seen: Window, sampled: NDArray[np.intp], spec: HandInput
) -> NDArray[np.float32]:
    """Where the joints are in the pictures of the hands.

    Args:
        window: as for `places_in`.
        seen: the same, with the keypoints about which the pictures were cut.
        sampled: [T], which of its frames.
        spec: how they are cut.

    Returns:
        float32 [T * 2, 25, 2] as of `places_in`. Of pictures of right hands, `left` arms and hands
        are right ones: the picture's own come first.
    """
    out = np.full((len(sampled), len(HANDS), JOINTS, 2), np.nan, np.float32)
    for (k, index), side in itertools.product(enumerate(sampled), range(len(HANDS))):
        corner = hand_corner(seen, int(index), side, spec)
        if corner is None:
            continue
        own = np.arange(JOINTS)
        if side:
            own[_ARMS] = np.array(MEDIAPIPE33.mirror)[_ARMS]
        xy = (window.xy[index, own] - corner) / spec.size
        unknown = ((xy < 0) | (xy > 1)).any(axis=-1) | (window.conf[index, own] == 0)
        out[k, side] = np.where(unknown[:, None], np.nan, xy)
    return out.reshape(-1, JOINTS, 2)


class PlacesProbe(nn.Module):
    """Scene tokens -> for each picture and joint, in which cell of the token grid it is."""

    def __init__(self, config: MViTConfig) -> None:
        super().__init__()
        self.frames = config.frames
        self.grid = config.token_grid(config.frames, config.size, config.size)
        per_token = math.ceil(config.frames / self.grid[0])
        self.linear = nn.Linear(config.dims[-1], per_token * JOINTS)

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, 1 + L, C] -> logits [B, T, 25, H * W]."""
        t, h, w = self.grid
        out = self.linear(tokens[:, 1:]).unflatten(1, (t, h * w)).unflatten(3, (-1, JOINTS))
        return out.permute(0, 1, 3, 4, 2).flatten(1, 2)[:, : self.frames]


class LandmarksProbe(nn.Module):
    """Feature maps of faces -> for each face and landmark, in which cell of the map it is."""

    def __init__(self, config: SwinFaceConfig) -> None:
        super().__init__()
        dim = sum(config.source_dims)
        self.norm, self.linear = nn.LayerNorm(dim), nn.Linear(dim, len(LANDMARKS))

    def forward(self, sources: Tensor, frames: int) -> Tensor:
        """[B * T, C, H, W] -> logits [B, T, 15, H * W]."""
        out = self.linear(self.norm(sources.flatten(2).transpose(1, 2)))
        return out.transpose(1, 2).unflatten(0, (-1, frames))


class HandPlacesProbe(nn.Module):
    """Maps of hands -> for each picture and joint, in which cell of the map it is."""

    def __init__(self, config: HandNetConfig) -> None:
        super().__init__()
        self.linear = nn.Conv2d(config.widths[-1], JOINTS, 1)

    def forward(self, maps: Tensor, pictures: int) -> Tensor:
        """[B * T * 2, C, H, W] -> logits [B, T * 2, 25, H * W]."""
        return self.linear(maps).flatten(2).unflatten(0, (-1, pictures))


def unknown_places(frames: int, things: int) -> Tensor:
    """float32 [T, things, 2] of NaN: of a window about which nobody knows."""
    return torch.full((frames, things, 2), math.nan)


def places_loss(logits: Tensor, places: Tensor) -> Tensor:
    """Mean cross entropy against the bilinear weights of the four cells about each place.

    Args:
        logits: float [B, T, J, H * W] over a square grid.
        places: float32 [B, T, J, 2], 0..1 from left to right and from top to bottom; NaN where
            nobody knows.
    """
    cells = math.isqrt(logits.shape[-1])
    known = torch.isfinite(places).all(-1)
    if not known.any():
        return 0.0 * logits.sum()
    rows, columns = (_weights(places[known][:, k], cells) for k in (1, 0))
    target = (rows.unsqueeze(2) * columns.unsqueeze(1)).flatten(1)
    return F.cross_entropy(logits[known].float(), target)


def _weights(x: Tensor, cells: int) -> Tensor:
    """[N] of 0..1 -> [N, cells]: linear weights of the two nearest cell centres."""
    centres = torch.arange(cells, device=x.device)
    at = (x * cells - 0.5).clamp(0, cells - 1).unsqueeze(1)
    return (1 - (at - centres).abs()).clamp(min=0)

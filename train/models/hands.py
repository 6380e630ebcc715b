"""Hands: a small residual network on pictures of the hands, and what its maps mean to a fusion.

Where hands are small in the scene (some ten pixels in the demo's), fingers and what they touch can
only be told from a closer look, which the pose says where to take. arXiv 2512.23291 has no such
branch: it is ours, as streams of hands are usual where signs are recognised.

Blocks are those of ResNet (He et al. 2016): two 3x3 convolutions with batch norms, and a shortcut.

Shape suffixes: N pictures, B batch, T time steps, C channels, H W a map, S side of a picture,
V joints, P points of a hand, F numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.tensor_specs import WHOLE_HANDS

SIDES = 2
"""Left and right."""
_NEAR = 0.4
"""Shoulder widths: what is nearer is told more finely."""
_LEAST_CONTRAST = 0.05
"""Standard deviation, of -1..1: below it a picture is hardly stretched, as it is mostly noise."""


@dataclass(frozen=True)
class HandNetConfig:
    """Every dimension; each width is a block that halves the grid, after a stem that does."""

    stem: int
    widths: tuple[int, ...]
    grid: int
    """Maps are averaged to so many rows and columns."""


class HandNet(nn.Module):
    """Pictures of hands -> one small map each."""

    def __init__(self, config: HandNetConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Conv2d(3, config.stem, 5, 2, 2, bias=False)
        self.norm = nn.BatchNorm2d(config.stem)
        pairs = zip((config.stem, *config.widths), config.widths, strict=False)
        self.blocks = nn.Sequential(*(_Block(before, width) for before, width in pairs))

    def forward(self, hands_NCSS: Tensor) -> Tensor:
        """float32 [N, C, grid, grid]."""
        return self.pooled(self.maps(hands_NCSS))

    def maps(self, hands_NCSS: Tensor) -> Tensor:
        """float32 [N, C, H, W], before they are averaged."""
        return self.blocks(F.relu(self.norm(self.stem(_evenly_lit(hands_NCSS)))))

    def pooled(self, maps_NCHW: Tensor) -> Tensor:
        """float32 [N, C, grid, grid]."""
        return F.avg_pool2d(maps_NCHW, maps_NCHW.shape[-1] // self.config.grid)


def _evenly_lit(x_NCSS: Tensor) -> Tensor:
    """Each picture about its mean, over its contrast: rooms are dark or bright, and so is skin."""
    centred = x_NCSS - x_NCSS.mean(dim=(1, 2, 3), keepdim=True)
    variance = centred.square().mean(dim=(1, 2, 3), keepdim=True)
    return centred / (variance + _LEAST_CONTRAST**2).sqrt()


class HandsProbe(nn.Module):
    """Pooled maps of both hands -> logits, while the branch is trained by itself."""

    def __init__(self, config: HandNetConfig, num_classes: int) -> None:
        super().__init__()
        features = SIDES * config.widths[-1] * config.grid**2
        self.classify = nn.Sequential(nn.Dropout(0.2), nn.Linear(features, num_classes))

    def forward(self, pooled_NCHW: Tensor, mask_BT2: Tensor) -> Tensor:
        """[B, num_classes] of the mean over the instants at which a hand was seen."""
        maps = pooled_NCHW.flatten(1).unflatten(0, mask_BT2.shape)
        seen = mask_BT2[..., None]
        mean = (maps * seen).sum(1) / seen.sum(1).clamp(min=1)
        return self.classify(mean.flatten(1))


class _Block(nn.Module):
    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2), nn.Conv2d(before, width, 1, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


def by_side(maps_NCHW: Tensor, mask_BT2: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Maps [B * T, C, H, W] and mask [B, T] of the left hands, and of the right ones."""
    maps = maps_NCHW.unflatten(0, (-1, SIDES))
    return [(maps[:, side], mask_BT2[..., side]) for side in range(SIDES)]


def around(pose_BCTV: Tensor, mask_BTV: Tensor, points: Sequence[int], at: Sequence[int]) -> Tensor:
    """Where all joints are, seen from the points of a hand, at some instants.

    A picture says what a hand touches if that can still be seen; the pose says where the hand is.

    Args:
        pose_BCTV: float32, in shoulder widths; C is 3.
        mask_BTV: float32, 1 where a joint was seen.
        points: P indices: the joints that are a hand's.
        at: indices of samples of the pose.

    Returns:
        Float32 [B, len(at), F]: the ways from each point to each joint, the same again but finer
        nearby, and which joints were seen; F = `around_size(V)`. What was not seen is 0.
    """
    pose_BCTV, seen_BTV = pose_BCTV[:, :, list(at)], mask_BTV[:, list(at)]
    there_BTPV = seen_BTV[:, :, None] * seen_BTV[..., list(points)][..., None]
    way_BCTPV = pose_BCTV[:, :, :, None] - pose_BCTV[..., list(points)][..., None]
    way_BTF = (way_BCTPV * there_BTPV[:, None]).transpose(1, 2).flatten(2)
    return torch.cat([way_BTF, (way_BTF / _NEAR).tanh(), seen_BTV], dim=2)


def around_size(joints: int) -> int:
    """How many numbers `around` gives for an instant."""
    return 2 * 3 * len(WHOLE_HANDS[0]) * joints + joints

"""Bytes -> what MViT takes: the first operations of a network that is fed uint8.

- They are part of the graph, so a runtime copies a quarter of what it would copy as floats, and a
  GPU does the arithmetic.
- Computed in float32, whatever the rest is computed in: the public weights' own normalisation.
- The numbers belong to the recipe and not to the weights: no checkpoint holds them.

Shape suffixes: B batch, C channels, T time steps, S side in px.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engines.tensor_specs import Triple


@dataclass(frozen=True)
class PixelsConfig:
    """(RGB / 255 - mean) / std, by channel."""

    mean: Triple
    std: Triple


class Normalise(nn.Module):
    """Bytes of pictures -> normalised floats."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: PixelsConfig) -> None:
        super().__init__()
        for name, values in (("mean", config.mean), ("std", config.std)):
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1, 1), persistent=False)

    def forward(self, rgb_BCTSS: Tensor) -> Tensor:
        """Float32 [B, 3, T, S, S] from uint8.

        Raises:
            TypeError: it is fed anything but bytes, which it would normalise a second time.
        """
        if rgb_BCTSS.dtype != torch.uint8:
            raise TypeError(f"pixels: expected torch.uint8, got {rgb_BCTSS.dtype}")
        return (rgb_BCTSS.float() / 255 - self.mean) / self.std

"""Cross-attention between two sets of tokens: what the fusion modules are built of.

Pre-norm blocks with residuals. Masks say which keys may be read (True); at least one key of each
window must be.

Shape suffixes: B batch, L and S tokens, W width, H heads, D width of one head.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

_HIDDEN = -1e4
"""Logit of a hidden key: its exponential is 0 in every precision, and it fits fp16."""


@dataclass(frozen=True)
class AttentionConfig:
    """What both fusion modules have in common."""

    width: int
    heads: int
    blocks: int
    mlp_ratio: int
    dropout: float
    """After attention and in the MLPs."""
    time_features: int
    """Number of periods of the Fourier features, spaced evenly in their logarithm."""
    periods_s: tuple[float, float]
    """Shortest and longest period in s."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")


class CrossAttention(nn.Module):
    """Multi-head attention of the tokens of one modality to those of the other."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width, bias=False)  # softmax cancels a bias
        self.value = nn.Linear(config.width, config.width)
        self.project = nn.Linear(config.width, config.width)

    def forward(self, x_BLW: Tensor, other_BSW: Tensor, usable_BS: Tensor | None) -> Tensor:
        """[B, L, W]; keys that are not usable are hidden."""
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query(x_BLW), self.key(other_BSW), self.value(other_BSW))
        )
        logits_BHLS = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        if usable_BS is not None:
            logits_BHLS = logits_BHLS.masked_fill(~usable_BS[:, None, None], _HIDDEN)
        y_BHLD = logits_BHLS.softmax(dim=-1) @ v
        return self.project(y_BHLD.transpose(1, 2).flatten(2))


class CrossLayer(nn.Module):
    """One direction of a block: tokens read the other modality, then an MLP; pre-norm, residual."""

    def __init__(self, config: AttentionConfig, *, is_gated: bool) -> None:
        super().__init__()
        width, hidden = config.width, config.width * config.mlp_ratio
        self.attention = CrossAttention(config)
        self.gate = nn.Linear(2 * width, width) if is_gated else None
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, width),
            nn.Dropout(config.dropout),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x_BLW: Tensor, normed_BLW: Tensor, other_BSW: Tensor, usable_BS: Tensor | None
    ) -> Tensor:
        """[B, L, W]: x after this layer; `normed_BLW` and `other_BSW` went through a norm."""
        read_BLW = self.dropout(self.attention(normed_BLW, other_BSW, usable_BS))
        if self.gate is not None:
            read_BLW = read_BLW * self.gate(torch.cat([normed_BLW, read_BLW], dim=-1)).sigmoid()
        x_BLW = x_BLW + read_BLW
        return x_BLW + self.mlp(self.norm(x_BLW))


class CrossBlock(nn.Module):
    """Both directions at once: each modality reads the other as it was before the block."""

    def __init__(self, config: AttentionConfig, *, is_gated: bool) -> None:
        super().__init__()
        self.norm_a = nn.LayerNorm(config.width)
        self.norm_b = nn.LayerNorm(config.width)
        self.layer_a = CrossLayer(config, is_gated=is_gated)
        self.layer_b = CrossLayer(config, is_gated=is_gated)

    def forward(
        self, a_BLW: Tensor, b_BSW: Tensor, usable_b_BS: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Both after the block. Only b has a mask: a (RGB) is all there or all missing."""
        normed_a, normed_b = self.norm_a(a_BLW), self.norm_b(b_BSW)
        return (
            self.layer_a(a_BLW, normed_a, normed_b, usable_b_BS),
            self.layer_b(b_BSW, normed_b, normed_a, None),
        )


class AttentionPool(nn.Module):
    """The mean of all usable tokens, weighted by a learned score."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.score = nn.Linear(width, 1, bias=False)  # softmax cancels a bias

    def forward(self, x_BLW: Tensor, usable_BL: Tensor | None = None) -> Tensor:
        """[B, W]."""
        x_BLW = self.norm(x_BLW)
        score_B1L = self.score(x_BLW).transpose(1, 2)
        if usable_BL is not None:
            score_B1L = score_B1L.masked_fill(~usable_BL[:, None], _HIDDEN)
        return (score_B1L.softmax(dim=-1) @ x_BLW).squeeze(1)

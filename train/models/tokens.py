"""Tokens: what the branches hand to the fusions, at one width, with embeddings of time and place.

Shape suffixes: N pictures, B batch, L tokens, C channels, H W a map, T time steps, K cues, W width,
F numbers beside a picture.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from train.models.attention import AttentionConfig


@dataclass(frozen=True)
class TokenClock:
    """When the tokens of a clip are: every `stride`-th of `samples` instants.

    The instants are `span_s / samples` apart and the last one is the window's end.
    """

    samples: int
    stride: int
    """Samples per token; token i is centred on sample `stride * i`."""
    span_s: float

    @property
    def steps(self) -> int:
        """Number of token steps in time."""
        return math.ceil(self.samples / self.stride)

    @property
    def seconds(self) -> tuple[float, ...]:
        """Seconds from the window's end to each step: zero or negative."""
        step_s = self.span_s / self.samples
        return tuple((self.stride * i - self.samples + 1) * step_s for i in range(self.steps))

    def nearest_in(self, other: "TokenClock") -> tuple[int, ...]:
        """For each step the index of the nearest sample of another clip with the same end."""
        step_s, last = other.span_s / other.samples, other.samples - 1
        return tuple(max(0, last + round(second / step_s)) for second in self.seconds)


@dataclass(frozen=True)
class SceneConfig:
    """The RGB tokens, as MViT hands them out: the class token, then T x H x W."""

    channels: int
    clock: TokenClock
    grid: tuple[int, int]
    """(H, W) tokens."""


@dataclass(frozen=True)
class MapConfig:
    """Maps of pictures that are cut out, a token a cell: SwinFace's, or HandNet's."""

    channels: int
    clock: TokenClock
    grid: tuple[int, int]
    """(H, W) tokens."""
    dropout: float
    """Share of training windows that lose these tokens, beside what the others lose."""
    cues: int = 0
    """How many things are told of each picture by itself, as what a hand touches (`train.cues`),
    and handed on as a token more; 0 for none."""
    beside: int = 0
    """How many numbers come beside each picture for that, as where a hand is (see
    `train.models.hands.around`); 0 for none."""

    def __post_init__(self) -> None:
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"dropout of maps {self.dropout} must be a share, 0 to 1")
        if min(self.cues, self.beside) < 0:
            raise ValueError(f"cues {self.cues} and beside {self.beside} must not be negative")
        if self.beside and not self.cues:
            raise ValueError("numbers beside pictures are for telling cues, and there are none")


class TimeEmbedding(nn.Module):
    """Seconds -> width: sines and cosines of several periods, then a linear map."""

    def __init__(self, clock: TokenClock, config: AttentionConfig) -> None:
        super().__init__()
        shortest, longest = (math.log(p) for p in config.periods_s)
        periods_F = torch.linspace(shortest, longest, config.time_features).exp()
        angles_TF = torch.tensor(clock.seconds)[:, None] * (2 * math.pi / periods_F)
        features = torch.cat([angles_TF.sin(), angles_TF.cos()], dim=1)
        self.register_buffer("features", features, persistent=False)  # follows from the config
        self.project = nn.Linear(features.shape[1], config.width)

    def forward(self) -> Tensor:
        """float32 [T, W]."""
        return self.project(self.features)


class SceneTokens(nn.Module):
    """RGB tokens at the common width, with their embeddings."""

    def __init__(self, config: SceneConfig, attention: AttentionConfig) -> None:
        super().__init__()
        self.project = nn.Linear(config.channels, attention.width)
        self.time = TimeEmbedding(config.clock, attention)
        rows, columns = config.grid
        self.row = embedding(rows, 1, attention.width)
        self.column = embedding(1, columns, attention.width)
        self.whole = embedding(1, attention.width)
        self.modality = embedding(attention.width)
        self.missing = embedding(attention.width)

    def forward(self, tokens_BLC: Tensor, seen_B1: Tensor | None) -> Tensor:
        """[B, 1 + T * H * W, W]; `seen_B1` is False where the whole modality was taken away."""
        place_LW = (self.time()[:, None, None] + self.row + self.column).flatten(0, 2)
        position_LW = torch.cat([self.whole, place_LW]) + self.modality
        x_BLW = self.project(tokens_BLC)
        if seen_B1 is not None:
            x_BLW = torch.where(seen_B1[..., None], x_BLW, self.missing)
        return x_BLW + position_LW

    def absent(self, batch: int) -> Tensor:
        """Tokens [B, 1, W] of a batch without pictures: the class token alone, and it is missing.

        All of a taken-away modality says the same, so one token of it is enough to learn from.
        """
        return (self.missing + self.whole + self.modality).expand(batch, -1, -1)


class MapRead(NamedTuple):
    """What is read off the maps of N = B * T pictures."""

    tokens: Tensor
    """[B, T * L, W]; with cues, each picture has one more than its map has cells."""
    seen: Tensor
    """bool [B, T * L]."""
    cues: Tensor | None
    """Logits [B, T, K] of what each picture shows by itself; None if nobody asks."""


class MapTokens(nn.Module):
    """The cells of maps at the common width, with their embeddings, and what they show together."""

    def __init__(self, config: MapConfig, attention: AttentionConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        # The levels of the maps differ in scale, as nothing norms them.
        self.norm = nn.LayerNorm(config.channels)
        self.project = nn.Linear(config.channels, attention.width)
        self.time = TimeEmbedding(config.clock, attention)
        rows, columns = config.grid
        self.row = embedding(rows, 1, attention.width)
        self.column = embedding(1, columns, attention.width)
        self.modality = embedding(attention.width)
        self.missing = embedding(attention.width)
        self.cues = None
        if config.cues:
            self.cues = CueToken(rows * columns, config.cues, config.beside, attention.width)

    def forward(
        self, maps_NCHW: Tensor, mask_BT: Tensor, beside_BTF: Tensor | None = None
    ) -> MapRead:
        """Of the maps of N = B * T crops, which of these there were, and what comes beside them."""
        seen_BT = mask_BT > 0.5
        if self.training:
            seen_BT = seen_BT & (torch.rand(len(mask_BT), 1, device=mask_BT.device) >= self.dropout)
        cells_NLW = self.project(self.norm(maps_NCHW.flatten(2).transpose(1, 2)))
        place_LW = (self.row + self.column).flatten(0, 1)
        cues_NK = None
        if self.cues is not None:
            read_N1W, cues_NK = self.cues(cells_NLW, beside_BTF)
            cells_NLW = torch.cat([cells_NLW, read_N1W], dim=1)
            place_LW = torch.cat([place_LW, self.cues.place])
        tokens_BTLW = cells_NLW.unflatten(0, (-1, mask_BT.shape[1]))
        tokens_BTLW = torch.where(seen_BT[..., None, None], tokens_BTLW, self.missing)
        position_LW = (self.time()[:, None] + place_LW).flatten(0, 1) + self.modality
        seen_BTL = seen_BT[..., None].expand(-1, -1, tokens_BTLW.shape[2])
        cues_BTK = None if cues_NK is None else cues_NK.unflatten(0, seen_BT.shape)
        return MapRead(tokens_BTLW.flatten(1, 2) + position_LW, seen_BTL.flatten(1), cues_BTK)


class CueToken(nn.Module):
    """Cells of a picture, and numbers beside it -> what it shows, and of that one more token."""

    def __init__(self, cells: int, cues: int, beside: int, width: int) -> None:
        super().__init__()
        self.beside = None
        if beside:
            self.beside = nn.Sequential(
                nn.Linear(beside, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
            )
        self.judge = nn.Linear((cells + bool(beside)) * width, cues)
        self.project = nn.Linear(cues, width)
        self.place = embedding(1, width)

    def forward(self, cells_NLW: Tensor, beside_BTF: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What N = B * T pictures show.

        Args:
            cells_NLW: of their maps.
            beside_BTF: numbers beside each; looked at only if the token was made for some.

        Returns:
            The token [N, 1, W], and logits [N, K].
        """
        beside = []
        if self.beside is not None:
            assert beside_BTF is not None
            beside = [self.beside(beside_BTF.flatten(0, 1))[:, None]]
        cues_NK = self.judge(torch.cat([cells_NLW, *beside], dim=1).flatten(1))
        return sum(beside, self.project(cues_NK.sigmoid())[:, None]), cues_NK


def embedding(*shape: int) -> nn.Parameter:
    """Something to be learnt, small at first."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02))

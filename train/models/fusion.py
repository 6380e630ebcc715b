"""CrossModalTokenFusion and InterFusion: the tokens of two modalities in, logits of one task out.

arXiv 2512.23291 names the two modules; their inside is not public. What follows is our own design,
and its numbers are ours. Every dimension is a field of a frozen config.

- All tokens of a task are projected to one width. To each are added: an embedding of its modality,
  of its place (row and column, or joint and stream), and of its time. Time is in seconds before the
  window's end, through Fourier features and a linear map: RGB steps and pose steps share one clock,
  and another number of samples needs no other weights.
- MViT's class token is kept, as one more RGB token with an embedding of its own instead of time and
  place: it is what the public checkpoint's classifier reads.
- Missing evidence becomes a learned missing token, which still knows its time and place. It is
  hidden from attention and pooling, unless nothing else is left of its modality: then the missing
  tokens are what the others see, so that no softmax runs over nothing.
- In training, modality dropout takes one of the two modalities away from some windows, never both.

Shape suffixes: B batch, L and S tokens, C channels, W width, T time steps, V joints, H heads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.models.attention import AttentionConfig, AttentionPool, CrossBlock
from train.models.hands import SIDES
from train.models.tokens import (
    MapConfig,
    MapTokens,
    SceneConfig,
    SceneTokens,
    TimeEmbedding,
    TokenClock,
    embedding,
)


@dataclass(frozen=True)
class TokenFusionConfig:
    """CrossModalTokenFusion: RGB tokens and the tokens of two pose streams."""

    scene: SceneConfig
    pose_channels: int
    pose_clock: TokenClock
    joints: int
    attention: AttentionConfig
    num_classes: int
    rgb_dropout: float
    """Share of training windows that lose their RGB tokens, if they have a pose at all."""
    pose_dropout: float
    """Share of training windows that lose their pose tokens."""
    faces: MapConfig | None = None
    """For gestures by and at the face; None: gestures are told without face crops."""
    hands: MapConfig | None = None
    """Of each hand; None: gestures are told without pictures of the hands."""

    def __post_init__(self) -> None:
        _check_dropout(self.rgb_dropout, self.pose_dropout)


@dataclass(frozen=True)
class InterFusionConfig:
    """InterFusion: one token a face crop, and the RGB tokens as context."""

    scene: SceneConfig
    face_channels: int
    face_clock: TokenClock
    attention: AttentionConfig
    num_classes: int
    rgb_dropout: float
    """Share of training windows that lose their RGB tokens, if they have a face at all."""
    face_dropout: float
    """Share of training windows that lose their face tokens."""

    def __post_init__(self) -> None:
        _check_dropout(self.rgb_dropout, self.face_dropout)


class Told(NamedTuple):
    """Logits of micro-gestures, and of what each picture shows by itself (see `train.cues`)."""

    logits: Tensor
    """[B, num_classes]."""
    faces: Tensor | None
    """[B, Tf, K]; None without faces, or if nobody asks them."""
    hands: Tensor | None
    """[B, Th, 2, K]."""


class CrossModalTokenFusion(nn.Module):
    """Micro-gestures from MViT's tokens and the tokens of both 2s-AGCN streams.

    Joint and bone tokens form one sequence, and the cells of maps of face and hands, where it is
    fed them, go on with it; `blocks` bidirectional cross-attention blocks; each side is pooled by
    attention; a gate per channel weighs the two: g * rgb + (1 - g) * pose.
    """

    def __init__(self, config: TokenFusionConfig) -> None:
        super().__init__()
        attention = config.attention
        self.config = config
        self.scene = SceneTokens(config.scene, attention)
        # AGCN ends in a ReLU without a norm; its scale differs from checkpoint to checkpoint.
        self.pose_norms = nn.ModuleList(nn.LayerNorm(config.pose_channels) for _ in range(2))
        self.pose_projects = nn.ModuleList(
            nn.Linear(config.pose_channels, attention.width) for _ in range(2)
        )
        self.stream = embedding(2, 1, 1, attention.width)
        self.time = TimeEmbedding(config.pose_clock, attention)
        self.joint = embedding(config.joints, attention.width)
        self.missing = embedding(attention.width)
        self.faces = MapTokens(config.faces, attention) if config.faces else None
        sides = (config.hands,) * SIDES if config.hands else ()
        self.hands = nn.ModuleList(MapTokens(hand, attention) for hand in sides)
        self.hands_at = config.hands.clock.nearest_in(config.pose_clock) if config.hands else ()
        self.blocks = nn.ModuleList(
            CrossBlock(attention, is_gated=False) for _ in range(attention.blocks)
        )
        self.pool_rgb = AttentionPool(attention.width)
        self.pool_pose = AttentionPool(attention.width)
        self.gate = nn.Linear(2 * attention.width, attention.width)
        self.classify = _classifier(attention.width, config.num_classes, attention.dropout)
        _initialise(self)

    def forward(
        self,
        rgb_BLC: Tensor | None,
        streams_BCTV: Sequence[Tensor],
        masks_BTV: Sequence[Tensor],
        faces: tuple[Tensor, Tensor] | None = None,
        hands: Sequence[tuple[Tensor, Tensor, Tensor]] = (),
    ) -> Tensor:
        """Logits float32 [B, num_classes] of what `tell` says."""
        return self.tell(rgb_BLC, streams_BCTV, masks_BTV, faces, hands).logits

    def tell(
        self,
        rgb_BLC: Tensor | None,
        streams_BCTV: Sequence[Tensor],
        masks_BTV: Sequence[Tensor],
        faces: tuple[Tensor, Tensor] | None = None,
        hands: Sequence[tuple[Tensor, Tensor, Tensor]] = (),
    ) -> Told:
        """What is going on, and what each picture of face and hands says of it.

        Args:
            rgb_BLC: MViT's tokens after its final norm, class token first; None if there are none.
            streams_BCTV: features of the joint stream and of the bone stream, T token steps.
            masks_BTV: for each stream which joints were seen (1) in which *sample*; a token counts
                as seen if one of the samples about its centre was.
            faces: maps [B * Tf, C, H, W] of face crops, and float [B, Tf], 1 where there was a
                face; None if there are none, or the config has no place for them.
            hands: the same of the left hand and of the right one, and [B, Th, F], what
                `train.models.hands.around` says of it at the instants `hands_at`; none if there
                are none.
        """
        stride = self.config.pose_clock.stride
        masks = torch.stack([_token_mask(mask, stride) for mask in masks_BTV], dim=1)
        pose_seen = masks.flatten(1) > 0.5
        if rgb_BLC is None:
            a_BLW = self.scene.absent(pose_seen.shape[0])
        else:
            rgb_seen, pose_seen = _drop_modality(
                pose_seen, self.config.rgb_dropout, self.config.pose_dropout,
                is_training=self.training,
            )  # fmt: skip
            a_BLW = self.scene(rgb_BLC, rgb_seen)
        b_BSW, seen_BS = self._pose_tokens(streams_BCTV, pose_seen), pose_seen
        face = self.faces(*faces) if self.faces is not None and faces is not None else None
        sides = [tokens(*hand) for tokens, hand in zip(self.hands, hands, strict=False)]
        for read in (*([face] if face else []), *sides):
            b_BSW = torch.cat([b_BSW, read.tokens], dim=1)
            seen_BS = torch.cat([seen_BS, read.seen], dim=1)
        usable = _usable(seen_BS)
        for block in self.blocks:
            a_BLW, b_BSW = block(a_BLW, b_BSW, usable)
        rgb_BW, pose_BW = self.pool_rgb(a_BLW), self.pool_pose(b_BSW, usable)
        gate_BW = self.gate(torch.cat([rgb_BW, pose_BW], dim=1)).sigmoid()
        logits = self.classify(gate_BW * rgb_BW + (1 - gate_BW) * pose_BW)
        told = [side.cues for side in sides if side.cues is not None]
        return Told(logits, face.cues if face else None, torch.stack(told, 2) if told else None)

    def _pose_tokens(self, streams_BCTV: Sequence[Tensor], seen_BS: Tensor) -> Tensor:
        parts = [
            project(norm(x_BCTV.flatten(2).transpose(1, 2)))
            for x_BCTV, norm, project in zip(
                streams_BCTV, self.pose_norms, self.pose_projects, strict=True
            )
        ]
        position_SW = (self.stream + self.time()[:, None] + self.joint).flatten(0, 2)
        tokens_BSW = torch.where(seen_BS[..., None], torch.cat(parts, dim=1), self.missing)
        return tokens_BSW + position_SW


class InterFusion(nn.Module):
    """Emotion from face embeddings in the context of the scene.

    A face token is the output of SwinFace's feature attention module (FAM) of the expression
    branch, 512 values, before its task-specific subnet: signed and batch-normed, so all channels
    have one scale; the subnet's output is cut at zero and was fitted to tell seven posed
    expressions apart, which is not our question. The recognition embedding identifies people: it
    is not used.

    Each direction of the cross-attention has a gate per token and channel, sigmoid(W [token;
    read]): a token can refuse what it reads. Both sides are pooled by attention and concatenated.
    """

    def __init__(self, config: InterFusionConfig) -> None:
        super().__init__()
        attention = config.attention
        self.config = config
        self.scene = SceneTokens(config.scene, attention)
        self.face_project = nn.Linear(config.face_channels, attention.width)
        self.time = TimeEmbedding(config.face_clock, attention)
        self.modality = embedding(attention.width)
        self.missing = embedding(attention.width)
        self.blocks = nn.ModuleList(
            CrossBlock(attention, is_gated=True) for _ in range(attention.blocks)
        )
        self.pool_rgb = AttentionPool(attention.width)
        self.pool_face = AttentionPool(attention.width)
        self.classify = _classifier(2 * attention.width, config.num_classes, attention.dropout)
        _initialise(self)

    def forward(self, rgb_BLC: Tensor | None, faces_BTC: Tensor, mask_BT: Tensor) -> Tensor:
        """Logits float32 [B, num_classes].

        Args:
            rgb_BLC: MViT's tokens after its final norm, class token first; None if there are none.
            faces_BTC: one embedding a face crop.
            mask_BT: 1 where there was a face.
        """
        face_seen = mask_BT > 0.5
        if rgb_BLC is None:
            a_BLW = self.scene.absent(face_seen.shape[0])
        else:
            rgb_seen, face_seen = _drop_modality(
                face_seen, self.config.rgb_dropout, self.config.face_dropout,
                is_training=self.training,
            )  # fmt: skip
            a_BLW = self.scene(rgb_BLC, rgb_seen)
        b_BTW = torch.where(face_seen[..., None], self.face_project(faces_BTC), self.missing)
        b_BTW = b_BTW + self.time() + self.modality
        usable = _usable(face_seen)
        for block in self.blocks:
            a_BLW, b_BTW = block(a_BLW, b_BTW, usable)
        pooled = [self.pool_rgb(a_BLW), self.pool_face(b_BTW, usable)]
        return self.classify(torch.cat(pooled, dim=1))


def _token_mask(mask_BTV: Tensor, stride: int) -> Tensor:
    """[B, ceil(T / stride), V]: 1 where a sample within half a stride of the centre was seen."""
    half = stride // 2
    pooled = F.max_pool2d(mask_BTV[:, None], (2 * half + 1, 1), (stride, 1), (half, 0))
    return pooled.squeeze(1)


def _usable(seen_BS: Tensor) -> Tensor:
    """Which keys may be read: the seen ones, or all if none was seen."""
    return seen_BS | ~seen_BS.any(dim=1, keepdim=True)


def _drop_modality(
    seen_BS: Tensor, rgb_dropout: float, other_dropout: float, *, is_training: bool
) -> tuple[Tensor | None, Tensor]:
    """Which windows keep RGB, bool [B, 1] or None for all, and which other tokens are seen."""
    if not is_training:
        return None, seen_BS
    draw_B1 = torch.rand(seen_BS.shape[0], 1, device=seen_BS.device)
    # Without RGB something else must be there to learn from.
    keep_rgb = (draw_B1 >= rgb_dropout) | ~seen_BS.any(dim=1, keepdim=True)
    keep_other = (draw_B1 < rgb_dropout) | (draw_B1 >= rgb_dropout + other_dropout)
    return keep_rgb, seen_BS & keep_other


def _check_dropout(rgb: float, other: float) -> None:
    if min(rgb, other) < 0 or rgb + other > 1:
        raise ValueError(f"modality dropout {rgb} + {other} must be shares of at most 1 together")


def _classifier(width: int, num_classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.Dropout(dropout), nn.Linear(width, num_classes))


def _initialise(module: nn.Module) -> None:
    """Xavier for linear maps, so that tokens keep their scale; biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)

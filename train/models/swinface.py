"""SwinFace: one small Swin transformer on aligned faces, and a branch for each group of face tasks.

Qin et al., "SwinFace: A Multi-task Transformer for Face Recognition, Expression Recognition, Age
Estimation and Attribute Estimation", IEEE TCSVT 2024; the numbers are those of the public model.

- Swin-T with patches of 2 pixels; the merge that halves the grid ends a stage. Branches see the
  merges' outputs, pooled to the last grid ("local"), and the last stage's output ("global").
- A branch: a 3x3 convolution per feature source, a channel gate over all of them (FAM), global max,
  batch norm, then two linear layers (TSS); a head is one linear layer on top.
- `branches` and `tasks` say what to build: an emotion-only deployment is the backbone, branch 2 and
  its expression head.
- Faces are RGB, aligned to the five-point ArcFace template, scaled to -1..1.
- Written for `torch.export`: shift masks and bias indices are buffers, pools are plain means.

Shapes: B faces, C channels, H W the token grid, L = H*W, G heads, D width of one head,
S window side, M = S*S tokens a window, N windows of a face, Z = B*N.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.models.mvit import DropPath, Mlp
from train.models.swinface_tasks import EXPRESSION as EXPRESSION
from train.models.swinface_tasks import NUM_BRANCHES, TASKS, Task

RECOGNITION = "Recognition"
EXPRESSION_BRANCH = next(task.branch for task in TASKS if task.name == EXPRESSION)


@dataclass(frozen=True)
class SwinFaceConfig:
    """Every dimension of a SwinFace; the defaults are the public model's."""

    size: int = 112
    """Side of a face in pixels; the grid of each stage must be a multiple of `window`."""
    patch: int = 2
    embed_dim: int = 96
    """Width of the first stage; each merge doubles it."""
    depths: tuple[int, ...] = (2, 2, 6, 2)
    """Blocks of each stage."""
    heads: tuple[int, ...] = (3, 6, 12, 24)
    window: int = 7
    mlp_ratio: float = 4.0
    drop_path: float = 0.1
    """Probability of skipping the last block in training; rises linearly from 0."""
    recognition_dim: int = 512
    attention_dims: tuple[int, ...] = (47, 93, 186, 186)
    """Channels that a branch takes from each merge and from the last stage; a branch's width is
    their sum."""
    gate_dim: int = 32
    dropout: float = 0.5
    """In the branches' linear layers."""
    branches: tuple[int, ...] = tuple(range(NUM_BRANCHES))
    """Which of the public model's branches to build."""
    tasks: tuple[str, ...] = tuple(task.name for task in TASKS)
    """Which heads to build, of those whose branch is built."""

    def __post_init__(self) -> None:
        if not len(self.depths) == len(self.heads) == len(self.attention_dims) > 1:
            raise ValueError(
                f"depths, heads and attention_dims need one entry a stage, got "
                f"{len(self.depths)}, {len(self.heads)} and {len(self.attention_dims)}"
            )
        for stage, heads in enumerate(self.heads):
            if self.dim(stage) % heads:
                raise ValueError(f"A width of {self.dim(stage)} cannot be split into {heads} heads")
            if self.size % (self.patch << stage) or self.grid(stage) % self.window:
                raise ValueError(
                    f"size {self.size}: stage {stage} has no grid of {self.window}x{self.window} "
                    f"windows"
                )
        known = {*range(NUM_BRANCHES), *(task.name for task in TASKS)}
        if unknown := {*self.branches, *self.tasks} - known:
            raise ValueError(f"SwinFace has no branch or task {unknown}")

    def dim(self, stage: int) -> int:
        """Width of a stage."""
        return self.embed_dim << stage

    def grid(self, stage: int) -> int:
        """Side of a stage's token grid."""
        return self.size // (self.patch << stage)

    @property
    def branch_dim(self) -> int:
        """Width of the branches' embeddings (512)."""
        return sum(self.attention_dims)

    @property
    def source_dims(self) -> tuple[int, ...]:
        """Channels of the feature maps that the branches see: after each merge, and the last."""
        merged = tuple(self.dim(stage) for stage in range(1, len(self.depths)))
        return (*merged, merged[-1])

    @property
    def built_tasks(self) -> tuple[Task, ...]:
        """The heads of this configuration, in the public order."""
        return tuple(t for t in TASKS if t.branch in self.branches and t.name in self.tasks)


def swinface_expression() -> SwinFaceConfig:
    """The emotion-only deployment: backbone, branch 2 and its expression head."""
    return SwinFaceConfig(branches=(EXPRESSION_BRANCH,), tasks=(EXPRESSION,))


class Expression(NamedTuple):
    """What the emotion branch knows about faces."""

    fam: Tensor
    """float [B, 512], signed: the branch's attended features after batch norm."""
    tss: Tensor
    """float [B, 512], >= 0: the branch's own subnet on top of them."""
    logits: Tensor
    """float [B, 7] in the order of `EXPRESSION_CLASSES`."""


def relative_index(window: int) -> Tensor:
    """int64 [M, M]: row of the bias table for query i and key j of a window."""
    position = torch.cartesian_prod(torch.arange(window), torch.arange(window))
    distance = position[:, None] - position[None] + window - 1  # [M, M, 2]
    return distance[..., 0] * (2 * window - 1) + distance[..., 1]


def shift_mask(grid: int, window: int, shift: int) -> Tensor:
    """float [N, M, M]: -100 between tokens that only the roll brought into one window."""
    band = torch.zeros(grid, dtype=torch.int64)
    band[grid - window : grid - shift] = 1
    band[grid - shift :] = 2
    label = band[:, None] * 3 + band[None]
    label_NM = to_windows(label[None, :, :, None].float(), window).squeeze(2)
    return (label_NM[:, :, None] != label_NM[:, None]).float() * -100


def to_windows(x_BHWC: Tensor, window: int) -> Tensor:
    """[B, H, W, C], square -> [B*N, M, C], windows and tokens row by row."""
    count = x_BHWC.shape[1] // window
    split = x_BHWC.unflatten(2, (count, window)).unflatten(1, (count, window))
    return split.transpose(2, 3).flatten(3, 4).flatten(0, 2)


def from_windows(x_ZMC: Tensor, window: int, grid: int) -> Tensor:
    """The inverse of `to_windows` for a square grid: [B, H, W, C]."""
    count = grid // window
    split = x_ZMC.unflatten(0, (-1, count, count)).unflatten(3, (window, window))
    return split.transpose(2, 3).flatten(3, 4).flatten(1, 2)


class WindowAttention(nn.Module):
    """Attention within windows, with a learned bias for each relative position."""

    index: Tensor
    mask: Tensor | None

    def __init__(self, dim: int, heads: int, window: int, mask_NMM: Tensor | None) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        self.proj = nn.Linear(dim, dim)
        self.register_buffer("index", relative_index(window), persistent=False)
        self.register_buffer("mask", mask_NMM, persistent=False)

    def forward(self, x_ZMC: Tensor) -> Tensor:
        """[Z, M, C] -> [Z, M, C]; each face's windows follow each other."""
        qkv = self.qkv(x_ZMC).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q_ZGMD, k_ZGMD, v_ZGMD = qkv.unbind(0)
        logits_ZGMM = (q_ZGMD * self.scale) @ k_ZGMD.transpose(2, 3)
        bias = self.bias_table[self.index].permute(2, 0, 1)  # [G, M, M]
        if self.mask is None:
            logits_ZGMM = logits_ZGMM + bias
        else:
            bias = bias + self.mask.unsqueeze(1)  # [N, G, M, M]
            logits_ZGMM = (logits_ZGMM.unflatten(0, (-1, bias.shape[0])) + bias).flatten(0, 1)
        y_ZGMD = logits_ZGMM.softmax(3) @ v_ZGMD
        return self.proj(y_ZGMD.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Window attention, shifted in every other block, and an MLP."""

    def __init__(self, config: SwinFaceConfig, stage: int, index: int) -> None:
        super().__init__()
        dim, self.grid, self.window = config.dim(stage), config.grid(stage), config.window
        self.shift = self.window // 2 if index % 2 and self.grid > self.window else 0
        mask = shift_mask(self.grid, self.window, self.shift) if self.shift else None
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, config.heads[stage], self.window, mask)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * config.mlp_ratio))
        before = sum(config.depths[:stage]) + index
        self.drop_path = DropPath(config.drop_path * before / max(sum(config.depths) - 1, 1))

    def forward(self, x_BLC: Tensor) -> Tensor:
        """[B, L, C] -> [B, L, C]."""
        x_BLC = x_BLC + self.drop_path(self._attend(self.norm1(x_BLC)))
        return x_BLC + self.drop_path(self.mlp(self.norm2(x_BLC)))

    def _attend(self, x_BLC: Tensor) -> Tensor:
        x_BHWC = x_BLC.unflatten(1, (self.grid, self.grid))
        if self.shift:
            x_BHWC = x_BHWC.roll((-self.shift, -self.shift), (1, 2))
        y_ZMC = self.attn(to_windows(x_BHWC, self.window))
        y_BHWC = from_windows(y_ZMC, self.window, self.grid)
        if self.shift:
            y_BHWC = y_BHWC.roll((self.shift, self.shift), (1, 2))
        return y_BHWC.flatten(1, 2)


class Merge(nn.Module):
    """Joins each 2x2 tokens into one of twice the width."""

    def __init__(self, dim: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x_BLC: Tensor) -> Tensor:
        """[B, L, C] -> [B, L / 4, 2C]."""
        half = self.grid // 2
        x = x_BLC.unflatten(1, (half, 2, half, 2))
        # Neighbours in the order (row, column) = (0, 0), (1, 0), (0, 1), (1, 1).
        return self.reduction(self.norm(x.permute(0, 1, 3, 4, 2, 5).flatten(3).flatten(1, 2)))


class Features(NamedTuple):
    """The backbone's outputs."""

    recognition: Tensor
    """float [B, 512], not normalised."""
    sources: Tensor
    """float [B, C, H, W] on the last grid: local features, then global ones."""


class Backbone(nn.Module):
    """Faces to an identity embedding and to the feature maps that the branches share."""

    def __init__(self, config: SwinFaceConfig) -> None:
        super().__init__()
        self.config = config
        last = len(config.depths) - 1
        dim = config.dim(last)
        self.patch = nn.Conv2d(3, config.embed_dim, config.patch, config.patch)
        self.patch_norm = nn.LayerNorm(config.embed_dim)
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(config, stage, index) for index in range(depth)))
            for stage, depth in enumerate(config.depths)
        )
        self.merges = nn.ModuleList(
            Merge(config.dim(stage), config.grid(stage)) for stage in range(last)
        )
        self.norm = nn.LayerNorm(dim)
        self.feature = nn.Sequential(
            nn.Linear(dim, dim, bias=False),
            nn.BatchNorm1d(dim, eps=2e-5),
            nn.Linear(dim, config.recognition_dim, bias=False),
            nn.BatchNorm1d(config.recognition_dim, eps=2e-5),
        )

    def forward(self, x_BCHW: Tensor) -> Features:
        """Features of faces float [B, 3, size, size]."""
        x_BLC = self.patch_norm(self.patch(x_BCHW).flatten(2).transpose(1, 2))
        grids = [self.config.grid(stage) for stage in range(1, len(self.stages))]
        sources = []
        for stage, merge, grid in zip(self.stages[:-1], self.merges, grids, strict=True):
            x_BLC = merge(stage(x_BLC))
            map_BCHW = x_BLC.transpose(1, 2).unflatten(2, (grid, grid))
            sources.append(F.avg_pool2d(map_BCHW, grid // grids[-1]))
        x_BLC = self.stages[-1](x_BLC)
        sources.append(x_BLC.transpose(1, 2).unflatten(2, (grids[-1], grids[-1])))
        return Features(self.feature(self.norm(x_BLC).mean(1)), torch.cat(sources, 1))


class ChannelGate(nn.Module):
    """Weighs channels by what they hold on average and at most (CBAM's channel attention)."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        gate_BC = self._mlp(x_BCHW.mean((2, 3))) + self._mlp(x_BCHW.amax((2, 3)))
        return x_BCHW * torch.sigmoid(gate_BC)[:, :, None, None]

    def _mlp(self, x_BC: Tensor) -> Tensor:
        return self.fc2(torch.relu(self.fc1(x_BC)))


class FeatureAttention(nn.Module):
    """FAM: chooses among the levels and channels of the shared feature maps."""

    def __init__(self, config: SwinFaceConfig) -> None:
        super().__init__()
        self.source_dims = config.source_dims
        self.convs = nn.ModuleList(
            nn.Conv2d(dim, out_dim, 3, padding=1, bias=False)
            for dim, out_dim in zip(config.source_dims, config.attention_dims, strict=True)
        )
        self.gate = ChannelGate(config.branch_dim, config.gate_dim)
        self.norm = nn.BatchNorm1d(config.branch_dim, eps=2e-5)

    def forward(self, sources_BCHW: Tensor) -> Tensor:
        """[B, branch_dim] of `Features.sources`."""
        parts = sources_BCHW.split(self.source_dims, 1)
        mixed = [conv(part) for conv, part in zip(self.convs, parts, strict=True)]
        gated_BCHW = self.gate(torch.cat(mixed, 1))
        return self.norm(torch.relu(gated_BCHW).amax((2, 3)))


class Subnet(nn.Module):
    """TSS: two linear layers of a branch's own; both end in a ReLU."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, dim)
        self.fc2 = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BC: Tensor) -> Tensor:
        """[B, C] -> [B, C], not negative."""
        return self.dropout(torch.relu(self.fc2(self.dropout(torch.relu(self.fc1(x_BC))))))


class SwinFace(nn.Module):
    """Aligned faces to embeddings and task outputs."""

    def __init__(self, config: SwinFaceConfig) -> None:
        super().__init__()
        self.config = config
        self.out_dim = config.branch_dim
        """Width of a branch's embeddings."""
        self.backbone = Backbone(config)
        names = [str(branch) for branch in config.branches]
        self.fam = nn.ModuleDict({name: FeatureAttention(config) for name in names})
        self.tss = nn.ModuleDict({name: Subnet(self.out_dim, config.dropout) for name in names})
        self.heads = nn.ModuleDict(
            {str(task.index): nn.Linear(self.out_dim, task.outputs) for task in config.built_tasks}
        )
        self.apply(_initialise)

    def forward(self, x_BCHW: Tensor) -> dict[str, Tensor]:
        """Outputs by task name, and `Recognition`, of faces float [B, 3, size, size]."""
        features = self.backbone(x_BCHW)
        out = {RECOGNITION: features.recognition}
        for branch in self.config.branches:
            _, tss_BC = self.branch(features, branch)
            for task in self.config.built_tasks:
                if task.branch == branch:
                    out[task.name] = self.heads[str(task.index)](tss_BC)
        return out

    def branch(self, features: Features, branch: int) -> tuple[Tensor, Tensor]:
        """Embeddings (FAM, TSS), both [B, out_dim], of one branch."""
        fam_BC = self.fam[str(branch)](features.sources)
        return fam_BC, self.tss[str(branch)](fam_BC)

    def expression(self, x_BCHW: Tensor) -> Expression:
        """The emotion branch's embeddings and logits for faces float [B, 3, size, size]."""
        index = next(task.index for task in TASKS if task.name == EXPRESSION)
        fam_BC, tss_BC = self.branch(self.backbone(x_BCHW), EXPRESSION_BRANCH)
        return Expression(fam_BC, tss_BC, self.heads[str(index)](tss_BC))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, WindowAttention):
        nn.init.trunc_normal_(module.bias_table, std=0.02)

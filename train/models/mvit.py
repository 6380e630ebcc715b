"""MViTv2: a video transformer that trades resolution for width as it goes deeper.

Li et al., "MViTv2: Improved Multiscale Vision Transformers for Classification and Detection",
CVPR 2022; the numbers of `mvit_v2_s` are those of torchvision's and PySlowFast's MViTv2-S 16x4.

- Queries, keys and values are pooled by depthwise convolutions before attention, so blocks whose
  query stride is 2 shrink the token grid; keys and values are pooled to about one resolution.
- Decomposed relative positions: one table an axis, indexed by the distance of query and key. They
  enter as extra channels of the query against one-hot channels of the key, so that one product
  gives content and position: the plain form's sums over queries x keys cost OpenVINO a quarter
  of its time.
- Residual pooling adds the pooled query to the attention's output, the class token excepted.
- Tables have the length of the native input size; for other sizes they are interpolated, so one
  checkpoint serves every size.
- Written for `torch.export`: no in-place slices, no einsum; the grid is made of Python integers.

Shapes: B clips, C width, G heads, D width of one head, T H W the token grid, L = T*H*W,
N = 1 + L tokens (class token first), R rows of a relative position table, P = T + H + W of the
grid of the keys and as many zeros as make D + P a multiple of 8, k one of its three sizes.
"""

import math
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Grid = tuple[int, int, int]
"""Sizes or strides along time, height and width."""

_NORM_EPS = 1e-6
_POOL_KERNEL = 3
_ALIGNED = 8
"""A row of so many halves is 16 bytes, which a GPU's matrix units want of a product's operands."""


@dataclass(frozen=True)
class MViTConfig:
    """Every dimension of an MViT. Tuples `dims`, `heads`, `q_strides` have one entry a block."""

    dims: tuple[int, ...]
    """Width after each block."""
    heads: tuple[int, ...]
    """Attention heads of each block; each must divide the block's width."""
    q_strides: tuple[Grid, ...]
    """By how much each block shrinks the token grid."""
    num_classes: int
    embed_dim: int = 96
    """Width after the stem."""
    in_channels: int = 3
    frames: int = 16
    """Native clip length, which sizes the relative position tables."""
    size: int = 224
    """Native side in pixels, which sizes the relative position tables."""
    patch_kernel: Grid = (3, 7, 7)
    patch_stride: Grid = (2, 4, 4)
    patch_padding: Grid = (1, 3, 3)
    kv_stride: Grid = (1, 8, 8)
    """Stride of keys and values in the first block; divided by the query strides on the way."""
    mlp_ratio: float = 4.0
    drop_path: float = 0.2
    """Probability of skipping the last block in training; rises linearly from 0."""
    dropout: float = 0.5
    """Before the classifier."""

    def __post_init__(self) -> None:
        if not len(self.dims) == len(self.heads) == len(self.q_strides) > 0:
            raise ValueError(
                f"dims, heads and q_strides need one entry a block, got {len(self.dims)}, "
                f"{len(self.heads)} and {len(self.q_strides)}"
            )
        for dim, heads in zip(self.dims, self.heads, strict=True):
            if dim % heads:
                raise ValueError(f"A width of {dim} cannot be split into {heads} heads")

    def patch_grid(self, frames: int, height: int, width: int) -> Grid:
        """Token grid (T, H, W) after the stem."""
        axes = zip(
            (frames, height, width),
            self.patch_kernel,
            self.patch_stride,
            self.patch_padding,
            strict=True,
        )
        t, h, w = ((size + 2 * pad - kernel) // stride + 1 for size, kernel, stride, pad in axes)
        return t, h, w

    def token_grid(self, frames: int, height: int, width: int) -> Grid:
        """Token grid (T, H, W) of `MViT.tokens` for clips of this size."""
        grid = self.patch_grid(frames, height, width)
        for stride in self.q_strides:
            grid = pooled_grid(grid, stride)
        return grid


def mvit_v2_s(num_classes: int = 400) -> MViTConfig:
    """MViTv2-S 16x4: 34.5 million parameters, 64.2 GMAC a clip of 16x224x224 (Kinetics-400)."""
    widen = (1, 3, 14)
    return MViTConfig(
        dims=(96, *(192,) * 2, *(384,) * 11, *(768,) * 2),
        heads=(1, *(2,) * 2, *(4,) * 11, *(8,) * 2),
        q_strides=tuple((1, 2, 2) if i in widen else (1, 1, 1) for i in range(16)),
        num_classes=num_classes,
    )


def pooled_grid(grid: Grid, stride: Grid) -> Grid:
    """The grid that a 3x3x3 pooling with padding 1 leaves."""
    t, h, w = ((size - 1) // step + 1 for size, step in zip(grid, stride, strict=True))
    return t, h, w


def relative_positions(table_RD: Tensor, queries: int, keys: int) -> Tensor:
    """Rows of a table for every pair along one axis: [queries, keys, D].

    There are 2 * max(queries, keys) - 1 distances; a table of another length is interpolated.
    """
    distances = 2 * max(queries, keys) - 1
    if table_RD.shape[0] != distances:
        table_1DR = table_RD.T.unsqueeze(0)
        table_1DR = F.interpolate(table_1DR, size=distances, mode="linear", align_corners=False)
        table_RD = table_1DR.squeeze(0).T
    q_step, k_step = max(keys / queries, 1.0), max(queries / keys, 1.0)
    index = [
        [int(i * q_step - (j - (keys - 1)) * k_step) for j in range(keys)] for i in range(queries)
    ]
    return table_RD[torch.tensor(index, device=table_RD.device)]


def padding(grid: Grid, head_dim: int) -> int:
    """How many zeros follow the T + H + W channels of positions beside those of a head."""
    return -(head_dim + sum(grid)) % _ALIGNED


def one_hot_positions(grid: Grid, like: Tensor) -> Tensor:
    """[N, P]: time, row and column of each key as one-hot channels; none for the class token."""
    t, h, w = grid
    axes = (
        torch.eye(t).repeat_interleave(h * w, 0),
        torch.eye(h).repeat_interleave(w, 0).repeat(t, 1),
        torch.eye(w).repeat(t * h, 1),
    )
    return F.pad(torch.cat(axes, 1), (0, padding(grid, like.shape[-1]), 1, 0)).to(like)


class DropPath(nn.Module):
    """Leaves out the whole branch for some samples of a training batch (stochastic depth)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Same shape; samples that are kept are scaled so that the expectation stays."""
        if not self.training or self.probability == 0:
            return x
        kept = 1 - self.probability
        mask = x.new_empty((x.shape[0], *(1,) * (x.ndim - 1))).bernoulli_(kept)
        return x * mask / kept


class TokenPool(nn.Module):
    """Pools the grid of q, k or v by a depthwise convolution shared by all heads, then norms."""

    def __init__(self, head_dim: int, stride: Grid) -> None:
        super().__init__()
        self.conv = nn.Conv3d(
            head_dim, head_dim, _POOL_KERNEL, stride, padding=1, groups=head_dim, bias=False
        )
        self.norm = nn.LayerNorm(head_dim, eps=_NORM_EPS)
        self.head_dim = head_dim

    def forward(self, x_BNC: Tensor, grid: Grid) -> Tensor:
        """[B, N, C] on `grid` -> [B, G, N, D] on the pooled grid."""
        heads = x_BNC.shape[2] // self.head_dim
        cls_BG1D = x_BNC[:, :1].unflatten(2, (heads, self.head_dim)).transpose(1, 2)
        x_BCL = x_BNC[:, 1:].transpose(1, 2)
        x_BDTHW = x_BCL.reshape(-1, self.head_dim, *grid)
        # A processor's way back through them takes most of a training step, in bf16 even longer.
        pooled = _by_frames(self.conv, x_BDTHW) if self.training else self.conv(x_BDTHW)
        x_BGDL = pooled.reshape(-1, heads, self.head_dim, math.prod(pooled.shape[2:]))
        return self.norm(torch.cat((cls_BG1D, x_BGDL.transpose(2, 3)), 2))


def _by_frames(conv: nn.Conv3d, x_BDTHW: Tensor) -> Tensor:
    """A depthwise convolution over time and space in float32.

    On processors as sums of such ones over space alone: their gradients take a third of the time.
    """
    x_BDTHW = x_BDTHW.float().contiguous(memory_format=torch.channels_last_3d)
    with torch.autocast(x_BDTHW.device.type, enabled=False):
        if x_BDTHW.device.type != "cpu" or conv.stride[0] != 1:
            return conv(x_BDTHW)
        frames, kernels = x_BDTHW.unbind(2), conv.weight.unbind(2)
        half = len(kernels) // 2

        def tap(t: int, s: int) -> Tensor:
            return F.conv2d(
                frames[s], kernels[s - t + half], None, conv.stride[1:], half, groups=conv.groups
            )

        def near(t: int) -> range:
            return range(max(t - half, 0), min(t + half + 1, len(frames)))

        sums = [reduce(torch.add, (tap(t, s) for s in near(t))) for t in range(len(frames))]
        return torch.stack(sums, 2)


class PooledAttention(nn.Module):
    """Attention of pooled queries to pooled keys and values, with decomposed relative positions."""

    def __init__(
        self, dims: tuple[int, int], heads: int, q_stride: Grid, kv_stride: Grid, native: Grid
    ) -> None:
        super().__init__()
        dim, out_dim = dims
        head_dim = out_dim // heads
        self.q_stride, self.kv_stride = q_stride, kv_stride
        self.scale = head_dim**-0.5
        self.qkv = nn.Linear(dim, 3 * out_dim)
        self.pool_q = TokenPool(head_dim, q_stride)
        self.pool_k = TokenPool(head_dim, kv_stride)
        self.pool_v = TokenPool(head_dim, kv_stride)
        pairs = zip(pooled_grid(native, q_stride), pooled_grid(native, kv_stride), strict=True)
        rows = [2 * max(q, k) - 1 for q, k in pairs]
        self.rel_pos_t, self.rel_pos_h, self.rel_pos_w = (
            nn.Parameter(torch.empty(count, head_dim)) for count in rows
        )
        self.proj = nn.Linear(out_dim, out_dim)

    def forward(self, x_BNC: Tensor, grid: Grid) -> Tensor:
        """[B, N, C] on `grid` -> [B, N', C'] on the grid of the pooled queries."""
        q_BNC, k_BNC, v_BNC = self.qkv(x_BNC).chunk(3, 2)
        q_BGND = self.pool_q(q_BNC, grid)
        k_BGND = self.pool_k(k_BNC, grid)
        v_BGND = self.pool_v(v_BNC, grid)
        q_grid, k_grid = pooled_grid(grid, self.q_stride), pooled_grid(grid, self.kv_stride)

        position_BGNP = self._positions(q_BGND[:, :, 1:], q_grid, k_grid)
        one_hot_NP = one_hot_positions(k_grid, k_BGND)
        key_position_BGNP = one_hot_NP.expand(*k_BGND.shape[:2], *one_hot_NP.shape)
        query = torch.cat((q_BGND, position_BGNP), 3)
        key = torch.cat((k_BGND * self.scale, key_position_BGNP), 3)  # far fewer than queries
        attention = (query @ key.transpose(2, 3)).softmax(3)
        # Residual pooling leaves the class token alone.
        y_BGND = attention @ v_BGND + F.pad(q_BGND[:, :, 1:], (0, 0, 1, 0))
        return self.proj(y_BGND.transpose(1, 2).flatten(2))

    def _positions(self, q_BGLD: Tensor, q_grid: Grid, k_grid: Grid) -> Tensor:
        """[B, G, N, P]: products of each query with the table rows of each time, row, column."""
        t, h, w = q_grid
        tables = zip((self.rel_pos_t, self.rel_pos_h, self.rel_pos_w), q_grid, k_grid, strict=True)
        rt, rh, rw = (relative_positions(*args).transpose(1, 2) for args in tables)  # [q, D, k]
        by_time = q_BGLD.unflatten(2, (t, h * w)) @ rt  # [B, G, T, HW, Tk]
        q_BGTHWD = q_BGLD.unflatten(2, (t, h, w))
        by_row = q_BGTHWD @ rh  # [B, G, T, H, W, Hk]
        by_column = (q_BGTHWD.transpose(3, 4) @ rw).transpose(3, 4)  # [B, G, T, H, W, Wk]
        parts = (by_time.flatten(2, 3), by_row.flatten(2, 4), by_column.flatten(2, 4))
        return F.pad(torch.cat(parts, 3), (0, padding(k_grid, q_BGLD.shape[3]), 1, 0))


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[..., C] -> [..., C]."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pooled attention and an MLP; the skip path is pooled and widened along."""

    def __init__(self, config: MViTConfig, index: int, kv_stride: Grid, native: Grid) -> None:
        super().__init__()
        dim = config.dims[index - 1] if index else config.embed_dim
        out_dim = config.dims[index]
        self.stride = config.q_strides[index]
        self.norm1 = nn.LayerNorm(dim, eps=_NORM_EPS)
        self.attn = PooledAttention(
            (dim, out_dim), config.heads[index], self.stride, kv_stride, native
        )
        self.skip = nn.Linear(dim, out_dim) if dim != out_dim else None
        self.norm2 = nn.LayerNorm(out_dim, eps=_NORM_EPS)
        self.mlp = Mlp(out_dim, int(out_dim * config.mlp_ratio))
        self.drop_path = DropPath(config.drop_path * index / max(len(config.dims) - 1, 1))

    def forward(self, x_BNC: Tensor, grid: Grid) -> Tensor:
        """[B, N, C] on `grid` -> [B, N', C'] on the grid that this block's stride leaves."""
        normed_BNC = self.norm1(x_BNC)
        # The published model widens the normed tokens, not the residual stream itself.
        skip_BNC = x_BNC if self.skip is None else self.skip(normed_BNC)
        x_BNC = self._pool(skip_BNC, grid) + self.drop_path(self.attn(normed_BNC, grid))
        return x_BNC + self.drop_path(self.mlp(self.norm2(x_BNC)))

    def _pool(self, x_BNC: Tensor, grid: Grid) -> Tensor:
        if self.stride == (1, 1, 1):
            return x_BNC
        kernel = [s + 1 if s > 1 else 1 for s in self.stride]
        x_BCTHW = x_BNC[:, 1:].transpose(1, 2).unflatten(2, grid)
        pooled = F.max_pool3d(x_BCTHW, kernel, self.stride, [k // 2 for k in kernel])
        return torch.cat((x_BNC[:, :1], pooled.flatten(2).transpose(1, 2)), 1)


class MViT(nn.Module):
    """Clips to class scores, or to tokens for a fusion model."""

    def __init__(self, config: MViTConfig) -> None:
        super().__init__()
        self.config = config
        self.out_dim = config.dims[-1]
        """Width of the tokens."""
        self.patch = nn.Conv3d(
            config.in_channels,
            config.embed_dim,
            config.patch_kernel,
            config.patch_stride,
            config.patch_padding,
        )
        self.class_token = nn.Parameter(torch.empty(config.embed_dim))
        self.blocks = nn.ModuleList()
        native = config.patch_grid(config.frames, config.size, config.size)
        kv_stride = config.kv_stride
        for index, stride in enumerate(config.q_strides):
            t, h, w = (max(k // q, 1) for k, q in zip(kv_stride, stride, strict=True))
            kv_stride = (t, h, w)
            self.blocks.append(Block(config, index, kv_stride, native))
            native = pooled_grid(native, stride)
        self.norm = nn.LayerNorm(self.out_dim, eps=_NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(self.out_dim, config.num_classes)
        self.apply(_initialise)
        nn.init.trunc_normal_(self.class_token, std=0.02)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Logits [B, num_classes] of clips float [B, C, T, H, W]."""
        return self.head(self.dropout(self.tokens(x_BCTHW)[:, 0]))

    def tokens(self, x_BCTHW: Tensor) -> Tensor:
        """Normed tokens [B, 1 + L, out_dim], class token first, of clips float [B, C, T, H, W].

        L = T'*H'*W' of `config.token_grid(T, H, W)`, columns fastest.
        """
        x_BCTHW = self.patch(x_BCTHW)
        t, h, w = x_BCTHW.shape[2:]
        grid = (t, h, w)
        class_B1C = self.class_token.expand(x_BCTHW.shape[0], 1, -1)
        x_BNC = torch.cat((class_B1C, x_BCTHW.flatten(2).transpose(1, 2)), 1)
        for block, stride in zip(self.blocks, self.config.q_strides, strict=True):
            x_BNC = block(x_BNC, grid)
            grid = pooled_grid(grid, stride)
        return self.norm(x_BNC)


def _initialise(module: nn.Module) -> None:
    """As torchvision: truncated normal weights and tables, zero biases, convolutions as PyTorch."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, PooledAttention):
        for table in (module.rel_pos_t, module.rel_pos_h, module.rel_pos_w):
            nn.init.trunc_normal_(table, std=0.02)

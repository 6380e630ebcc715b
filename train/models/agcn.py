"""AGCN: graph convolutions over a skeleton whose edges are partly learned; two make a 2s-AGCN.

Shi et al., "Two-Stream Adaptive Graph Convolutional Networks for Skeleton-Based Action
Recognition", CVPR 2019. Written anew from a description of the published network: the authors'
code and weights are CC BY-NC 4.0.

- Each graph convolution sums three subsets (a joint itself, towards the root, away from it), each
  with the skeleton's fixed graph, a learned one, and one made from the sample at hand.
- The 1x1 convolutions of the three subsets are one here; `pretrained` stacks the public parts.
- The second stream gets `bones` instead of joints, made inside the graph from the same input, so
  that the preparation of the two streams cannot drift apart.
- A fresh network starts as its residual paths (scale 1e-6 of the graph part's norm).

Shapes: N clips, B = N*M bodies, M persons, C channels, E channels of an embedding, T frames,
V joints, K = 3 subsets.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Edges = tuple[tuple[int, int], ...]
"""Pairs (child, parent) of joint indices, pointing to the root."""

SUBSETS = 3
"""Itself, towards the root, away from the root."""

_NTU25_ONE_BASED = (
    *((1, 2), (2, 21), (3, 21), (4, 3), (5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9)),
    *((11, 10), (12, 11), (13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18)),
    *((20, 19), (22, 23), (23, 8), (24, 25), (25, 12)),
)
NTU25_EDGES: Edges = tuple((child - 1, parent - 1) for child, parent in _NTU25_ONE_BASED)
"""The graph that the public NTU RGB+D weights were trained with; other libraries use (22, 8)."""


@dataclass(frozen=True)
class AGCNConfig:
    """Every dimension of an AGCN. `widths` and `strides` have one entry a block."""

    edges: Edges
    num_joints: int
    num_classes: int
    num_persons: int = 1
    in_channels: int = 3
    widths: tuple[int, ...] = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)
    """Channels after each block; multiples of `embed_ratio`."""
    strides: tuple[int, ...] = (1, 1, 1, 1, 2, 1, 1, 2, 1, 1)
    """By how much each block thins out the frames."""
    temporal_kernel: int = 9
    """Odd number of frames that a temporal convolution sees."""
    embed_ratio: int = 4
    """A block's width over that of the embeddings that make the sample's own graph."""

    def __post_init__(self) -> None:
        if not len(self.widths) == len(self.strides) > 0:
            raise ValueError(
                f"widths and strides need one entry a block, got {len(self.widths)} "
                f"and {len(self.strides)}"
            )
        if any(width % self.embed_ratio for width in self.widths):
            raise ValueError(f"widths must be multiples of {self.embed_ratio}, got {self.widths}")
        if self.temporal_kernel % 2 == 0:
            raise ValueError(f"temporal_kernel must be odd, got {self.temporal_kernel}")
        if any(not 0 <= joint < self.num_joints for edge in self.edges for joint in edge):
            raise ValueError(f"An edge leaves the {self.num_joints} joints: {self.edges}")


def adjacency(edges: Edges, num_joints: int) -> Tensor:
    """The fixed graph [3, V, V]: identity, inward and outward edges, the last two per column 1.

    Features multiply from the left: out[w] = sum over v of x[v] * graph[v, w].
    """
    graph = torch.zeros(SUBSETS, num_joints, num_joints)
    graph[0] = torch.eye(num_joints)
    for child, parent in edges:
        graph[1, parent, child] = 1
        graph[2, child, parent] = 1
    graph[1:] /= graph[1:].sum(1, keepdim=True).clamp(min=1)
    return graph


def bones(x_NCTV: Tensor, parents: tuple[int, ...]) -> Tensor:
    """Each joint minus its parent, in every channel; a joint that is its own parent becomes 0."""
    index = torch.tensor(parents, device=x_NCTV.device)
    return x_NCTV - x_NCTV.index_select(3, index)


class NormedConv(nn.Module):
    """A convolution over frames (kernel x 1), then batch norm; no activation."""

    def __init__(self, channels: tuple[int, int], kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(*channels, (kernel, 1), (stride, 1), padding=(kernel // 2, 0))
        self.bn = nn.BatchNorm2d(channels[1])
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out")
        nn.init.zeros_(_bias(self.conv))

    def forward(self, x_BCTV: Tensor) -> Tensor:
        """[B, C, T, V] -> [B, C', T / stride, V]."""
        return self.bn(self.conv(x_BCTV))


class AdaptiveGraphConv(nn.Module):
    """Mixes joints along the sum of the fixed, the learned and the sample's own graph."""

    fixed: Tensor

    def __init__(self, channels: tuple[int, int], graph_KVV: Tensor, embed_ratio: int) -> None:
        super().__init__()
        dim, out_dim = channels
        embed_dim = out_dim // embed_ratio
        # Not in the checkpoints: it follows from the configuration.
        self.register_buffer("fixed", graph_KVV.clone(), persistent=False)
        self.learned = nn.Parameter(torch.full_like(graph_KVV, 1e-6))
        self.query = nn.Conv2d(dim, SUBSETS * embed_dim, 1)
        self.key = nn.Conv2d(dim, SUBSETS * embed_dim, 1)
        self.softmax = nn.Softmax(dim=2)
        self.out = nn.Conv2d(SUBSETS * dim, out_dim, 1)
        self.bn = nn.BatchNorm2d(out_dim)
        self.down = NormedConv(channels) if dim != out_dim else nn.Identity()
        for conv in (self.query, self.key):
            nn.init.normal_(conv.weight, std=math.sqrt(2 / embed_dim))
            nn.init.zeros_(_bias(conv))
        nn.init.normal_(self.out.weight, std=math.sqrt(2 / (out_dim * dim * SUBSETS)))
        nn.init.zeros_(_bias(self.out))
        nn.init.constant_(self.bn.weight, 1e-6)

    def forward(self, x_BCTV: Tensor) -> Tensor:
        """[B, C, T, V] -> [B, C', T, V]."""
        channels, frames = x_BCTV.shape[1:3]
        query = self.query(x_BCTV).unflatten(1, (SUBSETS, -1)).flatten(2, 3)  # [B, K, ET, V]
        key = self.key(x_BCTV).unflatten(1, (SUBSETS, -1)).flatten(2, 3)
        # Scaled before they are multiplied: a sum over all channels and frames overflows in fp16.
        scale = query.shape[2] ** -0.5
        # Over v, the first axis: every column sums to 1.
        own = self.softmax((query * scale).transpose(2, 3) @ (key * scale))  # [B, K, V, V]
        graph = self.fixed + self.learned + own
        mixed = x_BCTV.flatten(1, 2).unsqueeze(1) @ graph  # [B, K, CT, V]
        mixed = mixed.unflatten(2, (channels, frames)).flatten(1, 2)  # [B, KC, T, V]
        return torch.relu(self.bn(self.out(mixed)) + self.down(x_BCTV))


class Block(nn.Module):
    """Graph convolution over joints, then convolution over frames, with a residual path."""

    def __init__(self, config: AGCNConfig, index: int, graph_KVV: Tensor) -> None:
        super().__init__()
        dim = config.widths[index - 1] if index else config.in_channels
        channels = (dim, config.widths[index])
        stride = config.strides[index]
        self.graph = AdaptiveGraphConv(channels, graph_KVV, config.embed_ratio)
        self.temporal = NormedConv((channels[1],) * 2, config.temporal_kernel, stride)
        self.residual: nn.Module | None = None
        if index and (stride != 1 or channels[0] != channels[1]):
            self.residual = NormedConv(channels, stride=stride)
        elif index:
            self.residual = nn.Identity()

    def forward(self, x_BCTV: Tensor) -> Tensor:
        """[B, C, T, V] -> [B, C', T / stride, V]."""
        y_BCTV = self.temporal(self.graph(x_BCTV))
        if self.residual is not None:  # the first block has none
            y_BCTV = y_BCTV + self.residual(x_BCTV)
        return torch.relu(y_BCTV)


class AGCN(nn.Module):
    """Skeleton clips to class scores, or to features for a fusion model."""

    def __init__(self, config: AGCNConfig) -> None:
        super().__init__()
        self.config = config
        self.out_dim = config.widths[-1]
        """Channels of the features."""
        self.data_bn = nn.BatchNorm1d(config.num_persons * config.num_joints * config.in_channels)
        graph_KVV = adjacency(config.edges, config.num_joints)
        self.blocks = nn.Sequential(
            *(Block(config, index, graph_KVV) for index in range(len(config.widths)))
        )
        self.head = nn.Linear(self.out_dim, config.num_classes)
        nn.init.normal_(self.head.weight, std=math.sqrt(2 / config.num_classes))

    def forward(self, x_NCTVM: Tensor) -> Tensor:
        """Logits [N, num_classes] of clips float [N, C, T, V, M]."""
        return self.head(self.embedding(x_NCTVM))

    def embedding(self, x_NCTVM: Tensor) -> Tensor:
        """[N, out_dim], the mean over frames, joints, persons, of clips float [N, C, T, V, M]."""
        pooled = self._bodies(x_NCTVM).mean((2, 3))  # [NM, C]
        return pooled.unflatten(0, (-1, self.config.num_persons)).mean(1)

    def features(self, x_NCTV: Tensor) -> Tensor:
        """[N, out_dim, T', V] of one person's clips float [N, C, T, V].

        T' is T over the product of the strides, rounded up.

        Raises:
            ValueError: the network was built for several persons, whose input norm needs them all.
        """
        if self.config.num_persons != 1:
            raise ValueError(
                f"features() needs a network for 1 person, this is for {self.config.num_persons}"
            )
        return self._bodies(x_NCTV.unsqueeze(4))

    def _bodies(self, x_NCTVM: Tensor) -> Tensor:
        """[N*M, out_dim, T', V] of clips [N, C, T, V, M]."""
        persons, joints = self.config.num_persons, self.config.num_joints
        x_NFT = self.data_bn(x_NCTVM.permute(0, 4, 3, 1, 2).flatten(1, 3))  # F = M*V*C
        x_NMVCT = x_NFT.unflatten(1, (persons, joints, -1))
        return self.blocks(x_NMVCT.flatten(0, 1).permute(0, 2, 3, 1))


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias

"""AGCN beyond parity: our layouts, bones, features, training from scratch, export."""

import dataclasses
from pathlib import Path

import pytest
import torch

from engines.skeleton import IMIGUE22, LAYOUTS, UPPER25
from tests.train.exported import check_export
from tests.train.test_mvit import spread
from train.models.agcn import (
    AGCN,
    NTU25_EDGES,
    AdaptiveGraphConv,
    AGCNConfig,
    adjacency,
    bones,
)

SMALL = AGCNConfig(UPPER25.bones, UPPER25.num_joints, num_classes=4, widths=(8, 16), strides=(1, 4))


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_makes_a_graph_whose_columns_sum_to_one_or_none(name: str) -> None:
    layout = LAYOUTS[name]
    graph = adjacency(layout.bones, layout.num_joints)
    assert torch.equal(graph[0], torch.eye(layout.num_joints))
    for subset in (1, 2):
        sums = graph[subset].sum(0)
        assert set(sums.round(decimals=5).tolist()) == {0.0, 1.0}
    assert graph[1].sum(0)[layout.root] == 0


def test_bones_are_joints_minus_their_parents_with_none_at_the_root() -> None:
    x = torch.randn(2, 3, 5, 22)
    bone = bones(x, IMIGUE22.parents)
    assert bone.shape == x.shape
    wrist, elbow = IMIGUE22.indices(("left_wrist", "left_elbow"))
    torch.testing.assert_close(bone[..., wrist], x[..., wrist] - x[..., elbow])
    assert not bone[..., IMIGUE22.root].any()
    two_persons = torch.stack((x, -x), 4)
    torch.testing.assert_close(bones(two_persons, IMIGUE22.parents)[..., 1], -bone)


def test_the_public_graph_is_a_tree_with_one_root() -> None:
    parents = dict(NTU25_EDGES)
    assert len(NTU25_EDGES) == len(parents) == 24
    assert set(range(25)) - parents.keys() == {20}


@pytest.mark.parametrize("frames", [64, 90, 7])
def test_features_keep_joints_and_thin_out_frames(frames: int) -> None:
    model = AGCN(dataclasses.replace(SMALL, edges=IMIGUE22.bones, num_joints=22)).eval()
    x = torch.randn(2, 3, frames, 22)
    with torch.inference_mode():
        features = model.features(x)
        assert features.shape == (2, model.out_dim, -(-frames // 4), 22)
        logits = model.head(features.mean((2, 3)))
        torch.testing.assert_close(logits, model(x.unsqueeze(4)))


def test_features_of_a_network_for_two_are_refused() -> None:
    model = AGCN(dataclasses.replace(SMALL, num_persons=2))
    with pytest.raises(ValueError, match="1 person, this is for 2"):
        model.features(torch.zeros(1, 3, 8, 25))


def test_the_fixed_graph_follows_the_configuration_not_the_checkpoint() -> None:
    model = AGCN(SMALL)
    assert not [key for key in model.state_dict() if "fixed" in key]
    assert model.to(torch.float64).get_buffer("blocks.1.graph.fixed").dtype == torch.float64


def test_a_fresh_network_starts_as_its_residual_paths() -> None:
    torch.manual_seed(0)
    model = AGCN(SMALL)
    state = model.state_dict()
    assert float(state["blocks.1.graph.bn.weight"].max()) == pytest.approx(1e-6)
    assert float(state["blocks.1.graph.learned"].max()) == pytest.approx(1e-6)
    # Kaiming by fan-out, each subset on its own.
    query = AGCN(AGCNConfig(UPPER25.bones, 25, 4)).state_dict()["blocks.9.graph.query.weight"]
    assert float(query.std()) == pytest.approx((2 / 64) ** 0.5, rel=0.05)
    model(torch.randn(2, 3, 16, 25, 1)).sum().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]


def test_impossible_configurations_are_refused() -> None:
    for change, message in (
        ({"strides": (1,)}, "one entry a block"),
        ({"widths": (8, 18)}, "multiples of 4"),
        ({"temporal_kernel": 8}, "must be odd"),
        ({"num_joints": 3}, "leaves the 3 joints"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(SMALL, **change)


class TwoStreams(torch.nn.Module):
    """Joints, and the bones made from them in the graph; and two persons in one network."""

    def __init__(self) -> None:
        super().__init__()
        self.joint, self.bone = AGCN(SMALL), AGCN(SMALL)
        self.pair = AGCN(dataclasses.replace(SMALL, num_persons=2))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {
            "joint": self.joint.features(x),
            "bone": self.bone.features(bones(x, UPPER25.parents)),
            "pair": self.pair(torch.stack((x, x.flip(2)), 4)),
        }


def test_exported_streams_equal_torch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    check_export(spread(TwoStreams()), torch.randn(2, 3, 16, 25), tmp_path)


def test_similar_joints_do_not_overflow_in_fp16() -> None:
    """Embeddings of 70, as full-size networks have them, summed over 1024 channels and frames."""
    torch.manual_seed(0)
    layer = AdaptiveGraphConv((8, 64), adjacency(NTU25_EDGES, 25), 4).eval()
    for conv in (layer.query, layer.key):
        torch.nn.init.constant_(conv.weight, 0.0)
        assert conv.bias is not None
        torch.nn.init.constant_(conv.bias, 70.0)
    x = torch.randn(1, 8, 64, 25)
    with torch.inference_mode():
        expected = layer(x)
        low = layer.half()(x.half()).float()
    assert torch.finfo(torch.float16).max < 70.0**2 * 16 * 64
    torch.testing.assert_close(low, expected, rtol=0, atol=0.02 * float(expected.std()))

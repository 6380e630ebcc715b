"""Our models are the public ones: same outputs, and same tensors on the way, for the same weights.

The weights go through a file in the publisher's layout and the loader of public checkpoints.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.train.parity import reference
from train.models.agcn import AGCN, NTU25_EDGES, AGCNConfig, Edges
from train.models.mvit import MViT, mvit_v2_s
from train.models.pretrained import load_public
from train.models.swinface import SwinFace, SwinFaceConfig, swinface_expression


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def mvit(tmp_path_factory: pytest.TempPathFactory) -> MViT:
    path = tmp_path_factory.mktemp("mvit") / "mvit_v2_s.pth"
    torch.save(reference.weights("mvit_v2_s"), path)
    model = MViT(mvit_v2_s()).eval()
    load_public(model, path)
    path.unlink()
    return model


@pytest.mark.parametrize("name", ["a", "b", "dim", "small", "long"])
def test_mvit_equals_torchvisions(mvit: MViT, name: str) -> None:
    case = reference.fixture("mvit_v2_s")["cases"][name]

    def public(own: str) -> str | None:
        own = {"patch": "conv_proj"}.get(own, own)
        kept = re.fullmatch(r"conv_proj|norm|blocks\.\d+(\.attn(\.pool_[qkv])?)?", own)
        return own if kept else None

    got, handles = reference.capture(mvit, public)
    first = mvit.blocks[0].register_forward_pre_hook(
        lambda _m, args: got.__setitem__("tokens", args[0])
    )
    x = reference.case_input(case)
    got["logits"] = mvit(x)
    for handle in (*handles, first):
        handle.remove()
    got["embedding"] = got["norm"][:, 0]
    got |= {f"blocks.{i}.cls": got[f"blocks.{i}"][:, 0] for i in range(16)}
    reference.assert_equal(case, got)
    t, h, w = mvit.config.token_grid(*x.shape[2:])
    assert got["norm"].shape == (1, 1 + t * h * w, mvit.out_dim)


def _graph_of(fixture: str) -> Edges:
    return tuple((c, p) for c, p in reference.fixture(fixture)["graph"]["inward"])


AGCN_FIXTURES = {
    "agcn_ntu25_m2": AGCNConfig(NTU25_EDGES, 25, num_classes=60, num_persons=2),
    "agcn_ntu25_m1": AGCNConfig(NTU25_EDGES, 25, num_classes=60),
    "agcn_kinetics18_m2": AGCNConfig(
        _graph_of("agcn_kinetics18_m2"), 18, num_classes=400, num_persons=2
    ),
    "agcn_imigue22_m1": AGCNConfig(_graph_of("agcn_imigue22_m1"), 22, num_classes=32),
}
AGCN_CASES = [(name, case) for name in AGCN_FIXTURES for case in reference.fixture(name)["cases"]]


def agcn_outputs(model: AGCN, x: Tensor) -> dict[str, Tensor]:
    def public(own: str) -> str | None:
        own = re.sub(r"^blocks\.(\d+)", lambda m: f"l{int(m[1]) + 1}", own)
        for ours, theirs in ((".graph.softmax", ".C"), (".graph", ".gcn1"), (".temporal", ".tcn1")):
            own = own.removesuffix(ours) + theirs if own.endswith(ours) else own
        return own if re.fullmatch(r"data_bn|l\d+(\.(C|gcn1|tcn1))?", own) else None

    got, handles = reference.capture(model, public)
    got["logits"] = model(x)
    for handle in handles:
        handle.remove()
    for name in [name for name in got if name.endswith(".C")]:
        own_graphs = got.pop(name)
        got |= {f"{name}.{k}": own_graphs[:, k] for k in range(3)}
    got["embedding"] = model.embedding(x)
    return got


@pytest.mark.parametrize(("name", "case"), AGCN_CASES)
def test_agcn_equals_the_authors(name: str, case: str, tmp_path: Path) -> None:
    path = tmp_path / "agcn.pt"
    torch.save(reference.weights(name), path)
    model = AGCN(AGCN_FIXTURES[name]).eval()
    load_public(model, path)
    wanted = reference.fixture(name)["cases"][case]
    reference.assert_equal(wanted, agcn_outputs(model, reference.case_input(wanted)))


def test_agcn_graphs_are_the_references() -> None:
    for name, config in AGCN_FIXTURES.items():
        graph = reference.fixture(name)["graph"]
        assert sorted(config.edges) == sorted((c, p) for c, p in graph["inward"])
        expected = torch.zeros(3, config.num_joints, config.num_joints)
        expected[0] = torch.eye(config.num_joints)
        for subset, row, column, value in graph["A_nonzero"]:
            expected[subset, row, column] = value
        fixed = AGCN(config).get_buffer("blocks.0.graph.fixed")
        torch.testing.assert_close(fixed, expected)


def swinface_file(path: Path, model: SwinFace) -> Path:
    """A training checkpoint as published: four dicts without prefix, buffers, and other things."""
    parts: dict[str, dict[str, Tensor]] = {"backbone": {}, "fam": {}, "tss": {}, "om": {}}
    for key, value in reference.weights("swinface").items():
        part, name = key.split(".", 1)
        parts[part][name] = value
    for key, buffer in model.named_buffers():
        place = re.fullmatch(r"backbone\.stages\.(\d)\.(\d)\.attn\.(index|mask)", key)
        if place:
            stage, block, kind = place.groups()
            public = {"index": "relative_position_index", "mask": "attn_mask"}[kind]
            parts["backbone"][f"layers.{stage}.blocks.{block}.attn.{public}"] = buffer
    content: dict[str, Any] = {f"state_dict_{part}": value for part, value in parts.items()}
    torch.save(content | {"epoch": 3, "state_optimizer": {"lr": 0.1}}, path)
    return path


@pytest.fixture(scope="module")
def swinface() -> SwinFace:
    return SwinFace(SwinFaceConfig()).eval()


@pytest.fixture(scope="module")
def swinface_path(swinface: SwinFace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = swinface_file(tmp_path_factory.mktemp("swinface") / "checkpoint.pt", swinface)
    load_public(swinface, path)
    yield path
    path.unlink()


def swinface_outputs(model: SwinFace, x: Tensor) -> dict[str, Tensor]:
    def public(own: str) -> str | None:
        own = re.sub(r"^backbone\.stages\.(\d+)\.(\d+)", r"backbone.layers.\1.blocks.\2", own)
        own = re.sub(r"^backbone\.merges\.(\d+)", r"backbone.layers.\1.downsample", own)
        own = re.sub(r"^(fam|tss)\.", r"\1.nets.", own)
        own = {"backbone.patch_norm": "backbone.patch_embed"}.get(own, own)
        kept = re.fullmatch(
            r"backbone(\.patch_embed|\.norm|\.feature\.\d"
            r"|\.layers\.\d+\.(blocks\.\d+(\.attn)?|downsample))?"
            r"|fam\.nets\.\d+(\.gate|\.convs\.\d)?|tss\.nets\.\d+",
            own,
        )
        return own if kept else None

    got, handles = reference.capture(model, public)
    outputs = model(x)
    for handle in handles:
        handle.remove()
    features: Any = got.pop("backbone")
    merged = 192 + 384 + 768
    got["local_features"] = features.sources[:, :merged]
    got["global_features"] = features.sources[:, merged:]
    got["backbone.pooled"] = got["backbone.norm"].mean(1)
    for branch in model.config.branches:
        convs = [got.pop(f"fam.nets.{branch}.convs.{i}") for i in range(4)]
        got[f"fam.nets.{branch}.conv"] = torch.cat(convs, 1)
    return got | outputs


@pytest.mark.usefixtures("swinface_path")
@pytest.mark.parametrize("name", ["a", "b", "dim"])
def test_swinface_equals_the_authors(swinface: SwinFace, name: str) -> None:
    case = reference.fixture("swinface")["cases"][name]
    reference.assert_equal(case, swinface_outputs(swinface, reference.case_input(case)))


def test_swinface_for_expressions_alone_equals_that_part(swinface_path: Path) -> None:
    model = SwinFace(swinface_expression()).eval()
    load_public(model, swinface_path)
    case: Mapping[str, Any] = reference.fixture("swinface")["cases"]["a"]
    x = reference.case_input(case)
    got = swinface_outputs(model, x)
    assert {"Expression", "Recognition"} == set(got) & set(case["outputs"])
    part = {
        kind: {k: v for k, v in case[kind].items() if k in got} for kind in case if "put" in kind
    }
    part["intermediates"] = {k: v for k, v in case["intermediates"].items() if k in got}
    reference.assert_equal(part, got)
    expression = model.expression(x)
    torch.testing.assert_close(expression.fam, got["fam.nets.2"])
    torch.testing.assert_close(expression.tss, got["tss.nets.2"])
    torch.testing.assert_close(expression.logits, got["Expression"])
    # The unused `backbone.head` of the public file is not built.
    assert sum(p.numel() for p in model.parameters()) == 32_432_353 - 393_728

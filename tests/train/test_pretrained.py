"""Public checkpoints load completely or not at all, in each of their layouts."""

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engines.errors import TellsError
from tests.train.parity import reference
from train.models.agcn import AGCN, NTU25_EDGES, AGCNConfig
from train.models.download import CHECKPOINTS, CheckpointError
from train.models.mvit import MViT, mvit_v2_s
from train.models.pretrained import load_public
from train.models.swinface import SwinFace, SwinFaceConfig

NTU = AGCNConfig(NTU25_EDGES, 25, num_classes=60)
Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def agcn_weights() -> Weights:
    return reference.weights("agcn_ntu25_m1")


def saved(content: object, folder: Path) -> Path:
    path = folder / "weights.pt"
    torch.save(content, path)
    return path


def loaded(weights: Weights, folder: Path) -> Weights:
    model = AGCN(NTU)
    load_public(model, saved(weights, folder))
    return model.state_dict()


def assert_same(one: Weights, other: Weights) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def refusal(weights: object, folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_public(AGCN(NTU), saved(weights, folder))
    message = str(caught.value)
    assert "\n" not in message
    assert isinstance(caught.value, TellsError)
    return message


def test_released_agcn_layouts_give_the_same_weights(agcn_weights: Weights, tmp_path: Path) -> None:
    current = loaded(agcn_weights, tmp_path)
    no_counters = {k: v for k, v in agcn_weights.items() if "num_batches_tracked" not in k}
    conv_res = {k.replace(".down.", ".conv_res."): v for k, v in no_counters.items()}
    l1a = {k.replace("l1.", "l1a.") if k[:3] == "l1." else k: v for k, v in no_counters.items()}
    short = {k.replace("l1.gcn1.", "l1a.").replace("l1.", "l1a."): v for k, v in l1a.items()}
    for layout in (no_counters, conv_res, l1a, short):
        assert layout.keys() != agcn_weights.keys()
        assert_same(loaded(layout, tmp_path), current)


def test_one_missing_counter_among_others_is_missing(agcn_weights: Weights, tmp_path: Path) -> None:
    del (some := dict(agcn_weights))["l3.tcn1.bn.num_batches_tracked"]
    assert "missing l3.tcn1.bn.num_batches_tracked" in refusal(some, tmp_path)


def test_missing_surplus_and_misshapen_keys_are_named_in_one_line(
    agcn_weights: Weights, tmp_path: Path
) -> None:
    wrong = dict(agcn_weights)
    for k in range(3):
        del wrong[f"l2.gcn1.conv_a.{k}.weight"]
    del wrong["fc.bias"]
    wrong["l11.gcn1.PA"] = torch.zeros(3)
    wrong["l1.gcn1.PA"] = torch.zeros(3, 18, 18)
    message = refusal(wrong, tmp_path)
    assert "missing l2.gcn1.conv_a.0.weight, l2.gcn1.conv_a.1.weight" in message
    assert "and 1 more" in message
    assert "surplus l11.gcn1.PA" in message
    assert "misshapen l1.gcn1.PA [3, 18, 18] instead of [3, 25, 25]" in message


def test_a_parameter_named_twice_is_refused(agcn_weights: Weights, tmp_path: Path) -> None:
    twice = agcn_weights | {"l1.gcn1.conv_res.0.bias": agcn_weights["l1.gcn1.down.0.bias"]}
    assert "twice" in refusal(twice, tmp_path)


def test_nothing_changes_in_a_model_that_refuses(agcn_weights: Weights, tmp_path: Path) -> None:
    model = AGCN(NTU)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError):
        load_public(model, saved(agcn_weights | {"more": torch.zeros(1)}, tmp_path))
    assert_same(model.state_dict(), before)


def test_a_head_is_replaced_only_where_that_is_said(agcn_weights: Weights, tmp_path: Path) -> None:
    path = saved(agcn_weights, tmp_path)
    ours = AGCN(dataclasses.replace(NTU, num_classes=32))
    with pytest.raises(CheckpointError, match=r"misshapen fc.weight \[60, 256\] instead"):
        load_public(ours, path)
    head = ours.head.weight.detach().clone()
    load_public(ours, path, replace=("head",))
    assert torch.equal(ours.head.weight, head)
    whole = loaded(agcn_weights, tmp_path)
    assert all(torch.equal(v, whole[k]) for k, v in ours.state_dict().items() if "head" not in k)


def test_weights_move_to_another_skeleton(agcn_weights: Weights, tmp_path: Path) -> None:
    other = AGCN(AGCNConfig(tuple((i, 0) for i in range(1, 12)), 12, num_classes=32))
    skeleton = ("data_bn", "blocks.*.graph.learned", "head")
    load_public(other, saved(agcn_weights, tmp_path), replace=skeleton)
    assert torch.equal(
        other.state_dict()["blocks.0.temporal.conv.weight"], agcn_weights["l1.tcn1.conv.weight"]
    )
    with pytest.raises(ValueError, match="no parameter haed"):
        load_public(other, saved(agcn_weights, tmp_path), replace=(*skeleton, "haed"))


class Stranger:
    """A class that a checkpoint has no business to hold."""


def test_files_that_are_no_checkpoints_are_refused(agcn_weights: Weights, tmp_path: Path) -> None:
    assert "more than tensors" in refusal({"fc.weight": Stranger()}, tmp_path)
    assert "expected a dict" in refusal([torch.zeros(1)], tmp_path)
    assert "holds no tensors" in refusal({}, tmp_path)
    assert "expected tensors only, not so epoch" in refusal(agcn_weights | {"epoch": 1}, tmp_path)
    path = saved(agcn_weights, tmp_path)
    whole = path.read_bytes()
    for content in (b"", b"no checkpoint", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="damaged"):
            load_public(AGCN(NTU), path)
    for absent in (tmp_path / "absent.pt", tmp_path):
        with pytest.raises(CheckpointError, match="cannot be read"):
            load_public(AGCN(NTU), absent)


def test_a_file_with_another_digest_is_not_loaded(agcn_weights: Weights, tmp_path: Path) -> None:
    path = saved(agcn_weights, tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = dataclasses.replace(CHECKPOINTS["agcn_ntu_cv_joint"], sha256=digest[:8])
    load_public(AGCN(NTU), path, checkpoint=entry)
    with pytest.raises(CheckpointError, match=r"expected sha256 ae3be167\.\.\., got"):
        load_public(AGCN(NTU), path, checkpoint=CHECKPOINTS["mvit_v2_s"])


def test_a_file_that_changed_since_its_download_is_not_loaded(
    agcn_weights: Weights, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, entry = saved(agcn_weights, tmp_path), CHECKPOINTS["agcn_ntu_cv_joint"]
    load_public(AGCN(NTU), path, checkpoint=entry)
    assert "sha256 unverified" in caplog.text
    note = path.with_name(f"{path.name}.sha256")
    note.write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    caplog.clear()
    load_public(AGCN(NTU), path, checkpoint=entry)
    assert not caplog.text
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(CheckpointError, match="as at the first download"):
        load_public(AGCN(NTU), path, checkpoint=entry)


def to_pyslowfast(key: str) -> str:
    """The table of models.md, from torchvision's names."""
    for ours, theirs in (
        ("conv_proj.", "patch_embed.proj."),
        ("pos_encoding.class_token", "cls_token"),
        ("attn.project.0.", "attn.proj."),
        *((f"attn.pool_{x}.pool.weight", f"attn.pool_{x}.weight") for x in "qkv"),
        *((f"attn.pool_{x}.norm_act.0.", f"attn.norm_{x}.") for x in "qkv"),
        (".project.", ".proj."),
        ("mlp.0.", "mlp.fc1."),
        ("mlp.3.", "mlp.fc2."),
        ("head.1.", "head.projection."),
    ):
        key = key.replace(ours, theirs)
    return key


def test_pyslowfasts_file_gives_torchvisions_weights(tmp_path: Path) -> None:
    # The keys and shapes of the public files, each tensor filled with its own number.
    shapes = json.loads((reference.FOLDER / "keys" / "mvit_v2_s_pyslowfast.json").read_text())
    flat = {
        key: torch.full(entry["shape"], float(i))
        for i, (key, entry) in enumerate(reference.fixture("mvit_v2_s")["keys"].items())
    }
    renamed = {to_pyslowfast(key): value for key, value in flat.items()}
    renamed["cls_token"] = renamed["cls_token"].reshape(1, 1, -1)
    assert {key: list(value.shape) for key, value in renamed.items()} == shapes
    model = MViT(mvit_v2_s())
    load_public(model, saved(flat, tmp_path))
    first = {key: value.clone() for key, value in model.state_dict().items()}
    path = saved({"epoch": 200, "model_state": renamed, "cfg": "TRAIN: ..."}, tmp_path)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    load_public(model, path)
    assert_same(model.state_dict(), first)


def small_swinface_file(model: SwinFace, folder: Path) -> tuple[Path, dict[str, Weights]]:
    # The keys that a published file of this small network would have.
    parts: dict[str, Weights] = {
        "backbone": {"head.weight": torch.zeros(5, 5), "head.bias": torch.zeros(5)},
        "fam": {"nets.10.norm.weight": torch.zeros(7)},
        "tss": {"nets.0.feature.0.weight": torch.zeros(7)},
        "om": {"output_fcs.41.weight": torch.zeros(7), "output_fcs.4.bias": torch.zeros(2)},
    }
    rules = (
        (r"^backbone\.patch\.", "backbone.patch_embed.proj."),
        (r"^backbone\.patch_norm\.", "backbone.patch_embed.norm."),
        (r"stages\.(\d+)\.(\d+)\.", r"layers.\1.blocks.\2."),
        (r"merges\.(\d+)\.", r"layers.\1.downsample."),
        (r"\.bias_table$", ".relative_position_bias_table"),
        (r"\.index$", ".relative_position_index"),
        (r"\.mask$", ".attn_mask"),
        (r"^(fam|tss)\.", r"\1.nets."),
        (r"\.convs\.", ".conv.convs."),
        (r"\.gate\.fc1\.", ".channel_attention.mlp.1."),
        (r"\.gate\.fc2\.", ".channel_attention.mlp.3."),
        (r"^(tss.*)\.fc1\.", r"\1.feature.0."),
        (r"^(tss.*)\.fc2\.", r"\1.feature.3."),
        (r"^heads\.", "om.output_fcs."),
    )
    for key, value in (model.state_dict() | dict(model.named_buffers())).items():
        public = key
        for pattern, theirs in rules:
            public = re.sub(pattern, theirs, public)
        part, name = public.split(".", 1)
        parts[part][name] = value.clone()
    return saved_parts(parts, folder), parts


def saved_parts(parts: dict[str, Weights], folder: Path) -> Path:
    return saved({f"state_dict_{name}": part for name, part in parts.items()}, folder)


def test_swinface_drops_just_the_index_mask_and_unbuilt_keys(tmp_path: Path) -> None:
    config = SwinFaceConfig(
        size=56,
        embed_dim=8,
        depths=(2, 1, 1),
        heads=(1, 2, 2),
        attention_dims=(3, 4, 5),
        branches=(2,),
        tasks=("Expression",),
    )
    model, other = SwinFace(config), SwinFace(config)
    path, parts = small_swinface_file(model, tmp_path)
    load_public(other, path)
    assert_same(other.state_dict(), model.state_dict())

    index = parts["backbone"]["layers.0.blocks.0.attn.relative_position_index"]
    index[0, 0] += 1
    with pytest.raises(CheckpointError, match="relative_position_index is not what"):
        load_public(other, saved_parts(parts, tmp_path))
    index[0, 0] -= 1
    parts["fam"]["nets.11.norm.weight"] = torch.zeros(7)
    with pytest.raises(CheckpointError, match=r"surplus fam\.nets\.11\.norm"):
        load_public(other, saved_parts(parts, tmp_path))
    del parts["om"]
    with pytest.raises(CheckpointError, match="state_dict_om is missing"):
        load_public(other, saved_parts(parts, tmp_path))


@pytest.mark.parametrize("content", ["task,label\n", "hello", "some text", ""])
def test_a_text_file_is_no_checkpoint(content: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(content)
    with pytest.raises(CheckpointError, match=r"labels\.csv: (not a PyTorch|damaged)"):
        load_public(AGCN(NTU), path)

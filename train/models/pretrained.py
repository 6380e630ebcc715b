"""How public checkpoints load into our models.

A checkpoint loads completely or not at all: a key that is missing, left over or of another shape is
an error. Each of our parameters knows the public name, or names, that it is made of, so the check
is made on the file's own names. Layouts that are understood:

- MViTv2-S: torchvision's flat dict, and PySlowFast's, whose weights lie under `model_state`.
- AGCN: the current code's; and the released files', which lack the batch counters (taken as 0) and
  say `conv_res` for `down` (cross-view bone) or `l1a` for `l1` (cross-subject bone).
- SwinFace: the four dicts of a training checkpoint. Left out are exactly the relative position
  indices and shift masks, once they are found equal to ours; the unused `backbone.head`; and the
  branches and heads of the public model that the configuration does not build.
"""

import pickle
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from train.models.agcn import AGCN, SUBSETS
from train.models.download import Checkpoint, CheckpointError, check_digest
from train.models.mvit import MViT
from train.models.swinface import SwinFace
from train.models.swinface_tasks import TASKS

UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, AttributeError,
    TypeError, ArithmeticError, AssertionError, struct.error,
)  # fmt: skip
"""What torch raises at files that it has not written, by what their first bytes happen to mean."""
_SHOWN = 3


@dataclass(frozen=True)
class Parts:
    """The public tensors that one of our parameters is made of."""

    names: tuple[str, ...]
    axis: int | None = None
    """Along which several are concatenated; several without an axis are summed."""

    def shape(self, whole: torch.Size) -> tuple[int, ...]:
        """What each public tensor must measure."""
        if self.axis is None:
            return tuple(whole)
        return tuple(s // len(self.names) if i == self.axis else s for i, s in enumerate(whole))

    def join(self, tensors: list[Tensor]) -> Tensor:
        """Our parameter from the public tensors."""
        if self.axis is not None:
            return torch.cat(tensors, self.axis)
        return tensors[0] if len(tensors) == 1 else torch.stack(tensors).sum(0)


def load_public(
    model: MViT | AGCN | SwinFace,
    path: Path,
    *,
    checkpoint: Checkpoint | None = None,
    replace: tuple[str, ...] = (),
) -> None:
    """Loads a public checkpoint into one of our models, whatever its published layout.

    Args:
        model: built for the checkpoint's dimensions, apart from what `replace` names.
        path: the file.
        checkpoint: if given, the file must have its publisher's sha256, and that of its first
            download where `download` fetched it; a warning is logged if neither is known.
        replace: our parameters that stay as they are: names, prefixes (`head`), or patterns
            (`blocks.*.graph.learned`). For transfer to other classes or another skeleton.

    Raises:
        CheckpointError: no such file, damaged, of another model, or holding more than tensors.
        ValueError: an entry of `replace` that matches nothing.
    """
    if checkpoint is not None:
        check_digest(path, checkpoint)
    found, parts = _read_layout(model, _read(path), path)
    own = model.state_dict()
    kept = {key for key in own if any(_matches(key, entry) for entry in replace)}
    for entry in replace:
        if not any(_matches(key, entry) for key in own):
            raise ValueError(f"The model has no parameter {entry} to replace")
    wanted = {key: parts(key) for key in own}
    _check(own, found, wanted, kept, path)
    for key, part in wanted.items():
        if key not in kept:
            own[key] = part.join([found[name] for name in part.names])
    model.load_state_dict(own)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); give the path of a checkpoint file"
        ) from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: damaged, or holds more than tensors, which is not safe to load; save its "
            "state dicts alone with torch.save on a machine where the file may be trusted"
        ) from error
    except UNREADABLE as error:
        raise CheckpointError(
            f"{path}: not a PyTorch checkpoint, or damaged; fetch it again"
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path}: expected a dict of tensors, got a {type(content).__name__}; "
            "give a public checkpoint of this model"
        )
    return content


def _tensors(entries: Any, path: Path) -> dict[str, Tensor]:
    if not isinstance(entries, Mapping) or not entries:
        raise CheckpointError(f"{path}: holds no tensors; give a public checkpoint of this model")
    strangers = [str(key) for key, value in entries.items() if not isinstance(value, Tensor)]
    if strangers:
        raise CheckpointError(
            f"{path}: expected tensors only, not so {_listed(strangers)}; "
            "give a public checkpoint of this model"
        )
    return dict(entries)


def _read_layout(
    model: nn.Module, content: Mapping[str, Any], path: Path
) -> tuple[dict[str, Tensor], Callable[[str], Parts]]:
    """The tensors by public name, and the public names of each of our parameters."""
    if isinstance(model, SwinFace):
        return _swinface_tensors(model, content, path), _swinface_parts
    if isinstance(model, AGCN):
        return _agcn_tensors(_tensors(content, path), path), _agcn_parts
    if "model_state" in content:
        found = _tensors(content["model_state"], path)
        if "cls_token" in found and found["cls_token"].ndim == 3:  # [1, 1, C] there
            found["cls_token"] = found["cls_token"].flatten()
        return found, _renamed(_PYSLOWFAST)
    return _tensors(content, path), _renamed(_TORCHVISION)


# Ours -> public, applied in this order to each of our names.
_TORCHVISION = (
    (r"^patch\.", "conv_proj."),
    (r"^class_token$", "pos_encoding.class_token"),
    (r"\.attn\.proj\.", ".attn.project.0."),
    (r"(\.pool_[qkv])\.conv\.", r"\1.pool."),
    (r"(\.pool_[qkv])\.norm\.", r"\1.norm_act.0."),
    (r"\.skip\.", ".project."),
    (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.fc2\.", ".mlp.3."),
    (r"^head\.", "head.1."),
)
_PYSLOWFAST = (
    (r"^patch\.", "patch_embed.proj."),
    (r"^class_token$", "cls_token"),
    (r"(\.pool_[qkv])\.conv\.", r"\1."),
    (r"\.pool_([qkv])\.norm\.", r".norm_\1."),
    (r"\.skip\.", ".proj."),
    (r"^head\.", "head.projection."),
)
_AGCN = (
    (r"^head\.", "fc."),
    (r"\.graph\.learned$", ".gcn1.PA"),
    (r"\.graph\.down\.conv\.", ".gcn1.down.0."),
    (r"\.graph\.down\.bn\.", ".gcn1.down.1."),
    (r"\.graph\.", ".gcn1."),
    (r"\.temporal\.", ".tcn1."),
)
_SWINFACE = (
    (r"^backbone\.patch\.", "backbone.patch_embed.proj."),
    (r"^backbone\.patch_norm\.", "backbone.patch_embed.norm."),
    (r"^backbone\.stages\.(\d+)\.(\d+)\.", r"backbone.layers.\1.blocks.\2."),
    (r"^backbone\.merges\.(\d+)\.", r"backbone.layers.\1.downsample."),
    (r"\.bias_table$", ".relative_position_bias_table"),
    (r"^fam\.(\d+)\.convs\.", r"fam.nets.\1.conv.convs."),
    (r"^fam\.(\d+)\.gate\.fc1\.", r"fam.nets.\1.channel_attention.mlp.1."),
    (r"^fam\.(\d+)\.gate\.fc2\.", r"fam.nets.\1.channel_attention.mlp.3."),
    (r"^fam\.(\d+)\.norm\.", r"fam.nets.\1.norm."),
    (r"^tss\.(\d+)\.fc1\.", r"tss.nets.\1.feature.0."),
    (r"^tss\.(\d+)\.fc2\.", r"tss.nets.\1.feature.3."),
    (r"^heads\.", "om.output_fcs."),
)


def _renamed(rules: tuple[tuple[str, str], ...]) -> Callable[[str], Parts]:
    def parts(key: str) -> Parts:
        for pattern, public in rules:
            key = re.sub(pattern, public, key)
        return Parts((key,))

    return parts


def _agcn_parts(key: str) -> Parts:
    key = re.sub(r"^blocks\.(\d+)\.", lambda match: f"l{int(match[1]) + 1}.", key)
    (public,) = _renamed(_AGCN)(key).names
    match = re.search(r"\.gcn1\.(query|key|out)\.(weight|bias)$", public)
    if match is None:
        return Parts((public,))
    role, kind = match.groups()
    letter = {"query": "a", "key": "b", "out": "d"}[role]
    stem = f"{public[: match.start()]}.gcn1.conv_{letter}"
    names = tuple(f"{stem}.{subset}.{kind}" for subset in range(SUBSETS))
    # The output's convolution sums the subsets: their weights meet along its inputs.
    axis = 0 if role != "out" else {"weight": 1, "bias": None}[kind]
    return Parts(names, axis)


def _agcn_tensors(found: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    def current(key: str) -> str:
        key = re.sub(r"^l1a\.(?!gcn1|tcn1)", "l1.gcn1.", key)
        key = re.sub(r"^l1a\.", "l1.", key)
        return re.sub(r"^(l\d+\.gcn1)\.conv_res\.", r"\1.down.", key)

    renamed = {current(key): value for key, value in found.items()}
    if len(renamed) != len(found):
        raise CheckpointError(
            f"{path}: names one parameter twice (conv_res and down, or l1a and l1); "
            "give a released file as it is"
        )
    if not any(key.endswith(".num_batches_tracked") for key in renamed):
        for key in [key for key in renamed if key.endswith(".running_mean")]:
            counter = key.replace("running_mean", "num_batches_tracked")
            renamed[counter] = torch.zeros((), dtype=torch.int64)
    return renamed


def _swinface_parts(key: str) -> Parts:
    return _renamed(_SWINFACE)(key)


def _swinface_tensors(model: SwinFace, content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for part in ("backbone", "fam", "tss", "om"):
        if f"state_dict_{part}" not in content:
            raise CheckpointError(
                f"{path}: expected SwinFace's training checkpoint, state_dict_{part} is missing; "
                "give the published file"
            )
        tensors = _tensors(content[f"state_dict_{part}"], path)
        found |= {f"{part}.{key}": value for key, value in tensors.items()}
    _drop_unbuilt(model, found, path)
    return found


def _drop_unbuilt(model: SwinFace, found: dict[str, Tensor], path: Path) -> None:
    """Removes what a SwinFace file holds and our model need not: see the top of this file."""
    own = dict(model.named_buffers())
    for key in [key for key in found if key.endswith(("relative_position_index", "attn_mask"))]:
        stage, block = re.findall(r"\.(\d+)", key)[:2]
        name = "index" if key.endswith("index") else "mask"
        buffer = own.get(f"backbone.stages.{stage}.{block}.attn.{name}")
        if buffer is None or not torch.equal(found.pop(key).to(buffer.dtype), buffer.cpu()):
            raise CheckpointError(
                f"{path}: {key} is not what windows of {model.config.window} tokens at "
                f"{model.config.size} pixels need; give a checkpoint of this configuration"
            )
    heads = {task.index for task in TASKS} - {task.index for task in model.config.built_tasks}
    branches = {task.branch for task in TASKS} - set(model.config.branches)
    unbuilt = {
        "backbone.head.",
        *(f"om.output_fcs.{head}." for head in heads),
        *(f"{part}.nets.{branch}." for branch in branches for part in ("fam", "tss")),
    }
    for key in [key for key in found if key.startswith(tuple(unbuilt))]:
        del found[key]


def _matches(key: str, entry: str) -> bool:
    return key == entry or key.startswith(f"{entry}.") or fnmatchcase(key, entry)


def _check(
    own: Mapping[str, Tensor],
    found: Mapping[str, Tensor],
    wanted: Mapping[str, Parts],
    kept: set[str],
    path: Path,
) -> None:
    """Every public tensor is there, is used, and measures what ours needs."""
    names = {name for part in wanted.values() for name in part.names}
    shapes = {
        name: part.shape(own[key].shape)
        for key, part in wanted.items()
        if key not in kept
        for name in part.names
    }
    missing = [name for name in shapes if name not in found]
    surplus = [name for name in found if name not in names]
    misshapen = [
        f"{name} {list(found[name].shape)} instead of {list(shape)}"
        for name, shape in shapes.items()
        if name in found and tuple(found[name].shape) != shape
    ]
    faults = [
        f"{what} {_listed(keys)}"
        for what, keys in (("missing", missing), ("surplus", surplus), ("misshapen", misshapen))
        if keys
    ]
    if faults:
        raise CheckpointError(
            f"{path}: does not fit this model: {'; '.join(faults)}. Give the checkpoint of this "
            "model, or name the parts that shall start anew in replace"
        )


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + more

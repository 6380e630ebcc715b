"""Checkpoints: weights together with the recipe that they belong to."""

import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from train.models.download import CheckpointError
from train.models.pretrained import UNREADABLE
from train.recipes import Recipe, dump_recipe

WEIGHTS_NAME = "weights.pt"
"""In a bundle that keeps them: in its graph they are folded, and cannot be trained on."""
_KEYS = {"recipe", "state_dict"}
_STAGE = "stage"
"""Which stage of `fit` wrote it; checkpoints of old and those of bundles do not say."""
_FEEDING = frozenset({"inputs.0.dtype", "net.pixels"})
"""Who normalises pictures: no weight depends on it, and recipes of old fed floats."""
_INSTANTS = re.compile(
    r"inputs\.\d+\.(shape\.0|sampling\.frames)|net\..+\.(face_clock|(faces|hands)\.clock)\.samples"
)
"""At how many instants faces and hands are looked at: their branches see one picture at a time."""


def save_checkpoint(
    file: Path | BinaryIO,
    recipe: Recipe,
    state_dict: Mapping[str, Tensor],
    *,
    stage: str | None = None,
) -> None:
    """Write weights with their recipe, and the stage after which they are: a dict."""
    content: dict[str, object] = {"recipe": dump_recipe(recipe), "state_dict": dict(state_dict)}
    torch.save(content | ({} if stage is None else {_STAGE: stage}), file)


def save_half(path: Path, recipe: Recipe, state_dict: Mapping[str, Tensor]) -> None:
    """Write a checkpoint in float16: half the size, and enough to go on from."""
    halves = {k: w.half() if w.is_floating_point() else w for k, w in state_dict.items()}
    save_checkpoint(path, recipe, halves)


def checkpoint_file(path: Path) -> Path:
    """The checkpoint that a path of the command line means: the file, or a bundle's own.

    Raises:
        CheckpointError: a folder without one.
    """
    if not path.is_dir():
        return path
    if not (path / WEIGHTS_NAME).is_file():
        raise CheckpointError(
            f"{path}: expected a checkpoint, or a bundle with {WEIGHTS_NAME}; `train export "
            f"--weights` writes such a one"
        )
    return path / WEIGHTS_NAME


def load_checkpoint(path: Path, recipe: Recipe, *, is_to_learn: bool = False) -> dict[str, Tensor]:
    """The weights of a checkpoint, on the processor; no code in the file is run.

    Args:
        path: the file.
        recipe: whose weights they must be.
        is_to_learn: they are trained on, so they may have looked at other instants before, and
            may be those of one branch.

    Raises:
        CheckpointError: no such file, no checkpoint, one of another recipe, or one of a branch
            alone.
    """
    content = _content(path)
    try:
        differing = differing_keys(content["recipe"], dump_recipe(recipe))
    except (TypeError, json.JSONDecodeError):
        raise CheckpointError(f"{path}: its recipe is not JSON") from None
    others = [key for key in differing if key not in _FEEDING]
    if is_to_learn:
        others = [key for key in others if not _INSTANTS.fullmatch(key)]
    if others:
        raise CheckpointError(
            f"{path}: belongs to another recipe than {recipe.name}, they differ in "
            f"{_some(others)}; name its own recipe, or train again"
        )
    if not is_to_learn and content.get(_STAGE, "fusion") != "fusion":
        raise CheckpointError(
            f"{path}: is of the stage {content[_STAGE]}, which trains one branch alone, and no "
            "whole model; give the best.pt of a stage fusion (`fit --stages fusion`)"
        )
    weights = content["state_dict"]
    if not (isinstance(weights, dict) and all(isinstance(w, Tensor) for w in weights.values())):
        raise CheckpointError(f"{path}: expected a dict of tensors as its state_dict")
    return dict(weights)


def checkpoint_recipe(path: Path) -> str:
    """The JSON text of the recipe whose weights a checkpoint holds.

    Raises:
        CheckpointError: no such file, no checkpoint, or its recipe is no JSON object.
    """
    text = _content(path)["recipe"]
    try:
        if not isinstance(json.loads(text), dict):
            raise ValueError
    except (TypeError, ValueError):
        raise CheckpointError(f"{path}: its recipe is not JSON") from None
    return str(text)


def _content(path: Path) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of foreign pickles torch says more than an error
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from None
    except UNREADABLE:
        raise CheckpointError(f"{path}: expected a checkpoint of Tells, cannot read it") from None
    if not isinstance(content, dict) or set(content) - {_STAGE} != _KEYS:
        raise CheckpointError(f"{path}: expected a dict of {' and '.join(sorted(_KEYS))}")
    return content


def load_weights(net: torch.nn.Module, state_dict: Mapping[str, Tensor], origin: str) -> None:
    """Copy all weights into the network.

    Raises:
        CheckpointError: a key is missing, surplus or misshapen; nothing has been copied then.
    """
    own = net.state_dict()
    shared = own.keys() & state_dict.keys()
    for what, keys in (
        ("lacks", own.keys() - state_dict.keys()),
        ("has unknown", state_dict.keys() - own.keys()),
        ("has misshapen", {k for k in shared if own[k].shape != state_dict[k].shape}),
    ):
        if keys:
            raise CheckpointError(f"{origin}: {what} weights: {_some(sorted(keys))}")
    net.load_state_dict(dict(state_dict), strict=True)


def differing_keys(a: str, b: str) -> list[str]:
    """Dotted names of the entries in which two dumped recipes differ.

    Raises:
        ValueError: a text is not JSON.
    """
    return sorted(_differences(json.loads(a), json.loads(b), ""))


def _differences(a: Any, b: Any, where: str) -> set[str]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        keys = [(key, a.get(key), b.get(key)) for key in {*a, *b}]
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        keys = [(str(i), *pair) for i, pair in enumerate(zip(a, b, strict=True))]
    else:
        return set() if a == b else {where}
    found = (_differences(x, y, f"{where}.{key}" if where else key) for key, x, y in keys)
    return set().union(*found)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more

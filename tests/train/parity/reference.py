"""The fixtures as files that a publisher could have written, and the comparison with them."""

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.train.parity import filler

FOLDER = Path(__file__).parent
OUTPUT_TOLERANCE = 5e-5
INTERMEDIATE_TOLERANCE = 2e-4

Capture = dict[str, Tensor]


@functools.cache
def fixture(name: str) -> dict[str, Any]:
    """One of the JSON files."""
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return content


def weights(name: str) -> dict[str, Tensor]:
    """The filled public state dict of a fixture, without the buffers that stay as built."""
    shapes = {key: entry["shape"] for key, entry in fixture(name)["keys"].items()}
    return {key: torch.from_numpy(value) for key, value in filler.state_dict(shapes).items()}


def case_input(case: Mapping[str, Any]) -> Tensor:
    """The input of one case."""
    given = case["input"]
    x = torch.from_numpy(
        filler.signal(given["name"], given["shape"], given["block"], given["scale"])
    )
    if "x[..., 1] = 0" in given.get("note", ""):
        x[..., 1] = 0
    return x


def capture(
    model: nn.Module, names: Callable[[str], str | None]
) -> tuple[Capture, list[torch.utils.hooks.RemovableHandle]]:
    """Fills a dict with the outputs of the modules for which `names` has a name."""
    captured: Capture = {}
    handles = []
    for own_name, module in model.named_modules():
        name = names(own_name)
        if name is None:
            continue

        def keep(_m: nn.Module, _i: object, out: Tensor, *, name: str = name) -> None:
            captured[name] = out

        handles.append(module.register_forward_hook(keep))
    return captured, handles


def assert_equal(case: Mapping[str, Any], got: Mapping[str, Tensor]) -> None:
    """Every output within 5e-5 of the reference, every intermediate within 2e-4; none left out."""
    absent = (set(case["outputs"]) | set(case["intermediates"])) - set(got)
    assert not absent, f"not compared: {sorted(absent)}"
    errors = filler.compare(case, {name: value.numpy() for name, value in got.items()})
    wrong = {
        name: error
        for name, error in errors.items()
        if not error < (OUTPUT_TOLERANCE if name in case["outputs"] else INTERMEDIATE_TOLERANCE)
    }
    assert not wrong, dict(list(wrong.items())[:5])

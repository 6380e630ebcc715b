"""Fits of the tiny recipe that take a second: their command line, and what they leave behind."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

BATCH = 4


def fit_arguments(store: Path, out: Path, *stages: str, **changes: object) -> list[str]:
    """`train fit` of so many stages, 9 steps each with an evaluation every 3, unless changed."""
    settings = {"steps": 9, "batch": BATCH, "eval_every": 3, "ema": 0.9} | changes
    return [
        "fit", "--data", str(store), "--out", str(out), "--stages", *stages, "--workers", "0",
        "--accelerator", "cpu", "--seed", "3",
        "--set", *(f"{stage}.{key}={value}" for stage in stages for key, value in settings.items()),
    ]  # fmt: skip


def same_run(one: Path, other: Path, stage: str) -> bool:
    """Whether two runs have left the same of a stage, to the bit."""
    files = ("best.pt", "metrics.json", "result.json")
    states = [torch.load(run / stage / "last.ckpt", weights_only=True) for run in (one, other)]
    return _is_same(*states) and all(
        (one / stage / name).read_bytes() == (other / stage / name).read_bytes() for name in files
    )


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return bool(one == other)


def last_line(error: str) -> str:
    """The last line of what a command said to stderr; before it is the progress bar."""
    assert "Traceback" not in error
    return error.strip().splitlines()[-1]

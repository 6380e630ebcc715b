"""`python -m tests.train.disturbed_fit ARGS`: `python -m train` on the tiny recipe, as `demo`.

TELLS_TEST_DRAWS: a folder in which every process notes the numbers of the windows that it draws.
TELLS_TEST_SIGNAL_AT: as SIGINT:17, a signal to the whole process group when window 17 is drawn.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from tests.train.tiny_recipe import tiny
from train.__main__ import main
from train.dataset import WindowDataset
from train.recipes import RECIPES

_drawn = WindowDataset.drawn


def _noted(dataset: WindowDataset, number: int, index: int) -> Any:
    if folder := os.environ.get("TELLS_TEST_DRAWS"):
        with (Path(folder) / str(os.getpid())).open("a") as file:
            file.write(f"{number}\n")
    name, _, at = os.environ.get("TELLS_TEST_SIGNAL_AT", "").partition(":")
    if at == str(number):
        os.killpg(0, signal.Signals[name])
    return _drawn(dataset, number, index)


if __name__ == "__main__":
    torch.set_num_threads(1)  # of processes that share two cores
    RECIPES["demo"] = tiny
    WindowDataset.drawn = _noted  # type: ignore[assignment, method-assign]
    sys.exit(main())

"""What several tests of training share."""

import multiprocessing
from collections.abc import Iterator

import pytest
import torch

from tests.train.tiny_recipe import tiny
from train.recipes import RECIPES


@pytest.fixture(autouse=True)
def _no_worker_is_left() -> Iterator[None]:
    """One that is left, and deaf to SIGTERM, keeps the process from ending."""
    yield
    assert multiprocessing.active_children() == []


@pytest.fixture
def tiny_demo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The demo is tiny, and one thread trains it: threads that wait for each other are slow."""
    monkeypatch.setitem(RECIPES, "demo", tiny)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

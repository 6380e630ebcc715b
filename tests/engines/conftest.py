"""Tiny bundles for the tests that only read them, and no GPU but for the tests that ask for one."""

from pathlib import Path
from typing import NoReturn

import pytest

import engines.gpu
from engines.errors import NoGpu
from tests.engines.tiny_bundle import add_low_precision, write_tiny_bundle


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle's folder: not to be changed."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="session")
def tiny_low(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with graphs in fp16 and bf16: not to be changed."""
    folder = write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny_low")
    return add_low_precision(folder)


@pytest.fixture(autouse=True)
def _no_gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test says what `auto` does without a GPU, also where there is one; `gpu` tests see it."""

    def nothing() -> NoReturn:
        raise NoGpu("no GPU in this test")

    if request.node.get_closest_marker("gpu") is None:
        monkeypatch.setattr(engines.gpu, "open_driver", nothing)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # for processes that a test starts

"""What the driver says of its GPUs: the real ctypes calls, answered by a hand-written library."""

import os

import pytest

import engines.gpu
from engines.errors import DriverBroken, DriverTooOld, NoGpu, RuntimeUnavailable
from engines.gpu import Gpu, find_gpu, find_gpus, open_driver
from tests.engines.fake_cuda import FakeLibcuda


def test_gpus_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.gpu, "open_driver", lambda: FakeLibcuda(count=2, version=12090))
    first, second = find_gpus()
    assert first == Gpu(0, "Fake GPU 0", (9, 0), (12, 9), 80_000)
    assert find_gpu(1) == second
    assert str(second) == (
        "Fake GPU 1 (cuda:1, compute capability 9.0, 80000 MB, driver for CUDA 12.9)"
    )


@pytest.mark.parametrize(
    ("library", "error", "message"),
    [
        (FakeLibcuda(init=100), NoGpu, "error 100 .*CUDA_VISIBLE_DEVICES"),
        (FakeLibcuda(init=35), DriverTooOld, "error 35 .*the driver is too old.*install NVIDIA's"),
        (FakeLibcuda(init=803), DriverTooOld, "restart the machine"),
        (FakeLibcuda(init=999), DriverBroken, "error 999 .*not in order"),
        (FakeLibcuda(init=77), DriverBroken, "error 77"),
        (FakeLibcuda(init=34), NoGpu, "stub library"),
        (FakeLibcuda(count=0), NoGpu, "sees no GPU"),
        (FakeLibcuda(), NoGpu, r"'cuda:1': there is no such GPU, .*cuda:0 \(Fake GPU 0\)"),
    ],
)
def test_what_the_driver_refuses_is_an_error_with_its_cure(
    library: FakeLibcuda,
    error: type[RuntimeUnavailable],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines.gpu, "open_driver", lambda: library)
    with pytest.raises(error, match=message) as caught:
        find_gpu(1)
    assert "\n" not in str(caught.value)


def test_a_machine_without_a_driver_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.gpu, "_NAMES", ("libno_such_driver.so.1",))
    with pytest.raises(NoGpu, match="no NVIDIA driver"):
        open_driver()


@pytest.mark.parametrize(("before", "after"), [(None, "LAZY"), ("EAGER", "EAGER")])
def test_the_driver_loads_kernels_when_they_are_called_for_unless_told_otherwise(
    before: str | None, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines.gpu, "_NAMES", (None,))  # this process stands in for the driver
    monkeypatch.setenv("CUDA_MODULE_LOADING", before or "")  # first, so that it is undone
    if before is None:
        monkeypatch.delenv("CUDA_MODULE_LOADING")
    open_driver()
    assert os.environ["CUDA_MODULE_LOADING"] == after

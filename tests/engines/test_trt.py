"""The TensorRT runtime on a lazy fake GPU: order of copies and kernels, batches, graphs, errors."""

import logging
import threading
from pathlib import Path

import numpy as np
import pytest

from engines.bundle import load_bundle
from engines.compile import compile_plan
from engines.errors import (
    DriverBroken,
    DriverTooOld,
    GpuError,
    GpuLost,
    GpuOutOfMemory,
    LibraryMissing,
    PlanMissing,
    PlanTampered,
    TellsError,
)
from engines.runtimes import open_runtime
from engines.runtimes.batches import cut
from engines.runtimes.trt import TrtRuntime
from engines.tensor_specs import FeedArray
from tests.engines.fake_cuda import FakeLibcuda
from tests.engines.fake_machine import FakeMachine
from tests.engines.tiny_bundle import random_feeds, reference_logits


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: Path) -> FakeMachine:
    """With the tiny bundle compiled for batches of 1, 4 and 8."""
    machine = FakeMachine("10.13.3.9", monkeypatch, tmp_path)
    compile_plan(load_bundle(tiny), batches=(1, 4, 8))
    return machine


def feeds(tiny: Path, b: int, seed: int = 0) -> dict[str, FeedArray]:
    return random_feeds(load_bundle(tiny).manifest, b, seed)


def check(runtime: TrtRuntime, tiny: Path, b: int, seed: int = 0) -> None:
    x = feeds(tiny, b, seed)
    got, want = runtime.run(x), reference_logits(x, load_bundle(tiny).manifest)
    for name, logits in want.items():
        np.testing.assert_allclose(got[name], logits, atol=1e-4)


@pytest.mark.parametrize("has_graphs", [True, False])
def test_every_batch_comes_back_in_order(
    machine: FakeMachine, tiny: Path, has_graphs: bool
) -> None:
    """43 = 5 x 8 and 3 in a batch of 4: both slots are filled several times."""
    if not has_graphs:
        machine.remove("cuda.bindings.driver")
    with TrtRuntime(load_bundle(tiny)) as runtime:
        assert machine.gpu.num_graphs == (6 if has_graphs else 0)  # 3 batches, 2 slots
        assert runtime.max_batch == 16  # of the live loop's windows, two batches that overlap
        for b in (43, 1, 2, 8, 9, 16, 43):
            check(runtime, tiny, b, seed=b)
        assert (machine.gpu.num_launches > 0) == has_graphs
    assert machine.gpu.stack == []


def test_one_batch_size_is_fixed_in_the_network_and_any_number_of_windows_comes_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: Path
) -> None:
    machine = FakeMachine("8.5.3.1", monkeypatch, tmp_path)
    compile_plan(load_bundle(tiny), batches=(2,))
    ((network, config),) = machine.tensorrt.builds
    assert config.profiles == []
    assert {tensor.shape[0] for tensor in network.inputs} == {2}
    with TrtRuntime(load_bundle(tiny)) as runtime:
        for b in (1, 2, 5):
            check(runtime, tiny, b, seed=b)


def test_graphs_that_cannot_be_captured_are_done_without(
    machine: FakeMachine, tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine.gpu.fail_capture = True
    with TrtRuntime(load_bundle(tiny)) as runtime:
        check(runtime, tiny, 5)
    assert machine.gpu.num_launches == 0
    assert "without CUDA graphs" in caplog.text


@pytest.mark.parametrize(
    ("status", "error", "cure"),
    [
        (2, GpuOutOfMemory, "end other programs"),
        (719, GpuLost, "start again"),
        (400, GpuError, "uninstall cuda-bindings"),
    ],
)
def test_a_graph_that_cannot_be_launched_says_why(
    machine: FakeMachine, tiny: Path, status: int, error: type[GpuError], cure: str
) -> None:
    with TrtRuntime(load_bundle(tiny)) as runtime:
        machine.gpu.launch_status = status
        with pytest.raises(error, match=cure) as caught:
            runtime.run(feeds(tiny, 1))
        assert type(caught.value) is error


def test_a_runtime_that_failed_once_computes_right_afterwards(
    machine: FakeMachine, tiny: Path
) -> None:
    with TrtRuntime(load_bundle(tiny)) as runtime:
        x = feeds(tiny, 20)
        slow, machine.gpu.is_lost = runtime._slots[0].done, False

        class Failing:
            def record(self, stream: object) -> None:
                machine.gpu.is_lost = True

            def synchronize(self) -> None:
                machine.gpu.check()

        runtime._slots[0].done = Failing()
        with pytest.raises(GpuLost):
            runtime.run(x)
        runtime._slots[0].done, machine.gpu.is_lost = slow, False
        check(runtime, tiny, 20, seed=3)


def test_only_its_own_thread_may_close_it(machine: FakeMachine, tiny: Path) -> None:
    errors: list[RuntimeError] = []

    def close() -> None:
        try:
            runtime.close()
        except RuntimeError as error:
            errors.append(error)

    with TrtRuntime(load_bundle(tiny)) as runtime:
        stranger = threading.Thread(target=close, name="stranger")
        stranger.start()
        stranger.join()
        check(runtime, tiny, 3)
    assert "this is stranger" in str(errors[0])
    runtime.close()


def test_threads_may_each_open_one(machine: FakeMachine, tiny: Path) -> None:
    done: list[str] = []

    def work() -> None:
        with TrtRuntime(load_bundle(tiny)) as runtime:
            check(runtime, tiny, 5)
            done.append(threading.current_thread().name)

    work()
    thread = threading.Thread(target=work, name="second")
    thread.start()
    thread.join()
    assert done == ["MainThread", "second"]


def test_memory_that_does_not_suffice_is_said_with_its_cure(
    machine: FakeMachine, tiny: Path
) -> None:
    machine.gpu.fail_allocation = True
    with pytest.raises(GpuOutOfMemory, match=r"cuda:0: .*smaller --batch"):
        open_runtime(load_bundle(tiny), "cuda:0")
    assert machine.gpu.stack == []
    machine.gpu.fail_allocation = False
    with TrtRuntime(load_bundle(tiny)) as runtime:
        check(runtime, tiny, 2)


def test_a_lost_gpu_is_said_and_closing_does_not_hide_it(machine: FakeMachine, tiny: Path) -> None:
    def lose() -> None:
        with TrtRuntime(load_bundle(tiny)) as runtime:
            machine.gpu.is_lost = True
            runtime.run(feeds(tiny, 1))

    with pytest.raises(GpuLost, match=r"unspecified launch failure.*start again"):
        lose()
    assert machine.gpu.stack == []


def test_a_plan_that_tensorrt_does_not_load_says_to_compile_again(
    machine: FakeMachine, tiny: Path
) -> None:
    machine.tensorrt.version = "10.13.3.8"  # what the library is and what it says differ
    with pytest.raises(PlanTampered, match=r"deleted \(plan of 10\.13\.3\.9.*compile"):
        open_runtime(load_bundle(tiny), "cuda:0")
    assert machine.cache.keys() == []  # or `compile` would be content with it


def test_auto_takes_tensorrt_where_it_was_compiled(machine: FakeMachine, tiny: Path) -> None:
    with open_runtime(load_bundle(tiny)) as runtime:
        assert runtime.description == "TensorRT 10.13.3.9 fp32 on Fake GPU 0"


def test_auto_says_aloud_that_it_does_not_use_the_gpu(
    machine: FakeMachine, tiny: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    bundle = load_bundle(tiny)
    cases: list[tuple[str, type[TellsError], str]] = [
        ("not compiled", PlanMissing, "engines compile"),
        ("a library is missing", LibraryMissing, "pip install tensorrt"),
        ("driver too old", DriverTooOld, "the driver is too old"),
        ("driver not in order", DriverBroken, "error 999"),
    ]
    for path in machine.cache.folder.glob("*.plan"):
        path.unlink()
    for short, error, cure in cases:
        if error is LibraryMissing:
            machine.remove("tensorrt")
        if error is DriverTooOld:
            machine.install_driver(FakeLibcuda(init=35))
        if error is DriverBroken:
            machine.install_driver(FakeLibcuda(init=999))
        caplog.clear()
        with (
            caplog.at_level(logging.WARNING),
            open_runtime(bundle, "auto", precision="fp32") as runtime,
        ):
            assert runtime.description == f"OpenVINO CPU fp32 (GPU not used: {short})"
        assert cure in caplog.text
        with pytest.raises(error):
            open_runtime(bundle, "cuda:0")


def test_auto_is_quiet_where_there_is_no_gpu(
    machine: FakeMachine, tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine.install_driver(FakeLibcuda(count=0))
    with open_runtime(load_bundle(tiny), precision="fp32") as runtime:
        assert runtime.description == "OpenVINO CPU fp32"
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("num_windows", "batches", "sizes"),
    [
        (1, (1, 4, 16), [1]),
        (2, (1, 4, 16), [4]),
        (3, (1, 4, 16), [4]),
        (5, (1, 4, 16), [4, 1]),
        (8, (1, 4, 16), [16]),
        (7, (1, 4, 16), [4, 4]),
        (33, (1, 4, 16), [16, 16, 1]),
        (2, (8,), [8]),
        (3, (1,), [1, 1, 1]),
    ],
)
def test_batches_are_cut_into_compiled_sizes(
    num_windows: int, batches: tuple[int, ...], sizes: list[int]
) -> None:
    parts = cut(num_windows, batches)
    assert [size for _, size in parts] == sizes
    assert [i for rows, _ in parts for i in rows] == list(range(num_windows))
    assert all(len(rows) <= size for rows, size in parts)

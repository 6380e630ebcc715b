"""Compiling: the version layer on three generations of TensorRT, the cache, the command."""

import re
import signal
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from engines.__main__ import main
from engines.bundle import load_bundle, sha256_of
from engines.compile import compile_plan, find_plan
from engines.errors import (
    CompileError,
    DigestError,
    DriverTooOld,
    GraphMismatch,
    LibraryMissing,
    NoGpu,
    PlanMissing,
    PlanTampered,
    RuntimeUnavailable,
)
from engines.gpu import find_gpu
from engines.load_trt import load_tensorrt
from engines.trt_versions import TensorRt
from tests.conftest import PROJECT
from tests.engines.fake_cuda import FakeGpu, FakeLibcuda
from tests.engines.fake_machine import FakeMachine
from tests.engines.fake_tensorrt import Generation
from tests.engines.tiny_bundle import write_tiny_bundle
from train.older_opset import FP32_MARK

VERSIONS = ("8.5.3.1", "10.13.3.9", "11.4.0.106")


@pytest.fixture(params=VERSIONS)
def machine(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> FakeMachine:
    return FakeMachine(request.param, monkeypatch, tmp_path)


@pytest.fixture
def modern(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeMachine:
    return FakeMachine("10.13.3.9", monkeypatch, tmp_path)


def test_each_generation_is_asked_in_its_own_way(machine: FakeMachine, tiny: Path) -> None:
    done = compile_plan(load_bundle(tiny), precision="fp32", batches=(4, 1, 4))
    ((network, config),) = machine.tensorrt.builds
    assert network.flags == {8: 0b01, 10: 0b10, 11: 0}[machine.tensorrt.major]
    assert config.flags == set()  # TF32 is off: it is not fp32
    assert [p["pose"] for p in config.profiles] == [(1, 3, 16, 25), (4, 3, 16, 25)]
    assert hasattr(config, "progress_monitor") == (machine.tensorrt.major >= 10)
    assert (done.was_cached, done.key.batches, done.key.gpu) == (False, (1, 4), "Fake GPU 0")
    assert done.key.tensorrt == machine.tensorrt.version
    assert machine.gpu.stack == []


def test_fp16_is_a_flag_and_layers_in_8_5_and_a_graph_since(
    machine: FakeMachine, tiny_low: Path
) -> None:
    compile_plan(load_bundle(tiny_low))  # the fastest there is
    ((network, config),) = machine.tensorrt.builds
    reduced = [layer for layer in network.layers if layer.type.name == "REDUCE"]
    if machine.tensorrt.major == 8:
        assert config.flags == {"TF32", "FP16", "OBEY_PRECISION_CONSTRAINTS"}
        assert {layer.precision for layer in reduced} == {"float"}
        assert any(layer.precision is None for layer in network.layers)
    else:
        assert "FP16" not in config.flags
        assert all(layer.precision is None for layer in network.layers)
    (key,) = machine.cache.keys()
    assert key.precision == "fp16"


def test_8_5_keeps_what_an_older_graph_marks_in_fp32() -> None:
    """The mark is written by `train.older_opset` and read by `engines.trt_versions`."""
    trt = TensorRt(Generation("8.5.3.1", FakeGpu()).module)

    def layer(name: str, dtype: str = "float") -> SimpleNamespace:
        output = SimpleNamespace(dtype=dtype)
        return SimpleNamespace(type=0, name=name, get_output=lambda _: output)

    norm, product, shape = layer(f"norm{FP32_MARK}_3"), layer("product"), layer("n_fp32_1", "int")
    layers = [norm, product, shape]
    network = SimpleNamespace(num_layers=3, get_layer=layers.__getitem__)
    assert list(trt._delicate_layers(network)) == [norm]


def test_a_precision_that_is_not_there_is_refused(modern: FakeMachine, tiny: Path) -> None:
    with pytest.raises(CompileError, match=r"none in bf16 .*it has fp32.*train export"):
        compile_plan(load_bundle(tiny), precision="bf16")
    old = TensorRt(Generation("8.5.3.1", FakeGpu()).module)
    with pytest.raises(CompileError, match="does not compute in bf16, use one of fp16, fp32"):
        old.graph_precision("bf16", ("fp32", "bf16"))
    older = Generation("8.4.1.5", FakeGpu()).module
    with pytest.raises(LibraryMissing, match=r"8\.5 or newer"):
        TensorRt(older)


def test_what_was_compiled_is_not_compiled_again(modern: FakeMachine, tiny: Path) -> None:
    shares: list[float] = []
    bundle = load_bundle(tiny)
    first = compile_plan(bundle, batches=(1, 2), report=shares.append)
    assert shares == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    again = compile_plan(bundle, batches=(2, 1), report=shares.append)
    assert (again.was_cached, again.path, len(shares)) == (True, first.path, 6)
    other = compile_plan(bundle, batches=(1,))
    assert (other.was_cached, len(modern.tensorrt.builds)) == (False, 2)
    # The second build was given the first one's timings.
    assert modern.tensorrt.builds[1][1].cache.serialize() == b"++"


def test_a_changed_plan_is_refused_when_opened_and_made_anew_by_compile(
    modern: FakeMachine, tiny: Path
) -> None:
    bundle, trt = load_bundle(tiny), load_tensorrt()
    path = compile_plan(bundle).path
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"!")
    with pytest.raises(PlanTampered, match="not run"):
        find_plan(bundle, find_gpu(0), trt, None, modern.cache)
    compile_plan(bundle, batches=(1,))
    assert find_plan(bundle, find_gpu(0), trt, None, modern.cache)[0].batches == (1,)
    assert not compile_plan(bundle).was_cached
    assert path.read_bytes() == good
    assert find_plan(bundle, find_gpu(0), trt, None, modern.cache)[0].batches == (1, 4, 16)


def test_what_would_not_be_kept_is_not_built(modern: FakeMachine, tiny: Path) -> None:
    bundle = load_bundle(tiny)
    key = compile_plan(bundle, batches=(1,)).key
    modern.cache.key_file.chmod(0o644)
    with pytest.raises(PlanTampered, match="mode 644"):
        compile_plan(bundle, batches=(2,))
    lock = modern.cache.folder / f"{replace(key, batches=(4,)).digest}.lock"
    lock.mkdir()
    with pytest.raises(CompileError, match="cannot be written"):
        compile_plan(bundle, batches=(4,))
    assert len(modern.tensorrt.builds) == 1


def test_a_plan_of_another_driver_or_tensorrt_is_not_found(modern: FakeMachine, tiny: Path) -> None:
    bundle = load_bundle(tiny)
    compile_plan(bundle)
    newer = TensorRt(Generation("10.14.1", modern.gpu).module)
    with pytest.raises(PlanMissing, match=r"engines compile .* --device cuda:0`"):
        find_plan(bundle, find_gpu(0), newer, None, modern.cache)
    modern.install_driver(FakeLibcuda(version=13010))
    with pytest.raises(PlanMissing):
        find_plan(bundle, find_gpu(0), load_tensorrt(), None, modern.cache)
    modern.install_driver(FakeLibcuda())
    assert find_plan(bundle, find_gpu(0), load_tensorrt(), None, modern.cache)
    modern.install_nvml("580.65.06")
    assert "driver 580.65.06 for CUDA 13.0" in str(find_gpu(0))
    with pytest.raises(PlanMissing):
        find_plan(bundle, find_gpu(0), load_tensorrt(), None, modern.cache)


def test_the_plan_of_most_batches_in_the_fastest_precision_is_opened(
    modern: FakeMachine, tiny_low: Path
) -> None:
    bundle = load_bundle(tiny_low)
    compile_plan(bundle, precision="fp32", batches=(1, 2, 4))
    for batches in ((8,), (1, 8)):
        compile_plan(bundle, precision="fp16", batches=batches)
    found = find_plan(bundle, find_gpu(0), load_tensorrt(), None, modern.cache)[0]
    assert (found.precision, found.batches) == ("fp16", (1, 8))
    found = find_plan(bundle, find_gpu(0), load_tensorrt(), "fp32", modern.cache)[0]
    assert (found.precision, found.batches) == ("fp32", (1, 2, 4))


def test_a_graph_that_changes_after_loading_is_not_compiled(
    modern: FakeMachine, tmp_path: Path
) -> None:
    bundle = load_bundle(write_tiny_bundle(tmp_path / "b"))
    bundle.graph_path().write_bytes(b"another")
    with pytest.raises(DigestError, match="was changed since"):
        compile_plan(bundle)
    assert modern.tensorrt.builds == []


def test_what_tensorrt_refuses_is_one_line(machine: FakeMachine, tiny: Path) -> None:
    bundle = load_bundle(tiny)
    machine.tensorrt.build_error = "[optimizer.cpp::1] Error Code 10: no\n implementation"
    with pytest.raises(CompileError, match="Error Code 10: no implementation") as caught:
        compile_plan(bundle)
    assert "\n" not in str(caught.value)
    assert machine.cache.keys() == []
    machine.tensorrt.start_error = "CUDA initialization failure with error: 35"
    with pytest.raises(DriverTooOld, match="install a newer NVIDIA driver"):
        compile_plan(bundle)
    machine.tensorrt.start_error = "something else"
    with pytest.raises(RuntimeUnavailable, match=r"something else.*doctor"):
        compile_plan(bundle)
    assert machine.gpu.stack == []


def test_a_graph_that_the_parser_does_not_read_is_one_line(
    machine: FakeMachine, tmp_path: Path
) -> None:
    folder = write_tiny_bundle(tmp_path / "b")
    old = sha256_of(folder / "model.onnx")
    (folder / "model.onnx").write_bytes(b"\x08junk")
    text = (folder / "manifest.json").read_text(encoding="utf-8")
    text = text.replace(old, sha256_of(folder / "model.onnx"))
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(GraphMismatch, match="cannot read this graph") as caught:
        compile_plan(load_bundle(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("batches", [(), (0, 1), (2000,)])
def test_impossible_batches_are_refused(
    modern: FakeMachine, tiny: Path, batches: tuple[int, ...]
) -> None:
    with pytest.raises(CompileError, match="expected sizes from 1 to 1024"):
        compile_plan(load_bundle(tiny), batches=batches)


def test_what_is_not_installed_is_named_with_its_cure(modern: FakeMachine, tiny: Path) -> None:
    bundle = load_bundle(tiny)
    modern.remove("pycuda.driver")
    with pytest.raises(LibraryMissing, match="pip install pycuda"):
        compile_plan(bundle)
    modern.remove("tensorrt")
    with pytest.raises(LibraryMissing, match=r"TensorRT is not installed.*tensorrt-rtx"):
        compile_plan(bundle)
    modern.install_driver(FakeLibcuda(count=0))
    with pytest.raises(NoGpu):
        compile_plan(bundle)


def test_the_command_compiles_verifies_and_benches(
    modern: FakeMachine, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compile", str(tiny), "--batch", "1,2"]) == 0
    printed = capsys.readouterr()
    assert (
        "tiny 0.1 for Fake GPU 0, TensorRT 10.13.3.9, fp32, batches 1, 2: compiled" in printed.out
    )
    assert "100 % |" in printed.err
    assert main(["compile", str(tiny), "--batch", "1,2"]) == 0
    assert "was compiled before" in capsys.readouterr().out
    assert main(["verify", str(tiny), "--device", "cuda:0", "ort"]) == 0
    assert "TensorRT 10.13.3.9 fp32 on Fake GPU 0" in capsys.readouterr().out
    bench = ["bench", str(tiny), "--device", "cuda:0", "cpu", "--repeats", "2", "--batches", "1"]
    assert main(bench) == 0
    assert "side by side" in capsys.readouterr().out


def test_the_command_refuses_other_devices_and_batches(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compile", str(tiny), "--device", "cpu"]) == 2
    assert "plans are compiled for cuda:0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["compile", str(tiny), "--batch", "1,x"])


def test_ctrl_c_within_a_build_stops_it(modern: FakeMachine, tiny: Path) -> None:
    def interrupted(share: float) -> None:
        if 0 < share < 0.3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        compile_plan(load_bundle(tiny), report=interrupted)
    assert modern.cache.keys() == []
    assert modern.gpu.stack == []
    # The lock is free again.
    builder = threading.Thread(target=compile_plan, args=(load_bundle(tiny),))
    builder.start()
    builder.join(timeout=30)
    assert len(modern.cache.keys()) == 1
    # What was measured until then was not lost.
    assert modern.tensorrt.builds[1][1].cache.serialize() == b"++"


def test_the_gpu_s_libraries_are_imported_where_they_are_wrapped_only() -> None:
    found = {
        (str(path.relative_to(PROJECT / "engines")), library)
        for path in sorted((PROJECT / "engines").rglob("*.py"))
        for library in re.findall(
            r"(?:import |import_module\(\")(tensorrt|pycuda|cuda)\b", path.read_text("utf-8")
        )
    }
    assert found == {
        ("load_trt.py", "tensorrt"),
        (str(Path("runtimes", "cuda.py")), "pycuda"),
        (str(Path("runtimes", "cuda_graphs.py")), "cuda"),
        ("doctor.py", "pycuda"),
        ("doctor.py", "cuda"),
    }

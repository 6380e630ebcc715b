"""The doctor names each part and its cure; runtimes side by side say which are not there."""

import json
import sys
from pathlib import Path

import pytest

from engines.__main__ import main
from engines.bundle import load_bundle
from engines.compile import compile_plan
from engines.doctor import Check, examine, table
from engines.errors import NoGpu, RuntimeUnavailable
from engines.side_by_side import on_each
from engines.verify import verify
from tests.engines.fake_cuda import FakeLibcuda
from tests.engines.fake_machine import FakeMachine
from tests.engines.tiny_bundle import write_tiny_bundle


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeMachine:
    return FakeMachine("10.13.3.9", monkeypatch, tmp_path)


def checks(folder: Path | None = None) -> dict[str, Check]:
    return {check.name: check for check in examine(folder)}


def test_without_a_gpu_the_processor_is_enough(
    machine: FakeMachine, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.install_driver(FakeLibcuda(count=0))
    assert main(["doctor", str(tiny)]) == 0
    text = capsys.readouterr().out
    assert "missing GPU, driver" in text
    assert "ok      parity cpu" in text
    assert "parity cuda:0" not in text
    assert text.endswith("The processor can be used\n")


def test_a_bundle_that_the_processor_computes_wrong_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {"atol": 1e-12, "rtol": 0.0, "low_precision_atol": 1e-12}
    folder = write_tiny_bundle(tmp_path / "b", golden=wrong)
    assert main(["doctor", str(folder)]) == 1
    text = capsys.readouterr().out
    assert "failed  parity cpu" in text
    assert "The processor cannot be used: see parity cpu" in text


def test_a_gpu_machine_is_looked_at_part_by_part(machine: FakeMachine, tiny: Path) -> None:
    compile_plan(load_bundle(tiny))
    found = checks(tiny)
    assert found["GPU, driver"].text.startswith("Fake GPU 0 (cuda:0, compute capability 9.0")
    assert "driver for CUDA 13.0" in found["GPU, driver"].text
    assert found["TensorRT"].text == "10.13.3.9, fp16, bf16, fp32"
    assert found["plan cache"].text.startswith("1 plan with the right seal")
    assert found["parity cuda:0"].text.startswith("TensorRT 10.13.3.9 fp32 on Fake GPU 0: within")
    assert "onnxruntime-gpu" in found["parity ort-cuda:0"].text


def test_each_fault_is_named_with_its_cure(
    machine: FakeMachine, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.tensorrt.start_error = "CUDA initialization failure with error: 35"
    assert "install a newer NVIDIA driver" in checks()["TensorRT"].text
    machine.tensorrt.start_error = ""
    path = compile_plan(load_bundle(tiny)).path
    path.write_bytes(path.read_bytes() + b"!")
    changed = checks()["plan cache"]
    assert (changed.state, changed.is_ok) == ("failed", False)
    assert "`python -m engines compile` makes it anew" in changed.text
    assert table([changed]).endswith("Not in order: see plan cache\nThe processor can be used")
    machine.remove("tensorrt")
    machine.remove("pycuda.driver")
    machine.remove("cuda.bindings.driver")
    found = checks()
    assert "pip install tensorrt" in found["TensorRT"].text
    assert "pip install pycuda" in found["pycuda"].text
    assert found["CUDA graphs"].text == "not installed: run `python -m pip install cuda-bindings`"
    machine.install_driver(FakeLibcuda(init=35))
    assert "the driver is too old" in checks()["GPU, driver"].text
    monkeypatch.setitem(sys.modules, "engines.runtimes.openvino", None)
    needed = checks()["OpenVINO"]
    assert (needed.state, needed.is_ok) == ("failed", False)
    assert "see OpenVINO" in table([needed])


def test_devices_side_by_side_and_those_that_are_not_there(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = on_each(tiny, ["ort", "all"], verify)
    assert [p.runtime.split()[0] for p in found.results] == ["ONNX", "OpenVINO"]
    assert [a.device for a in found.absent] == ["cuda:0", "ort-cuda:0"]
    assert all(p.agreement == 1 for p in found.results)
    with pytest.raises(NoGpu):
        on_each(tiny, ["cuda:0"], verify)
    with pytest.raises(RuntimeUnavailable, match="cuda:0: no GPU in this test; ort-cuda:0: "):
        on_each(tiny, ["cuda:0", "ort-cuda:0"], verify)
    assert main(["verify", str(tiny), "--device", "cuda:0", "ort"]) == 1
    assert main(["bench", str(tiny), "--device", "cuda:0", "ort-cuda:0"]) == 2
    capsys.readouterr()
    assert main(["verify", str(tiny), "--device", "all"]) == 0
    text = capsys.readouterr().out
    assert "not there: cuda:0: no GPU in this test" in text
    assert "100%  ok" in text
    command = ["bench", str(tiny), "--device", "cpu", "ort", "--repeats", "2", "--batches", "1"]
    assert main([*command, "--json"]) == 0
    both = json.loads(capsys.readouterr().out)
    assert len(both["results"]) == 2
    assert both["absent"] == []

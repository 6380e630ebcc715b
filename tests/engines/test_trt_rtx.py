"""NVIDIA's own parser and builder, where TensorRT for RTX is installed: it builds without a GPU.

What is called is what TensorRT 10 and 11 have as well: strongly typed networks, profiles, progress,
timing caches, loggers. The GPU, its driver and pycuda are fakes; no plan is run.
"""

import importlib
import os
import signal
import traceback
from pathlib import Path

import numpy as np
import onnx
import pytest

from engines.bundle import load_bundle, sha256_of
from engines.compile import compile_plan, find_plan
from engines.errors import CompileError, GraphMismatch, LibraryMissing
from engines.gpu import find_gpu
from engines.load_trt import load_tensorrt
from tests.conftest import missing
from tests.engines.fake_cuda import FakeLibcuda
from tests.engines.fake_machine import FakeMachine
from tests.engines.tiny_bundle import write_tiny_bundle

_SEVEN = np.array([7], np.int64)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeMachine:
    try:
        importlib.import_module("tensorrt_rtx")
    except ImportError as error:
        missing("TENSORRT", f"TensorRT for RTX does not load ({error})")
    machine = FakeMachine("10.13.3.9", monkeypatch, tmp_path)
    machine.install_real_rtx()
    return machine


def write_graph(folder: Path, graph: bytes) -> Path:
    """A bundle whose graph is another one."""
    write_tiny_bundle(folder)
    old = sha256_of(folder / "model.onnx")
    (folder / "model.onnx").write_bytes(graph)
    manifest = folder / "manifest.json"
    text = manifest.read_text(encoding="utf-8").replace(old, sha256_of(folder / "model.onnx"))
    manifest.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("batches", [(1, 4), (2,)])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_every_graph_that_export_writes_becomes_a_plan(
    machine: FakeMachine, tiny_low: Path, precision: str, batches: tuple[int, ...]
) -> None:
    bundle, shares = load_bundle(tiny_low), list[float]()
    done = compile_plan(bundle, precision=precision, batches=batches, report=shares.append)
    assert done.key.tensorrt.startswith("for RTX ")
    assert (done.was_cached, done.key.precision, done.key.batches) == (False, precision, batches)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert any(0 < share < 1 for share in shares)
    key, plan = find_plan(bundle, find_gpu(0), load_tensorrt(), None, machine.cache)
    assert (key, len(plan) / 1e6) == (done.key, done.size_mb)
    assert compile_plan(bundle, precision=precision, batches=batches).was_cached


def test_a_gpu_that_it_does_not_serve_is_refused(machine: FakeMachine, tiny: Path) -> None:
    machine.install_driver(FakeLibcuda(capability=(9, 0)))
    with pytest.raises(LibraryMissing, match=r"for RTX .* compute capability 9\.0: .*ort-cuda"):
        compile_plan(load_bundle(tiny))
    assert load_tensorrt().is_rtx


def test_ctrl_c_ends_a_real_build(machine: FakeMachine, tiny: Path) -> None:
    def interrupted(share: float) -> None:
        if 0 < share < 1 and not sent:
            sent.append(share)
            os.kill(os.getpid(), signal.SIGINT)

    sent: list[float] = []
    with pytest.raises(KeyboardInterrupt):
        compile_plan(load_bundle(tiny), batches=(1,), report=interrupted)
    assert machine.cache.keys() == []
    assert not compile_plan(load_bundle(tiny), batches=(1,)).was_cached


def test_what_the_real_parser_does_not_read_is_one_line(
    machine: FakeMachine, tmp_path: Path, tiny: Path
) -> None:
    with pytest.raises(GraphMismatch, match="cannot read this graph") as caught:
        compile_plan(load_bundle(write_graph(tmp_path / "junk", b"\x08junk")))
    assert "\n" not in str(caught.value)
    # Garbage that is collected while TensorRT logs would wait for its lock for ever.
    frames = [frame for frame, _ in traceback.walk_tb(caught.tb)]
    held = [value for frame in frames for value in frame.f_locals.values()]
    assert [value for value in held if type(value).__module__.startswith("tensorrt_rtx")] == []
    model = onnx.load(tiny / "model.onnx")
    model.graph.node[0].op_type = "NoSuchOperator"
    folder = write_graph(tmp_path / "unknown", model.SerializeToString())
    with pytest.raises(GraphMismatch, match="NoSuchOperator"):
        compile_plan(load_bundle(folder))


def test_what_the_real_builder_refuses_says_why(machine: FakeMachine, tiny: Path) -> None:
    model = onnx.load(tiny / "model.onnx")
    output = model.graph.output[0]
    model.graph.node.append(
        onnx.helper.make_node("Reshape", [output.name, "no_shape"], ["reshaped"])
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(_SEVEN, "no_shape"))
    del model.graph.output[:]
    model.graph.output.append(
        onnx.helper.make_tensor_value_info("reshaped", onnx.TensorProto.FLOAT, [7])
    )
    folder = write_graph(tiny.parent / "refused", model.SerializeToString())
    with pytest.raises(CompileError, match=r"no plan in fp32 for batches of 1: .*[rR]eshape"):
        compile_plan(load_bundle(folder), batches=(1,))

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from engines.bundle import load_bundle, sha256_of
from engines.compile import compile_plan
from engines.errors import GraphMismatch, RuntimeUnavailable
from engines.runtimes import Precision, Runtime, TensorSpec, open_runtime
from engines.tensor_specs import FeedArray
from tests.conftest import PROJECT, missing
from tests.engines.fake_machine import FakeMachine, need_gpu
from tests.engines.tiny_bundle import random_feeds, reference_logits, write_tiny_bundle

Device = tuple[str, Precision, float]
DEVICES: list[Device] = [
    ("ort", "fp32", 1e-5),
    ("cpu", "fp32", 1e-5),
    ("cpu", "bf16", 0.05),
    ("fake 8.5.3.1", "fp32", 1e-5),
    ("fake 10.13.3.9", "fp32", 1e-5),
    ("fake 10.13.3.9", "fp16", 0.05),
    ("fake 11.4.0.106", "fp32", 1e-5),
]
GPU_DEVICES: list[Device] = [
    ("cuda:0", "fp32", 1e-4),
    ("cuda:0", "fp16", 0.05),
    ("cuda:0", "bf16", 0.1),
    ("ort-cuda:0", "fp32", 1e-4),
    ("ort-cuda:0", "fp16", 0.05),
]
Opener = Callable[[], Runtime]


@pytest.fixture(
    params=[*DEVICES, *(pytest.param(d, marks=pytest.mark.gpu) for d in GPU_DEVICES)],
    ids=lambda d: f"{d[0]}-{d[1]}",
)
def opened(
    request: pytest.FixtureRequest,
    tiny_low: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Opener, float]:
    device, precision, tolerance = request.param
    if device.startswith("fake "):
        FakeMachine(device.removeprefix("fake "), monkeypatch, tmp_path)
        device = "cuda:0"
    elif "cuda" in device:
        need_gpu(monkeypatch, tmp_path_factory.getbasetemp() / "gpu")  # each plan is built once

    def opener() -> Runtime:
        bundle = load_bundle(tiny_low)
        try:
            if device == "cuda:0":
                compile_plan(bundle, precision=precision, batches=(1, 2))
            return open_runtime(bundle, device, precision=precision)
        except RuntimeUnavailable as error:
            if "cuda" in device:
                missing("GPU", str(error))
            assert precision == "bf16"
            pytest.skip(str(error))

    return opener, tolerance


def feeds(tiny: Path, b: int = 2, seed: int = 0) -> dict[str, FeedArray]:
    return random_feeds(load_bundle(tiny).manifest, b, seed)


def test_runtime_contract(opened: tuple[Opener, float], tiny: Path) -> None:
    opener, tolerance = opened
    manifest = load_bundle(tiny).manifest
    with opener() as runtime:
        assert runtime.inputs == {
            n: TensorSpec((None, *s), "uint8" if n == "rgb" else "float32")
            for n, s in manifest.feeds.items()
        }
        assert runtime.outputs == {
            "gesture_logits": TensorSpec((None, 32), "float32"),
            "emotion_logits": TensorSpec((None, 2), "float32"),
        }
        assert runtime.precision in runtime.description
        for b in (1, 3, 2):
            x = feeds(tiny, b)
            got, want = runtime.run(x), reference_logits(x, manifest)
            assert list(got) == list(want)
            for name, logits in want.items():
                assert got[name].dtype == np.float32
                assert got[name].flags.c_contiguous
                std = logits.std()
                np.testing.assert_allclose(got[name], logits, atol=tolerance * std)


def test_every_input_moves_every_output(opened: tuple[Opener, float], tiny: Path) -> None:
    with opened[0]() as runtime:
        before = runtime.run(feeds(tiny, 1))
        for name in runtime.inputs:
            x = feeds(tiny, 1)
            x[name] = x[name] // 2 if name == "rgb" else x[name] + np.float32(1)
            for output, logits in runtime.run(x).items():
                assert np.abs(logits - before[output]).max() > 0.1, (name, output)


def test_results_are_not_overwritten_by_the_next_call(
    opened: tuple[Opener, float], tiny: Path
) -> None:
    with opened[0]() as runtime:
        first = runtime.run(feeds(tiny, seed=1))
        kept = {name: array.copy() for name, array in first.items()}
        runtime.run(feeds(tiny, seed=2))
        for name, array in kept.items():
            np.testing.assert_array_equal(first[name], array)


def test_strided_feeds_are_taken_for_what_they_are(
    opened: tuple[Opener, float], tiny: Path
) -> None:
    x = feeds(tiny)
    turned = {**x, "rgb": np.asfortranarray(x["rgb"])}
    with opened[0]() as runtime:
        for got, want in zip(runtime.run(turned).values(), runtime.run(x).values(), strict=True):
            np.testing.assert_array_equal(got, want)


def test_feeds_that_do_not_fit_are_refused(opened: tuple[Opener, float], tiny: Path) -> None:
    x = feeds(tiny)
    nan = x["pose"].copy()
    nan[0, 0, 0, 0] = np.nan
    wrong: list[tuple[dict[str, Any], str]] = [
        ({n: a for n, a in x.items() if n != "rgb"}, "Feeds: expected rgb, pose"),
        ({**x, "sound": x["rgb"]}, "got rgb, .*sound"),
        ({**x, "pose": x["pose"].astype(np.float64)}, r"Feed pose: .*got float64"),
        ({**x, "rgb": x["rgb"].astype(np.float32)}, r"Feed rgb: expected uint8 .*got float32"),
        ({**x, "pose": x["pose"][:, :, :8]}, r"\[\*, 3, 16, 25\], got float32 \[2, 3, 8, 25\]"),
        ({**x, "pose": x["pose"][0]}, r"got float32 \[3, 16, 25\]"),
        ({**x, "pose": x["pose"][:1]}, r"one batch size of 1 or more, got \[1, 2\]"),
        ({n: a[:0] for n, a in x.items()}, r"one batch size of 1 or more, got \[0\]"),
        ({**x, "pose": nan}, "Feed pose: holds values that are not finite"),
        ({**x, "pose": np.where(np.isnan(nan), np.float32(np.inf), nan)}, "not finite"),
    ]
    with opened[0]() as runtime:
        for bad, message in wrong:
            with pytest.raises(ValueError, match=message):
                runtime.run(bad)
        runtime.run(x)


def test_another_thread_may_not_call_it(opened: tuple[Opener, float], tiny: Path) -> None:
    errors: list[RuntimeError] = []

    def call() -> None:
        try:
            runtime.run(feeds(tiny))
        except RuntimeError as error:
            errors.append(error)

    with opened[0]() as runtime:
        thread = threading.Thread(target=call, name="stranger")
        thread.start()
        thread.join()
        runtime.run(feeds(tiny))
    assert "called by the thread that opened it, MainThread; this is stranger" in str(errors[0])
    with pytest.raises(RuntimeError, match="closed"):
        runtime.run(feeds(tiny))


@pytest.mark.parametrize("device", ["ort", "cpu"])
@pytest.mark.parametrize("kind", ["junk", "unknown operator"])
def test_a_graph_that_cannot_be_read_is_refused_in_one_line(
    device: str, kind: str, tmp_path: Path
) -> None:
    folder = write_tiny_bundle(tmp_path / "b")
    path = folder / "model.onnx"
    old = sha256_of(path)
    if kind == "junk":
        path.write_bytes(b"\x08junk")
    else:
        value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])
        other = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])
        node = helper.make_node("Frobnicate", ["x"], ["y"], domain="nowhere")
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("nowhere", 1)]
        graph = helper.make_graph([node], "g", [value], [other])
        onnx.save_model(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    text = (folder / "manifest.json").read_text(encoding="utf-8")
    (folder / "manifest.json").write_text(text.replace(old, sha256_of(path)), encoding="utf-8")
    with pytest.raises(GraphMismatch, match="cannot read this graph") as caught:
        open_runtime(load_bundle(folder), device)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "device", ["gpu", "cuda:", "cuda:x", "cpu:1", "ort-cuda:-1", "http://me:secret@host/model", ""]
)
def test_other_devices_are_refused_with_what_is_supported(device: str, tiny: Path) -> None:
    with pytest.raises(RuntimeUnavailable, match=r"expected auto, cpu .* or ort-cuda") as caught:
        open_runtime(load_bundle(tiny), device)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("device", "cure"), [("ort", "computes in fp32 only"), ("ort-cuda:0", "--precision fp16 or")]
)
def test_ort_refuses_bf16(device: str, cure: str, tiny: Path) -> None:
    with pytest.raises(RuntimeUnavailable, match=cure):
        open_runtime(load_bundle(tiny), device, precision="bf16")


WITHOUT = """
import sys
from importlib.machinery import PathFinder
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in {missing!r} else PathFinder.find_spec(name, path, target)
sys.meta_path = [Without if f is PathFinder else f for f in sys.meta_path]
from engines.engine import open_engine
from engines.errors import RuntimeUnavailable
try:
    print(open_engine({folder!r}, {device!r}).runtime.description)
except RuntimeUnavailable as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("missing", "device", "says"),
    [
        (("openvino",), "auto", "ONNX Runtime CPU fp32"),
        (("openvino",), "cpu", "'cpu' needs the library openvino"),
        (("onnxruntime",), "ort", "'ort' needs the library onnxruntime"),
        (("openvino", "onnxruntime"), "auto", "'cpu' needs the library openvino"),
    ],
)
def test_an_absent_library_is_named(
    missing: tuple[str, ...], device: str, says: str, tiny: Path
) -> None:
    code = WITHOUT.format(missing=missing, folder=str(tiny), device=device)
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert says in result.stdout


@pytest.mark.parametrize(("device", "name"), [("cpu", "OpenVINO CPU"), ("ort", "ONNX Runtime CPU")])
def test_a_runtime_reports_to_nobody(device: str, name: str, tiny: Path, tmp_path: Path) -> None:
    """Importing openvino 2026.4 alone sends an event and leaves a client id in the home folder.

    onnxruntime 1.32 leaves a device id there and a session id in the temporary folder.
    """
    code = (
        "import sys\n"
        "def watch(event, arguments):\n"
        "    if event.startswith(('socket.', 'subprocess.', 'os.fork', 'urllib')):\n"
        "        print('seen', event, arguments)\n"
        "sys.addaudithook(watch)\n"
        "from engines.engine import open_engine\n"
        f"print(open_engine({str(tiny)!r}, {device!r}).runtime.description)\n"
    )
    names = ("HOME", "USERPROFILE", "LOCALAPPDATA", "TMPDIR", "XDG_CACHE_HOME")
    kept = {k: v for k, v in os.environ.items() if k not in ("CI", "ORT_DISABLE_TELEMETRY")}
    environment = kept | dict.fromkeys(names, str(tmp_path))
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout.startswith(name)
    assert "seen" not in result.stdout
    assert list(tmp_path.iterdir()) == []

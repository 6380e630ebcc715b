"""Bundles that are fed bytes beside those of old, which are fed normalised floats."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from engines.bench import stand_in_window
from engines.bundle import load_bundle, save_golden, sha256_of
from engines.compile import compile_plan
from engines.engine import open_engine
from engines.errors import BundleError, GraphMismatch, RuntimeUnavailable
from engines.preprocess import preprocess
from engines.runtimes import Precision, check_finite
from engines.runtimes.trt import TrtRuntime
from engines.verify import verify
from tests.engines.fake_machine import FakeMachine
from tests.engines.tiny_bundle import tiny_graph, tiny_manifest, write_tiny_bundle

VERSIONS = ("8.5.3.1", "10.13.3.9", "11.4.0.106")
OLD = [{"dtype": "float32"}, {}, {}]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle as it was exported before graphs took bytes."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "old", inputs=OLD)


def sealed(folder: Path) -> Path:
    """With the digests of its present files."""
    path = folder / "manifest.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["graphs"][0]["sha256"] = sha256_of(folder / "model.onnx")
    document["golden"]["sha256"] = sha256_of(folder / "golden.npz")
    path.write_text(json.dumps(document), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("device", "precision", "tolerance"),
    [
        ("ort", "fp32", 1e-5),
        ("cpu", "fp32", 1e-5),
        ("cpu", "bf16", 0.02),
        *((f"fake {version}", "fp32", 1e-5) for version in VERSIONS),
    ],
)
def test_the_same_weights_give_the_same_scores(
    device: str, precision: Precision, tolerance: float, tiny: Path, old: Path,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    if device.startswith("fake "):
        FakeMachine(device.removeprefix("fake "), monkeypatch, tmp_path)
        device = "cuda:0"
        for folder in (tiny, old):
            compile_plan(load_bundle(folder), precision="fp32", batches=(1, 2))
    windows = [stand_in_window(load_bundle(tiny).manifest, seed=seed) for seed in range(3)]
    scores = []
    for folder in (tiny, old):
        try:
            with open_engine(folder, device, precision=precision) as engine:
                assert verify(engine).is_ok
                scores.append(engine(windows))
        except RuntimeUnavailable as error:
            assert precision == "bf16"
            pytest.skip(str(error))
    for one, other in zip(*scores, strict=True):
        for task, found in one.items():
            np.testing.assert_allclose(found.probs, other[task].probs, atol=tolerance)


def test_pictures_are_a_quarter_of_what_they_were(tiny: Path, old: Path) -> None:
    new, before = (load_bundle(folder) for folder in (tiny, old))
    window = stand_in_window(new.manifest)
    fed, was = (preprocess([window], bundle.manifest)["rgb"] for bundle in (new, before))
    assert [str(array.dtype) for array in (fed, was)] == ["uint8", "float32"]
    assert 4 * fed.nbytes == was.nbytes
    np.testing.assert_allclose((fed / 255 - 0.45) / 0.225, was, atol=1e-6)
    assert new.golden().feeds["rgb"].dtype == np.uint8


@pytest.mark.parametrize("device", ["ort", "cpu"])
def test_a_graph_of_the_other_dtype_is_refused(device: str, tmp_path: Path) -> None:
    for name, other, message in (
        ("new", tiny_manifest(inputs=OLD), r"rgb: the manifest says uint8 .*, the graph float32"),
        ("old", tiny_manifest(), r"rgb: the manifest says float32 .*, the graph uint8"),
    ):
        inputs = OLD if name == "old" else [{}, {}, {}]
        folder = write_tiny_bundle(tmp_path / name, inputs=inputs)
        onnx.save_model(tiny_graph(other), folder / "model.onnx")
        with pytest.raises(GraphMismatch, match=message) as caught:
            open_engine(sealed(folder), device)
        assert "\n" not in str(caught.value)


def test_golden_feeds_of_the_other_dtype_are_refused(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "b")
    golden = load_bundle(folder).golden()
    feeds = {**golden.feeds, "rgb": golden.feeds["rgb"].astype(np.float32)}
    save_golden(folder / "golden.npz", golden.windows, feeds, golden.outputs)
    with pytest.raises(BundleError, match=r"expected rgb in uint8, .*got float32") as caught:
        load_bundle(sealed(folder)).golden()
    assert "\n" not in str(caught.value)


def test_bytes_are_not_summed_to_see_whether_they_are_finite() -> None:
    class Unsummed(np.ndarray[tuple[int, ...], np.dtype[np.uint8]]):
        def sum(self, *_: object, **__: object) -> int:  # type: ignore[override]
            raise AssertionError("was summed")

    check_finite({"rgb": np.zeros((1, 3, 4), np.uint8).view(Unsummed)})
    with pytest.raises(ValueError, match="Feed pose: holds values that are not finite"):
        check_finite({"rgb": np.zeros(3, np.uint8), "pose": np.array([np.inf], np.float32)})


@pytest.mark.parametrize("version", VERSIONS)
def test_a_gpu_s_memory_has_the_dtype_of_what_is_fed(
    version: str, tiny: Path, old: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    FakeMachine(version, monkeypatch, tmp_path)
    sizes = []
    for folder, dtype in ((tiny, np.uint8), (old, np.float32)):
        bundle = load_bundle(folder)
        compile_plan(bundle, precision="fp32", batches=(1, 4))
        with TrtRuntime(bundle) as runtime:
            for slot in runtime._slots:
                assert slot.staged["rgb"].dtype == dtype
                assert {a.dtype for n, a in slot.staged.items() if n != "rgb"} == {
                    np.dtype(np.float32)
                }
            sizes.append(runtime._slots[0].staged["rgb"].nbytes)
    assert sizes == [4 * 3 * 4 * 48 * 48, 4 * 4 * 3 * 4 * 48 * 48]


def test_tensorrt_takes_bytes_for_nothing_but_a_cast(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    FakeMachine("10.13.3.9", monkeypatch, tmp_path)
    folder = write_tiny_bundle(tmp_path / "b")
    model = onnx.load(folder / "model.onnx")
    model.graph.node.append(helper.make_node("Shape", ["rgb"], ["unused"]))
    onnx.save_model(model, folder / "model.onnx")
    with pytest.raises(GraphMismatch, match="UINT8 must be cast before"):
        compile_plan(load_bundle(sealed(folder)))

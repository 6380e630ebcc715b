import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from engines.bench import stand_in_window
from engines.bundle import load_bundle, save_golden, sha256_of
from engines.engine import Engine, open_engine
from engines.errors import BundleError, GraphMismatch, ParityError, WindowError
from engines.manifest import parse_manifest
from engines.postprocess import softmax
from engines.preprocess import preprocess
from engines.verify import verify
from tests.engines.tiny_bundle import (
    DROP,
    reference_logits,
    tiny_graph,
    tiny_manifest,
    write_tiny_bundle,
)

EXTRA = {
    "name": "extra", "task": "extra", "class_names": ["no", "yes"], "background": None,
    "kind": "state", "activation": "softmax", "temperature": 1.0,
    "thresholds": {"on": 0.5, "off": 0.5},
}  # fmt: skip


def rewritten(folder: Path, **values: Any) -> Path:
    """The bundle with other values in its manifest, and with the digests of its present files."""
    path = folder / "manifest.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["graphs"][0]["sha256"] = sha256_of(folder / "model.onnx")
    document["golden"] |= values.get("golden", {})
    document["golden"]["sha256"] = sha256_of(folder / "golden.npz")
    path.write_text(json.dumps(document), encoding="utf-8")
    parse_manifest(path.read_text(encoding="utf-8"))
    return folder


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


@pytest.mark.parametrize("device", ["ort", "cpu"])
def test_windows_become_the_probabilities_of_the_reference(tiny: Path, device: str) -> None:
    with open_engine(tiny, device, precision="fp32") as engine:
        windows = [stand_in_window(engine.manifest, seed=seed) for seed in (11, 12, 13)]
        scores = engine(windows)
        logits = reference_logits(preprocess(windows, engine.manifest), engine.manifest)
        for output in engine.manifest.outputs:
            got = np.stack([s[output.task].probs for s in scores])
            np.testing.assert_allclose(got, softmax(logits[output.name], 1.0), atol=1e-4)
        assert all(s["emotion"].coverage == 1.0 for s in scores)
        assert engine([]) == []


def test_a_window_scores_the_same_alone_and_in_company(tiny: Path) -> None:
    with open_engine(tiny, "cpu", precision="fp32") as engine:
        windows = [stand_in_window(engine.manifest, seed=seed) for seed in range(4)]
        for alone, together in zip([engine([w])[0] for w in windows], engine(windows), strict=True):
            for task in engine.manifest.tasks:
                np.testing.assert_allclose(alone[task].probs, together[task].probs, atol=1e-5)


def test_stage_times_are_those_of_the_last_call(tiny: Path) -> None:
    with open_engine(tiny) as engine:
        engine([stand_in_window(engine.manifest)])
        assert len(engine.stage_times_s) == 3
        assert all(0 < seconds < 10 for seconds in engine.stage_times_s)


def test_a_foreign_window_is_refused(tiny: Path) -> None:
    other = tiny_manifest(perception={"storage": [32, 32]})
    with open_engine(tiny) as engine, pytest.raises(WindowError, match=r"frames of \[64, 64\]"):
        engine([stand_in_window(other)])


@pytest.mark.parametrize("device", ["ort", "cpu"])
@pytest.mark.parametrize(
    ("graph_of", "message"),
    [
        (
            {"outputs": [{"class_names": ["a", "b", "c"], "background": None}]},
            r"output gesture_logits: the manifest says float32 \[\*, 32\], "
            r"the graph float32 \[\*, 3\]",
        ),
        (
            {"inputs": [{"name": "video"}]},
            r"input rgb: the manifest says .*, the graph nothing",
        ),
        (
            {"inputs": [{}, {"shape": [3, 8, 25], "sampling": {"frames": 8}}]},
            r"input pose: the manifest says .*16, 25\], the graph .*8, 25\]",
        ),
        ({"outputs": [{}, {"name": "mood"}]}, r"output emotion_logits: .*, the graph nothing"),
        ({"outputs": [{}, {}, EXTRA]}, "output extra: the manifest says nothing, the graph"),
    ],
)
def test_a_graph_that_is_not_the_manifests_is_refused(
    copy: Path, device: str, graph_of: dict[str, Any], message: str
) -> None:
    onnx.save_model(tiny_graph(tiny_manifest(**graph_of)), copy / "model.onnx")
    rewritten(copy)
    with pytest.raises(GraphMismatch, match=message) as caught:
        open_engine(copy, device)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("device", ["ort", "cpu"])
def test_verify_accepts_what_reproduces_the_golden_vectors(tiny: Path, device: str) -> None:
    with open_engine(tiny, device) as engine:
        parity = verify(engine)
    assert parity.is_ok
    assert parity.num_windows == 3
    assert {d.name for d in parity.feeds} == set(engine.manifest.feeds)
    assert {d.name for d in parity.outputs} == {"gesture_logits", "emotion_logits"}
    low = engine.runtime.precision != "fp32"
    assert {d.allowed for d in parity.outputs} == {0.1 if low else 1e-4}
    parity.check()


def test_verify_finds_another_graph(copy: Path) -> None:
    model = onnx.load(copy / "model.onnx")
    weights = next(i for i in model.graph.initializer if i.name == "emotion_logits_weights")
    array = onnx.numpy_helper.to_array(weights) * np.float32(1.01)
    weights.CopyFrom(onnx.numpy_helper.from_array(array, weights.name))
    onnx.save_model(model, copy / "model.onnx")
    with open_engine(rewritten(copy), "ort") as engine:
        parity = verify(engine)
    assert [d.name for d in parity.outputs if not d.is_ok] == ["emotion_logits"]
    assert all(d.is_ok for d in parity.feeds)
    with pytest.raises(ParityError, match="emotion_logits differs from its golden vectors by"):
        parity.check()


def test_verify_finds_another_preprocessing(copy: Path) -> None:
    golden = load_bundle(copy).golden()
    feeds = {**golden.feeds, "face": golden.feeds["face"] * np.float32(1.01)}
    logits = reference_logits(feeds, load_bundle(copy).manifest)
    save_golden(copy / "golden.npz", golden.windows, feeds, logits)
    with open_engine(rewritten(copy), "ort") as engine:
        parity = verify(engine)
    assert [d.name for d in parity.feeds if not d.is_ok] == ["face"]


def test_verify_fails_on_nan(copy: Path) -> None:
    golden = load_bundle(copy).golden()
    outputs = {n: np.full_like(a, np.nan) for n, a in golden.outputs.items()}
    save_golden(copy / "golden.npz", golden.windows, golden.feeds, outputs)
    with open_engine(rewritten(copy), "ort") as engine:
        assert not verify(engine).is_ok


def test_the_relative_tolerance_counts(copy: Path) -> None:
    golden = load_bundle(copy).golden()
    outputs = {n: a * np.float32(1.001) for n, a in golden.outputs.items()}
    save_golden(copy / "golden.npz", golden.windows, golden.feeds, outputs)
    with open_engine(rewritten(copy), "ort") as engine:
        assert not verify(engine).is_ok
    with open_engine(rewritten(copy, golden={"rtol": 0.0011}), "ort") as engine:
        assert verify(engine).is_ok


def test_golden_vectors_of_other_names_are_refused(copy: Path) -> None:
    golden = load_bundle(copy).golden()
    feeds = {n: a for n, a in golden.feeds.items() if n != "rgb"}
    save_golden(copy / "golden.npz", golden.windows, feeds, golden.outputs)
    with (
        open_engine(rewritten(copy), "ort") as engine,
        pytest.raises(BundleError, match="expected the manifest's inputs and outputs"),
    ):
        verify(engine)


def test_one_task_alone_is_a_bundle_too(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "gestures", outputs=[{}, DROP], inputs=[{}, {}, DROP])
    with open_engine(folder) as engine:
        assert isinstance(engine, Engine)
        assert engine.manifest.tasks == ("micro_gesture",)
        assert set(engine([stand_in_window(engine.manifest)])[0]) == {"micro_gesture"}
        assert verify(engine).is_ok

"""A bundle that is as small as one can be: all three modalities, both tasks, untrained.

Its graph normalises bytes, averages each input and multiplies by a matrix, so every input moves
every logit, and `reference_logits` computes the same in numpy.
"""

import copy
import hashlib
import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engines.bench import stand_in_window
from engines.bundle import MANIFEST_NAME, save_golden, sha256_of
from engines.errors import ManifestError
from engines.manifest import Manifest, RgbInput, parse_manifest
from engines.preprocess import preprocess
from engines.tensor_specs import FeedArray, Feeds
from train.labels import MICRO_GESTURES
from train.precision import OPSETS, LowPrecision, write_lower

DROP = object()
"""As a change: leave the key, or the item of a list, out."""
_NOBODY = hashlib.sha256(b"").hexdigest()
_SAMPLING = {"span_s": 1.0, "tolerance_s": 0.1}
_MANIFEST: dict[str, Any] = {
    "schema_version": 1,
    "name": "tiny",
    "version": "0.1",
    "created": "2026-01-01T00:00:00Z",
    "source": {"revision": "none", "recipe": "tiny", "data": "untrained"},
    "graphs": [{"file": "model.onnx", "sha256": _NOBODY, "precision": "fp32", "opset": 18}],
    "window": {"span_s": 1.0, "anchor": 0.5, "min_coverage": 0.5, "max_gap_s": 0.5},
    "perception": {
        "layout": "mediapipe33",
        "pose_model": {"name": "pose_landmark_full", "sha256": _NOBODY},
        "face_model": {"name": "face_detection_short_range", "sha256": _NOBODY},
        "crop": {"scale": 3.0, "shift": 0.25, "slack": 0.2, "tau_s": 0.5},
        "storage": [64, 64],
        "face_size": 112,
    },
    "inputs": [
        {
            "modality": "rgb",
            "name": "rgb",
            "shape": [3, 4, 48, 48],
            "dtype": "uint8",
            "sampling": {"frames": 4, **_SAMPLING},
            "resize": 56,
            "crop": 48,
            "mean": [0.45, 0.45, 0.45],
            "std": [0.225, 0.225, 0.225],
            "missing": "hold",
        },
        {
            "modality": "pose",
            "name": "pose",
            "mask": "pose_mask",
            "shape": [3, 16, 25],
            "dtype": "float32",
            "sampling": {"frames": 16, **_SAMPLING},
            "layout": "upper25",
            "coordinates": "weak_perspective",
            "root": ["left_shoulder", "right_shoulder"],
            "root_per": "window",
            "scale": "shoulders",
            "min_conf": 0.3,
            "missing": "zero",
        },
        {
            "modality": "face",
            "name": "face",
            "mask": "face_mask",
            "shape": [2, 3, 32, 32],
            "dtype": "float32",
            "sampling": {"frames": 2, **_SAMPLING},
            "size": 32,
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "missing": "zero",
        },
    ],
    "outputs": [
        {
            "name": "gesture_logits",
            "task": "micro_gesture",
            "class_names": list(MICRO_GESTURES),
            "background": 31,
            "kind": "events",
            "activation": "softmax",
            "temperature": 1.0,
            "thresholds": {"on": 0.5, "off": 0.3},
        },
        {
            "name": "emotion_logits",
            "task": "emotion",
            "class_names": ["negative", "positive"],
            "background": None,
            "kind": "state",
            "activation": "softmax",
            "temperature": 1.0,
            "thresholds": {"on": 0.6, "off": 0.5},
        },
    ],
    "metrics": [],
    "golden": {
        "file": "golden.npz",
        "sha256": _NOBODY,
        "atol": 1e-4,
        "rtol": 1e-4,
        "low_precision_atol": 0.1,
    },
    "notes": {
        "intended_use": "tests",
        "limits": "random weights: its outputs mean nothing",
        "data_licence": "none",
    },
}


def tiny_manifest(**changes: Any) -> Manifest:
    """The manifest of the tiny bundle (its digests are those of nothing), with `changes`."""
    return parse_manifest(json.dumps(_changed(_MANIFEST, changes)))


def write_tiny_bundle(folder: Path, **changes: Any) -> Path:
    """Write a tiny bundle into `folder`, which may be new, and return it.

    Args:
        folder: where.
        changes: by top-level key of the manifest. A dict is merged into the present one, a list
            of dicts item by item, `DROP` leaves a key or an item out, anything else replaces. What
            the schema refuses is written all the same, with the unchanged manifest's graph.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        manifest = tiny_manifest(**changes)
    except ManifestError:
        manifest = tiny_manifest()
    graph, golden = folder / manifest.graphs[0].file, folder / manifest.golden.file
    onnx.save_model(tiny_graph(manifest), graph)
    windows = [stand_in_window(manifest, seed=seed) for seed in range(3)]
    feeds = preprocess(windows, manifest)
    save_golden(golden, windows, feeds, reference_logits(feeds, manifest))
    document = copy.deepcopy(_MANIFEST)
    document["graphs"][0]["sha256"] = sha256_of(graph)
    document["golden"]["sha256"] = sha256_of(golden)
    text = json.dumps(_changed(document, changes), indent=2)
    (folder / MANIFEST_NAME).write_text(text, encoding="utf-8")
    return folder


def add_low_precision(folder: Path) -> Path:
    """Add graphs in fp16 and bf16 to a tiny bundle, as an export does; returns the folder."""
    document = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    precisions: tuple[LowPrecision, ...] = ("fp16", "bf16")
    for precision in precisions:
        path = folder / f"model.{precision}.onnx"
        write_lower(folder / "model.onnx", precision, path)
        entry = {"file": path.name, "sha256": sha256_of(path), "precision": precision}
        document["graphs"].append(entry | {"opset": OPSETS[precision], "max_error": 0.01})
    (folder / MANIFEST_NAME).write_text(json.dumps(document, indent=2), encoding="utf-8")
    return folder


def random_feeds(manifest: Manifest, b: int = 2, seed: int = 0) -> dict[str, FeedArray]:
    """Noise for `b` windows: bytes of all values, floats about 0."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.integers(0, 256, (b, *shape), np.uint8)
        if manifest.feed_dtypes[name] == "uint8"
        else rng.normal(size=(b, *shape)).astype(np.float32)
        for name, shape in manifest.feeds.items()
    }


def tiny_graph(manifest: Manifest) -> onnx.ModelProto:
    """Logits = (mean over time, pixels and joints of every input) @ weights, opset 18."""
    nodes, initializers, features = [], [], []
    for spec in _bytes(manifest):
        ends = [f"{spec.name}{end}" for end in ("", "_float", "_share", "_centred", "_normal")]
        nodes.append(helper.make_node("Cast", ends[:1], ends[1:2], to=TensorProto.FLOAT))
        steps = (("Div", (255.0,) * 3), ("Sub", spec.mean), ("Div", spec.std))
        for (kind, values), before, after in zip(steps, ends[1:], ends[2:], strict=False):
            array = np.array(values, np.float32).reshape(3, 1, 1, 1)
            initializers.append(numpy_helper.from_array(array, f"{after}_by"))
            nodes.append(helper.make_node(kind, [before, f"{after}_by"], [after], name=after))
    normal = {spec.name: f"{spec.name}_normal" for spec in _bytes(manifest)}
    for name, shape in manifest.feeds.items():
        keep = _kept_axis(name, shape, manifest)
        axes = [axis for axis in range(1, len(shape) + 1) if axis != keep]
        initializers.append(numpy_helper.from_array(np.array(axes, np.int64), f"{name}_axes"))
        taken = [normal.get(name, name), f"{name}_axes"]
        nodes.append(
            helper.make_node("ReduceMean", taken, [f"{name}_mean"], keepdims=int(keep is None))
        )
        features.append(f"{name}_mean")
        if keep is None and len(shape) == 2:
            nodes.append(helper.make_node("Flatten", [features.pop()], [f"{name}_flat"], axis=1))
            features.append(f"{name}_flat")
    nodes.append(helper.make_node("Concat", features, ["features"], axis=1))
    for output, weights in _weights(manifest).items():
        initializers.append(numpy_helper.from_array(weights, f"{output}_weights"))
        nodes.append(helper.make_node("MatMul", ["features", f"{output}_weights"], [output]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [_value(n, shape, manifest.feed_dtypes[n]) for n, shape in manifest.feeds.items()],
        [_value(o.name, (len(o.class_names),), "float32") for o in manifest.outputs],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def reference_logits(feeds: Feeds, manifest: Manifest) -> dict[str, NDArray[np.float32]]:
    """What the tiny graph computes, in numpy (float64 inside)."""
    features = []
    scales = {spec.name: (np.array(spec.mean), np.array(spec.std)) for spec in _bytes(manifest)}
    for name, shape in manifest.feeds.items():
        keep = _kept_axis(name, shape, manifest)
        axes = tuple(axis for axis in range(1, len(shape) + 1) if axis != keep)
        mean = feeds[name].mean(axis=axes, dtype=np.float64)
        if name in scales:
            mean = (mean / 255 - scales[name][0]) / scales[name][1]
        features.append(mean.reshape(len(mean), -1))
    stacked = np.concatenate(features, axis=1)
    return {name: (stacked @ w).astype(np.float32) for name, w in _weights(manifest).items()}


def _bytes(manifest: Manifest) -> list[RgbInput]:
    return [i for i in manifest.inputs if isinstance(i, RgbInput) and i.dtype == "uint8"]


def _kept_axis(name: str, shape: tuple[int, ...], manifest: Manifest) -> int | None:
    """The channel axis (1 or 2, counting the batch); None for a mask, which becomes one number."""
    if name not in {spec.name for spec in manifest.inputs}:
        return None
    return [1, *shape].index(3, 1)


def _weights(manifest: Manifest) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(7)
    rows = sum(
        1 if _kept_axis(name, shape, manifest) is None else 3
        for name, shape in manifest.feeds.items()
    )
    return {
        output.name: rng.normal(0, 3, (rows, len(output.class_names))).astype(np.float32)
        for output in manifest.outputs
    }


def _value(name: str, shape: tuple[int, ...], dtype: str) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, ["batch", *shape])


def _changed(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        merged = {k: _changed(old.get(k), v) for k, v in new.items() if v is not DROP}
        return {k: v for k, v in old.items() if new.get(k) is not DROP} | merged
    if isinstance(old, list) and isinstance(new, list) and any(isinstance(n, dict) for n in new):
        pairs: Iterable[tuple[Any, Any]] = itertools.zip_longest(old, new, fillvalue={})
        return [_changed(a, b) for a, b in pairs if b is not DROP]
    return copy.deepcopy(new)

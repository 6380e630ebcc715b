import json
from typing import Any

import pytest

from engines.errors import ManifestError
from engines.manifest import dump_manifest, parse_manifest
from tests.engines.tiny_bundle import DROP, tiny_manifest


def inputs(index: int, **changes: Any) -> dict[str, Any]:
    return {"inputs": [changes if i == index else {} for i in range(3)]}


def test_what_is_dumped_is_parsed_back_to_the_same() -> None:
    manifest = tiny_manifest()
    assert parse_manifest(dump_manifest(manifest)) == manifest


def test_what_a_graph_loses_is_kept_and_its_key_is_absent_where_it_was_not_measured() -> None:
    plain = tiny_manifest()
    assert "max_error" not in dump_manifest(plain)
    low = {"file": "m.fp16.onnx", "sha256": "0" * 64, "precision": "fp16", "opset": 18}
    text = json.dumps([*json.loads(dump_manifest(plain))["graphs"], {**low, "max_error": 0.01}])
    measured = tiny_manifest(graphs=json.loads(text))
    assert [g.max_error for g in measured.graphs] == [None, 0.01]
    assert parse_manifest(dump_manifest(measured)) == measured
    with pytest.raises(ManifestError, match="max_error"):
        tiny_manifest(graphs=[{"max_error": -1.0}])


def test_feeds_are_all_arrays_that_the_graph_takes() -> None:
    assert tiny_manifest().feeds == {
        "rgb": (3, 4, 48, 48),
        "pose": (3, 16, 25),
        "pose_mask": (16, 25),
        "face": (2, 3, 32, 32),
        "face_mask": (2,),
    }
    assert tiny_manifest().tasks == ("micro_gesture", "emotion")
    floats = dict.fromkeys(tiny_manifest().feeds, "float32")
    assert tiny_manifest().feed_dtypes == {**floats, "rgb": "uint8"}
    assert tiny_manifest(inputs=[{"dtype": "float32"}, {}, {}]).feed_dtypes == floats


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "blue"}, "colour: is not a known key"),
        ({"window": {"pan_s": 1.0}}, "window.pan_s: is not a known key"),
        ({"inputs": [{"dtype": "uint16"}]}, "inputs.0.rgb.dtype: .*'uint8' or 'float32'"),
        ({"inputs": [{}, {}, {"dtype": "uint8"}]}, "inputs.2.face.dtype: .*'float32'"),
        ({"name": DROP}, "name: is missing"),
        ({"window": {"max_gap_s": DROP}}, "window.max_gap_s: is missing"),
        ({"window": {"span_s": "long"}}, "window.span_s: .*, got 'long'"),
        ({"window": {"span_s": True}}, "window.span_s"),
        ({"schema_version": 2}, "schema_version: .*got 2"),
        ({"perception": {"layout": "coco17"}}, "perception.layout must be one of"),
        ({"perception": {"face_size": 0}}, "perception.face_size"),
        ({"graphs": [{"sha256": "abc"}]}, "graphs.0.sha256"),
        ({"graphs": [{"file": "../model.onnx"}]}, "graphs.0.file"),
        ({"graphs": [{"precision": "fp16"}]}, "exactly one fp32 reference"),
        ({"golden": {"file": "model.onnx"}}, "golden.file"),
        ({"metrics": [{"task": "emotion"}]}, "metrics.0.split: is missing"),
        ({"outputs": [{"task": "emotion"}]}, "tasks must be unique"),
        ({"outputs": [{"background": 32}]}, "background 32 is not a class index"),
        ({"outputs": [{"thresholds": {"on": 0.2}}]}, "off 0.3 must not exceed on 0.2"),
        ({"outputs": [{"class_names": ["a", "a"]}]}, "class_names must be unique"),
        (inputs(0, shape=[3, 5, 48, 48]), r"shape must be \[3, 4, 48, 48\]"),
        (inputs(0, resize=40), "crop 48 is larger than resize 40"),
        (inputs(0, modality="sound"), "inputs.0"),
        (inputs(0, sampling={"span_s": 1.5}), "exceeds window.span_s 1.0"),
        (inputs(1, mask="rgb"), "input names must be unique"),
        (inputs(1, root=["tail"]), "has no joint tail"),
        (inputs(1, layout="imigue22", shape=[3, 16, 22], scale="torso"), "no joint left_hip"),
    ],
)
def test_names_the_entry_that_is_wrong_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        tiny_manifest(**changes)
    assert "\n" not in str(caught.value)


def test_metrics_of_a_task_that_nobody_serves_are_refused() -> None:
    metrics = {"split": "test", "n": 10, "top1": 0.5, "macro_f1": None, "ece": None}
    assert tiny_manifest(metrics=[{"task": "emotion", **metrics}]).metrics[0].top1 == 0.5
    with pytest.raises(ManifestError, match="no output serves the task weather"):
        tiny_manifest(metrics=[{"task": "weather", **metrics}])


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema_version": 1}', b"\xff\xfe"])
def test_what_is_no_manifest_is_refused_in_one_line(text: str | bytes) -> None:
    with pytest.raises(ManifestError, match=r"my.json: ") as caught:
        parse_manifest(text, origin="my.json")
    assert "\n" not in str(caught.value)


def test_nan_is_no_number() -> None:
    document = json.loads(dump_manifest(tiny_manifest()))
    document["window"]["anchor"] = float("nan")
    with pytest.raises(ManifestError, match=r"window.anchor"):
        parse_manifest(json.dumps(document))


def test_random_weights_are_untrained() -> None:
    assert tiny_manifest().source.is_untrained
    assert not tiny_manifest(source={"data": "iMiGUE train"}).source.is_untrained

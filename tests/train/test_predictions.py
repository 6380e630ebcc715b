"""The table of what was predicted: the report's figures follow from it."""

import csv
import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from tests.engines.tiny_bundle import tiny_manifest
from tests.train.scored import fitting_bundle, scored_video
from tests.train.tiny_recipe import tiny
from tests.train.tiny_store import write_tiny_store
from train.__main__ import main
from train.checkpoint import save_checkpoint
from train.models.heads import build_net
from train.predictions import COLUMNS, write_predictions

MANIFEST = tiny_manifest()
GESTURES, EMOTIONS = (output.class_names for output in MANIFEST.outputs)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_clips_windows_and_videos_have_a_row_with_truth_and_every_class(tmp_path: Path) -> None:
    video = scored_video(
        "a", [(4, 0.9), (9, 0.8), (9, 0.4)], [(9, 0.75, 0.8)], positive=[0.9, 0.3, 0.1], emotion=1,
        coverage={2: 0.0},
    )  # fmt: skip
    nobody_knows = scored_video("b", [(0, 0.9)])
    hidden = replace(nobody_knows, video=replace(nobody_knows.video, is_annotated=False))
    write_predictions([video, hidden], MANIFEST, tmp_path)
    gestures = table(tmp_path / "predictions_micro_gesture.csv")
    assert tuple(gestures[0]) == (*COLUMNS, *GESTURES)
    heads = [tuple(row[name] for name in COLUMNS) for row in gestures]
    background = GESTURES[31]
    assert heads == [
        ("clip", "a", "0", "", "", GESTURES[9]),
        ("window", "a", "", "1.000", "0.500", background),
        ("window", "a", "", "1.250", "0.750", GESTURES[9]),
        ("window", "b", "", "1.000", "0.500", ""),
    ]
    assert [float(row[GESTURES[9]]) for row in gestures[:2]] == [0.8, 0.0]
    emotions = table(tmp_path / "predictions_emotion.csv")
    assert [(row["of"], row["video"], row["truth"], row["positive"]) for row in emotions] == [
        ("video", "a", "positive", "0.60000"),
        ("window", "a", "positive", "0.90000"),
        ("window", "a", "positive", "0.30000"),
        ("video", "b", "", "0.50000"),
        ("window", "b", "", "0.50000"),
    ]


@pytest.mark.parametrize("what", ["bundle", "checkpoint"])
@pytest.mark.usefixtures("tiny_demo")
def test_the_command_writes_them_and_what_was_measured(what: str, tmp_path: Path) -> None:
    store, out = write_tiny_store(tmp_path / "store", tiny()), tmp_path / "out"
    if what == "bundle":
        path = fitting_bundle(tmp_path / "bundle")
        model, on = {"bundle": str(path)}, "ONNX Runtime"
        files = [path / "manifest.json", path / "model.onnx"]
    else:
        path = tmp_path / "best.pt"
        save_checkpoint(path, tiny(), build_net(tiny().net).state_dict())
        model, on, files = {"checkpoint": str(path)}, "torch, cpu", [path]
    command = ["evaluate", f"--{what}", str(path), "--device", "ort", "--data", str(store)]
    assert main([*command, "--out", str(out), "--hop-s", "0.5"]) == 0
    numbers = json.loads((out / "report.json").read_text())
    measured = numbers["measured"]
    assert on in measured.pop("on")
    assert measured == {
        **model, "sha256": {f.name: sha256(f.read_bytes()).hexdigest() for f in files},
        "data": [str(store)], "split": "test", "hop_s": 0.5, "clips": None, "without": [],
    }  # fmt: skip
    rows = table(out / "predictions_micro_gesture.csv")
    (clip,) = (row for row in rows if row["of"] == "clip")
    names = list(clip)[len(COLUMNS) :]
    said = names[np.argmax([float(clip[name]) for name in names])]
    assert (said == clip["truth"]) == (numbers["trimmed"]["top1"]["value"] == 1.0)

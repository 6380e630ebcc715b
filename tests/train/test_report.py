"""What is reported: lines, numbers, pictures."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime.config import Config
from tests.engines.tiny_bundle import tiny_manifest
from tests.train.scored import scored_video, told
from train import report
from train.annotations import DataError
from train.calibrate import calibrate
from train.evaluate import Report, evaluate
from train.real_people import RealPeople, Share, Windows

MANIFEST = tiny_manifest()
CONFIG = Config(tau_s=0.0)
HEAD = "emotion, one answer a video (2)"
MEASURED = {"checkpoint": "best.pt", "split": "test"}
SPANS = ((4, 1.0, 3.0), (22, 4.0, 6.0))


@pytest.fixture(scope="module")
def found() -> Report:
    """Video a is all right, of b the second gesture is said to be class 9."""
    wrong = [(9, sure) if label == 22 else (label, sure) for label, sure in told(SPANS, 7.0)]
    return evaluate(
        [
            scored_video("a", told(SPANS, 7.0), SPANS, positive=[0.9] * 25, emotion=1, subject="x"),
            scored_video("b", wrong, SPANS, positive=[0.8] * 25, emotion=1, subject="y"),
        ],
        MANIFEST,
        CONFIG,
    )


def test_the_text_says_each_figure(found: Report) -> None:
    lines = report.text(found, MANIFEST).splitlines()
    assert "gestures cut out (4)" in lines
    assert any(line.startswith("  top-1     0.750 [") for line in lines)
    assert "  x: top-1 1.000" in lines
    assert "  y: top-1 0.500" in lines
    (row,) = (line for line in lines if "Rubbing or holding hands" in line)
    assert row.split()[-4:] == ["1.00", "0.50", "0.67", "2"]
    (spotted,) = (line for line in lines if line.startswith("  IoU > 0.3  P"))
    assert spotted == "  IoU > 0.3  P 0.750  R 0.750  F1 0.750  (3 of 4, 4 events)"
    assert "  IoU > 0.3 as the starter kit counts  P 0.750  R 0.750  F1 0.750" in lines
    assert "; always the same would have 1.000" in lines[lines.index(HEAD) + 1]
    told = ["of 0 negative: 0 told as negative, 0 told as positive",
            "of 2 positive: 0 told as negative, 2 told as positive"]  # fmt: skip
    assert [line.strip() for line in lines[lines.index(HEAD) + 4 :][:2]] == told
    (emotion,) = (line for line in lines if line.startswith("  log loss") and "back" not in line)
    loss = -(math.log(0.9) + math.log(0.8)) / 2
    assert emotion == f"  log loss  {loss:.3f} of single windows"


def test_the_numbers_are_json_without_what_is_no_number(found: Report) -> None:
    text = json.dumps(report.numbers(found, MANIFEST, MEASURED), allow_nan=False)
    numbers = json.loads(text)
    assert (numbers["bundle"], numbers["measured"]) == ("tiny 0.1", MEASURED)
    assert numbers["trimmed"]["top1"]["value"] == 0.75
    confusion = np.array(numbers["trimmed"]["confusion"])
    assert (confusion[22, 22], confusion[22, 9], confusion.sum()) == (1, 1, 4)
    untrimmed = numbers["untrimmed"]["0.3"]
    assert (untrimmed["hits"], untrimmed["truths"], untrimmed["events"]) == (3, 4, 4)
    assert numbers["untrimmed"]["starter_kit"]["f1"] == pytest.approx(0.75, abs=1e-6)
    assert numbers["emotion"]["auc"]["value"] is None  # both are positive
    assert numbers["emotion"]["accuracy"]["value"] == 1.0
    assert numbers["emotion"]["confusion"] == [[0, 0], [0, 2]]
    assert numbers["emotion"]["majority"] == 1.0
    assert numbers["emotion"]["log_loss"] == pytest.approx(0.164, abs=1e-3)
    assert 0 < numbers["trimmed"]["window_log_loss"] < 10


def test_a_folder_holds_text_numbers_and_pictures(found: Report, tmp_path: Path) -> None:
    report.write(found, MANIFEST, tmp_path / "new", MEASURED)
    files = {p.name: p for p in (tmp_path / "new").iterdir()}
    assert sorted(files) == [
        "confusion.png", "reliability.png", "report.json", "report.txt", "timeline.png",
    ]  # fmt: skip
    assert files["report.txt"].read_text() == report.text(found, MANIFEST) + "\n"
    assert json.loads(files["report.json"].read_text()) == report.numbers(found, MANIFEST, MEASURED)
    for name in ("confusion.png", "reliability.png", "timeline.png"):
        picture = cv2.imread(str(files[name]))
        assert picture is not None
        assert min(picture.shape[:2]) > 150
        assert picture.std() > 10


def test_real_people_alone_make_a_report(tmp_path: Path) -> None:
    people = RealPeople(
        Share(0.73, 3.97),
        Share(float("nan"), 0.0),
        Windows(7, 6, 0.81),
        Windows(0, 0, float("nan")),
    )
    alone = Report(people=people)
    assert report.text(alone, MANIFEST).splitlines() == [
        "real people, never trained or tuned on",
        "  a hand at the head: hand-to-head on top 73.0% of 4.0 s (expected at least 60%)",
        "  hands at the torso: hand-to-head on top nan% of 0.0 s (expected at most 10%)",
        "  smiling: 6 of 7 windows positive, mean 0.81 (expected all)",
        "  before the smile: 0 of 0 windows positive, mean nan (expected none)",
    ]
    report.write(alone, MANIFEST, tmp_path, MEASURED)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.json", "report.txt"]
    assert json.loads((tmp_path / "report.json").read_text())["real_people"] == {
        "hand_at_head": {"value": 0.73, "of_s": 3.97},
        "hands_at_torso": {"value": None, "of_s": 0.0},
        "smiling": {"count": 7, "positive": 6, "mean": 0.81},
        "before_smile": {"count": 0, "positive": 0, "mean": None},
    }


def test_a_folder_that_cannot_be_made_is_named(found: Report, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/x: cannot be written \(Not a directory\)"):
        report.write(found, MANIFEST, tmp_path / "file" / "x", MEASURED)


def test_the_calibration_picture_shows_before_and_after(tmp_path: Path) -> None:
    _, calibrations = calibrate([scored_video("a", told(SPANS, 7.0), SPANS)], MANIFEST, CONFIG)
    report.calibration_picture(calibrations, tmp_path / "new" / "calibration.png")
    picture = cv2.imread(str(tmp_path / "new" / "calibration.png"))
    assert picture is not None
    left, right = np.array_split(picture, 2, axis=1)
    assert min(left.std(), right.std()) > 10
    with pytest.raises(DataError, match="cannot be written"):
        report.calibration_picture(calibrations, tmp_path / "new" / "calibration.png" / "x.png")

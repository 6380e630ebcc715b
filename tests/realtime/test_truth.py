"""What is performed in a clip: the file, the question what is true now, and the commands."""

from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from engines.bundle import load_bundle
from realtime.__main__ import DEMO_BUNDLE, DEMO_CLIP, DEMO_TRUTH, main
from realtime.config import Config
from realtime.decide import Decider, TaskSpec
from realtime.errors import TruthError
from realtime.panel import TAG
from realtime.perception.models import FACE_MODEL, POSE_MODEL, PerceptionModels
from realtime.sources import open_source
from realtime.truth import TrueInterval, TrueMoment, Truth, read_truth
from tests.clips import make_clip
from tests.engines.tiny_bundle import tiny_manifest, write_tiny_bundle
from tests.realtime.scene import OUTPUTS, estimates_at, predictions_at

HEAD = "task,label,start_s,end_s\n"
JAW = TrueInterval("micro_gesture", "Touching jaw", 1.0, 2.5)
SMILE = TrueInterval("emotion", "positive", 2.0, 4.0)
TRUTH = Truth((JAW, SMILE))


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_as_spreadsheets_and_our_own_events_have_it(tmp_path: Path) -> None:
    text = (
        "\ufefftask,label,start_s,apex_s,end_s,peak\r\n"
        'micro_gesture,"Bulging face, deep breath", 0.5 ,1,2,0.9\r\n\r\n'
        "emotion,positive,2.0,,4e0,\r\n"
    )
    path = written(tmp_path / "truth.csv", text)
    truth = read_truth(path, tiny_manifest().outputs)
    gesture = TrueInterval("micro_gesture", "Bulging face, deep breath", 0.5, 2.0)
    assert truth.intervals == (gesture, SMILE)
    assert truth.tasks == ("micro_gesture", "emotion")


def test_a_bundle_of_one_task_takes_a_truth_of_both_and_checks_its_own(tmp_path: Path) -> None:
    lines = "micro_gesture,Touching jaw,1,2\nemotion,delighted,2,4\n"
    path = written(tmp_path / "truth.csv", HEAD + lines)
    gestures, emotions = tiny_manifest().outputs
    assert len(read_truth(path, [gestures]).intervals) == 2
    with pytest.raises(TruthError, match="line 3: unknown label 'delighted' of emotion"):
        read_truth(path, [emotions])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no column task, label, start_s, end_s; expected"),
        ("task,label,start,end_s\n", "has no column start_s; expected"),
        (HEAD, "holds no interval"),
        (HEAD + "gesture,Touching jaw,1,2\n", "line 2: unknown task 'gesture'; expected micro_"),
        (HEAD + "micro_gesture,Touching jar,1,2\n", "did you mean 'Touching jaw'?"),
        (HEAD + "micro_gesture,,1,2\n", "line 2: unknown label ''"),
        (HEAD + "emotion,positive,1,2\nemotion,positive,4,3\n", "line 3: 'positive' ends at 3 s"),
        (HEAD + "emotion,positive,2,2\n", "expected start_s < end_s"),
        (HEAD + "emotion,positive,-1,2\n", "expected seconds of the clip, from 0 on"),
        (HEAD + "emotion,positive,nan,2\n", "got 'nan'"),
        (HEAD + "emotion,positive,1,inf\n", "got 'inf'"),
        (HEAD + "emotion,positive,1:05,2\n", "got '1:05'"),
        (HEAD + "emotion,positive,1\n", "got ''"),
        (HEAD + 'emotion,"positive,1,2\n', "is not a CSV file"),
        (HEAD + f'emotion,"{"x" * 500}\nsecond line",1,2\n', "xxx...'"),
    ],
)
def test_what_cannot_be_true_is_said_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path / "truth.csv", text)
    with pytest.raises(TruthError) as caught:
        read_truth(path, tiny_manifest().outputs)
    line = str(caught.value)
    assert line.startswith(str(path))
    assert says in line
    assert "\n" not in line


def test_files_that_are_no_text_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "video.csv").write_bytes(bytes(range(256)))
    with pytest.raises(TruthError, match="is not a CSV file"):
        read_truth(tmp_path / "video.csv")
    with pytest.raises(TruthError, match=r"no\.csv: cannot be read \(No such file"):
        read_truth(tmp_path / "no.csv")
    with pytest.raises(TruthError, match=r"cannot be read \(Is a directory"):
        read_truth(tmp_path)


def test_what_is_true_at_a_moment() -> None:
    labels = [TRUTH.at("micro_gesture", t).label for t in (0.0, 1.0, 2.49, 2.5, 9.0)]
    assert labels == [None, "Touching jaw", "Touching jaw", None, None]
    both = Truth((JAW, replace(JAW, label="Folding arms", start=2.0)))
    assert both.at("micro_gesture", 2.2).label == "Touching jaw + Folding arms"
    looped = [TRUTH.at("emotion", t, round_s=5.0).label for t in (3.0, 6.0, 7.5, 5003.0)]
    assert looped == ["positive", None, "positive", "positive"]


def test_beside_an_estimate_stands_the_truth_of_the_moment_that_it_is_about() -> None:
    truth = Truth((replace(JAW, task="micro-gesture"),))
    estimates = estimates_at(3.0)  # about second 2.0, while the picture is that of second 3.0
    assert truth.beside(estimates) == (TrueMoment("micro-gesture", 2.0, "Touching jaw"),)
    assert truth.beside([replace(e, at=None) for e in estimates]) == ()
    assert truth.beside(estimates, round_s=1.5)[0].label is None


def test_an_estimate_knows_the_moment_that_it_is_about() -> None:
    decider = Decider([TaskSpec(output, 0.5, untrained=False) for output in OUTPUTS], Config())
    assert [e.at for e in decider.step((), now=0.0)[0]] == [None, None]
    assert [e.at for e in decider.step(predictions_at(3.0), now=3.1)[0]] == [2.0, 2.0]
    unseen = [replace(p, coverage=0.1) for p in predictions_at(4.0)]
    assert [e.at for e in decider.step(unseen, now=4.1)[0]] == [3.0, 3.0]
    decider.flush(9.0)
    assert [e.at for e in decider.step((), now=9.0)[0]] == [None, None]


def test_the_bundled_truth_is_about_the_bundled_clip() -> None:
    truth = read_truth(DEMO_TRUTH, load_bundle(DEMO_BUNDLE).manifest.outputs)
    with open_source(str(DEMO_CLIP)) as source:
        assert source.duration_s is not None
        assert max(i.end for i in truth.intervals) <= source.duration_s


def test_analyze_draws_the_truth_on_video_and_timeline(
    perception_models: PerceptionModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = {
        "pose_model": {"name": POSE_MODEL.name, "sha256": POSE_MODEL.sha256},
        "face_model": {"name": FACE_MODEL.name, "sha256": FACE_MODEL.sha256},
    }
    bundle = write_tiny_bundle(tmp_path / "tiny", perception=models)
    clip = make_clip(tmp_path / "clip.mp4", [i / 12 for i in range(24)], size=(320, 240))
    rows = "micro_gesture,Touching jaw,0.5,1.5\nmicro_gesture,Touching jaw,7,8\n"
    truth = written(tmp_path / "truth.csv", HEAD + rows)
    command = ["analyze", str(clip), "--bundle", str(bundle), "--device", "cpu"]
    tags, bars = [], []
    for out, flags in ((tmp_path / "with", ["--truth", str(truth)]), (tmp_path / "without", [])):
        assert main([*command, "--out", str(out), *flags]) == 0
        with av.open(str(out / "annotated.mp4")) as video:
            last = list(video.decode(video=0))[-1].to_ndarray(format="rgb24")
        far = np.abs(last[:, 320:].astype(int) - TAG).max(axis=-1)
        tags.append(int((far < 12).sum()))
        picture = cv2.imread(str(out / "timeline.png"))
        assert picture is not None
        bars.append(int((np.abs(picture[130:170].astype(int) - (44, 37, 32)) < 8).all(-1).sum()))
    assert "1 of 2 true intervals begin after the clip's end at 1.9 s" in capsys.readouterr().out
    assert tags[0] > 100 > tags[1]
    assert bars[0] > 5_000 > bars[1]


def test_commands_refuse_a_bad_truth_before_anything_is_made(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bundle = write_tiny_bundle(tmp_path / "tiny")
    clip = make_clip(tmp_path / "clip.mp4", [0, 0.1])
    truth = written(tmp_path / "truth.csv", HEAD + "micro_gesture,Touching jaws,0,1\n")
    out = tmp_path / "out"
    command = ["analyze", str(clip), "--out", str(out), "--bundle", str(bundle)]
    assert main([*command, "--truth", str(truth)]) == 2
    said = capfd.readouterr().err.splitlines()
    assert said == [
        f"tells: {truth}, line 2: unknown label 'Touching jaws' of micro_gesture; "
        "did you mean 'Touching jaw'?"
    ]
    assert not out.exists()

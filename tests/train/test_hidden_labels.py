"""A challenge's test hides its labels, in whole or by class: it is answered for, but not judged."""

from dataclasses import replace
from pathlib import Path

import pytest

from realtime.config import Config
from tests.clips import make_clip
from tests.engines.tiny_bundle import tiny_manifest
from tests.train.scored import fitting_bundle, scored_video, told
from tests.train.test_imigue import A_SPLITS, add_a
from tests.train.tiny_recipe import tiny
from tests.train.tiny_store import RATE_HZ, DrawnPerson, TinyVideo
from train.__main__ import main
from train.annotations import DataError, Segment
from train.calibrate import calibrate
from train.corpora import open_corpus
from train.dataset import labels_at
from train.evaluate import evaluate
from train.labels import UNLABELLED
from train.perception import perception_of
from train.prepare import begin_store, perceive_video
from train.scoring import ScoredVideo
from train.store import open_store

MANIFEST = tiny_manifest()
SPANS = ((4, 1.0, 3.0), (22, 4.0, 6.0))


def test_videos_of_the_test_need_no_labels(tmp_path: Path) -> None:
    add_a(tmp_path, "0005", "5,10,30\n", split="test")
    add_a(tmp_path, "0006", None, split="test")
    add_a(tmp_path, "0007", None, split="val")
    corpus = open_corpus(tmp_path, "A")
    known, hidden = corpus.videos
    assert (known.id, known.is_annotated) == ("0005", True)
    assert (hidden.id, hidden.split, hidden.segments, hidden.rows) == ("0006", "test", (), 0)
    assert not hidden.is_annotated
    assert corpus.skipped == {
        "test video without label file, to be answered for": 1, "video without label file": 1,
    }  # fmt: skip


def test_a_class_of_the_test_may_be_hidden_behind_a_dummy(tmp_path: Path) -> None:
    table = add_a(tmp_path, "0005", "0,10,30\n5,40,50\n", split="test")
    corpus = open_corpus(tmp_path, "A")
    (video,) = corpus.videos
    assert video.segments == (Segment(UNLABELLED, 10, 30), Segment(4, 40, 50))
    assert (video.rows, video.is_annotated) == (2, False)
    reason = "label without a class of 1 to 31, or 99, to be answered for"
    assert corpus.skipped == {reason: 1}
    assert corpus.notes == (f"{table}, line 1: {reason}",)
    table.write_text("0,30,10\n")
    with pytest.raises(DataError, match="expected 0 <= start <= end, got 30 to 10"):
        open_corpus(tmp_path, "A")


def hidden(item: ScoredVideo) -> ScoredVideo:
    return replace(item, video=replace(item.video, is_annotated=False))


def test_what_is_hidden_is_not_judged_and_its_emotion_is() -> None:
    """Its windows are no background, its events are not false."""
    one = scored_video("a", told(SPANS, 7.0), SPANS, positive=[0.9] * 25, emotion=1)
    other = scored_video("b", told(SPANS, 7.0), positive=[0.1] * 25, emotion=1)
    report = evaluate([one, hidden(other)], MANIFEST, Config(tau_s=0.0))
    alone = evaluate([one], MANIFEST, Config(tau_s=0.0))
    assert report.gesture is not None
    assert report.spotting is not None
    assert alone.gesture is not None
    assert report.gesture.window_ece == alone.gesture.window_ece
    assert (report.spotting.at[0.3].truths, report.spotting.at[0.3].events) == (2, 2)
    assert report.emotion is not None
    assert report.emotion.accuracy.value == 0.5
    assert report.notes == ["1 videos with hidden labels: not judged by their gestures"]
    found = [calibrate(items, MANIFEST, Config())[1][0] for items in ([one, hidden(other)], [one])]
    assert found[0].goal == found[1].goal
    assert found[0].temperature == found[1].temperature


def prepared(data: Path, out: Path) -> None:
    """As `train prepare`, by drawn people."""
    spec, corpus = perception_of(tiny()), open_corpus(data, "A")
    begin_store(out, corpus, spec, is_trimmed=False)
    for video in corpus.videos:
        perceive_video(video, DrawnPerson(spec, TinyVideo(video.id, "test")), out)


@pytest.mark.parametrize(
    ("track", "answers", "said"),
    [
        (1, ["Id,Target", "0005_0", "0005_1"], "no answer for 1 videos without label file, which"),
        (3, ["video_id,label", "0005", "0006"], ""),
    ],
)
def test_submissions_answer_for_all_that_is_there(
    track: int, answers: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, store, out = tmp_path / "data", tmp_path / "store", tmp_path / "x.csv"
    add_a(data, "0005", "0,10,30\n5,31,35\n", split="test")
    add_a(data, "0006", None, split="test")
    for name in ("0005", "0006"):
        clip = data / A_SPLITS["test"][1] / name / f"{name}.mp4"
        make_clip(clip, [k / RATE_HZ for k in range(40)])
    prepared(data, store)
    video = open_store(store).video("0006")
    assert labels_at(video, video.end, tiny(), open_store(store))["micro_gesture"] == UNLABELLED
    bundle = fitting_bundle(tmp_path / "bundle")
    command = ["submit", "--bundle", str(bundle), "--data", str(store), "--device", "ort"]
    assert main([*command, "--track", str(track), "--out", str(out)]) == 0
    rows = [
        line if k == 0 else line.split(",")[0] for k, line in enumerate(out.read_text().split())
    ]
    assert rows == answers
    assert said in capsys.readouterr().err


def test_what_a_store_of_old_left_out_is_named_with_the_cure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, store = tmp_path / "data", tmp_path / "store"
    add_a(data, "0005", "5,10,30\n", split="test")
    make_clip(data / A_SPLITS["test"][1] / "0005" / "0005.mp4", [k / RATE_HZ for k in range(40)])
    prepared(data, store)
    info = store / "store.json"
    reason = '"skipped":{"video without label file":1}'
    info.write_text(info.read_text().replace('"skipped":{}', reason))
    bundle = fitting_bundle(tmp_path / "bundle")
    command = ["submit", "--bundle", str(bundle), "--data", str(store), "--device", "ort"]
    assert main([*command, "--track", "3", "--out", str(tmp_path / "x.csv")]) == 0
    said = capsys.readouterr().err
    assert "1 x video without label file, over all splits" in said
    assert "of the split test it takes them if the same command is given again" in said

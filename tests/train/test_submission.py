"""Submission files of the three tracks, to the letter."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from realtime.config import Config
from tests.clips import make_clip
from tests.engines.tiny_bundle import DROP, tiny_manifest
from tests.train.scored import fitting_bundle, scored_video, told
from tests.train.test_imigue import add_a
from tests.train.test_track import damage
from tests.train.tiny_recipe import tiny
from tests.train.tiny_store import RATE_HZ, DrawnPerson, TinyVideo, write_tiny_store
from train.__main__ import main
from train.annotations import DataError
from train.corpora import open_corpus
from train.evaluate import evaluate
from train.labels import ILLUSTRATIVE
from train.perception import perception_of
from train.prepare import begin_store, perceive_video
from train.store import open_store
from train.submission import classification, emotion, recognition, unanswered

MANIFEST = tiny_manifest()
SPANS = ((4, 1.0, 3.0), (22, 4.0, 6.0))


def test_track_1_has_a_class_from_0_for_every_annotated_clip(tmp_path: Path) -> None:
    scored = [
        scored_video("0004", told(SPANS, 7.0), SPANS),
        scored_video("0012", told([(ILLUSTRATIVE, 1.0, 2.0)], 4.0), [(9, 1.0, 2.0)]),
    ]
    path = tmp_path / "new" / "prediction.csv"
    assert classification(scored, path, year=2025) == 3
    rows = "0004_0,4\r\n0004_1,22\r\n0012_0,31\r\n"
    assert path.read_bytes().decode() == "Id,Target\r\n" + rows
    classification(scored, path, year=2023)
    assert path.read_bytes().decode() == rows


def as_of_old(record: Path) -> None:
    """A video's record as it was before it knew rows."""
    record.write_text(re.sub(r',"rows?":\d+', "", record.read_text()))


def test_clips_are_called_by_their_row_also_where_other_rows_were_left_out(tmp_path: Path) -> None:
    """Row 1 is malformed, row 3 lies beyond the video's end."""
    add_a(tmp_path, "0004", "5,10,30\n5,35,31\n23,40,60\n3,500,600\n", split="test")
    make_clip(tmp_path / "imigue_rgb_phase2/0004/0004.mp4", [k / RATE_HZ for k in range(70)])
    corpus = open_corpus(tmp_path, "A", skip_bad=True)
    spec, folder = perception_of(tiny()), tmp_path / "store"
    begin_store(folder, corpus, spec, is_trimmed=False)
    person = DrawnPerson(spec, TinyVideo("0004", "test"))
    perceive_video(corpus.videos[0], person, folder)
    video = open_store(folder).video("0004")
    scored = replace(scored_video("0004", told(SPANS, 7.0)), video=video)
    path = tmp_path / "prediction.csv"
    assert classification([scored], path, year=2023) == 2
    assert path.read_text().split() == ["0004_0,4", "0004_2,22"]
    assert unanswered([scored]) == ["0004_1", "0004_3"]
    as_of_old(folder / "videos" / "0004.json")
    old = replace(scored, video=open_store(folder).video("0004"))
    assert old.video == replace(video, rows=0)
    classification([old], path, year=2023)
    assert path.read_text().split() == ["0004_0,4", "0004_1,22"]
    assert unanswered([old]) == []


def test_ids_without_an_answer_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = fitting_bundle(tmp_path / "bundle")
    store = write_tiny_store(
        tmp_path / "store", tiny(), [TinyVideo("a", "test", ((4, 0.0, 1.0), (4, 8.0, 9.0)))]
    )
    info = store / "store.json"
    info.write_text(info.read_text().replace('"skipped":{}', '"skipped":{"video missing":2}'))
    out = tmp_path / "x.csv"
    command = ["submit", "--bundle", str(bundle), "--data", str(store), "--device", "ort"]
    assert main([*command, "--track", "1", "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out == f"1 rows in {out}\n"
    assert "no answer for 1 Ids: a_1\n" in said.err
    assert "no answer for videos that the store lacks: 2 x video missing, over all" in said.err
    assert "Ids count the labels" not in said.err
    as_of_old(store / "videos" / "a.json")
    assert main([*command, "--track", "1", "--out", str(out)]) == 0
    assert "Ids count the labels that `train prepare` kept: the store" in capsys.readouterr().err


def test_track_2_has_raw_classes_a_file_a_video(tmp_path: Path) -> None:
    video = TinyVideo("0004", "test", (), seconds=7.0)
    store = open_store(write_tiny_store(tmp_path / "store", tiny(), [video]))
    scored = [scored_video("0004", told(SPANS, 7.0), SPANS)]
    config = Config(tau_s=0.0)
    assert recognition(scored, store, MANIFEST, config, tmp_path / "out") == 2
    rows = [
        [int(x) for x in line.split(",")]
        for line in (tmp_path / "out" / "0004_prediction.csv").read_text().splitlines()
    ]
    assert [row[0] for row in rows] == [5, 23]  # from 1
    for (_, start, end), (_, true_start, true_end) in zip(rows, SPANS, strict=True):
        assert start == pytest.approx(RATE_HZ * true_start, abs=2)
        assert end == pytest.approx(RATE_HZ * true_end, abs=2)


@pytest.mark.parametrize(("layout", "shift"), [("A", 0), ("A", 1), ("A", -1), ("smg", 0)])
def test_track_2_counts_frames_as_the_label_files_do(
    layout: str, shift: int, tmp_path: Path
) -> None:
    """What is told exactly as it is annotated comes out as it stood in the file."""
    rows, data = "5,12,34\n3,41,60\n", tmp_path / "data"
    if layout == "A":
        add_a(data, "0004", rows, split="test")
        clip = data / "imigue_rgb_phase2/0004/0004.mp4"
    else:
        clip = data / "Sample0036/Sample0036_color.mp4"
        clip.parent.mkdir(parents=True)
        (clip.parent / "Sample0036_finelabels.csv").write_text(rows)
    make_clip(clip, [k / RATE_HZ for k in range(70)])
    damage(clip, range(20, 30))
    corpus = open_corpus(data, layout, frame_shift=shift)
    (video,), folder = corpus.videos, tmp_path / "store"
    begin_store(folder, corpus, perception_of(tiny()), is_trimmed=False)
    person = DrawnPerson(perception_of(tiny()), TinyVideo(video.id, "test"))
    stored = perceive_video(video, person, folder).video
    assert stored is not None
    assert stored.lost == tuple(range(20, 30))
    spans = tuple((s.label, s.start, s.end) for s in stored.spans)
    scored = [
        replace(scored_video(video.id, told(spans, 7.0, hop_s=0.05), hop_s=0.05), video=stored)
    ]
    recognition(scored, open_store(folder), MANIFEST, Config(tau_s=0.0), tmp_path / "out")
    told_rows = (tmp_path / "out" / f"{video.id}_prediction.csv").read_text().split()
    assert told_rows == rows.split()


def test_track_2_has_a_file_without_rows_for_a_video_without_events(tmp_path: Path) -> None:
    video = TinyVideo("0005", "test", (), seconds=4.0)
    store = open_store(write_tiny_store(tmp_path / "store", tiny(), [video]))
    scored = [scored_video("0005", told([], 4.0))]
    assert recognition(scored, store, MANIFEST, Config(), tmp_path / "out") == 0
    assert (tmp_path / "out" / "0005_prediction.csv").read_bytes() == b""


def test_track_3_says_1_for_a_won_match(tmp_path: Path) -> None:
    scored = [
        scored_video("0004", [(0, 0.9)] * 3, positive=[0.9, 0.8, 0.1]),
        scored_video("0012", [(0, 0.9)] * 3, positive=[0.9, 0.2, 0.1]),
    ]
    path = tmp_path / "emotion.csv"
    assert emotion(scored, path) == 2
    assert path.read_bytes() == b"video_id,label\r\n0004,1\r\n0012,0\r\n"


def test_track_3_answers_as_evaluate_judges_without_windows_that_the_live_loop_would_not_have(
    tmp_path: Path,
) -> None:
    """As across a change of person: by all windows alike the match would be won."""
    lost = scored_video(
        "0004", [(0, 0.9)] * 3, positive=[0.9, 0.9, 0.3], emotion=0, coverage={0: 0.0, 1: 0.0}
    )
    path = tmp_path / "emotion.csv"
    emotion([lost], path)
    assert path.read_text().split() == ["video_id,label", "0004,0"]
    report = evaluate([lost], MANIFEST, Config())
    assert report.emotion is not None
    assert report.emotion.accuracy.value == 1.0


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"emotion\.csv: cannot be written"):
        emotion([scored_video("a", [(0, 0.9)])], tmp_path / "file" / "emotion.csv")


@pytest.mark.parametrize(("track", "task"), [(1, "micro_gesture"), (3, "emotion")])
def test_a_bundle_without_the_tracks_task_is_refused_before_it_scores(
    track: int, task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = [DROP, {}] if task == "micro_gesture" else [{}, DROP]
    bundle = fitting_bundle(tmp_path / "bundle", outputs=outputs)
    store = write_tiny_store(tmp_path / "store", tiny(), [TinyVideo("a", "test", seconds=2.0)])
    command = ["submit", "--bundle", str(bundle), "--data", str(store), "--device", "ort"]
    assert main([*command, "--track", str(track), "--out", str(tmp_path / "x.csv")]) == 2
    said = capsys.readouterr().err
    assert said.splitlines()[-1] == (
        f"train: track {track} needs the task {task}, tiny 0.1 serves "
        f"{'emotion' if track == 1 else 'micro_gesture'}"
    )
    assert "score" not in said


@pytest.mark.parametrize(
    ("track", "out", "said"),
    [
        (1, "folder", "folder: expected a file to write, got a folder"),
        (1, "file/x.csv", "file: expected a folder to write to, got a file"),
        (2, "file", "file: expected a folder to write to, got a file"),
        (3, "file/new/x.csv", "new: cannot be written (Not a directory)"),
    ],
)
def test_where_nothing_can_be_written_nothing_is_scored(
    track: int, out: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def never(*_: object) -> None:
        raise AssertionError("scored")

    monkeypatch.setattr("train.scoring.score_videos", never)
    bundle = fitting_bundle(tmp_path / "bundle")
    store = write_tiny_store(tmp_path / "store", tiny(), [TinyVideo("a", "test", seconds=2.0)])
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("kept")
    command = ["submit", "--bundle", str(bundle), "--data", str(store), "--device", "ort"]
    assert main([*command, "--track", str(track), "--out", str(tmp_path / out)]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert (tmp_path / "file").read_text() == "kept"

"""Who is seen and who won, in a file beside the challenge's folders."""

from pathlib import Path

import pytest

from tests.train.test_imigue import add_a
from train.annotations import DataError
from train.corpora import open_corpus


def test_rendered_data_says_who_and_how(tmp_path: Path) -> None:
    for name in ("0001", "0218"):
        add_a(tmp_path, name, "1,2,3\n")
    (tmp_path / ".synth").mkdir()
    truth = tmp_path / "tells_truth.csv"
    head = "video_id,split,subject,emotion"
    truth.write_text(f"{head}\n0001,train,f003,positive\n0218,train,m002,\n")
    corpus = open_corpus(tmp_path, "A")
    assert [(v.subject, v.emotion) for v in corpus.videos] == [("f003", 1), ("m002", None)]
    assert not corpus.skipped  # 218 is one of iMiGUE's empty skeletons, not of rendered data's
    for text, said in (
        ("", "expected video_id,subject,emotion, got nothing"),
        ("video,who\n", "got video,who"),
        (f"{head}\n0001,train,f003\n", "line 2: expected"),
        (f"{head}\n0001,train,f003,glad\n", "an emotion of negative or positive"),
        (f"{head}\n0001,val,f003,\n", "line 2: expected the split train, in whose folders video"),
        (f"{head}\n0001,,a,\n1,,b,\n", r"line 3: expected one row a video, got 0001 .* \(line 2"),
    ):
        truth.write_text(text)
        with pytest.raises(DataError, match=said):
            open_corpus(tmp_path, "A")


def test_results_of_real_data_can_be_given_beside_them(tmp_path: Path) -> None:
    add_a(tmp_path, "0218", "1,2,3\n")
    (tmp_path / "tells_truth.csv").write_text(
        "video_id,split,subject,emotion\n0218,train,7,negative\n"
    )
    corpus = open_corpus(tmp_path, "A")
    assert [(v.subject, v.emotion) for v in corpus.videos] == [("7", 0)]
    assert corpus.name == "iMiGUE, layout A"
    assert corpus.skipped == {"distributed skeleton empty, its video is used": 1}


def test_numbers_that_a_spreadsheet_has_shortened_are_the_same_videos_and_no_row_is_lost_silently(
    tmp_path: Path,
) -> None:
    for name in ("0001", "0012", "0013"):
        add_a(tmp_path, name, "1,2,3\n")
    add_a(tmp_path, "0014", "1,2,3\n", has_video=False)
    truth = tmp_path / "tells_truth.csv"
    truth.write_text("video_id,subject,emotion\n1,7,positive\n12,8,negative\n14,9,\n99,9,\n")
    corpus = open_corpus(tmp_path, "A")
    people = {v.id: (v.subject, v.emotion) for v in corpus.videos}
    assert people == {"0001": ("7", 1), "0012": ("8", 0), "0013": ("", None)}
    assert corpus.skipped == {
        "video missing": 1,
        "row of tells_truth.csv without a video": 1,
        "video without a row in tells_truth.csv": 1,
    }
    assert corpus.notes[-2:] == (
        "line 5, 0099: row of tells_truth.csv without a video",
        "0013: video without a row in tells_truth.csv",
    )

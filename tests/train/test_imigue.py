"""iMiGUE as it lies on disk: both layouts, the published splits, and all that can be wrong."""

import zipfile
from pathlib import Path

import pytest

from train.__main__ import main
from train.annotations import Corpus, DataError, Segment
from train.corpora import open_corpus
from train.imigue_splits import (
    EMOTION_TEST,
    EMOTION_TRAIN,
    MIGA_TEST,
    MIGA_VALIDATION,
    ORIGINAL_TRAIN_SUBJECTS,
)

SKELETONS = "imigue_data_phase1/datasets/imigue_skeleton_train"
PICTURES = "imigue_rgb_phase1/train_data"
A_SPLITS = {
    "train": (SKELETONS, PICTURES),
    "val": ("imigue_data_phase1/datasets/imigue_skeleton_validate",
            "imigue_rgb_phase1/validation_data"),
    "test": ("imigue_data_phase2/imigue_skeleton_test", "imigue_rgb_phase2"),
}  # fmt: skip
HEADER = "clip,video_id,class,start_frame,end_frame,subject_id,win_or_lose"


def add_a(
    root: Path, name: str, labels: str | None, *, split: str = "train", has_video: bool = True
) -> Path:
    """One video of layout A."""
    skeletons, pictures = (root / folder / name for folder in A_SPLITS[split])
    if labels is not None:
        skeletons.mkdir(parents=True)
        (skeletons / f"{name}_label.csv").write_text(labels)
    if has_video:
        pictures.mkdir(parents=True)
        (pictures / f"{name}.mp4").touch()
    return skeletons / f"{name}_label.csv"


def write_b(root: Path, rows: str, *, header: str = HEADER, videos: tuple[int, ...] = ()) -> None:
    """Layout B with these label rows; videos lie in the folder of the first phase."""
    (root / "Label").mkdir(parents=True)
    (root / "Label" / "labels_20200831.csv").write_text(f"{header}\n{rows}")
    for number in videos:
        folder = root / "iMiGUE_RGB_Phase1/imigue_rgb_train" / f"{number:04d}"
        folder.mkdir(parents=True)
        (folder / f"{folder.name}.mp4").touch()


def splits(corpus: Corpus) -> dict[str, str]:
    return {video.id: video.split for video in corpus.videos}


def test_layout_a_is_read_with_the_splits_of_its_folders(tmp_path: Path) -> None:
    add_a(tmp_path, "0012", "1,0,24\n31,30,80\n99,81,81\n")
    add_a(tmp_path, "0001", "5,10,20\n", split="val")
    add_a(tmp_path, "0054", "5.0,10,20\n\n", split="test")
    corpus = open_corpus(tmp_path, "auto")
    assert splits(corpus) == {"0012": "train", "0001": "val", "0054": "test"}
    first = corpus.videos[0]
    assert first.segments == (Segment(0, 0, 24), Segment(30, 30, 80), Segment(31, 81, 81))
    assert corpus.class_names[30] == "Shaking shoulders"
    assert first.path == tmp_path / PICTURES / "0012" / "0012.mp4"
    assert (first.subject, first.emotion) == ("", None)
    assert not corpus.skipped


@pytest.mark.parametrize(
    ("shift", "expected", "counted"),
    [
        (0, [(0, 0), (0, 9), (1, 9)], {}),
        (1, [(1, 1), (1, 10), (2, 10)], {}),
        (-1, [(0, 8), (0, 8)], {
            "label before the video's start, left out": 1, "label cut at the video's start": 1,
        }),
    ],
)  # fmt: skip
def test_frame_numbers_may_be_one_off(
    tmp_path: Path, shift: int, expected: list[tuple[int, int]], counted: dict[str, int]
) -> None:
    add_a(tmp_path, "0012", "1,0,0\n2,0,9\n3,1,9\n")
    corpus = open_corpus(tmp_path, "A", frame_shift=shift)
    assert [(s.start, s.end) for s in corpus.videos[0].segments] == expected
    assert corpus.skipped == counted
    assert corpus.name == f"iMiGUE, layout A{f', frames {shift:+d}' if shift else ''}"


def test_figures_of_rendered_people_never_pass_for_the_data_sets(tmp_path: Path) -> None:
    add_a(tmp_path, "0012", "1,0,0\n")
    (tmp_path / ".synth").mkdir()
    assert open_corpus(tmp_path, "A").name == "rendered people, layout A"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("0,1,2", "expected a class of 1 to 31, or 99, got 0"),
        ("32,1,2", "expected a class of 1 to 31, or 99, got 32"),
        ("98,1,2", "expected a class of 1 to 31, or 99, got 98"),
        ("3,20,19", "expected 0 <= start <= end, got 20 to 19"),
        ("3,-1,19", "expected 0 <= start <= end, got -1 to 19"),
        ("3,20", "expected class,start,end, got 2 columns"),
        ("class,start,end", "expected three whole numbers, got class,start,end"),
        ("3,1.5,2", "expected three whole numbers, got 3,1.5,2"),
        ("3,nan,inf", "expected three whole numbers, got 3,nan,inf"),
    ],
)
def test_a_malformed_row_is_one_line_with_its_place_and_can_be_left_out(
    tmp_path: Path, row: str, said: str
) -> None:
    table = add_a(tmp_path, "0012", f"1,2,3\n\n{row}\n4,5,6\n")
    with pytest.raises(DataError) as caught:
        open_corpus(tmp_path, "A")
    expected = f"{table}, line 3: {said}; mend it, or leave such rows out with --skip-bad"
    assert str(caught.value) == expected
    corpus = open_corpus(tmp_path, "A", skip_bad=True)
    assert corpus.videos[0].segments == (Segment(0, 2, 3), Segment(3, 5, 6))
    assert [segment.row for segment in corpus.videos[0].segments] == [0, 2]
    assert corpus.videos[0].rows == 3
    assert corpus.skipped == {"label row malformed, left out": 1}
    (note,) = corpus.notes
    assert "line 3" in note
    assert said in note


def test_what_is_missing_is_counted_and_named(tmp_path: Path) -> None:
    add_a(tmp_path, "0012", "1,2,3\n")
    add_a(tmp_path, "0013", "1,2,3\n", has_video=False)
    add_a(tmp_path, "0014", None)
    add_a(tmp_path, "0015", "")
    add_a(tmp_path, "0347", "1,2,3\n")
    corpus = open_corpus(tmp_path, "A")
    assert list(splits(corpus)) == ["0012", "0015", "0347"]
    assert corpus.skipped == {
        "video missing": 1,
        "video without label file": 1,
        "label file empty, all of the video is background": 1,
        "distributed skeleton empty, its video is used": 1,
    }
    assert [note[:10].strip() for note in corpus.notes] == [
        "train 0013", "train 0014", "0015: labe", "0347: dist",
    ]  # fmt: skip
    assert f"expected {tmp_path / PICTURES / '0013' / '0013.mp4'}" in corpus.notes[0]


def test_a_video_in_two_splits_is_refused(tmp_path: Path) -> None:
    add_a(tmp_path, "0012", "1,2,3\n")
    add_a(tmp_path, "0012", "1,2,3\n", split="val")
    with pytest.raises(DataError, match="video 0012 is in train and in val"):
        open_corpus(tmp_path, "A")


def test_archives_that_lie_about_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a folder with imigue_data_phase1 or imigue_data"):
        open_corpus(tmp_path, "auto")
    archive = tmp_path / "imigue_skeleton_phase1.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("labels.csv", "1,2,3\n" * 1000)
    with pytest.raises(DataError, match=r"found the archives imigue_skel.*zip: unzip them first$"):
        open_corpus(tmp_path, "auto")
    add_a(tmp_path, "0012", "1,2,3\n", has_video=False)
    with pytest.raises(DataError, match=r"\(video missing: 1\); found the archives"):
        open_corpus(tmp_path, "auto")
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"phase1[.]zip is no whole archive: download"):
        open_corpus(tmp_path, "auto")
    with pytest.raises(DataError, match="expected the folder of a data set, there is none"):
        open_corpus(tmp_path / "elsewhere", "auto")


def test_layout_b_is_split_as_published(tmp_path: Path) -> None:
    rows = (
        "a,1,5,10,20,2,Win\nb,1,99,30,40,2,Win\nc,54,31,0,5,1,Lose\n"
        "d,9,1,0,5,16,Lose\ne,330,1,0,5,,\n"
    )
    write_b(tmp_path, rows, videos=(1, 54, 9, 330))
    original = open_corpus(tmp_path, "auto")
    assert splits(original) == {"0001": "train", "0009": "test", "0054": "test"}
    assert original.skipped == {"video not in the split original": 1}
    first = original.videos[0]
    assert (first.subject, first.emotion) == ("2", 1)
    assert first.segments == (Segment(4, 10, 20), Segment(31, 30, 40))
    assert ([segment.row for segment in first.segments], first.rows) == ([0, 1], 2)
    emotion = open_corpus(tmp_path, "auto", split="emotion")
    assert splits(emotion) == {"0001": "train", "0009": "test", "0054": "test"}
    miga = open_corpus(tmp_path, "auto", split="miga")
    assert splits(miga) == {"0001": "val", "0009": "val", "0054": "test", "0330": "train"}
    assert miga.name == "iMiGUE, layout B, split miga"


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        ("a,1,5,1,2,2,Win", HEADER.replace("class", "label"), "expected the columns class, they"),
        ("a,1,5,1,2,2", HEADER, "line 2: expected 7 cells, got 6"),
        ("a,1,5,1,2,2,Draw", HEADER, "line 2: expected a video's number and Win or Lose, got 0001"),
        ("a,x,5,1,2,2,Win", HEADER, "line 2: expected a video's number and Win or Lose, got 000x"),
        ("a,1,5,1,2,2,Win\nb,1,5,1,2,3,Win", HEADER, "line 3: expected one subject and one result"),
        ("a,1,5,1,2,2,Win\nb,1,5,1,2,2,Lose", HEADER, "line 3: expected one subject and one"),
        ("a,1,40,1,2,2,Win", HEADER, "line 2: expected a class of 1 to 31, or 99, got 40"),
        ("", HEADER, "no video can be used (no labels)"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_layout_b_is_one_line(
    tmp_path: Path, rows: str, header: str, said: str
) -> None:
    write_b(tmp_path, rows, header=header, videos=(1,))
    with pytest.raises(DataError) as caught:
        open_corpus(tmp_path, "B")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_layout_b_without_its_table_or_videos(tmp_path: Path) -> None:
    write_b(tmp_path, "a,1,5,1,2,2,Win\n")
    with pytest.raises(DataError, match=r"no video can be used \(video missing: 1\)"):
        open_corpus(tmp_path, "B")
    (tmp_path / "Label" / "labels_20200831.csv").unlink()
    with pytest.raises(DataError, match=r"expected labels_\*.csv, found none"):
        open_corpus(tmp_path, "B")


def test_a_label_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    table = add_a(tmp_path, "0012", "")
    table.write_bytes(b"\xff\xfe1,2,3")
    with pytest.raises(DataError, match="expected a CSV file in UTF-8, it is none"):
        open_corpus(tmp_path, "A")
    table.unlink()
    table.mkdir()
    with pytest.raises(DataError, match=r"0012_label[.]csv: cannot be read"):
        open_corpus(tmp_path, "A")


@pytest.mark.parametrize(("folder", "what"), [("A", "layout A"), ("smg", "SMG")])
def test_a_split_is_chosen_of_layout_b_alone(
    folder: str, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would change nothing but what --hold-out holds out."""
    if folder == "A":
        add_a(tmp_path, "0012", "1,2,3\n")
    else:
        (tmp_path / "Sample0001").mkdir()
    out = tmp_path / "store"
    command = ["prepare", "--data", str(tmp_path), "--out", str(out), "--split", "emotion"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert said.startswith(
        f"train: --split: expected layout B, which has several, {tmp_path} is {what}"
    )
    assert not out.exists()


def test_the_published_lists_are_complete_and_apart() -> None:
    sizes = [len(s) for s in (MIGA_TEST, MIGA_VALIDATION, ORIGINAL_TRAIN_SUBJECTS)]
    assert [*sizes, len(EMOTION_TRAIN), len(EMOTION_TEST)] == [104, 10, 37, 102, 100]
    assert not MIGA_TEST & MIGA_VALIDATION
    assert not EMOTION_TRAIN & EMOTION_TEST
    assert max(ORIGINAL_TRAIN_SUBJECTS) <= 72
    assert max(MIGA_TEST | EMOTION_TRAIN | EMOTION_TEST) == 453


def test_the_command_ends_with_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_a(tmp_path / "data", "0012", "40,2,3\n")
    out = tmp_path / "store"
    for extra, said in (
        ([], "expected a class of 1 to 31, or 99, got 40"),
        (["--workers", "0"], "--workers: expected 1 or more, got 0"),
        (["--limit", "-1"], "--limit: expected 1 or more, got -1"),
    ):
        assert main(["prepare", "--data", str(tmp_path / "data"), "--out", str(out), *extra]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("train: ")
        assert said in line
    assert not out.exists()

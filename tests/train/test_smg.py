"""SMG as it lies on disk."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.train.tiny_fit import fit_arguments, last_line
from tests.train.tiny_recipe import tiny, without_emotion
from tests.train.tiny_store import VIDEOS, write_tiny_store
from train.__main__ import main
from train.annotations import DataError, Segment
from train.corpora import open_corpus
from train.dataset import examples
from train.labels import MICRO_GESTURES, SMG_GESTURES
from train.recipes import RECIPES, Recipe, told_as_smg
from train.store import open_store


def add(root: Path, name: str, labels: str | None, *, suffix: str | None = "_color.mp4") -> None:
    folder = root / name
    folder.mkdir(parents=True)
    if labels is not None:
        (folder / f"{name}_finelabels.csv").write_text(labels)
    if suffix is not None:
        (folder / f"{name}{suffix}").touch()


def test_samples_are_split_by_subject_and_count_from_one(tmp_path: Path) -> None:
    add(tmp_path, "Sample0035", "1,1,20\n17,21,40\n")
    add(tmp_path, "Sample0036", "8,5,5\n", suffix="_color.avi")
    corpus = open_corpus(tmp_path, "auto")
    assert corpus.name == "SMG"
    train, test = corpus.videos
    assert (train.split, train.subject, test.split, test.subject) == ("train", "35", "test", "36")
    assert train.segments == (Segment(0, 0, 19), Segment(16, 20, 39))
    assert test.segments == (Segment(7, 4, 4),)
    assert corpus.class_names[7] == "Rubbing hands and crossing fingers"
    assert len(corpus.class_names) == 17
    assert not corpus.skipped


def test_the_frame_shift_holds_here_too(tmp_path: Path) -> None:
    add(tmp_path, "Sample0001", "1,1,20\n2,3,4\n")
    corpus = open_corpus(tmp_path, "smg", frame_shift=-1)
    assert corpus.videos[0].segments == (Segment(0, 0, 18), Segment(1, 1, 2))
    assert [segment.row for segment in corpus.videos[0].segments] == [0, 1]
    assert corpus.videos[0].rows == 2
    assert corpus.skipped == {"label cut at the video's start": 1}
    assert corpus.name == "SMG, frames -1"


def test_what_is_missing_is_counted_and_named(tmp_path: Path) -> None:
    add(tmp_path, "Sample0001", "1,1,20\n")
    add(tmp_path, "Sample0002", None)
    add(tmp_path, "Sample0003", "1,1,20\n", suffix=None)
    add(tmp_path, "Sample4b", "1,1,20\n")
    corpus = open_corpus(tmp_path, "smg")
    assert [video.id for video in corpus.videos] == ["Sample0001"]
    assert corpus.skipped == {
        "video without label file": 1, "video missing": 1, "folder is not SampleNNNN": 1,
    }  # fmt: skip
    assert len(corpus.notes) == 3
    assert "Sample0003_color.mp4): video missing" in corpus.notes[1]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("18,1,2", "expected a class of 1 to 17, got 18"),
        ("0,1,2", "expected a class of 1 to 17, got 0"),
        ("1,0,2", "expected 1 <= start <= end, got 0 to 2"),
        ("1,5,2", "expected 1 <= start <= end, got 5 to 2"),
        ("1,5", "expected class,start,end, got 2 columns"),
    ],
)
def test_a_malformed_row_is_one_line_and_can_be_left_out(
    tmp_path: Path, row: str, said: str
) -> None:
    add(tmp_path, "Sample0001", f"{row}\n2,3,4\n")
    with pytest.raises(DataError, match=f"Sample0001_finelabels.csv, line 1: {said}; mend it"):
        open_corpus(tmp_path, "smg")
    corpus = open_corpus(tmp_path, "smg", skip_bad=True)
    assert corpus.videos[0].segments == (Segment(1, 2, 3),)
    assert corpus.skipped == {"label row malformed, left out": 1}


def test_an_empty_folder_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected folders SampleNNNN with videos and labels"):
        open_corpus(tmp_path, "smg")
    add(tmp_path, "Sample0003", "1,1,20\n", suffix=None)
    with pytest.raises(DataError, match=r"\(video missing: 1\)$"):
        open_corpus(tmp_path, "smg")


def tiny_smg() -> Recipe:
    recipe = tiny()
    rgb_and_pose, gesture = recipe.inputs[:2], recipe.outputs[:1]
    net = without_emotion(recipe.net)
    return told_as_smg(replace(recipe, name="smg", net=net, inputs=rgb_and_pose, outputs=gesture))


def test_the_recipe_smg_learns_and_is_judged_by_its_17_classes(
    tmp_path: Path, shared: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES, "smg", tiny_smg)
    videos = [
        replace(v, spans=tuple((label % 16, start, end) for label, start, end in v.spans))
        for v in VIDEOS
    ]
    store = write_tiny_store(tmp_path / "store", tiny_smg(), videos, class_names=SMG_GESTURES)
    run = tmp_path / "run"
    arguments = [*fit_arguments(store, run, "pose", "fusion", steps=3), "--recipe", "smg"]
    assert main([*arguments, "--avatars", str(shared / "avatars"), "--people", "f003"]) == 2
    said = last_line(capfd.readouterr().err)
    assert "perform the 32 classes of iMiGUE, the recipe smg has 17 others" in said
    assert not run.exists()
    assert main(arguments) == 0
    best = run / "fusion" / "best.pt"
    evaluated = ["evaluate", "--recipe", "smg", "--checkpoint", str(best), "--data", str(store)]
    assert main(evaluated) == 0
    said = capfd.readouterr().out
    assert SMG_GESTURES[4] in said
    assert "Touching or scratching forehead" not in said
    sheet = tmp_path / "sheet.png"
    assert main(["show", "--data", str(store), "--number", "2", "--out", str(sheet)]) == 0
    assert sheet.stat().st_size > 1000


def test_a_store_of_another_corpus_is_refused_with_the_recipes_that_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES, "smg", tiny_smg)
    monkeypatch.setitem(RECIPES, "demo", tiny)
    for names, recipe, cure in (
        (SMG_GESTURES, tiny(), "tiny has 32; take --recipe smg"),
        (MICRO_GESTURES, tiny_smg(), "smg has 17; take --recipe demo"),
    ):
        folder = tmp_path / recipe.name
        store = open_store(write_tiny_store(folder, recipe, VIDEOS[:1], class_names=names))
        with pytest.raises(DataError, match=f"the recipe {cure}$"):
            examples(store, "train", recipe, 0.25)

"""What is held out for validation: whole people, or videos of each result, the same every time."""

from pathlib import Path

import pytest

from tests.train.test_imigue import splits, write_b
from train.__main__ import main
from train.annotations import Corpus, DataError, Video
from train.corpora import open_corpus
from train.hold_out import hold_out, known_people
from train.imigue_splits import EMOTION_TEST, EMOTION_TRAIN
from train.labels import MICRO_GESTURES


def corpus_of(*videos: tuple[str, str, int | None]) -> Corpus:
    """Of (split, subject, emotion)."""
    made = (
        Video(f"{k:04d}", Path(), split, subject, (), emotion)
        for k, (split, subject, emotion) in enumerate(videos)
    )
    return Corpus("made up", MICRO_GESTURES, tuple(made))


PEOPLE = corpus_of(*(("train", str(k // 3), k % 2) for k in range(30)), ("train", "", 0),
                   ("test", "90", 1), ("val", "91", 1))  # fmt: skip
"""Ten people in three videos each, one video of nobody knows whom, one of test and val each."""


def subjects(corpus: Corpus, split: str) -> set[str]:
    return {video.subject for video in corpus.videos if video.split == split}


def test_whole_people_are_held_out_and_always_the_same() -> None:
    found = hold_out(PEOPLE, 0.2)
    assert found.name == "made up, 0.2 held out"
    assert found == hold_out(PEOPLE, 0.2)
    assert len(subjects(found, "val")) == 3  # two, and the one who was there
    assert len(subjects(found, "train")) == 9  # eight, and nobody knows whom
    assert not subjects(found, "val") & subjects(found, "train")
    assert subjects(found, "test") == {"90"}
    assert [v.id for v in found.videos] == [v.id for v in PEOPLE.videos]
    assert hold_out(PEOPLE, 0.0) is PEOPLE


@pytest.mark.parametrize(("share", "count"), [(0.01, 1), (0.5, 5), (0.99, 9)])
def test_somebody_is_held_out_and_somebody_stays(share: float, count: int) -> None:
    assert len(subjects(hold_out(PEOPLE, share), "val")) == 1 + count


def test_the_folds_of_a_share_hold_out_everybody_once() -> None:
    folds = [hold_out(PEOPLE, 0.3, fold=k) for k in (1, 2, 3, 4)]
    held = [subjects(fold, "val") - {"91"} for fold in folds]
    assert [len(people) for people in held] == [3, 3, 3, 1]
    assert sorted(name for people in held for name in people) == [str(k) for k in range(10)]
    assert folds[0] == hold_out(PEOPLE, 0.3)
    assert [f.name.rpartition("out")[2] for f in folds] == ["", *(f", fold {k}" for k in (2, 3, 4))]
    with pytest.raises(DataError, match="--fold: expected 1 to 4 for 3 of 10 training people"):
        hold_out(PEOPLE, 0.3, fold=5)
    with pytest.raises(DataError, match="--fold 2: expected --hold-out with it"):
        hold_out(PEOPLE, 0.0, fold=2)


@pytest.mark.parametrize("people", [2, 4, 6, 9, 10, 37, 72, 102])
@pytest.mark.parametrize(("share", "count"), [(0.2, 5), (0.25, 4), (0.1, 10), (0.5, 2), (1 / 3, 3)])
def test_there_are_as_many_folds_as_the_share_says_however_many_people(
    people: int, share: float, count: int
) -> None:
    """As of iMiGUE's 37: a fifth is 7 or 8, and after five folds nobody is left over."""
    corpus = corpus_of(*(("train", str(k), 0) for k in range(people)))
    folds = [hold_out(corpus, share, fold=k + 1) for k in range(min(count, people))]
    held = [name for fold in folds for name in subjects(fold, "val")]
    assert sorted(held) == sorted(str(k) for k in range(people))
    sizes = [len(subjects(fold, "val")) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    with pytest.raises(DataError, match=f"--fold: expected 1 to {len(folds)} for"):
        hold_out(corpus, share, fold=len(folds) + 1)


def test_people_on_both_sides_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the challenge's split: video 1 is its validation, by somebody who is learnt from."""
    numbers = (1, 12, 13, 14)
    rows = "".join(f"x,{n},5,10,20,{s},Win\n" for n, s in zip(numbers, (7, 7, 8, 9), strict=True))
    write_b(tmp_path / "data", rows, videos=numbers)
    published = open_corpus(tmp_path / "data", "B", split="miga")
    said = "val: 1 of 1 videos show people who are learnt from, too: 0001"
    assert known_people(published) == [said]
    assert known_people(PEOPLE) == known_people(hold_out(PEOPLE, 0.2)) == []
    command = ["prepare", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "store")]
    main([*command, "--split", "miga", "--limit", "1", "--workers", "1"])
    assert said in capsys.readouterr().err.splitlines()


def test_where_videos_are_split_each_result_is_held_out_alike(tmp_path: Path) -> None:
    numbers = (*sorted(EMOTION_TRAIN)[:20], *sorted(EMOTION_TEST)[:2])
    rows = "".join(
        f"x,{n},5,10,20,{k % 4},{'Win' if k % 4 else 'Lose'}\n" for k, n in enumerate(numbers)
    )
    write_b(tmp_path, rows, videos=numbers)
    published = open_corpus(tmp_path, "B", split="emotion")
    found = hold_out(published, 0.2, by_result=True)
    results = [video.emotion for video in found.videos if video.split == "val"]
    assert sorted(map(str, results)) == ["0", "1", "1", "1"]  # 5 lost and 15 won
    before, after = splits(published), splits(found)
    assert {before[name] for name in after if after[name] == "val"} == {"train"}
    assert sum(split == "test" for split in after.values()) == 2


@pytest.mark.parametrize(
    ("corpus", "share", "by_result", "said"),
    [
        (PEOPLE, 1.0, False, "expected a share of 0 or more and less than 1, got 1"),
        (PEOPLE, -0.1, False, "expected a share of 0 or more and less than 1, got -0.1"),
        (PEOPLE, float("nan"), False, "less than 1, got nan"),
        (corpus_of(("train", "", 0), ("train", "", 1)), 0.2, False,
         "expected 2 or more training people whom the data set names, got 0; of layout A a "
         r"tells_truth.csv at its root names them \(video_id,subject,emotion\)"),
        (corpus_of(("train", "1", 1), ("train", "1", 1)), 0.2, True,
         "expected 2 or more training videos with the result negative, got 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_held_out_is_one_line(
    corpus: Corpus, share: float, said: str, *, by_result: bool
) -> None:
    with pytest.raises(DataError, match=f"^--hold-out: .*{said}$"):
        hold_out(corpus, share, by_result=by_result)


def test_the_command_takes_the_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_b(tmp_path / "data", "a,1,5,10,20,2,Win\n", videos=(1,))
    command = ["prepare", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "store")]
    assert main([*command, "--hold-out", "0.2"]) == 2
    assert "--hold-out: expected 2 or more training people" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()

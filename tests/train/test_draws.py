"""Which windows are drawn: a function of seed and step, spread as the weights say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.train.tiny_recipe import tiny
from tests.train.tiny_store import TinyVideo, without_emotion, write_tiny_store
from train.annotations import DataError
from train.dataset import BETWEEN, Example
from train.draws import Drawn, Draws, balanced, training_windows
from train.labels import UNLABELLED
from train.stages import default_stage
from train.store import Store, open_store
from train.training_data import Sources, check_labels, training_data, validation_data

WEIGHTS = np.array([1.0, 0.0, 3.0, 4.0])


def sources(*folders: Path) -> Sources:
    stores = tuple(open_store(folder) for folder in folders)
    return Sources(stores, avatars=None, people=(), made_share=0.5, hop_s=0.5)


def test_a_step_draws_the_same_whenever_it_is_reached() -> None:
    whole = list(Draws(WEIGHTS, 8, range(0, 10), 5, (0, 1)))
    rest = list(Draws(WEIGHTS, 8, range(6, 10), 5, (0, 1)))
    assert whole[6:] == rest
    assert len(Draws(WEIGHTS, 8, range(6, 10), 5, (0, 1))) == 4
    assert list(Draws(WEIGHTS, 8, range(0, 10), 6, (0, 1))) != whole
    numbers = [number for batch in whole for number, _ in batch]
    assert numbers == list(range(80))  # no draw is augmented as another is


def test_devices_share_a_batch() -> None:
    (whole,) = Draws(WEIGHTS, 8, range(3, 4), 5, (0, 1))
    parts = [next(iter(Draws(WEIGHTS, 8, range(3, 4), 5, (rank, 2)))) for rank in (0, 1)]
    assert sorted(parts[0] + parts[1]) == whole
    assert len(parts[0]) == len(parts[1]) == 4


def test_windows_are_drawn_as_often_as_they_weigh() -> None:
    drawn = [index for batch in Draws(WEIGHTS, 100, range(40), 1, (0, 1)) for _, index in batch]
    shares = np.bincount(drawn, minlength=4) / 4000
    assert shares[1] == 0
    assert shares == pytest.approx(WEIGHTS / 8, abs=0.03)


def test_rare_classes_weigh_more_and_the_unlabelled_as_the_mean() -> None:
    labels = [0] * 8 + [1] * 2 + [UNLABELLED]
    chosen = [Example("v", 0.0, {"micro_gesture": label}) for label in labels]
    weights = balanced(chosen, "micro_gesture", 1.0)
    assert weights.sum() == pytest.approx(1)
    assert weights[:8].sum() == pytest.approx(weights[8:10].sum())
    assert weights[10] == pytest.approx(weights[:10].mean())
    assert balanced(chosen, "micro_gesture", 0.0) == pytest.approx(np.full(11, 1 / 11))
    unknown = [Example("v", 0.0, {"micro_gesture": UNLABELLED})] * 4
    assert balanced(unknown, "micro_gesture", 0.5) == pytest.approx(np.full(4, 0.25))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("stores")
    first = (TinyVideo("a", "train", ((4, 0.0, 3.0),), emotion=1, seconds=3.0),)
    second = (
        TinyVideo("b", "train", ((9, 0.0, 3.0),), emotion=0, seconds=3.0),
        TinyVideo("c", "val", ((9, 0.0, 3.0),), emotion=0, seconds=3.0),
    )
    return (
        write_tiny_store(root / "1", tiny(), first),
        write_tiny_store(root / "2", tiny(), second),
    )


def test_several_stores_are_one_list_in_the_order_of_the_examples(
    folders: tuple[Path, Path],
) -> None:
    stores = [open_store(folder) for folder in folders]
    chosen, windows = training_windows(stores, tiny(), 0.5, 0, "pose")
    drawn = Drawn(windows, None)
    assert [example.video for example in chosen] == ["a", "a", "b", "b"]
    for index, example in enumerate(chosen):
        feeds, labels = drawn[(7, index)]
        assert {task: int(label) for task, label in labels.items()} == example.labels
        assert set(feeds) == {"pose", "pose_mask"}


def test_in_rendered_videos_a_face_without_an_emotion_is_one_in_between(tmp_path: Path) -> None:
    folder = write_tiny_store(tmp_path / "s", tiny())
    for corpus in ("tiny", "rendered people, layout A"):
        store = of_corpus(open_store(folder), corpus)
        chosen, (dataset,) = training_windows([store], tiny(), 0.5, 0, None)
        moods = {(e.video, e.labels["emotion"]) for e in chosen}
        unknown = BETWEEN if "rendered" in corpus else UNLABELLED
        assert moods == {("a", 0), ("b", 1), ("c", unknown)}
        k = next(k for k, e in enumerate(chosen) if e.video == "c")
        assert dataset[k][1]["emotion"] == unknown
        assert np.isfinite(balanced(chosen, "emotion", 0.5)).all()


def of_corpus(store: Store, corpus: str) -> Store:
    videos = {video.id: video for video in store.videos()}
    return Store(store.folder, replace(store.info, corpus=corpus), videos)


def test_training_data_is_of_all_stores_and_held_out_is_of_those_that_hold_out(
    folders: tuple[Path, Path],
) -> None:
    data = training_data(tiny(), "face", default_stage(tiny(), "face"), sources(*folders), 0)
    assert len(data.weights) == 4
    (held_out,) = validation_data(tiny(), "face", sources(*folders))
    assert len(held_out) == 2


def test_nothing_to_learn_from_is_one_line(tmp_path: Path) -> None:
    stage = default_stage(tiny(), "pose")
    with pytest.raises(DataError, match="fit needs --data for the stage pose; branches can do"):
        training_data(tiny(), "pose", stage, sources(), 0)
    only_test = write_tiny_store(tmp_path / "s", tiny(), (TinyVideo("a", "test"),))
    with pytest.raises(DataError, match="none of the stores has videos of the split 'train'"):
        training_data(tiny(), "pose", stage, sources(only_test), 0)


def test_a_stage_that_nothing_is_annotated_for_is_refused(tmp_path: Path) -> None:
    """Else its loss is 0 for ten thousand steps, and its weights count as trained."""
    results_unknown = write_tiny_store(tmp_path / "a", tiny(), without_emotion())
    for stage in ("face", "fusion"):
        with pytest.raises(DataError, match=f"the stage {stage} would learn nothing about emotion"):
            training_data(tiny(), stage, default_stage(tiny(), stage), sources(results_unknown), 0)
    for stage in ("pose", "rgb"):  # their emotion, if any, is thrown away
        check_labels(tiny(), stage, sources(results_unknown))
    won = (TinyVideo("a", "train", emotion=1), TinyVideo("b", "train"))
    gestures_unknown = write_tiny_store(tmp_path / "b", tiny(), won)
    with pytest.raises(DataError, match="the stage pose would learn nothing about micro_gesture"):
        check_labels(tiny(), "pose", sources(gestures_unknown))
    check_labels(tiny(), "face", sources(gestures_unknown))
    both = sources(results_unknown, gestures_unknown)
    on_the_spot = replace(sources(results_unknown), avatars=tmp_path)
    for stage in ("pose", "rgb", "face", "fusion"):
        check_labels(tiny(), stage, both)
        check_labels(tiny(), stage, on_the_spot)
    with pytest.raises(DataError, match=r"anew with results in a tells_truth\.csv"):
        check_labels(tiny(), "face", replace(on_the_spot, made_share=0.0))

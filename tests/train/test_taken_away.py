"""What a model tells without some of its evidence, as if it had not been seen."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engines.bench import stand_in_window
from engines.engine import open_engine
from engines.preprocess import preprocess
from engines.window import Window
from tests.train.scored import fitting_bundle
from tests.train.tiny_recipe import tiny
from tests.train.tiny_store import TinyVideo, write_tiny_store
from train.__main__ import main
from train.annotations import DataError
from train.checkpoint import save_checkpoint
from train.dataset import manifest_of
from train.golden import without_faces, without_poses
from train.models.heads import build_net
from train.scoring import bundle_scorer, checkpoint_scorer
from train.taken_away import modalities_gone, without

MANIFEST = manifest_of(tiny())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    videos = [TinyVideo("f", "test", ((4, 1.0, 4.0),), emotion=0)]
    return write_tiny_store(tmp_path_factory.mktemp("data") / "store", tiny(), videos)


@pytest.mark.parametrize(("asked", "take"), [("pose", without_poses), ("face", without_faces)])
def test_it_is_fed_what_it_is_fed_of_a_window_in_which_that_was_not_seen(
    asked: str, take: Callable[[Window, NDArray[np.bool_]], Window]
) -> None:
    window = stand_in_window(MANIFEST, fps=15.0, seed=3)
    fed = without(preprocess([window], MANIFEST), MANIFEST, modalities_gone([asked], MANIFEST))
    unseen = preprocess([take(window, np.ones(len(window), np.bool_))], MANIFEST)
    assert fed.keys() == unseen.keys()
    for name, array in unseen.items():
        assert (fed[name] == array).all(), name


def test_pictures_have_no_mask_and_hands_go_with_the_pose() -> None:
    assert modalities_gone(["pose"], MANIFEST) == ("pose", "hand")
    assert modalities_gone(["hand", "face"], MANIFEST) == ("face", "hand")
    assert modalities_gone([], MANIFEST) == ()
    said = r"--without: tiny 0\.1\.0 can be told that pose or face or hand is missing, got rgb"
    with pytest.raises(DataError, match=said):
        modalities_gone(["rgb", "pose"], MANIFEST)


def test_bundle_and_checkpoint_tell_what_they_would_of_such_a_window(tmp_path: Path) -> None:
    recipe, path = tiny(), tmp_path / "net.pt"
    torch.manual_seed(0)
    save_checkpoint(path, recipe, build_net(recipe.net).state_dict())
    bundle = fitting_bundle(tmp_path / "bundle")
    with (
        bundle_scorer(bundle, "ort", asked_away=["face"]) as scorer,
        checkpoint_scorer(path, recipe, asked_away=["face"]) as other,
        checkpoint_scorer(path, recipe) as whole,
        open_engine(bundle, "ort") as engine,
    ):
        for gone, every in ((scorer.score, engine), (other.score, whole.score)):
            manifest = engine.manifest if every is engine else whole.manifest
            window = stand_in_window(manifest, fps=15.0, seed=3)
            faceless = without_faces(window, np.ones(len(window), np.bool_))
            (told,), (wanted,), (with_it,) = gone([window]), every([faceless]), every([window])
            for task, scores in told.items():
                assert scores.probs == pytest.approx(wanted[task].probs, abs=1e-6)
                assert scores.coverage == with_it[task].coverage == 1.0, "the same windows"
            assert told["emotion"].probs != pytest.approx(with_it["emotion"].probs, abs=1e-4)


def test_the_report_says_what_it_is_without(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, out = fitting_bundle(tmp_path / "bundle"), tmp_path / "out"
    command = ["evaluate", "--bundle", str(bundle), "--device", "ort", "--data", str(store)]
    assert main([*command, "--without", "face", "--out", str(out)]) == 0
    first = "all of it without face, in the same windows"
    assert capsys.readouterr().out.splitlines()[0] == first
    report = json.loads((out / "report.json").read_text())
    assert report["measured"]["without"] == ["face"]
    assert report["emotion"]["n"] == 1
    for more in (["--write"], ["--without", "rgb"]):
        assert main([*command, "--without", "face", *more]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"train: {more[0]}: ")

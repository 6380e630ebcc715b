"""Recipes of one's own: a file, read strictly, and known to whatever comes of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engines.bundle import load_bundle
from tests.train.tiny_fit import fit_arguments
from tests.train.tiny_recipe import tiny
from tests.train.tiny_store import write_tiny_store
from train.__main__ import main
from train.annotations import DataError
from train.checkpoint import checkpoint_recipe
from train.recipe_file import load_recipe
from train.recipes import RECIPES, Recipe, dump_recipe
from train.stages import default_stage, stages_of


def own() -> Recipe:
    return replace(tiny(), name="mine")


def write(folder: Path, recipe: Recipe) -> Path:
    path = folder / "mine.json"
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_shown_is_read_again(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipe", name]) == 0
    path = tmp_path / "shown.json"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    recipe = load_recipe(path)
    assert recipe == RECIPES[name]()
    assert all(default_stage(replace(recipe, name="mine"), s).steps > 0 for s in stages_of(recipe))


def change(*keys: str | int, to: Any) -> Callable[[Any], None]:
    def changed(values: Any) -> None:
        for key in keys[:-1]:
            values = values[key]
        values[keys[-1]] = to

    return changed


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (change("surplus", to=1), "unknown, missing or mistyped: surplus; `python -m train recipe"),
        (change("net", "mvit", "widht", to=1), "unknown, missing or mistyped: net.mvit.widht;"),
        (change("face_size", to="112"), "unknown, missing or mistyped: face_size;"),
        (change("inputs", 0, "crop", to=31), "inputs.0"),
        (lambda values: values.pop("window"), "window: is missing"),
        (change("net", "pixels", to=None), "the net must normalise what the input rgb says"),
        (change("net", "emotion", "fusion", "num_classes", to=3),
         r"its net tells \[\(32,\), \(3,\)\] classes, its outputs name \[\(32,\), \(2,\)\]"),
        (change("net", "mvit", "dims", 1, to=48), "its net does not take its inputs"),
        (change("name", to="joint"), "name: joint is a built-in recipe; give yours another"),
    ],
)  # fmt: skip
def test_what_is_no_recipe_is_one_line(
    changed: Callable[[Any], None], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, values = write(tmp_path, own()), json.loads(dump_recipe(own()))
    changed(values)
    path.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(DataError, match=f"^{path}: .*{said}"):
        load_recipe(path)
    arguments = ["--data", str(tmp_path), "--out", str(tmp_path / "store")]
    assert main(["prepare", *arguments, "--recipe", str(path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "store").exists()


def test_a_file_that_is_not_there_and_a_name_that_is_none_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(tmp_path), "--out", str(tmp_path / "store")]
    assert main(["prepare", *data, "--recipe", str(tmp_path / "none.json")]) == 2
    said = capsys.readouterr().err
    assert said.endswith("none.json: cannot be read (No such file or directory); give the JSON file of a recipe\n")  # fmt: skip # noqa: E501
    with pytest.raises(SystemExit, match="2"):
        main(["prepare", *data, "--recipe", "large"])
    assert "expected micro_gesture, emotion, smg, joint, demo or a .json" in capsys.readouterr().err
    assert main(["export", "--init", "random", "--out", str(tmp_path / "x")]) == 2
    assert "--init random: expected --recipe with it" in capsys.readouterr().err


def test_a_recipe_of_one_s_own_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is learnt, measured and exported; the file is not there any more when it is."""
    store, path = write_tiny_store(tmp_path / "store", own()), write(tmp_path, own())
    arguments = [*fit_arguments(store, tmp_path / "run", "fusion"), "--recipe", str(path)]
    assert main(arguments) == 0
    path.unlink()
    checkpoint = tmp_path / "run" / "fusion" / "best.pt"
    assert checkpoint_recipe(checkpoint) == dump_recipe(own())
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["asked"]["recipe"] == json.loads(dump_recipe(own()))
    capsys.readouterr()
    assert main(["evaluate", "--checkpoint", str(checkpoint), "--data", str(store)]) == 0
    assert "gestures cut out" in capsys.readouterr().out
    assert main(["export", "--init", str(checkpoint), "--out", str(tmp_path / "bundle")]) == 0
    manifest = load_bundle(tmp_path / "bundle").manifest
    assert (manifest.name, manifest.source.recipe) == ("mine", "mine")
    assert manifest.inputs == own().inputs

"""`python -m train fit`: all that it is told is looked at before a run is begun."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.train.test_fit_command import refusal
from tests.train.tiny_fit import fit_arguments
from tests.train.tiny_recipe import tiny
from tests.train.tiny_store import VIDEOS, TinyVideo, write_tiny_store
from train.__main__ import main
from train.checkpoint import load_checkpoint, save_checkpoint, save_half
from train.models.heads import build_net

pytestmark = pytest.mark.usefixtures("tiny_demo")
STAGES = ("pose", "rgb", "face", "fusion")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("data") / "store", tiny(), VIDEOS[:5:2])


def without_data(arguments: list[str]) -> list[str]:
    where = arguments.index("--data")
    return arguments[:where] + arguments[where + 2 :]


def test_options_that_are_repeated_add_up(store: Path, tmp_path: Path) -> None:
    other = write_tiny_store(tmp_path / "other", tiny(), [replace(VIDEOS[1], id="z")])
    arguments = fit_arguments(store, tmp_path / "run", "face", steps=1, eval_every=1)
    more = ["--data", str(other), "--stages", "pose", "--set", "pose.steps=1", "--set"]
    more += ["pose.eval_every=1", "pose.batch=2", "--people", "f001", "--people", "m002"]
    files = {stage: tmp_path / f"{stage}.pt" for stage in ("face", "pose")}
    for stage, path in files.items():
        save_checkpoint(path, tiny(), build_net(tiny().net).state_dict())
        more += ["--init", f"{stage}={path}"]
    assert main([*arguments, *more]) == 0
    asked = json.loads((tmp_path / "run" / "config.json").read_text())["asked"]
    assert asked["data"] == [str(store), str(other)]
    assert {stage: config["steps"] for stage, config in asked["stages"].items()} == {
        "pose": 1, "face": 1,
    }  # fmt: skip
    assert asked["stages"]["pose"]["batch"] == 2
    assert asked["init"].keys() == files.keys()
    assert asked["people"] == ["f001", "m002"]


def test_a_stage_begins_with_a_bundle_s_weights(
    store: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = fit_arguments(store, tmp_path / "run", "face", steps=1, eval_every=1)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    said = refusal([*arguments, "--init", f"face={bundle}"], capfd)
    assert f"{bundle}: expected a checkpoint, or a bundle with weights.pt" in said
    assert not (tmp_path / "run").exists()
    save_half(bundle / "weights.pt", tiny(), build_net(tiny().net).state_dict())
    assert main([*arguments, "--init", f"face={bundle}"]) == 0
    trained = load_checkpoint(tmp_path / "run/face/best.pt", tiny(), is_to_learn=True)
    assert {w.dtype for w in trained.values() if w.is_floating_point()} == {torch.float32}


def test_two_files_for_one_stage_are_refused(
    store: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = fit_arguments(store, tmp_path / "run", "face")
    said = refusal([*arguments, "--init", "face=a.pt", "--init", "face=b.pt"], capfd)
    assert "--init: expected one file for face, got two" in said


def test_a_stage_without_data_is_refused_before_the_others_are_trained(
    store: Path, tmp_path: Path, avatars: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    arguments = without_data(fit_arguments(store, run, *STAGES, steps=1))
    said = refusal([*arguments, "--avatars", str(avatars), "--people", "m002"], capfd)
    assert "fit needs --data for the stage fusion; branches can do with --avatars alone" in said
    said = refusal(arguments, capfd)
    assert "fit needs --data for the stage pose" in said
    assert not run.exists()


@pytest.fixture
def avatars(shared: Path) -> Path:
    return shared / "avatars"


@pytest.mark.parametrize("stage", STAGES)
def test_files_to_begin_with_are_read_before_anything_is_trained(
    stage: str, store: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    arguments = fit_arguments(store, run, *STAGES, steps=1)
    text, other, empty = (tmp_path / name for name in ("text.pt", "other.pt", "empty.pt"))
    text.write_text("task,label\n")
    save_checkpoint(other, replace(tiny(), face_size=56), {})
    save_checkpoint(empty, tiny(), {})
    for path, why in (
        (text, "expected a checkpoint of Tells, cannot read it"),
        (other, "belongs to another recipe than tiny, they differ in face_size"),
        (empty, "lacks weights: "),
    ):
        assert f"{path}: {why}" in refusal([*arguments, "--init", f"{stage}={path}"], capfd)
    assert not run.exists()


@pytest.mark.parametrize("name", ["mvit", "agcn_joint", "agcn_bone", "swinface"])
def test_public_files_are_read_before_anything_is_trained(
    name: str, store: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "text.pt"
    path.write_text("task,label\n")
    arguments = fit_arguments(store, tmp_path / "run", *STAGES, steps=1)
    said = refusal([*arguments, "--public", f"{name}={path}"], capfd)
    assert said.startswith(f"train: --public {name}")
    assert f"{path}: " in said
    assert not (tmp_path / "run").exists()


def test_a_store_that_does_not_fit_begins_no_run(
    tmp_path: Path, store: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    foreign = write_tiny_store(tmp_path / "foreign", replace(tiny(), face_size=56), VIDEOS[3:4])
    tests = write_tiny_store(tmp_path / "tests", tiny(), [TinyVideo("a", "test")])
    said = refusal([*fit_arguments(store, run, "face"), "--data", str(foreign)], capfd)
    assert f"{foreign}: was prepared with other perception than the recipe tiny" in said
    assert "videos of the split 'train'" in refusal(fit_arguments(tests, run, "face"), capfd)
    assert not run.exists()
    assert main(fit_arguments(store, run, "face", steps=1, eval_every=1)) == 0


def test_avatars_that_are_not_there_begin_no_run(
    tmp_path: Path, store: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run, none = tmp_path / "run", tmp_path / "none"
    arguments = fit_arguments(store, run, "face")
    assert f"{none}: expected f001_facial.glb" in refusal(
        [*arguments, "--avatars", str(none)], capfd
    )
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--people", "f002"])
    assert caught.value.code == 2
    assert "h0001 to h9999, got 'f002'" in capfd.readouterr().err
    assert not run.exists()


def test_who_is_kept_for_validation_but_learnt_from_is_named(
    tmp_path: Path, store: Path, shared: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "run").write_text("in the way")
    kept = write_tiny_store(tmp_path / "kept", tiny(), [TinyVideo("m002", "val", ((4, 1.0, 2.5),))])
    arguments = [*fit_arguments(store, tmp_path / "run", "face"), "--data", str(kept)]
    for people, is_told in ((["f003"], False), (["f003", "m002"], True)):
        caplog.clear()
        more = ["--avatars", str(shared / "avatars"), "--people", *people]
        assert main([*arguments, *more]) == 2
        assert ("m002: kept for validation or test, but" in caplog.text) == is_told


def test_who_is_kept_in_one_store_but_learnt_from_in_another_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As of two folds of one data set: each is validated by whom the other teaches."""
    (tmp_path / "run").write_text("in the way")
    a, b = (TinyVideo(name, "train", ((4, 1.0, 2.5),), emotion=1) for name in "ab")
    folds = [
        write_tiny_store(tmp_path / f"fold{k}", tiny(), [replace(one, split="val"), other])
        for k, (one, other) in enumerate([(a, b), (b, a)], 1)
    ]
    for stores, told in ((folds[:1], set()), (folds, {"a", "b"})):
        caplog.clear()
        arguments = fit_arguments(stores[0], tmp_path / "run", "face")
        assert main([*arguments, "--data", *map(str, stores[1:])]) == 2
        said = [line for line in caplog.messages if "kept for validation or test in" in line]
        assert {line.partition(":")[0] for line in said} == told

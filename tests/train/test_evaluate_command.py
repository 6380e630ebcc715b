"""`python -m train evaluate`: one command gives all figures again, and writes them down."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from engines.bundle import load_bundle
from engines.engine import open_engine
from engines.verify import verify
from tests.train.scored import fitting_bundle
from tests.train.tiny_recipe import tiny
from tests.train.tiny_store import TinyVideo, write_tiny_store
from train.__main__ import main
from train.checkpoint import save_checkpoint
from train.models.heads import build_net
from train.real_people import HEAD_CLIP


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("data") / "store", tiny())


def test_one_command_gives_the_same_figures_again_and_writes_them_into_the_manifest(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = fitting_bundle(tmp_path / "bundle")
    before = load_bundle(bundle).manifest
    command = ["evaluate", "--bundle", str(bundle), "--device", "ort", "--data", str(store)]
    out = tmp_path / "out"
    assert main([*command, "--out", str(out), "--write"]) == 0
    text = (out / "report.txt").read_text()
    assert capsys.readouterr().out == f"{text}report in {out}\n"
    assert main(command) == 0
    assert capsys.readouterr().out == text
    numbers = json.loads((out / "report.json").read_text())
    after = load_bundle(bundle).manifest
    assert replace(after, metrics=()) == before
    gesture, emotion = after.metrics
    assert (
        (gesture.split, gesture.n) == ("tiny, test", numbers["trimmed"]["n"]) == ("tiny, test", 1)
    )
    assert gesture.top1 == numbers["trimmed"]["top1"]["value"]
    assert (emotion.n, emotion.ece) == (1, numbers["emotion"]["ece"])
    with open_engine(bundle, "ort") as engine:
        assert verify(engine).is_ok


def test_several_stores_are_measured_as_one(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the same names, as every rendered corpus counts its videos from 1."""
    bundle, out = fitting_bundle(tmp_path / "bundle"), tmp_path / "out"
    second = TinyVideo("f", "test", ((22, 1.0, 4.0),), emotion=1)
    other = write_tiny_store(tmp_path / "other", tiny(), (second,))
    command = ["evaluate", "--bundle", str(bundle), "--device", "ort", "--out", str(out)]
    assert main([*command, "--data", str(store), str(other), "--write"]) == 0
    numbers = json.loads((out / "report.json").read_text())
    assert (numbers["trimmed"]["n"], numbers["emotion"]["n"]) == (2, 2)
    assert numbers["untrimmed"]["0.3"]["truths"] == 2  # not one video over the other
    metrics = load_bundle(bundle).manifest.metrics
    assert [(m.n, m.split) for m in metrics] == [(2, "tiny, test")] * 2
    capsys.readouterr()
    again = store / ".." / store.name
    assert main([*command, "--data", str(store), "--data", str(other), str(again)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"train: {again}: is given twice, its videos would count twice"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bundle", "{bundle}"], "expected --data DIR (prepared videos), --clips DIR"),
        (["--data", "{store}"], "expected either --bundle DIR or --checkpoint FILE"),
        (["--bundle", "{bundle}", "--clips", "{tmp}"], f"{HEAD_CLIP}: expected a clip of real peo"),
        (["--checkpoint", "x.pt", "--clips", "{tmp}"], "--clips: expected --bundle DIR"),
        (["--checkpoint", "x.pt", "--data", "{store}", "--write"], "--write: expected --bundle"),
        (["--checkpoint", "x.pt", "--data", "{store}"], "x.pt: No such file"),
        (
            ["--bundle", "{bundle}", "--data", "{store}", "--hop-s", "nan"],
            "hop_s: Input should be a finite number, got nan",
        ),
        (["--bundle", "{bundle}", "--data", "{store}", "--out", "{file}/x"], "cannot be written"),
        (["--bundle", "{tmp}/none", "--data", "{store}"], "none: expected a bundle's folder"),
    ],
)
def test_what_cannot_be_measured_is_one_line_before_anything_is_scored(
    arguments: list[str],
    said: str,
    store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle, file = fitting_bundle(tmp_path / "bundle"), tmp_path / "file"
    file.write_text("")
    paths = {"bundle": bundle, "store": store, "tmp": tmp_path, "file": file}
    assert main(["evaluate", "--device", "ort", *(a.format(**paths) for a in arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("train: ")
    assert said in line


@pytest.mark.parametrize("command", ["evaluate", "submit", "export"])
@pytest.mark.usefixtures("tiny_demo")
def test_a_branch_s_checkpoint_is_refused_in_one_line(
    command: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "best.pt", ["--out", str(tmp_path / "out")]
    save_checkpoint(path, tiny(), build_net(tiny().net).state_dict(), stage="pose")
    measured = ["--checkpoint", str(path), "--data", str(store)]
    arguments = {
        "evaluate": measured, "submit": [*measured, "--track", "2", *out],
        "export": ["--recipe", "demo", "--init", str(path), *out],
    }[command]  # fmt: skip
    assert main([command, *arguments]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == (
        f"train: {path}: is of the stage pose, which trains one branch alone, and no whole model; "
        "give the best.pt of a stage fusion (`fit --stages fusion`)"
    )
    assert not (tmp_path / "out").exists()

"""`python -m train fit`: what cannot be done is one line, and nothing is lost."""

import json
from pathlib import Path

import pytest
import torch

from tests.train.tiny_fit import fit_arguments, last_line
from tests.train.tiny_recipe import tiny
from tests.train.tiny_store import VIDEOS, without_emotion, write_tiny_store
from train.__main__ import main
from train.checkpoint import save_checkpoint
from train.recipes import demo

pytestmark = pytest.mark.usefixtures("tiny_demo")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("data") / "store", tiny(), VIDEOS[::2])


@pytest.fixture
def arguments(store: Path, tmp_path: Path) -> list[str]:
    """A fit of the face stage in two steps."""
    return fit_arguments(store, tmp_path / "run", "face", steps=2, eval_every=1)


def refusal(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    capfd.readouterr()
    assert main(arguments) == 2
    line = last_line(capfd.readouterr().err)
    assert line.startswith("train: ")
    return line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("face.colour=3", "face.colour=3: expected one of steps, batch, lr,"),
        ("voice.steps=3", "expected one of the stages face, got 'voice'"),
        ("fusion.steps=3", "expected one of the stages face, got 'fusion'"),
        ("face.steps=many", "expected a whole number, got 'many'"),
        ("face.steps=2.5", "expected a whole number, got '2.5'"),
        ("face.lr=fast", "expected a number, got 'fast'"),
        ("face.lr=-1", "lr and clip must be positive"),
        (
            "face.frozen=nose",
            "frozen: expected pose, rgb, face, hand or the beginning of the names",
        ),
        ("face.frozen=trunk,emotion,micro_gesture", "face.frozen: trunk,emotion,micro_gesture lea"),
        ("face.__class__=3", "got '__class__'"),
        ("face=3", "expected STAGE.KEY=VALUE, got 'face=3'"),
        ("face.steps", "expected STAGE.KEY=VALUE, got 'face.steps'"),
    ],
)
def test_settings_that_do_not_exist_or_make_no_sense(
    arguments: list[str], change: str, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert said in refusal([*arguments, change], capfd)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--init", "voice=x.pt"], "--init: expected STAGE=FILE with one of face, got"),
        (["--init", "face"], "--init: expected STAGE=FILE"),
        (["--init", "face=absent.pt"], "absent.pt: cannot be read"),
        (["--public", "resnet=x.pt"], "with one of mvit, agcn_joint, agcn_bone, swinface, got"),
        (["--public", "mvit=absent.pt"], "this run has face; leave it out"),
        (["--public", "swinface=absent.pt"], "absent.pt: cannot be read"),
        (["--data", "absent"], "absent: expected "),
        (["--accelerator", "cuda", "--devices", "64"], "--accelerator cuda --devices 64: "),
        (["--precision", "16-mixed"], "needs a CUDA GPU; take bf16-mixed or 32-true here"),
        (["--devices", "-3"], "--devices: expected 1 or more, got -3"),
        (["--workers", "-1"], "--workers: expected 0 or more, got -1"),
        (["--seed", "-1"], "--seed: expected 0 to 2147483647, got -1"),
        (["--seed", "2147483648"], "--seed: expected 0 to 2147483647, got 2147483648"),
        (["--hop-s", "0"], "--hop-s: expected seconds above 0, got 0.0"),
        (["--hop-s", "nan"], "--hop-s: expected seconds above 0, got nan"),
        (["--hop-s", "inf"], "--hop-s: expected seconds above 0, got inf"),
        (["--made-share", "1.5"], "--made-share: expected 0 to 1, got 1.5"),
    ],
)
def test_what_is_not_there(
    arguments: list[str], more: list[str], said: str, tmp_path: Path,
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert said in refusal([*arguments, *more], capfd)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("capability", "is_slow"), [("AVX2", True), ("AVX512", False)])
def test_bf16_on_a_processor_without_it_is_said_to_be_slow(
    arguments: list[str], capability: str, is_slow: bool, tmp_path: Path,
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "run").write_text("in the way")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert main([*arguments, "--precision", "bf16-mixed"]) == 2
    assert ("has no instructions for it" in caplog.text) == is_slow


def test_results_that_nobody_knows_are_said_before_the_first_stage(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    store = write_tiny_store(tmp_path / "store", tiny(), without_emotion(VIDEOS[::2]))
    said = refusal(fit_arguments(store, tmp_path / "run", "pose", "rgb", "face", steps=2), capfd)
    assert "the stage face would learn nothing about emotion" in said
    assert not (tmp_path / "run").exists()


def test_a_recipe_without_the_stage(
    arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    said = refusal([*arguments, "--recipe", "micro_gesture"], capfd)
    assert "the recipe micro_gesture has no stage face" in said


def test_processes_and_devices_have_to_agree(
    arguments: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LOCAL_WORLD_SIZE", "2"), ("WORLD_SIZE", "4")):
        monkeypatch.setenv(name, value)
    said = refusal([*arguments, "--devices", "3"], capfd)
    assert "--devices: torchrun has started 2 processes on this machine, got 3" in said


def test_how_several_gpus_are_used_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    said = capsys.readouterr().out
    assert "torchrun --nproc-per-node 2 -m train fit --devices 2" in said
    assert "STAGE.batch=N" in said


def test_a_checkpoint_of_another_recipe_as_init(
    arguments: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.pt"
    save_checkpoint(other, demo(), {})
    said = refusal([*arguments, "--init", f"face={other}"], capfd)
    assert f"{other}: belongs to another recipe than tiny, they differ in" in said


def test_another_run_s_folder_and_broken_files_cost_nothing(
    arguments: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(arguments) == 0
    config = json.loads((run / "config.json").read_text())["asked"]
    assert (config["seed"], config["stages"]["face"]["steps"]) == (3, 2)
    assert (config["init"], config["public"]) == ({}, {})
    files = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    said = refusal([*arguments, "face.steps=3", "--seed", "4"], capfd)
    assert "holds a run with another seed, stages; repeat its options" in said
    assert main(arguments) == 0  # done: nothing to do
    assert files == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    (run / "face" / "result.json").unlink()
    last = run / "face" / "last.ckpt"
    whole = last.read_bytes()
    for content in (b"", b"\x80junk", whole[: len(whole) // 2]):
        last.write_bytes(content)
        said = refusal(arguments, capfd)
        assert f"{last}: cannot be read" in said
        assert "remove it to begin the stage anew" in said
        assert last.read_bytes() == content
    last.write_bytes(whole)
    assert main(arguments) == 0
    assert (run / "face" / "best.pt").read_bytes() == files[run / "face" / "best.pt"]

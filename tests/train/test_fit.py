"""Fit: it learns, it stops, and whatever interrupts it, it goes on to the same bits."""

import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

import train.draws
from tests.conftest import PROJECT
from tests.train.tiny_fit import BATCH, fit_arguments, last_line, same_run
from tests.train.tiny_recipe import tiny
from tests.train.tiny_store import VIDEOS, write_tiny_store
from train.__main__ import main
from train.dataset import WindowDataset
from train.fit import schedule
from train.fit_state import FitState, begin
from train.models.heads import build_net
from train.recipes import RECIPES
from train.stages import StageConfig

CONFIG = StageConfig(steps=100, batch=4, lr=0.1, warmup=0.1)


pytestmark = pytest.mark.usefixtures("tiny_demo")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("data") / "store", tiny())


@pytest.fixture(scope="module")
def undisturbed(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the fusion stage, from beginning to end."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "demo", tiny)
        torch.set_num_threads(1)
        assert main(fit_arguments(store, out, "fusion")) == 0
    return out


def fail_at(patch: pytest.MonkeyPatch, number: int, error: Exception) -> None:
    """Make the drawing of one window fail."""
    drawn = WindowDataset.drawn

    def broken(dataset: WindowDataset, k: int, index: int) -> Any:
        if k == number:
            raise error
        return drawn(dataset, k, index)

    patch.setattr(WindowDataset, "drawn", broken)


def test_the_rate_rises_then_falls_as_a_cosine_to_one_percent() -> None:
    assert [schedule(step, CONFIG) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert schedule(10, CONFIG) == pytest.approx(1.0)
    assert schedule(55, CONFIG) == pytest.approx(0.01 + 0.99 / 2)
    assert schedule(100, CONFIG) == pytest.approx(0.01)
    assert schedule(0, replace(CONFIG, warmup=0.0)) == 1.0


def state_of(config: StageConfig) -> FitState:
    torch.manual_seed(0)
    fabric = Fabric(accelerator="cpu", devices=1)
    return begin(fabric, tiny(), "face", config, build_net(tiny().net))


def test_the_average_is_a_moving_one_and_leaves_whole_numbers_alone() -> None:
    state = state_of(replace(CONFIG, ema=0.9995))  # by which 3 becomes 2.9999998
    name = "net.emotion.fusion.classify.2.bias"
    parameter = dict(state.net.module.named_parameters())[name]
    index = state.ema.module.get_buffer("net.emotion.swinface.backbone.stages.0.0.attn.index")
    before, expected = index.clone(), 0.0
    for step, value in enumerate((1.0, 3.0, -2.0)):
        nn.init.constant_(parameter, value)
        state.ema.update_parameters(state.net)
        expected = value if step == 0 else 0.9995 * expected + 0.0005 * value
    average = dict(state.ema.module.named_parameters())[name]
    torch.testing.assert_close(average, torch.full_like(average, expected))
    assert torch.equal(index, before)
    assert before.max() > 3


def test_the_best_score_counts_and_without_one_the_last_weights() -> None:
    state = state_of(CONFIG)
    verdicts = [state.judge({"score": score}) for score in (0.5, 0.4, 0.5, 0.6, 0.1)]
    assert verdicts == [True, False, False, True, False]  # equal is not better
    assert (state.best, state.worse, state.last) == (0.6, 1, {"score": 0.1})
    unjudged = state_of(CONFIG)
    for unjudged.step in (3, 6, 9):
        assert unjudged.judge({})


def test_what_nobody_judged_has_no_best_score(tmp_path: Path) -> None:
    store = write_tiny_store(tmp_path / "store", tiny(), VIDEOS[:2])  # none for validation
    assert main(fit_arguments(store, tmp_path / "run", "face", steps=2, eval_every=1)) == 0
    result = json.loads((tmp_path / "run/face/result.json").read_text())
    assert result == {"steps": 2, "best": None, "last": {}}


def test_a_stage_that_gets_no_better_stops_early_and_is_left_alone_then(
    store: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = fit_arguments(store, tmp_path / "run", "rgb", lr=1e-30, patience=2, steps=60)
    assert main(arguments) == 0
    result = json.loads((tmp_path / "run/rgb/result.json").read_text())
    assert result["steps"] == 9  # the first evaluation, and two that were not better
    assert json.loads((tmp_path / "run/rgb/metrics.json").read_text())["step"] == 3
    assert "rgb: 9 steps; micro_gesture/top1" in capfd.readouterr().out
    before = tmp_path / "before"
    shutil.copytree(tmp_path / "run", before)
    (tmp_path / "run/rgb/result.json").unlink()  # as if it had ended just before writing it
    for _ in range(2):
        assert main(arguments) == 0
        assert same_run(tmp_path / "run", before, "rgb")


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_branch_learns_what_was_drawn_and_shows_how(
    store: Path, tmp_path: Path, precision: str
) -> None:
    arguments = fit_arguments(store, tmp_path / "run", "face", steps=40, lr=1e-2, eval_every=20)
    assert main([*arguments, "--precision", precision]) == 0
    metrics = json.loads((tmp_path / "run/face/metrics.json").read_text())
    assert metrics["emotion/balanced"] > 0.9
    best = torch.load(tmp_path / "run/face/best.pt", weights_only=True)["state_dict"]
    assert {value.dtype for value in best.values()} == {torch.float32, torch.int64}
    curves = EventAccumulator(str(tmp_path / "run/face")).Reload()
    losses, scores = curves.Scalars("loss"), curves.Scalars("score")
    assert [point.step for point in losses] == [1, 21]
    assert losses[1].value < math.log(2) / 2  # of one who guesses: the first step may have luck
    assert [point.step for point in scores] == [20, 40]
    assert max(point.value for point in scores) == pytest.approx(metrics["score"])


def test_fusion_begins_with_what_the_branches_have_learnt(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = fit_arguments(store, out, "pose", "rgb", "face", steps=2, eval_every=2)
    fusing = fit_arguments(store, out, "fusion", steps=1, eval_every=1, lr=1e-30, weight_decay=0)
    _, changes = arguments[: arguments.index("--set")], fusing[fusing.index("--set") + 1 :]
    stages = arguments.index("--workers")
    arguments = [*arguments[:stages], "fusion", *arguments[stages:], *changes]
    assert main(arguments) == 0
    fused = torch.load(out / "fusion/best.pt", weights_only=True)["state_dict"]
    for stage, prefix in (("pose", "micro_gesture."), ("rgb", "trunk."), ("face", "emotion.")):
        branch = torch.load(out / stage / "best.pt", weights_only=True)["state_dict"]
        names = [n for n in branch if n.startswith(prefix) and branch[n].is_floating_point()]
        names = [n for n in names if "running" not in n]
        assert len(names) > 20
        for n in names:  # Adam makes a step of the rate, 1e-30, whatever the gradient
            torch.testing.assert_close(fused[n], branch[n], atol=1e-20, rtol=0)


@pytest.mark.parametrize("is_augmented", [True, False])
def test_a_run_that_broke_off_goes_on_to_the_same_bits(
    store: Path,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_augmented: bool,
) -> None:
    expected = undisturbed
    if not is_augmented:
        monkeypatch.setattr(train.draws, "Augmentation", lambda: None)
        expected = tmp_path / "expected"
        assert main(fit_arguments(store, expected, "fusion")) == 0
        assert not same_run(expected, undisturbed, "fusion")
    arguments = fit_arguments(store, tmp_path / "run", "fusion")
    with monkeypatch.context() as patch:
        fail_at(patch, 7 * BATCH + 1, RuntimeError("power cut"))
        with pytest.raises(RuntimeError, match="power cut"):
            main(arguments)
    state = torch.load(tmp_path / "run/fusion/last.ckpt", weights_only=True)
    assert state["step"] == 6  # the last evaluation before
    assert main(arguments) == 0
    assert same_run(tmp_path / "run", expected, "fusion")
    curves = EventAccumulator(str(tmp_path / "run/fusion")).Reload()
    assert [point.step for point in curves.Scalars("score")] == [3, 6, 9]


def disturbed(arguments: list[str], tmp_path: Path, *before: str, **env: str) -> tuple[int, str]:
    """Exit code and stderr of a fit in a process group of its own."""
    out = subprocess.run(
        [sys.executable, *before, "-m", "tests.train.disturbed_fit", *arguments],
        cwd=PROJECT, env=os.environ | env, capture_output=True, text=True, timeout=200,
        check=False, start_new_session=True,
    )  # fmt: skip
    return out.returncode, out.stderr


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_to_all_processes_ends_the_workers_too_and_the_run_goes_on_to_the_same_bits(
    store: Path, undisturbed: Path, tmp_path: Path, name: str
) -> None:
    """Ctrl-C, `timeout` and schedulers send it to the whole group."""
    arguments = fit_arguments(store, tmp_path / "run", "fusion")
    workers = arguments.index("--workers") + 1
    with_worker = [*arguments[:workers], "1", *arguments[workers + 1 :]]
    code, error = disturbed(with_worker, tmp_path, TELLS_TEST_SIGNAL_AT=f"{name}:{4 * BATCH + 1}")
    assert code == 130, error
    assert "Stopped: the same command goes on from there" in error
    assert "Traceback" not in error
    state = torch.load(tmp_path / "run/fusion/last.ckpt", weights_only=True)
    assert 0 < state["step"] < 9
    assert not (tmp_path / "run/fusion/result.json").exists()
    assert main(arguments) == 0
    assert same_run(tmp_path / "run", undisturbed, "fusion")


@pytest.mark.slow
def test_torchrun_shares_out_what_is_drawn(store: Path, tmp_path: Path) -> None:
    draws = tmp_path / "draws"
    draws.mkdir()
    arguments = fit_arguments(store, tmp_path / "run", "fusion", steps=4, eval_every=2)
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    code, error = disturbed(
        [*arguments, "--devices", "2"], tmp_path, *torchrun, TELLS_TEST_DRAWS=str(draws)
    )
    assert code == 0, error
    parts = [
        {int(line) for line in file.read_text().split() if int(line)} for file in draws.iterdir()
    ]  # draw 0 is also what validation says
    assert len(parts) == 2
    assert not parts[0] & parts[1]
    assert parts[0] | parts[1] == set(range(1, 4 * BATCH))
    result = json.loads((tmp_path / "run/fusion/result.json").read_text())
    assert result["steps"] == 4
    assert 0 <= result["best"] <= 1
    assert set(torch.load(tmp_path / "run/fusion/best.pt", weights_only=True)["state_dict"]) == set(
        build_net(tiny().net).state_dict()
    )


def test_a_full_disk_is_one_line_and_with_more_room_the_run_goes_on_to_the_same_bits(
    store: Path, undisturbed: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "small"
    out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", str(out)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a small disk here")
    try:
        arguments = fit_arguments(store, out / "run", "fusion")
        assert main(arguments) == 2
        line = last_line(capfd.readouterr().err)
        assert "cannot be written (No space left on device); make room" in line
        assert torch.load(out / "run/fusion/last.ckpt", weights_only=True)["step"] == 3
        assert not [path for path in out.rglob("*") if path.name.endswith(".partial")]
        subprocess.run(["mount", "-o", "remount,size=16M", str(out)], check=True)
        assert main(arguments) == 0
        assert same_run(out / "run", undisturbed, "fusion")
    finally:
        subprocess.run(["umount", str(out)], check=True)


def test_a_loss_that_is_not_finite_ends_the_run_in_one_line(
    store: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = fit_arguments(store, tmp_path / "run", "face", lr=1e30, eval_every=1)
    assert main(arguments) == 2
    assert "is not finite at step" in last_line(capfd.readouterr().err)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_what_a_worker_finds_broken_is_one_line(
    store: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "store"
    shutil.copytree(store, broken)
    for shard in (broken / "shards").iterdir():
        shard.unlink()
    arguments = fit_arguments(broken, tmp_path / "run", "face")
    arguments[arguments.index("--workers") + 1] = "1"
    assert main(arguments) == 2
    line = last_line(capfd.readouterr().err)
    assert line.startswith(f"train: {broken}/shards/")
    assert "No such file" in line

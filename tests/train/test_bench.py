"""Runtimes beside torch in one run: what is measured, written and drawn."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import train.bench
from engines.bundle import Bundle, load_bundle
from engines.errors import RuntimeUnavailable
from tests.engines.tiny_bundle import write_tiny_bundle
from train.__main__ import main
from train.bench import Comparison, Row, compare, plot
from train.export import ExportOptions, draft_manifest
from train.models.pixels import Normalise
from train.recipes import demo, fed_floats


class TwoTasks(nn.Module):
    """A network with the tiny bundle's inputs and outputs: 5 x 34 products a window."""

    def __init__(self) -> None:
        super().__init__()
        self.gesture, self.emotion = nn.Linear(5, 32), nn.Linear(5, 2)

    def forward(self, **feeds: Tensor) -> tuple[Tensor, Tensor]:
        flat = [x.float().flatten(1) for x in feeds.values()]  # pictures are bytes
        means = torch.cat([x.mean(dim=1, keepdim=True) for x in flat], dim=1)
        return self.gesture(means), self.emotion(means)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture
def _two_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train.bench, "_net", lambda bundle, checkpoint: TwoTasks())


@pytest.mark.usefixtures("_two_tasks")
def test_every_way_is_timed_at_every_batch_size(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["bench", str(tiny), "--device", "ort", "cpu", "ort-cuda:7", "--batches", "1", "3"]
    assert main([*command, "--seconds", "0.01", "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "bench.json").read_text(encoding="utf-8"))
    ways = [w.split()[0] for w in dict.fromkeys(row["way"] for row in found["rows"])]
    assert ways[:2] == ["ONNX", "OpenVINO"]
    assert set(ways[2:]) == {"torch"}
    assert [row["batch"] for row in found["rows"]] == [1, 3] * len(ways)
    for row in found["rows"]:
        assert row["calls"] >= 1
        assert 0 < row["p50_ms"] <= row["p95_ms"]
        assert row["windows_per_s"] == pytest.approx(row["batch"] / row["p50_ms"] * 1e3)
    assert [a["agreement"] for a in found["agreements"]] == [1.0, 1.0]
    assert [a["device"] for a in found["absent"]] == ["ort-cuda:7"]
    assert found["gflop"] == 2 * 5 * 34 / 1e9
    assert "torch eager fp32" in capsys.readouterr().out


def test_the_plot_has_a_line_for_each_way(tmp_path: Path) -> None:
    def drawn(*ways: str) -> int:
        rows = tuple(
            Row(w, b, 9, b + i, b + i, 1.0 + i) for i, w in enumerate(ways) for b in (1, 4)
        )
        plot(Comparison("b", "CPU", None, "random", rows, (), (), 1.0, None), tmp_path / "plot.png")
        image = cv2.imread(str(tmp_path / "plot.png"))
        assert image is not None
        return int(np.count_nonzero(image.min(axis=2) < image.max(axis=2)))

    assert drawn("torch eager") > 500
    assert drawn("torch eager", "TensorRT") > 1.3 * drawn("torch eager")


def test_each_row_says_its_share_of_the_peak() -> None:
    rows = (Row("a", 1, 9, 1, 1, 1000.0), Row("b", 8, 9, 1, 1, 2000.0))
    on_gpu = Comparison("b", "CPU", "GPU", "random", rows, (), (), 100.0, 800.0)
    assert [row["share_of_peak"] for row in json.loads(on_gpu.to_json())["rows"]] == [0.125, 0.25]
    assert "2000.0    25.0%" in on_gpu.to_table()
    assert "800 TFLOP/s" in on_gpu.to_table()
    on_cpu = replace(on_gpu, gpu=None, matmul_tflops=None)
    assert "%" not in on_cpu.to_table()


@pytest.mark.usefixtures("_two_tasks")
def test_without_any_device_torch_is_timed_all_the_same(tiny: Path) -> None:
    for devices in (["ort-cuda:7"], ["ort-cuda:7", "cuda:7"]):
        found = compare(tiny, devices, batches=[1], seconds=0.01)
        assert [a.device for a in found.absent] == devices
        assert {row.way.split()[0] for row in found.rows} == {"torch"}
    with pytest.raises(RuntimeUnavailable, match="'cuba'"):
        compare(tiny, ["cuba"], batches=[1], seconds=0.01)


class Fragile(TwoTasks):
    """Has no room for four windows."""

    def forward(self, **feeds: Tensor) -> tuple[Tensor, Tensor]:
        if len(feeds["pose"]) == 4:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")
        return super().forward(**feeds)


def test_what_fails_takes_no_figure_with_it(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(train.bench, "_net", lambda bundle, checkpoint: Fragile())
    kept: list[Comparison] = []
    found = compare(tiny, ["ort"], batches=[1, 4], seconds=0.01, keep=kept.append)
    assert [row.batch for row in found.rows] == [1, 4, 1, 1]
    assert [(a.device, a.why) for a in found.absent] == [
        ("torch eager fp32 CPU", "CUDA out of memory."),
        ("torch eager bf16 CPU", "CUDA out of memory."),
    ]
    numbers = [len(k.rows) for k in kept]
    assert numbers == sorted(numbers)
    assert set(numbers) == {0, 1, 2, 3, 4}


def test_a_bundle_whose_recipe_is_not_ours_is_refused(tiny: Path) -> None:
    with pytest.raises(RuntimeUnavailable, match=r"recipe 'tiny' that this version .* export it"):
        compare(tiny, ["ort"], batches=[1], seconds=0.01)
    assert load_bundle(tiny).manifest.source.recipe == "tiny"


def test_a_bundle_of_old_has_torch_beside_it_as_well() -> None:
    """The recipe is fed bytes now; a bundle that is fed floats is still its own."""
    recipe = demo()
    for asked, fed in ((recipe, Normalise), (fed_floats(recipe), nn.Identity)):
        manifest = draft_manifest(asked, ExportOptions(out=Path()))
        assert isinstance(train.bench._net(Bundle(Path(), manifest), None).pixels, fed)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--batches", "0", "--batches: expected 1 to 1024, got 0"),
        ("--batches", "1025", "--batches: expected 1 to 1024, got 1025"),
        ("--seconds", "0", "--seconds: expected seconds above 0, got 0.0"),
        ("--seconds", "inf", "--seconds: expected seconds above 0, got inf"),
        ("--seconds", "nan", "--seconds: expected seconds above 0, got nan"),
    ],
)
def test_impossible_arguments_are_one_line(
    tiny: Path, option: str, value: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(tiny), option, value]) == 2
    assert capsys.readouterr().err == f"train: {said}\n"


@pytest.mark.usefixtures("_two_tasks")
def test_options_that_are_repeated_add_up(tiny: Path, tmp_path: Path) -> None:
    command = ["bench", str(tiny), "--device", "ort", "--device", "ort-cuda:7", "--batches", "1"]
    assert main([*command, "--batches", "3", "--seconds", "0.01", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert [row["batch"] for row in found["rows"][:2]] == [1, 3]
    assert found["rows"][0]["way"].startswith("ONNX")
    assert [a["device"] for a in found["absent"]] == ["ort-cuda:7"]


def test_where_nothing_can_be_written_nothing_is_timed(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "out" / "bench.png").mkdir(parents=True)
    for out, said in (
        ("file", "file: expected a folder to write to, got a file"),
        ("file/out", "out: cannot be written (Not a directory)"),
        ("out", "bench.png: expected a file to write, got a folder"),
    ):
        assert main(["bench", str(tiny), "--device", "ort", "--out", str(tmp_path / out)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1  # no figure before it
        assert said in error
    assert main(["bench", str(tmp_path / "none"), "--out", str(tmp_path / "new")]) == 2
    assert not (tmp_path / "new").exists()

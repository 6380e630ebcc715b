import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engines.__main__ import main
from tests.conftest import PROJECT
from tests.engines.tiny_bundle import write_tiny_bundle
from train.labels import MICRO_GESTURES


def test_info_says_what_the_bundle_is_and_that_it_is_untrained(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(tiny)]) == 0
    text = capsys.readouterr().out
    assert "UNTRAINED" in text
    assert "tiny 0.1" in text
    assert "window      1 s" in text
    assert "quality not measured" in text
    for name in (*MICRO_GESTURES, "negative", "positive", "pose_landmark_full"):
        assert name in text
    assert "31  Illustrative body language  (nothing to report)" in text


def test_info_gives_the_measured_quality_of_a_trained_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metric = {"task": "emotion", "split": "test", "n": 104, "macro_f1": None, "ece": 0.1}
    folder = write_tiny_bundle(
        tmp_path / "b", source={"data": "iMiGUE train"}, metrics=[{**metric, "top1": 0.55}]
    )
    assert main(["info", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "UNTRAINED" not in text
    assert "fitted on iMiGUE train" in text
    assert "measured on test, n = 104: top-1 0.550, ECE 0.100" in text


@pytest.mark.parametrize("device", ["auto", "ort"])
def test_verify_says_ok(tiny: Path, device: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tiny), "--device", device]) == 0
    assert "ok: the runtime reproduces torch" in capsys.readouterr().out


def test_verify_exits_1_where_the_runtime_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_tiny_bundle(tmp_path / "b", golden={"atol": 1e-12, "rtol": 0.0})
    assert main(["verify", str(folder), "--device", "ort"]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_bench_prints_a_table_or_json(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", str(tiny), "--repeats", "2", "--batches", "1", "2"]
    assert main(command) == 0
    assert "windows/s" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["throughputs"]) == 2


def test_a_process_ends_with_one_line_and_exit_code_2(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "engines", "info", str(tmp_path / "nowhere")],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("engines: ")
    assert result.stderr.count("\n") == 1


def test_errors_are_one_line_and_exit_2(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = shutil.copytree(tiny, tmp_path / "damaged")
    (damaged / "model.onnx").write_bytes(b"")
    unknown = write_tiny_bundle(tmp_path / "unknown", window={"hop_s": 1.0})
    cases = [
        (["info", str(tmp_path / "nowhere")], "expected a bundle's folder, found nothing there"),
        (["verify", str(damaged)], "the file was changed or damaged"),
        (["info", str(unknown)], "window.hop_s: is not a known key"),
        (
            ["bench", str(tiny), "--device", "gpu"],
            "expected auto, cpu (OpenVINO), ort (ONNX Runtime), cuda:0",
        ),
    ]
    for arguments, message in cases:
        assert main(arguments) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert message in printed.err
        assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["info"],
        ["bench", "b", "--repeats", "0"],
        ["bench", "b", "--seconds", "nan"],
        ["verify", "b", "--precision", "int8"],
    ],
)
def test_impossible_arguments_exit_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2

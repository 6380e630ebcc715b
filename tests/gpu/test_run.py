"""The one command for a GPU machine, as far as a machine without one goes; and its honesty."""

import json
import os
import subprocess
from pathlib import Path

from tests.conftest import PROJECT
from tests.gpu.report import goals, main

RUN = PROJECT / "tests" / "gpu" / "run.sh"


def test_without_a_gpu_nothing_is_said_to_have_run(tmp_path: Path) -> None:
    subprocess.run(["bash", "-n", str(RUN)], check=True)
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run(
        ["bash", str(RUN), str(tmp_path / "out")],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 3
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert (report["gpu"], report["passed"], report["ran"]) == (None, False, ["gpu"])
    assert set(report["not_run"]) >= {"install", "tests", "export", "compile", "verify", "bench"}
    assert "not run: bench: there is no GPU" in result.stdout
    assert "--device cpu" in report["steps"][0]["last_lines"][0]


def test_the_report_says_what_failed_and_what_did_not_run(tmp_path: Path) -> None:
    for name, text in (("gpu", "Fake GPU"), ("tests", "12 passed"), ("verify", "FAILED")):
        (tmp_path / f"{name}.log").write_text(text + "\n")
    (tmp_path / "cameras.log").write_text('noise\n{"age_p95_ms": 12.5}\n')
    out = str(tmp_path)
    main(["step", out, "gpu", "0", "1", "find"])
    main(["step", out, "tests", "0", "60", "pytest"])
    main(["skip", out, "install", "PYTHON names an environment"])
    main(["finish", out])
    assert json.loads((tmp_path / "report.json").read_text())["passed"] is True
    main(["step", out, "verify", "1", "5", "verify"])
    main(["finish", out])
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["gpu"], report["passed"]) == ("Fake GPU", False)
    assert (report["ran"], report["failed"]) == (["gpu", "tests", "verify"], ["verify"])
    assert report["not_run"] == {"install": "PYTHON names an environment"}
    assert (report["cameras"], report["bench"]) == ({"age_p95_ms": 12.5}, None)


def test_goals_are_of_tensorrt_alone_and_what_was_not_measured_is_not_met() -> None:
    assert {goal["met"] for goal in goals(None, None)} == {None}

    def row(way: str, batch: int, ms: float, share: float | None) -> dict[str, object]:
        return {"way": way, "batch": batch, "p50_ms": ms, "share_of_peak": share}

    rows = [
        row("TensorRT 11.4 fp16 on H200", 1, 2.0, 0.1),
        row("TensorRT 11.4 fp16 on H200", 32, 20.0, 0.3),
        row("ONNX Runtime CUDA fp16 on H200", 1, 1.0, 0.9),
        row("torch eager fp32 GPU", 1, 14.0, 0.01),
        row("torch eager bf16 GPU", 1, 10.0, 0.01),
    ]
    agreements = [
        {"way": "TensorRT 11.4 fp16 on H200", "agreement": 1.0},
        {"way": "ONNX Runtime CUDA fp16 on H200", "agreement": 0.5},
    ]
    cameras = {"runtime": "TensorRT 11.4 fp16 on H200", "age_p95_ms": 61.0}
    found = goals({"rows": rows, "agreements": agreements}, cameras)
    assert [goal["got"] for goal in found] == [2.0, 7.0, 5.0, None, 0.3, 1.0, 61.0]
    assert [goal["met"] for goal in found] == [True, True, False, None, True, True, False]
    other = goals({"rows": rows[2:], "agreements": []}, cameras | {"runtime": "ONNX Runtime CUDA"})
    assert {goal["met"] for goal in other} == {None}

"""What `run.sh` did: steps as they happen, `report.json` at the end. Standard library only."""

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

_LAST_LINES = 40
_GPU_PACKAGES = ("torch", "tensorrt", "pycuda", "cuda-bindings", "onnxruntime-gpu", "onnxruntime")


def main(arguments: list[str]) -> int:
    """`gpus | step | skip | code | finish OUT ...`; returns the exit code."""
    verb, folder, *rest = arguments
    out = Path(folder)
    if verb == "gpus":
        return _show_gpus()
    if verb == "step":
        name, code, seconds, command = rest
        log = (out / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
        _add(
            out,
            name=name,
            ran=True,
            passed=code == "0",
            exit_code=int(code),
            seconds=int(seconds),
            command=command,
            last_lines=log[-_LAST_LINES:],
        )
    elif verb == "skip":
        name, reason = rest
        _add(out, name=name, ran=False, passed=False, reason=reason)
    elif verb == "code":
        sys.stdout.write("0" if _all_passed(_steps(out)) else "1")
    else:
        _finish(out)
    return 0


def _show_gpus() -> int:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    # Imports nothing but the standard library: nothing is installed yet.
    from engines.errors import RuntimeUnavailable
    from engines.gpu import find_gpus

    try:
        sys.stdout.write("".join(f"{gpu}\n" for gpu in find_gpus()))
    except RuntimeUnavailable as error:
        sys.stdout.write(f"{error}\n")
        return 1
    return 0


def _add(out: Path, **step: Any) -> None:
    with (out / "steps.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(step) + "\n")


def _steps(out: Path) -> list[dict[str, Any]]:
    text = (out / "steps.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _all_passed(steps: list[dict[str, Any]]) -> bool:
    """A step that was left out on purpose says so itself and does not count."""
    return all(step["passed"] for step in steps if step["ran"])


def _finish(out: Path) -> None:
    steps = _steps(out)
    bench, cameras = _json(out / "bench.json"), _last_json(out / "cameras.log")
    report = {
        "gpu": _first_line(out / "gpu.log") if steps[0]["passed"] else None,
        "passed": steps[0]["passed"] and _all_passed(steps),
        "ran": [s["name"] for s in steps if s["ran"]],
        "failed": [s["name"] for s in steps if s["ran"] and not s["passed"]],
        "not_run": {s["name"]: s["reason"] for s in steps if not s["ran"]},
        "revision": _output("git", "rev-parse", "HEAD"),
        "is_changed": bool(_output("git", "status", "--porcelain", "--untracked-files=no")),
        "platform": platform.platform(),
        "packages": _packages(out),
        "goals": goals(bench, cameras),
        "bench": bench,
        "cameras": cameras,
        "steps": steps,
    }
    path = out / "report.json"
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    summary = [f"gpu: {report['gpu'] or 'none'}", f"passed: {', '.join(_passed(steps)) or '-'}"]
    summary += [f"FAILED: {name}" for name in report["failed"]]
    summary += [f"not run: {name}: {why}" for name, why in report["not_run"].items()]
    summary += [
        f"goal {'not measured' if g['met'] is None else 'met' if g['met'] else 'MISSED'}: "
        f"{g['goal']}" + ("" if g["got"] is None else f": {g['got']:.3g}")
        for g in report["goals"]
    ]
    sys.stdout.write("\n" + "\n".join([*summary, str(path)]) + "\n")


def goals(bench: Any, cameras: Any) -> list[dict[str, Any]]:
    """What is asked of TensorRT on an H200 with the full-size `joint` bundle, and what came out.

    Args:
        bench: `bench.json`, or None.
        cameras: what `tests.gpu.cameras` printed, or None.
    """
    rows = bench["rows"] if bench else []
    ours = [row for row in rows if _is_ours(row)]
    agreed = [a["agreement"] for a in (bench or {}).get("agreements", ()) if _is_ours(a)]
    ms = _fastest(ours, batch=1)
    shares = [row["share_of_peak"] for row in ours if row["share_of_peak"] is not None]

    def times_as_fast(way: str) -> float | None:
        other = _fastest([row for row in rows if row["way"].startswith(way)], batch=1)
        return None if ms is None or other is None else other / ms

    is_ours = str((cameras or {}).get("runtime")).startswith("TensorRT")
    asked: list[tuple[str, float | None, float, bool]] = [
        ("ms for one window, at most 3", ms, 3.0, False),
        ("times torch eager fp32, at least 6", times_as_fast("torch eager fp32"), 6, True),
        ("times torch eager bf16, at least 6", times_as_fast("torch eager bf16"), 6, True),
        ("times torch.compile, at least 1.5", times_as_fast("torch.compile"), 1.5, True),
        ("of the bf16 product's rate, at least 0.25", max(shares, default=None), 0.25, True),
        ("of top-1 agrees with torch, 1", min(agreed, default=None), 1.0, True),
        ("ms of age, 95 % of 32 cameras, at most 60", cameras["age_p95_ms"] if is_ours else None,
         60.0, False),
    ]  # fmt: skip
    return [
        {
            "goal": goal,
            "got": got,
            "met": None if got is None else (got >= wanted if is_least else got <= wanted),
        }
        for goal, got, wanted, is_least in asked
    ]


def _is_ours(row: dict[str, Any]) -> bool:
    return str(row["way"]).startswith("TensorRT")


def _fastest(rows: list[dict[str, Any]], *, batch: int) -> float | None:
    return min((row["p50_ms"] for row in rows if row["batch"] == batch), default=None)


def _passed(steps: list[dict[str, Any]]) -> list[str]:
    return [s["name"] for s in steps if s["passed"]]


def _packages(out: Path) -> dict[str, str]:
    python = out / "venv" / "bin" / "python"
    listed = _output(str(python), "-m", "pip", "list", "--format=json") if python.exists() else ""
    found = {p["name"].lower(): p["version"] for p in json.loads(listed or "[]")}
    return {name: found.get(name, "not there") for name in _GPU_PACKAGES} if found else {}


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _last_json(path: Path) -> Any:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((json.loads(x) for x in reversed(lines) if x.startswith("{")), None)


def _first_line(path: Path) -> str:
    return path.read_text(encoding="utf-8").splitlines()[0]


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

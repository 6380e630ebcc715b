"""The wheel: it holds all that the demo needs, and the demo runs from it elsewhere."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest

from realtime.perception.models import PerceptionModels
from tests.conftest import PROJECT, missing


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), "."]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    if run.returncode:
        missing("MODELS", f"no wheel can be built here: {run.stderr.splitlines()[-1:]}")
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_every_tracked_file_of_its_packages(wheel: Path) -> None:
    run = subprocess.run(
        ["git", "ls-files", "engines", "realtime", "train", "assets"],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if run.returncode:
        pytest.skip("not a git checkout")
    tracked = set(run.stdout.split("\n")) - {""}
    assert tracked <= set(zipfile.ZipFile(wheel).namelist())


def test_the_demo_runs_from_the_wheel(
    wheel: Path, tmp_path: Path, perception_models: PerceptionModels
) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site),
         str(wheel)],
        check=True, capture_output=True,
    )  # fmt: skip
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "realtime", "demo", "--no-browser", "--port", str(port)],
        cwd=elsewhere, env={**os.environ, "PYTHONPATH": str(site)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert f"127.0.0.1:{port}" in said, said
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as page:
            assert "Tells" in page.read().decode()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0
    code = "import realtime; print(realtime.__file__)"
    where = subprocess.run(
        [sys.executable, "-c", code], cwd=elsewhere, env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert Path(where.strip()).is_relative_to(site)

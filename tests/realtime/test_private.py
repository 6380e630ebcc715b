"""Nothing leaves the machine: every process of a run is watched at its system calls."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import PROJECT, missing

# connect(), sendto() and sendmsg() to an internet address, as strace prints them.
_ADDRESS = re.compile(
    r"(connect|sendto|sendmsg|sendmmsg)\(.*?sin6?_port=htons\((\d+)\).*?"
    r'(?:inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)")'
)
_LOOPBACK = re.compile(r"127\.|::1$|::ffff:127\.")


@pytest.fixture(scope="module")
def strace() -> str:
    """A strace that works here."""
    path = shutil.which("strace")
    if path is None:
        missing("ISOLATION", "strace is not installed")
    if subprocess.run([path, "true"], capture_output=True, check=False).returncode != 0:
        missing("ISOLATION", "strace may not trace here")
    return path


def contacted(log: Path) -> set[str]:
    """The addresses outside this machine that any process of the run talked to."""
    text = log.read_text(encoding="utf-8", errors="replace")
    found = {v4 or v6 for _, _, v4, v6 in _ADDRESS.findall(text)}
    return {address for address in found if not _LOOPBACK.match(address)}


def watch(
    strace: str, log: Path, *args: str, until: Callable[[], bool] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python ARGS` under strace; with `until`, Ctrl-C it once that is true."""
    command = [strace, "-f", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg"]
    command += ["-s", "64", "-o", str(log), sys.executable, *args]
    process = subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        if until is not None:
            end = time.monotonic() + 120
            while not until() and process.poll() is None:
                assert time.monotonic() < end, "the run did not come up"
                time.sleep(0.2)
            os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=180)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return subprocess.CompletedProcess(command, process.returncode, output, "")


def test_the_watch_sees_what_it_should_see(strace: str, tmp_path: Path) -> None:
    """The test of the tests: a data gram to an address that is reserved for documentation."""
    code = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.connect(('192.0.2.1', 9))"
    watch(strace, tmp_path / "log", "-c", code)
    assert contacted(tmp_path / "log") == {"192.0.2.1"}


def test_analyze_contacts_nobody(strace: str, tmp_path: Path, perception_models: object) -> None:
    log = tmp_path / "log"
    run = watch(
        strace, log, "-m", "realtime", "analyze",
        "test://?fps=12&size=320x240&seconds=3", "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    assert (tmp_path / "out" / "run.json").exists()
    assert contacted(log) == set()


def test_live_contacts_nobody(strace: str, tmp_path: Path, perception_models: object) -> None:
    log = tmp_path / "log"
    run = watch(
        strace, log, "-m", "realtime", "live", "--headless", "--duration", "4",
        "--source", "test://?fps=12&size=320x240&seconds=30",
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    assert contacted(log) == set()


def test_the_page_contacts_nobody(strace: str, tmp_path: Path, perception_models: object) -> None:
    """The demo on its bundled clip, looked at over HTTP while it predicts, then ended by Ctrl-C."""
    log, port = tmp_path / "log", free_port()
    looked: list[int] = []

    def has_been_looked_at() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
                looked.append(page.status)
        except OSError:
            return False
        time.sleep(5)
        return True

    run = watch(
        strace, log, "-m", "realtime", "demo", "--no-browser", "--port", str(port),
        until=has_been_looked_at,
    )  # fmt: skip
    assert looked == [200], run.stdout
    assert run.returncode == 0, run.stdout
    assert contacted(log) == set()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])

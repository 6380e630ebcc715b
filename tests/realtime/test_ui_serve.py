"""`serve` as a program: what it says, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from realtime.errors import PageError, SourceLost
from realtime.ui import SourceChoices
from tests.conftest import PROJECT
from tests.realtime.broadcast import dial, fake_page, hear, sign_in

ENDS_S = 5.0
"""2 s are promised; on a machine that was busy with a training it took 3.7 s."""

PROGRAM = """
import sys
from tests.realtime import broadcast
from realtime.config import Config
from realtime.ui import page

session = broadcast.FakeSession([broadcast.page_manifest()])
session.lineup = type("", (), {"config": Config()})
page._media = lambda *_, **__: broadcast.echo_media(session)
host = "0.0.0.0" if "network" in sys.argv else "127.0.0.1"
auth = ("ada", "let me in") if "auth" in sys.argv else None
choices, port, share = broadcast.CHOICES, int(sys.argv[1]), "share" in sys.argv
page.serve(session, sources=choices, host=host, port=port, share=share, auth=auth)
"""


@contextmanager
def program(folder: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """`serve` in a process that can reach this machine only, as far as Gradio's client goes."""
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    own = {"NO_PROXY": "127.0.0.1,localhost", "TMPDIR": str(folder), "HF_HOME": str(folder / "hf")}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=PROJECT, env=os.environ | nowhere | own, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ends(process: "subprocess.Popen[str]", number: signal.Signals) -> tuple[float, str, str]:
    """Seconds until the process has ended after the signal, what else it said, and its errors."""
    start = time.monotonic()
    process.send_signal(number)
    out, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    return time.monotonic() - start, out, errors


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def addresses() -> set[str]:
    """This machine's, by IPv4 and without loopback; none where it is no Linux, which tells them."""
    said = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False)
    return {address for address in said.stdout.split() if "." in address}


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield int(taken.getsockname()[1])


def test_it_says_one_line_and_ends_on_ctrl_c_with_a_viewer_connected(
    tmp_path: Path, taken_port: int
) -> None:
    with program(tmp_path, str(taken_port)) as process:
        line = first_line(process)
        url = line.split()[3].removesuffix(";")
        assert line == f"Tells is on {url} (port {taken_port} was taken); Ctrl-C ends it.\n"
        with dial(url) as viewer:
            hear(viewer, "state")
            took_s, out, errors = ends(process, signal.SIGINT)
    assert took_s < ENDS_S
    assert (out, errors) == ("", "")
    # Nothing that was shown is left behind.
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_on_the_network_it_names_an_address_and_warns_where_there_is_no_login(
    tmp_path: Path,
) -> None:
    with program(tmp_path, "0", "network") as process:
        url = first_line(process).split()[3].removesuffix(";")
        line = first_line(process)
        assert line.startswith("Warning: anybody on the network can watch, and nobody can choose")
        assert "--auth USER:PASSWORD" in line
        if known := addresses():  # Other devices seldom know this machine's name.
            assert urlsplit(url).hostname in known
        with dial(url) as viewer:
            assert not hear(viewer, "hello")["may_choose"]
    with program(tmp_path, "0", "network", "auth") as process:
        url = first_line(process).split()[3].removesuffix(";")
        with dial(url, cookie=sign_in(url, "ada", "let me in")) as viewer:
            assert hear(viewer, "hello")["may_choose"]
        assert ends(process, signal.SIGTERM)[1:] == ("", "")


def test_without_the_tunnel_it_says_so_and_stays_up_locally_behind_a_made_up_password(
    tmp_path: Path,
) -> None:
    with program(tmp_path, "0", "share") as process:
        url = first_line(process).split()[3].removesuffix(";")
        line = first_line(process)
        assert line.startswith("No share link: Gradio's tunnel cannot be had;")
        password = line.split()[-1].removesuffix(".")
        assert len(password) >= 12
        cookie = sign_in(url, "tells", password)
        with dial(url, cookie=cookie) as viewer:
            assert not hear(viewer, "hello")["may_choose"]
        took_s, out, errors = ends(process, signal.SIGTERM)
    assert took_s < ENDS_S
    assert (out, errors) == ("", "")


def test_the_time_out_of_the_settings_is_that_of_the_pages_sources(
    tmp_path: Path, taken_port: int
) -> None:
    code = PROGRAM.replace("Config()", "Config(source_timeout_s=0.5)")
    code = code.replace(
        "broadcast.CHOICES", f"page.SourceChoices(('http://127.0.0.1:{taken_port}',))"
    )
    code = code.replace("page._media = ", "unused = ")
    run = subprocess.run(
        [sys.executable, "-c", code, "0"], cwd=PROJECT, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert "no answer within 0.5 s" in run.stderr.splitlines()[-1]


def test_the_same_time_out_is_that_of_a_browsers_camera() -> None:
    choices = SourceChoices()
    with fake_page(media=None, sources=choices, source_timeout_s=0.2) as (page, _):
        camera = page.hub.media.open_browser()
        with pytest.raises(SourceLost):
            next(camera)


def test_an_address_that_is_not_this_machines_is_one_line() -> None:
    with (
        pytest.raises(PageError, match=r"cannot listen on 192\.0\.2\.1"),
        fake_page(host="192.0.2.1"),
    ):
        pass

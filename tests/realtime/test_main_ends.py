"""How the commands end: when the time is over, when nobody reads, and with stdout closed."""

import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.manifest import PerceptionSpec
from realtime import perception
from realtime.__main__ import main
from realtime.config import Config, load_config
from realtime.errors import ConfigError, PageError
from realtime.live_runs import run_headless
from realtime.log_lines import LogLines
from realtime.perception.models import PerceptionModels
from realtime.perception.pose import PoseEstimator
from realtime.session import LiveSession
from realtime.ui import page
from tests.clips import make_clip
from tests.conftest import PROJECT
from tests.engines.tiny_bundle import write_tiny_bundle
from tests.fakes import ScriptedPerceiver
from tests.realtime.broadcast import fake_page
from tests.realtime.test_main import MODELS, one_line
from tests.realtime.test_perception import SPEC

SOURCE = "test://?fps=30&size=64x64&seconds=4"
MOST = threading.TIMEOUT_MAX
CONFIG = Config(hop_s=0.2, tau_s=0.1, min_s=0.0, gap_s=0.2, state_tau_s=0.1)


@pytest.fixture
def session(tmp_path: Path) -> LiveSession:
    """One whose thresholds are so low that random logits make events come and go."""
    gestures = {"thresholds": {"on": 0.35, "off": 0.3}}
    bundle = write_tiny_bundle(tmp_path / "tiny", outputs=[gestures, {}])

    def perceive(spec: PerceptionSpec) -> ScriptedPerceiver:
        return ScriptedPerceiver(spec, absent=lambda t: 2.0 < t < 2.9)

    return LiveSession([bundle], CONFIG, "cpu", perceive=perceive)


class Gone:
    """A stdout whose reader has gone."""

    def __init__(self) -> None:
        self.num_writes = 0

    def write(self, text: str) -> int:
        self.num_writes += 1
        raise BrokenPipeError(32, "Broken pipe")

    def flush(self) -> None:
        pass


class Terminal(io.StringIO):
    """A stderr that is one until MediaPipe's chatter is held back."""

    is_terminal = True

    def isatty(self) -> bool:
        return self.is_terminal


def program(*arguments: str, **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-m", "realtime", *arguments],
        cwd=PROJECT, text=True, check=False, timeout=120,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options,
    )  # fmt: skip


def test_the_line_of_status_is_there_whatever_mediapipe_does_and_the_log_stands_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()

    def perceive(spec: PerceptionSpec) -> ScriptedPerceiver:
        terminal.is_terminal = False
        logger.warning("a line of the log")
        return ScriptedPerceiver(spec)

    monkeypatch.setattr(sys, "stderr", terminal)
    logger, handler = logging.getLogger("tests.lines"), LogLines()
    logger.addHandler(handler)
    session = LiveSession([write_tiny_bundle(tmp_path / "tiny")], CONFIG, "cpu", perceive=perceive)
    run_headless(session, ["test://?fps=30&size=64x64&seconds=1"], out=None, duration_s=None)
    logger.removeHandler(handler)
    assert "/s  perception " in terminal.getvalue()
    assert "\ra line of the log\n" in terminal.getvalue()


def test_a_recording_goes_on_when_nobody_reads_the_events(
    session: LiveSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, gone = tmp_path / "out", Gone()
    monkeypatch.setattr(sys, "stdout", gone)
    summary, _ = run_headless(session, [SOURCE], out=out, duration_s=None)
    record = json.loads((out / "run.json").read_text())
    assert record["outcome"] == "finished"
    assert record["counts"]["frames"] > 60
    assert record["counts"]["events"] > 1
    assert "annotated.mp4" in summary
    assert gone.num_writes == 1


def test_without_a_recording_it_ends_when_nobody_reads(
    session: LiveSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Gone())
    with pytest.raises(BrokenPipeError):
        run_headless(session, [SOURCE], out=None, duration_s=None)


def test_it_runs_where_stdout_is_closed(
    session: LiveSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    run_headless(session, [SOURCE], out=tmp_path / "out", duration_s=None)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["counts"]["events"] > 1
    page._say("to nobody")


@pytest.mark.skipif(os.name != "posix", reason="closed pipes are reported otherwise elsewhere")
@pytest.mark.parametrize("is_bar_read", [True, False])
def test_analyze_without_a_reader_ends_with_its_folder_and_no_traceback(
    tmp_path: Path, perception_models: PerceptionModels, is_bar_read: bool
) -> None:
    bundle = write_tiny_bundle(tmp_path / "tiny", perception=MODELS)
    clip = make_clip(tmp_path / "clip.mp4", [i / 12 for i in range(6)], size=(320, 240))
    reading, writing = os.pipe()
    os.close(reading)
    out = tmp_path / "out"
    try:
        run = program(
            "analyze", str(clip), "--out", str(out), "--bundle", str(bundle), stdout=writing,
            stderr=subprocess.PIPE if is_bar_read else writing,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert run.returncode == 1, run.stderr
    assert "BrokenPipe" not in (run.stderr or "")
    assert json.loads((out / "run.json").read_text())["outcome"] == "finished"


def test_lines_appear_as_they_are_printed_whatever_is_in_them() -> None:
    code = (
        "import sys; from realtime.__main__ import main\n"
        "main(['live', '--headless'])\n"
        "print('caf\\udce9', sys.stdout.line_buffering)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert run.stdout == "caf? True\n", run.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs a shell that can close stdout")
@pytest.mark.parametrize("closing", [">&-", ""])
def test_a_page_whose_time_is_over_before_it_is_up_ends_well(
    closing: str, tmp_path: Path, perception_models: PerceptionModels
) -> None:
    bundle = write_tiny_bundle(tmp_path / "tiny", perception=MODELS)
    words = [sys.executable, "-m", "realtime", "live", "--source", "test://", "--duration", "0.01"]
    words += ["--no-browser", "--port", "0", "--bundle", str(bundle)]
    run = subprocess.run(
        ["sh", "-c", f'"$@" {closing}', "sh", *words],
        cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "Stopped." not in run.stderr
    assert "Traceback" not in run.stderr
    assert "Exception ignored" not in run.stderr
    assert run.stdout.split(":")[:2] == ([""] if closing else ["Tells is on http", "//127.0.0.1"])


def test_a_clip_that_the_page_records_plays_once(
    tmp_path: Path, perception_models: PerceptionModels
) -> None:
    bundle, out = write_tiny_bundle(tmp_path / "tiny", perception=MODELS), tmp_path / "out"
    run = program(
        "live", "--source", "test://?fps=12&size=64x64&seconds=2", "--duration", "4",
        "--no-browser", "--port", "0", "--bundle", str(bundle), "--out", str(out),
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    record = json.loads((out / "run.json").read_text())
    assert record["outcome"] == "finished"
    assert 1 < record["timings"]["stream_s"] < 2


def test_a_duration_that_no_clock_can_wait_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    for seconds in ("1e10", "inf", "nan", "0"):
        assert main(["live", "--source", "test://", "--duration", seconds]) == 2
        line = one_line(capfd)
        assert f"--duration must be a positive number of seconds, {int(MOST)} at most" in line


@pytest.mark.parametrize(("name", "most"), [("retry_s", MOST), ("source_timeout_s", 2000.0)])
def test_so_long_a_pause_that_no_clock_can_wait_is_refused(name: str, most: float) -> None:
    with pytest.raises(ConfigError, match=name):
        load_config(None, **{name: 2 * most})
    assert getattr(load_config(None, **{name: most}), name) == most


def test_the_longest_time_out_is_one_that_ffmpeg_takes(capfd: pytest.CaptureFixture[str]) -> None:
    for address in ("rtsp://127.0.0.1:9/x", "http://127.0.0.1:9/x"):
        command = ["live", "--headless", "--source", address, "--source-timeout-s", "2000"]
        assert main(command) == 2
        assert "connection refused" in one_line(capfd)


@pytest.mark.parametrize("host", ["127.0.0..1", "a" * 64 + ".local"])
def test_a_host_that_can_be_no_name_is_one_line(host: str) -> None:
    with pytest.raises(PageError, match="name another --host or --port"), fake_page(host=host):
        pass


def test_after_ctrl_c_nothing_is_said_by_what_was_left_half_built() -> None:
    code = (
        "import atexit, os, runpy, sys, realtime.runs\n"
        "def interrupted(*_, **__):\n"
        "    atexit.register(os.write, 2, b'W0000 00:00:1795742072.1 1 x.cc:1] chatter\\n')\n"
        "    raise KeyboardInterrupt\n"
        "realtime.runs.run_analyze = interrupted\n"
        "sys.argv = ['realtime', 'analyze', 'clip.mp4', '--out', 'out']\n"
        "runpy.run_module('realtime', run_name='__main__')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (130, "Stopped.\n")


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_whatever_comes_between_the_models_the_first_is_closed(
    error: type[BaseException],
    perception_models: PerceptionModels,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[str] = []

    class Landmarker(PoseEstimator):
        def close(self) -> None:
            super().close()
            closed.append("pose")

    def fail(model: Path) -> Callable[[], None]:
        raise error

    monkeypatch.setattr(perception, "PoseEstimator", Landmarker)
    monkeypatch.setattr(perception, "FaceFinder", fail)
    with pytest.raises(error):
        perception.Perceiver(SPEC, perception_models)
    assert closed == ["pose"]

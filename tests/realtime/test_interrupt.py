"""Which signals end a run between two frames."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from realtime.interrupt import ended_by_signals
from realtime.output_folder import OUTPUT_FILES
from realtime.perception.models import PerceptionModels
from tests.clips import make_clip
from tests.conftest import PROJECT
from tests.engines.tiny_bundle import write_tiny_bundle
from tests.realtime.test_main import MODELS

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are others elsewhere")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_sets_the_event_and_its_handler_is_restored(name: str) -> None:
    number = getattr(signal, name)
    before = signal.signal(number, signal.default_int_handler)
    try:
        with ended_by_signals() as is_ended:
            assert not is_ended.is_set()
            signal.raise_signal(number)
            assert is_ended.is_set()
        if name != "SIGHUP":
            assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)


def test_a_terminal_that_hangs_up_twice_does_not_disturb_the_finishing_of_files() -> None:
    before = signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        with ended_by_signals():
            signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)  # would raise KeyboardInterrupt
    finally:
        signal.signal(signal.SIGHUP, before)


def test_under_nohup_a_closed_terminal_ends_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals() as is_ended:
            signal.raise_signal(signal.SIGHUP)
            assert not is_ended.is_set()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("command", ["analyze", "live --headless", "live --no-browser --port 0"])
def test_who_presses_ctrl_c_again_and_again_loses_no_file(
    command: str, tmp_path: Path, perception_models: PerceptionModels
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", [i / 12 for i in range(600)], size=(320, 240))
    bundle, out = write_tiny_bundle(tmp_path / "tiny", perception=MODELS), tmp_path / "out"
    name, *options = command.split()
    source = [str(clip)] if name == "analyze" else ["--source", str(clip)]
    process = subprocess.Popen(
        [sys.executable, "-m", "realtime", name, *source, *options,
         "--out", str(out), "--bundle", str(bundle)],
        cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    video, end = out / "annotated.mp4", time.monotonic() + 60
    while not (video.exists() and video.stat().st_size) and time.monotonic() < end:
        time.sleep(0.05)
    while not (out / "events.eaf").exists() and process.poll() is None:
        process.send_signal(signal.SIGINT)  # also while the timeline is drawn
        time.sleep(0.02)
    output, _ = process.communicate(timeout=30)
    assert {p.name for p in out.iterdir()} == set(OUTPUT_FILES), output
    assert json.loads((out / "run.json").read_text())["ended"] is not None

"""The line of status of several cameras."""

import io
import math
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from realtime.config import Config
from realtime.lineup import load_lineup
from realtime.records import Status
from realtime.terminal import Terminal
from tests.engines.tiny_bundle import write_tiny_bundle
from tests.realtime.scene import snapshot

HERE = replace(Status(), connected=True, capture_hz=30.0, perception_hz=29.0, message="")


def test_the_rates_of_a_camera_that_has_ended_are_none_of_now(tmp_path: Path) -> None:
    lineup = load_lineup([write_tiny_bundle(tmp_path / "tiny")], Config())
    with tqdm(bar_format="{desc}", file=io.StringIO()) as line:
        terminal = Terminal(line, lineup, ["door", "desk"])
        late = replace(HERE, prediction_age_s=9.0, message="the pose model is gone")
        terminal.tell("door", snapshot(1.0, status=late))
        terminal.tell("desk", snapshot(1.0, status=replace(HERE, prediction_age_s=math.nan)))
        assert "2 of 2 cameras  capture 60/s" in line.desc
        assert "age 9.00 s" in line.desc
        terminal.end("door")
        terminal.tell("desk", snapshot(2.0, status=replace(HERE, prediction_age_s=0.25)))
        assert "1 of 2 cameras  capture 30/s  perception 29/s" in line.desc
        assert "age 0.25 s" in line.desc
        assert line.desc.endswith("  ok")

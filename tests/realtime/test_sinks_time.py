"""The annotated video's time stamps where the source's make leaps."""

from pathlib import Path

import numpy as np
import pytest

from realtime.records import Image, Snapshot
from realtime.video_sink import VideoSink
from tests.realtime.scene import snapshot
from tests.realtime.test_sinks import coloured, decode


def test_a_source_that_begins_anew_or_changes_size_goes_on_in_the_same_video(
    tmp_path: Path,
) -> None:
    path = tmp_path / "annotated.mp4"

    def draw(shot: Snapshot) -> Image:
        return np.full((97, 161, 3) if shot.frame.t < 50 else (200, 100, 3), 200, np.uint8)

    with VideoSink(path, draw) as sink:
        for t in (100.0, 100.1, 0.0, 0.1):
            sink.write(snapshot(t))
    times, pictures = decode(path)
    assert times == pytest.approx([0, 0.1, 0.1 + 1 / 30, 0.2 + 1 / 30], abs=1e-3)
    assert {p.shape for p in pictures} == {(200, 100, 3)}
    assert pictures[2][100, 50, 0] > 190  # the other size lies in the middle,
    assert pictures[2][5, 50, 0] < 10  # with black borders


@pytest.mark.parametrize("outage_s", [61.0, 23_900.0, 1e6])
def test_a_long_outage_lasts_a_minute_and_what_follows_keeps_its_pace(
    tmp_path: Path, outage_s: float
) -> None:
    """From 2^31 ticks of 1/90000 s on, which are 23 860 s, FFmpeg's muxer lets time stand still."""
    path = tmp_path / "annotated.mp4"
    seconds = [0.0, 0.1, 0.1 + outage_s, 0.2 + outage_s, 0.6 + outage_s]
    with VideoSink(path, coloured) as sink:
        for t in seconds:
            sink.write(snapshot(t))
    times, _ = decode(path)
    assert times == pytest.approx([0, 0.1, 60.1, 60.2, 60.6], abs=1e-3)

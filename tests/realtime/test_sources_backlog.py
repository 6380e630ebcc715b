"""Backlog: a stream that is decoded too slowly stays live, and no other loses a picture."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realtime.sources import NetworkSource, open_source
from realtime.sources.backlog import LATE_S, PATIENCE_S, Backlog
from realtime.sources.container import Video
from tests.clips import make_clip
from tests.rtsp import RtspServers

HZ = 25


class Reader:
    """Reads a camera that sends 25 pictures a second, one in 50 a key frame."""

    def __init__(self) -> None:
        self.backlog = Backlog("camera")
        self.clock = 100.0
        self.delays: list[float] = []

    def read(
        self, stamps: np.ndarray, decode_s: float, *, arrivals: np.ndarray | None = None
    ) -> int:
        """Read packets as they come, or as they were decoded before; how many were left out."""
        before = self.backlog.num_skipped
        for k, stamp in enumerate(stamps):
            due = 100.0 + (stamp if arrivals is None else arrivals[k])
            waited_s = max(0.0, due - self.clock)
            self.clock += waited_s
            is_key = round(stamp * HZ) % 50 == 0 if arrivals is None else k % 50 == 0
            if not self.backlog.skips(float(stamp), self.clock, is_key=is_key, waited_s=waited_s):
                self.delays.append(self.clock - due)
                self.clock += decode_s
        return self.backlog.num_skipped - before


def stamps(seconds: float, first: float = 0.0) -> np.ndarray:
    return first + np.arange(round(seconds * HZ)) / HZ


def test_what_is_decoded_in_time_is_never_left_out() -> None:
    rng = np.random.default_rng(0)
    due = stamps(300)
    jitter = np.maximum.accumulate(due + rng.exponential(0.1, len(due)))
    assert Reader().read(due, 0.02, arrivals=jitter) == 0
    drifting = due * 1.002  # a clock that is 6 s slow in an hour
    assert Reader().read(due, 0.02, arrivals=drifting) == 0


def test_a_connection_that_stalled_is_caught_up_with_without_loss() -> None:
    due = stamps(60)
    stalled = np.where((due > 20) & (due < 24.5), 24.5, due)
    assert Reader().read(due, 0.015, arrivals=stalled) == 0


def test_stamps_that_begin_anew_are_no_delay() -> None:
    reader = Reader()
    assert reader.read(stamps(10, first=500.0), 0.0, arrivals=stamps(10)) == 0
    assert reader.read(stamps(30), 0.0, arrivals=stamps(30, first=10.0)) == 0
    assert reader.read(stamps(30, first=900.0), 0.0, arrivals=stamps(30, first=40.0)) == 0


def test_a_stream_that_is_decoded_too_slowly_stays_live(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reader = Reader()
    skipped = reader.read(stamps(120), 0.06)  # two thirds of what comes
    assert 0.2 < skipped / (120 * HZ) < 0.6
    assert max(reader.delays) < LATE_S + PATIENCE_S + 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # once
    assert "camera comes faster than this machine decodes it" in caplog.text
    assert reader.read(stamps(30, first=120.0), 0.01) < 3 * HZ  # up to the next key frame
    assert not reader.backlog.is_behind


@pytest.mark.parametrize("speed", [0.0, 0.5, 0.9])
def test_stamps_that_run_slowly_are_no_delay(
    speed: float, caplog: pytest.LogCaptureFixture
) -> None:
    reader, due = Reader(), stamps(120)
    assert reader.read(speed * due, 0.015, arrivals=due) == 0
    assert not caplog.records
    assert reader.read(speed * (due + 120), 0.06, arrivals=due + 120) > 0.2 * len(due)
    assert max(reader.delays) < 2 * (LATE_S + PATIENCE_S), "too slow a machine stays live, too"
    arrivals = stamps(60, first=240)
    assert reader.read(speed * arrivals, 0.015, arrivals=arrivals) < 15 * HZ
    assert reader.delays[-1] < LATE_S


def test_of_a_stream_of_key_frames_one_a_second_is_left() -> None:
    backlog, clock, decoded = Backlog("camera"), 0.0, []
    for stamp in stamps(60):
        clock = max(clock, float(stamp))
        if not backlog.skips(float(stamp), clock, is_key=True):
            decoded.append(clock - stamp)
            clock += 0.1
    assert max(decoded) < LATE_S + PATIENCE_S + 1
    assert decoded[-1] < LATE_S + PATIENCE_S


def test_without_stamps_nothing_is_left_out() -> None:
    backlog = Backlog("camera")
    assert not any(backlog.skips(None, 0.5 * k, is_key=k == 0) for k in range(100))


def test_an_rtsp_camera_is_live_however_slowly_it_is_decoded(
    tmp_path: Path, rtsp_server: RtspServers, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    decode = Video._decode_packet

    def slowly(video: Video, packet: Any) -> Iterator[Any]:
        time.sleep(0.08)  # at 30 pictures a second
        yield from decode(video, packet)

    monkeypatch.setattr(Video, "_decode_packet", slowly)
    clip = make_clip(tmp_path / "clip.mp4", [i / 30 for i in range(60)])
    with open_source(rtsp_server(clip), timeout_s=5) as source:
        assert isinstance(source, NetworkSource)
        first = next(source)
        late = []
        while (frame := next(source)).arrived < first.arrived + 15:
            late.append(frame.arrived - first.arrived - (frame.t - first.t))
        assert source.num_dropped > 100
    assert max(late) < LATE_S + PATIENCE_S + 1
    assert late[-1] < max(late)

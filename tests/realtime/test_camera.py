"""A camera's stream time: when it begins, and how it goes on."""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator

import pytest

from engines.manifest import PerceptionSpec
from realtime.config import Config
from realtime.errors import SourceLost
from realtime.feed import EndOfStream
from realtime.session import LiveSession
from tests.engines.tiny_bundle import write_tiny_bundle
from tests.fakes import ScriptedPerceiver, ScriptedSource

LATE_S = 7.0
"""So long after the source was opened comes the first frame: engines were being loaded."""
TIMES = [LATE_S + i / 30 for i in range(40)]


def perceive(spec: PerceptionSpec) -> ScriptedPerceiver:
    return ScriptedPerceiver(spec)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSession]:
    folder = write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")
    with LiveSession([folder], Config(retry_s=0.05), "cpu", perceive=perceive) as session:
        yield session


def seen(session: LiveSession, camera: str) -> list[tuple[int, float]]:
    """(index, t) of the frames that were shown."""
    reader, out = session.reader(camera), []
    with contextlib.suppress(EndOfStream):
        while (snapshot := reader.next(timeout_s=5)) is not None:
            out.append((snapshot.frame.index, snapshot.frame.t))
    return out


@pytest.mark.parametrize(("is_live", "begins"), [(True, 0.0), (False, LATE_S)])
def test_a_cameras_time_begins_with_its_first_frame_and_a_clips_is_its_own(
    session: LiveSession, is_live: bool, begins: float
) -> None:
    source = ScriptedSource(TIMES, pace=lambda _: time.sleep(0.005))
    source.is_live = is_live
    frames = seen(session, session.add_camera(source))
    assert len(frames) > 3
    for index, t in frames:
        assert t == pytest.approx(begins + index / 30)


def test_an_outage_and_its_end_are_both_logged(
    session: LiveSession, caplog: pytest.LogCaptureFixture
) -> None:
    lost = ScriptedSource([*TIMES[:10], SourceLost("scripted: unplugged")])
    with caplog.at_level(logging.WARNING):
        seen(session, session.add_camera(lost, reopen=lambda: ScriptedSource(TIMES)))
    said = [record.getMessage() for record in caplog.records]
    assert said == ["scripted: unplugged", "scripted: is there again after 0 s"]


def test_a_camera_that_is_just_looked_for_ends_without_a_word(
    session: LiveSession, caplog: pytest.LogCaptureFixture
) -> None:
    is_asked, goes_on = threading.Event(), threading.Event()

    def reopen() -> ScriptedSource:
        is_asked.set()
        goes_on.wait(20)
        return ScriptedSource([])

    lost = SourceLost("scripted: unplugged")
    camera = session.add_camera(ScriptedSource([lost]), reopen=reopen)
    assert is_asked.wait(5)
    session.remove_camera(camera)
    goes_on.set()
    assert [record.getMessage() for record in caplog.records] == [str(lost)]


def test_a_paused_clip_stands_still_and_goes_on_where_it_stood(session: LiveSession) -> None:
    source = ScriptedSource([i / 30 for i in range(1000)], pace=lambda _: time.sleep(0.002))
    source.is_live = False
    camera = session.add_camera(source)
    reader = session.reader(camera)
    assert reader.next(5) is not None
    session.pause_camera(camera, is_paused=True)
    while (snapshot := reader.next(0.5)) is not None:
        stood = snapshot.frame
    session.pause_camera(camera, is_paused=False)
    snapshot = reader.next(5)
    assert snapshot is not None
    assert stood.index < snapshot.frame.index < 999
    assert snapshot.frame.t == pytest.approx(snapshot.frame.index / 30)
    session.pause_camera(camera, is_paused=True)
    start = time.monotonic()
    session.remove_camera(camera)
    assert time.monotonic() - start < 2

"""The shared camera, where commands and failures come while it is being opened."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from realtime.errors import SourceError
from realtime.records import Image, Observation
from realtime.ui.pictures import Media
from realtime.ui.stage import Command, Stage, StageState
from tests.fakes import FakeSession, ScriptedSource
from tests.realtime.broadcast import plain, until


class SlowSession(FakeSession):
    """Adds a camera when the test says so, as one does that first opens its perception."""

    def __init__(self) -> None:
        super().__init__(())
        self.is_adding, self.may_add = threading.Event(), threading.Event()

    def add_camera(self, source: Any, *, reopen: Callable[[], Any] | None = None) -> str:
        self.is_adding.set()
        assert self.may_add.wait(5)
        return super().add_camera(source, reopen=reopen)


class EndedSession(FakeSession):
    """Its cameras have ended before anybody reads them."""

    def add_camera(self, source: Any, *, reopen: Callable[[], Any] | None = None) -> str:
        camera = super().add_camera(source, reopen=reopen)
        self.feeds[camera].finish()
        return camera


class ClipSession(FakeSession):
    """Its sources are clips, which can wait."""

    def open_source(self, uri: str) -> ScriptedSource:
        source = super().open_source(uri)
        source.is_live = False
        return source


@contextmanager
def staged(session: FakeSession) -> Iterator[tuple[Stage, list[StageState]]]:
    """A stage, and all states that it has had."""

    def draw(image: Image, _: Observation) -> Image:
        return image

    stage, states = Stage(session, Media(session.open_source, lambda: None, str, draw)), []
    stage.on_change = lambda: states.append(stage.state)
    try:
        yield stage, states
    finally:
        stage.close()


def test_stop_while_a_camera_is_being_added_stays_stopped() -> None:
    session = SlowSession()
    with staged(session) as (stage, states):
        stage.show(Command("0", "Camera 0"))
        assert session.is_adding.wait(5)
        stage.show(Command(None))
        session.may_add.set()
        until(lambda: session.uris == ["0"] and stage.feed is None and not session.feeds)
        time.sleep(0.1)
        assert states == [StageState("opening", "Camera 0"), StageState("stopped")]
        assert not session.feeds


def test_the_last_of_two_starts_is_shown_under_its_own_name() -> None:
    session = SlowSession()
    with staged(session) as (stage, states):
        stage.show(Command("0", "Camera 0"))
        assert session.is_adding.wait(5)
        stage.show(Command("1", "Camera 1"))
        session.may_add.set()
        until(lambda: stage.shown is not None)
        assert list(session.feeds) == ["1"]
        assert states == [
            StageState("opening", "Camera 0"),
            StageState("opening", "Camera 1"),
            StageState("running", "Camera 1"),
        ]


@pytest.mark.parametrize("_", range(5))  # two threads race for the last word
def test_a_camera_that_ends_at_once_is_said_to_have_ended(_: int) -> None:
    with staged(EndedSession(())) as (stage, states):
        stage.show(Command("0", "Camera 0"))
        until(lambda: len(states) == 3)
        assert [state.phase for state in states] == ["opening", "running", "ended"]
        assert stage.state == StageState("ended", "Camera 0", "The clip is over.")


def test_what_is_recorded_is_not_exchanged() -> None:
    session = FakeSession(())
    with staged(session) as (stage, _):
        stage.show(Command("0", "Camera 0"))
        until(lambda: stage.shown is not None)
        session.recorded = {"0"}
        for command in (Command(None), Command("1", "Camera 1")):
            with pytest.raises(SourceError, match="this source is being recorded"):
                stage.show(command)
        assert stage.state.phase == "running"
        session.recorded = set()
        stage.show(Command(None))
        until(lambda: not session.feeds)


def test_whoever_comes_later_is_not_shown_what_the_last_viewer_saw() -> None:
    session = FakeSession(())
    with staged(session) as (stage, _):
        stage.show(Command("0", "Camera 0"))
        until(lambda: stage.shown is not None)
        feed = stage.shown
        assert feed is not None
        feed.join(print)
        session.show(plain(5.0))
        until(lambda: feed.newer(0, 0) is not None)
        feed.leave(print)
        session.show(plain(45.0))
        until(lambda: feed.newer(0, 0) is None)
        feed.join(print)
        until(lambda: feed.newer(0, 0) is not None)
        update = feed.newer(0, 0)
        assert update is not None
        assert update.head["t"] == 45.0


def test_a_clip_that_nobody_watches_or_records_stands_still() -> None:
    session = ClipSession(())
    with staged(session) as (stage, _):
        stage.show(Command("clip.mp4", "A clip"))
        until(lambda: session.paused == {"clip.mp4"})
        assert stage.shown is not None
        stage.shown.join(print)
        until(lambda: not session.paused)
        stage.shown.leave(print)
        until(lambda: session.paused == {"clip.mp4"})
        session.recorded = {"clip.mp4"}
        until(lambda: not session.paused)
        session.recorded = set()
        until(lambda: session.paused == {"clip.mp4"})


@pytest.mark.parametrize(
    ("session", "uri"), [(FakeSession(()), "0"), (ClipSession(()), "HTTP://host/clip.mp4")]
)
def test_cameras_and_servers_are_not_kept_waiting(session: FakeSession, uri: str) -> None:
    with staged(session) as (stage, _):
        stage.show(Command(uri))
        until(lambda: stage.shown is not None)
        time.sleep(0.4)
        assert not session.paused

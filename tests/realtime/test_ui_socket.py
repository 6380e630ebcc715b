"""The live socket over a real server, by a plain client."""

import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from realtime.ui import LivePage, SourceChoices
from realtime.ui.socket import MAX_VIEWERS
from realtime.ui.viewer import FULL, MAX_GUEST_CAMERAS, SIGNED_OUT
from tests.fakes import FakeSession
from tests.realtime.broadcast import (
    CLIP,
    camera_message,
    dial,
    fake_page,
    hear,
    page_manifest,
    plain,
    say,
    see,
    sign_in,
    until,
)  # fmt: skip
from tests.realtime.scene import event


@pytest.fixture(scope="module")
def opened() -> Iterator[tuple[LivePage, FakeSession]]:
    with fake_page() as (page, session):
        yield page, session


@pytest.fixture
def page(opened: tuple[LivePage, FakeSession]) -> LivePage:
    return opened[0]


@pytest.fixture
def session(opened: tuple[LivePage, FakeSession]) -> FakeSession:
    """With the demo clip running, whatever the test before has done."""
    page, session = opened
    with dial(page.url) as socket:
        num_opened = len(session.uris)
        say(socket, "start", kind="demo")
        until(
            lambda: len(session.uris) > num_opened and page.hub.stages[0].state.phase == "running"
        )
    until(lambda: not page.hub.viewers)
    return session


def next_state(socket: ClientConnection, phase: str) -> dict[str, Any]:
    while (state := hear(socket, "state"))["phase"] != phase:
        pass
    return state


def test_a_viewer_hears_what_runs_and_sees_pictures_with_numbers_and_events(
    page: LivePage, session: FakeSession
) -> None:
    with dial(page.url) as socket:
        hello = hear(socket, "hello")
        assert hello["runtime"] == "Fake CPU fp32"
        assert hello["bundles"] == [{"id": page_manifest().id, "untrained": True}]
        assert [task["kind"] for task in hello["tasks"]] == ["events", "state"]
        assert hello["may_choose"]
        assert hear(socket, "state") == {
            "type": "state", "mode": "shared", "phase": "running", "source": "Demo clip",
            "message": "",
            "camera": 0,
        }  # fmt: skip
        session.show(plain(1.0))
        head, image = see(socket)
    assert image.shape == (48, 64, 3)
    assert abs(int(image.mean()) - 10) <= 1
    assert 0.31 <= head["status"]["prediction_age_s"] < 1
    assert head["estimates"][0]["top"][0] == ["Touching jaw", 0.8]


@pytest.mark.parametrize("origin", [None, "http://evil.example", "http://127.0.0.1:1"])
def test_a_foreign_or_missing_origin_is_refused(page: LivePage, origin: str | None) -> None:
    with pytest.raises(InvalidStatus, match="403"), dial(page.url, origin=origin):
        pass


def test_a_slow_viewer_gets_the_newest_picture_and_every_event(
    page: LivePage, session: FakeSession
) -> None:
    with dial(page.url) as socket:
        next_state(socket, "running")
        session.show(plain(1.0))
        see(socket)
        # Not answered yet, so nothing more comes, however much is shown.
        for tenth in range(11, 31):
            session.show(plain(tenth / 10), event(start=tenth / 10))
            time.sleep(0.005)
        time.sleep(0.2)
        with pytest.raises(TimeoutError):
            socket.recv(0.2)
        say(socket, "drawn")
        head, image = see(socket)
        assert head["t"] == 3.0
        assert abs(int(image.mean()) - 30) <= 1
        assert [e["number"] for e in head["events"]] == list(range(1, 21))
        say(socket, "drawn")
        with pytest.raises(TimeoutError):
            socket.recv(0.2)


def test_a_late_viewer_sees_a_lost_camera_with_its_last_picture_and_for_how_long(
    page: LivePage, session: FakeSession
) -> None:
    made = plain(7.0)
    gone = replace(
        made.status, connected=False, lost_since=time.monotonic() - 12, message="unplugged"
    )
    session.show(replace(made, status=gone))
    time.sleep(0.3)
    with dial(page.url) as socket:
        head, image = see(socket)
    assert 12 <= head["status"]["lost_for_s"] < 15
    assert head["status"]["prediction_age_s"] > 0.31 + 0.25
    assert head["status"]["message"] == "unplugged"
    assert image.mean() > 60


def test_stop_and_start_reach_the_session(page: LivePage, session: FakeSession) -> None:
    with dial(page.url) as socket:
        say(socket, "stop")
        next_state(socket, "stopped")
        until(lambda: not session.feeds)
        say(socket, "start", kind="url", value="rtsp://user:secret@host/1")
        state = next_state(socket, "running")
        assert state["source"] == "RTSP://USER:SECRET@HOST/1"  # what the fake `redact` made of it
        assert list(session.feeds) == ["rtsp://user:secret@host/1"]


def test_a_source_that_fails_is_a_state_with_one_line(page: LivePage, session: FakeSession) -> None:
    with dial(page.url) as socket:
        say(socket, "start", kind="clip", value="bad")
        assert next_state(socket, "failed")["message"].startswith("bad: there is no such")
        say(socket, "start", kind="demo")
        next_state(socket, "running")


def test_a_mistyped_address_does_not_show_its_password(
    page: LivePage, session: FakeSession
) -> None:
    """It is taken for a clip's path, or for a camera's number."""
    with dial(page.url) as socket:
        say(socket, "start", kind="clip", value="rtsp:/admin:s3cret@cam")
        assert next_state(socket, "opening")["source"] == "RTSP:/ADMIN:S3CRET@CAM"
        next_state(socket, "running")
        say(socket, "start", kind="camera", value="admin:s3cret@cam")
        assert "s3cret" not in str(hear(socket, "notice"))


@pytest.mark.parametrize("pasted", ['"C:\\clips\\a b.mp4"', " ' C:\\clips\\a b.mp4 ' "])
def test_a_path_may_be_pasted_between_quotes(
    page: LivePage, session: FakeSession, pasted: str
) -> None:
    with dial(page.url) as socket:
        say(socket, "start", kind="clip", value=pasted)
        assert next_state(socket, "opening")["source"] == "a b.mp4"
        next_state(socket, "running")
        assert session.uris[-1] == "C:\\clips\\a b.mp4"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("camera", "two"), ("camera", "../0"), ("url", "host/path"), ("url", "file:///etc/passwd"),
        ("clip", ""), ("clip", "''"), ("clip", "http://host/x"), ("clip", 7),
        ("nonsense", "x"), (None, None),
    ],
)  # fmt: skip
def test_a_request_that_makes_no_sense_is_answered_and_changes_nothing(
    page: LivePage, session: FakeSession, kind: object, value: object
) -> None:
    with dial(page.url) as socket:
        say(socket, "start", kind=kind, value=value)
        assert len(hear(socket, "notice")["text"]) > 20
        assert list(session.feeds) == [CLIP]


def test_junk_does_not_end_the_connection(page: LivePage, session: FakeSession) -> None:
    with dial(page.url) as socket:
        for junk in ("", "{", "[1]", "null", '"x"', '{"type": []}', '{"type": "x"}', "9" * 9999):
            socket.send(junk)
        socket.send(b"")
        socket.send(b"\xff" * 100)
        session.show(plain(2.0))
        see(socket)


def test_a_browsers_camera_is_a_camera_of_its_own_until_its_page_is_left(
    page: LivePage, session: FakeSession
) -> None:
    with dial(page.url) as socket, dial(page.url) as other:
        say(socket, "guest")
        until(lambda: "browser" in session.feeds)
        socket.send(camera_message(5.0))
        hear(socket, "taken")
        head, image = see(socket)
        assert head["t"] == 5.0
        assert abs(int(image.mean()) - 90) <= 2
        socket.send(b"\0" * 2_000_000)
        assert "1000000" in hear(socket, "notice")["text"]
        assert hear(other, "state")["mode"] == "shared"
    until(lambda: list(session.feeds) == [CLIP])


def test_browsers_cameras_and_viewers_are_bounded(page: LivePage, session: FakeSession) -> None:
    with ExitStack() as stack:
        sockets = [stack.enter_context(dial(page.url)) for _ in range(MAX_VIEWERS)]
        for socket in sockets[: MAX_GUEST_CAMERAS + 1]:
            say(socket, "guest")
            hear(socket, "hello")
        assert "which is the most" in hear(sockets[MAX_GUEST_CAMERAS], "notice")["text"]
        surplus = stack.enter_context(dial(page.url))
        with pytest.raises(ConnectionClosed) as ended:
            surplus.recv(3)
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == FULL


def test_with_a_login_the_socket_opens_after_it_and_closes_after_a_logout() -> None:
    with fake_page(auth=("ada", "let me in")) as (page, _):
        for stale in ("", "access-token-x=y"):  # the latter as of before a restart
            with dial(page.url, cookie=stale) as socket, pytest.raises(ConnectionClosed) as ended:
                socket.recv(3)
            assert ended.value.rcvd is not None
            assert ended.value.rcvd.code == SIGNED_OUT
        cookie = sign_in(page.url, "ada", "let me in")
        with dial(page.url, cookie=cookie) as socket:
            hear(socket, "hello")
            request = urllib.request.Request(page.url + "/logout", headers={"Cookie": cookie})
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=10):
                pass
            with pytest.raises(ConnectionClosed) as ended:
                hear(socket, "never")
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == SIGNED_OUT


def test_on_the_network_without_a_login_nobody_chooses_but_everybody_watches() -> None:
    choices = SourceChoices(initial=(CLIP,))
    with fake_page(host="0.0.0.0", sources=choices, emotion=False) as (page, session):
        with dial(f"http://127.0.0.1:{page.url.rsplit(':', 1)[-1]}") as socket:
            hello = hear(socket, "hello")
            assert not hello["may_choose"]
            assert not hello["has_demo"]
            assert hello["cameras"] == ["demo.mp4"]
            assert hello["emotion_off"]
            assert [task["kind"] for task in hello["tasks"]] == ["events"]
            say(socket, "start", kind="url", value="http://10.0.0.1/")
            assert "only the host" in hear(socket, "notice")["text"]
            say(socket, "stop")
            assert "only the host" in hear(socket, "notice")["text"]
            session.show(plain(1.0))
            see(socket)
        assert session.uris == [CLIP]

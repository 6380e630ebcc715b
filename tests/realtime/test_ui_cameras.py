"""A page that was started with several cameras: all at once, or one of them."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from realtime.ui import LivePage, SourceChoices
from tests.fakes import FakeSession
from tests.realtime.broadcast import dial, fake_page, hear, picture, plain, say, see, until
from tests.realtime.scene import event
from tests.realtime.tab import Tab

URIS = ("rtsp://ann:pw@door/1", "rtsp://desk/1", "1")
NAMES = ["RTSP://ANN:PW@DOOR/1", "rtsp://desk/1", "Camera 1"]
"""The fake page writes a redacted address in capitals."""


@pytest.fixture
def opened() -> Iterator[tuple[LivePage, FakeSession]]:
    with fake_page(sources=SourceChoices(initial=URIS)) as (page, session):
        yield page, session


def show(session: FakeSession, camera: str, t: float, *events: Any) -> None:
    session.feeds[camera].record(events)
    session.feeds[camera].publish(plain(t))


def test_all_cameras_run_and_are_shown_by_turns_or_one_alone(
    opened: tuple[LivePage, FakeSession],
) -> None:
    page, session = opened
    assert sorted(session.feeds) == sorted(URIS)
    with dial(page.url) as socket:
        assert hear(socket, "hello")["cameras"] == NAMES
        state = hear(socket, "state")
        assert (state["mode"], state["camera"]) == ("all", None)
        assert [stage["source"] for stage in state["stages"]] == NAMES
        assert {stage["phase"] for stage in state["stages"]} == {"running"}
        seen = set()
        for t, camera in enumerate(URIS):
            show(session, camera, float(t), event(start=t))
        for _ in URIS:
            head, image = see(socket)
            say(socket, "drawn")
            assert abs(int(image.mean()) - 10 * head["t"]) <= 1
            assert [told["number"] for told in head["events"]] == [1]
            seen.add((head["camera"], head["t"]))
        assert seen == {(0, 0.0), (1, 1.0), (2, 2.0)}

        say(socket, "look", camera=1)
        state = hear(socket, "state")
        assert (state["mode"], state["camera"], state["source"]) == ("shared", 1, NAMES[1])
        show(session, URIS[0], 7.0)
        show(session, URIS[1], 8.0)
        while (head := see(socket)[0])["t"] != 8.0:
            assert head["camera"] == 1
            say(socket, "drawn")
        assert head["camera"] == 1
        say(socket, "look", camera=None)
        assert hear(socket, "state")["mode"] == "all"


def test_start_and_stop_are_about_the_camera_that_is_looked_at(
    opened: tuple[LivePage, FakeSession],
) -> None:
    page, session = opened
    with dial(page.url) as socket:
        hear(socket, "state")
        for verb in ("start", "stop"):
            say(socket, verb, kind="initial")
            assert "choose one of the cameras first" in hear(socket, "notice")["text"]
        for camera in (3, -1, "1", 0.5):
            say(socket, "look", camera=camera)
            assert "there is no such camera" in hear(socket, "notice")["text"]
        say(socket, "look", camera=2)
        hear(socket, "state")
        say(socket, "stop")
        while hear(socket, "state")["phase"] != "stopped":
            pass
        until(lambda: sorted(session.feeds) == sorted(URIS[:2]))
        say(socket, "start", kind="initial")
        while (state := hear(socket, "state"))["phase"] != "running":
            pass
        assert state["source"] == NAMES[2]
        assert sorted(session.feeds) == sorted(URIS)


def test_who_may_not_choose_may_look_at_each(opened: tuple[LivePage, FakeSession]) -> None:
    with (
        fake_page(sources=SourceChoices(initial=URIS), host="0.0.0.0") as (page, _),
        dial(page.url) as socket,
    ):
        assert not hear(socket, "hello")["may_choose"]
        say(socket, "look", camera=1)
        while hear(socket, "state")["camera"] != 1:
            pass


def test_with_one_camera_there_is_no_looking_at_all() -> None:
    with fake_page() as (page, _), dial(page.url) as socket:
        assert hear(socket, "hello")["cameras"] == []
        assert hear(socket, "state")["camera"] == 0
        say(socket, "look", camera=None)
        assert "there is no such camera" in hear(socket, "notice")["text"]


def test_a_camera_of_several_that_is_not_there_is_waited_for_and_said() -> None:
    choices = SourceChoices(initial=("rtsp://desk/1", "rtsp://bad/1"))
    with fake_page(sources=choices) as (page, session):
        assert set(session.feeds) == set(choices.initial)
        states = [stage.state for stage in page.hub.stages]
    assert [state.phase for state in states] == ["running", "running"]
    assert [state.message for state in states] == ["", "there is no such camera"]


def test_cameras_that_take_their_time_to_end_take_it_together(
    opened: tuple[LivePage, FakeSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    page, session = opened
    remove = session.remove_camera

    def slowly(camera: str) -> None:
        time.sleep(0.7)
        remove(camera)

    monkeypatch.setattr(session, "remove_camera", slowly)
    start = time.monotonic()
    page.hub.close()
    assert time.monotonic() - start < 1.4
    assert not session.feeds


def test_in_a_browser_all_cameras_stand_side_by_side_and_a_click_shows_one(
    browser: Browser, opened: tuple[LivePage, FakeSession]
) -> None:
    page, session = opened
    with Tab(browser, page.url) as tab:
        tiles = tab.page.locator(".tile")
        expect(tiles).to_have_count(3)
        expect(tab.at("phase")).to_have_text("0 of 3 live")
        expect(tiles.nth(1).locator(".veil")).to_have_text("Waiting for the first picture")
        show(session, URIS[0], 3.0, event(start=1.0))
        show(session, URIS[1], 4.0, event(start=2.0), event(start=2.5))
        lost = picture(plain(5.0).frame.image, 5.0)
        status = replace(lost.status, connected=False, lost_since=0.0, message="unplugged")
        session.feeds[URIS[2]].publish(replace(lost, status=status))
        expect(tab.at("phase")).to_have_text("2 of 3 live")
        expect(tiles.nth(0).locator(".badge").first).to_have_text(NAMES[0])
        expect(tiles.nth(1).locator(".badge.foot")).to_have_text("Touching jaw 80%")
        expect(tiles.nth(2).locator(".veil")).to_have_text(re.compile(r"Lost for \d+ s, trying"))
        expect(tab.at("event-count")).to_have_text("3")
        named = tab.at("events").locator("small").all_text_contents()
        assert sorted(named) == [NAMES[0], NAMES[1], NAMES[1]]
        expect(tab.at("gestures")).to_be_hidden()
        expect(tab.at("start")).to_be_disabled()
        expect(tab.at("hint")).to_have_text("Choose one camera above to exchange it.")

        tiles.nth(1).click()
        tab.expect_phase("running")
        expect(tab.at("source")).to_have_text(NAMES[1])
        expect(tab.at("wall")).to_be_hidden()
        expect(tab.at("gesture-now")).to_have_text("Touching jaw")
        expect(tab.at("event-count")).to_have_text("2")
        expect(tab.page.locator('[data-camera="1"]')).to_have_attribute("aria-checked", "true")
        tab.page.locator('[data-camera="1"]').press("ArrowRight")
        tab.expect_phase("lost")
        expect(tab.at("source")).to_have_text(NAMES[2])
        tab.page.locator('[data-camera="-1"]').click()
        expect(tiles).to_have_count(3)
        expect(tab.at("canvas")).to_be_hidden()
        assert tab.complaints == []


def test_of_a_camera_that_is_exchanged_nothing_stays_on_the_wall(
    browser: Browser, opened: tuple[LivePage, FakeSession]
) -> None:
    page, session = opened
    with Tab(browser, page.url) as tab, dial(page.url) as socket:
        shown = replace(plain(3.0), status=replace(plain(3.0).status, capture_hz=25.0))
        for camera in URIS:
            session.feeds[camera].publish(shown)
        expect(tab.at("phase")).to_have_text("3 of 3 live")
        expect(tab.status("Capture")).to_have_text("75.0 fps")
        say(socket, "look", camera=0)
        say(socket, "start", kind="url", value="rtsp://other/1")
        tile = tab.page.locator(".tile").first
        expect(tile.locator(".badge").first).to_have_text("rtsp://other/1")
        for camera in URIS[1:]:
            session.feeds[camera].publish(shown)
        expect(tile).to_have_class(re.compile("blank"))
        expect(tile.locator(".veil")).to_have_text("Waiting for the first picture")
        expect(tab.at("phase")).to_have_text("2 of 3 live")
        expect(tab.status("Capture")).to_have_text("50.0 fps")
        expect(tab.at("phase")).to_have_text("0 of 3 live", timeout=6000)  # no picture for 3 s
        assert tab.complaints == []


def test_the_newest_event_of_all_cameras_stands_at_the_top_for_whoever_comes_later(
    browser: Browser, opened: tuple[LivePage, FakeSession]
) -> None:
    page, session = opened
    show(session, URIS[0], 100.0, event(start=20.0), event(start=97.0))  # 80 and 3 s ago
    show(session, URIS[1], 50.0, event(start=7.0), event(start=40.0))  # 43 and 10 s ago
    with Tab(browser, page.url) as tab:
        expect(tab.at("event-count")).to_have_text("4")
        times = tab.at("events").locator("time").all_text_contents()
        assert times == ["1:37.0", "0:40.0", "0:07.0", "0:20.0"]


def test_with_the_keyboard_one_camera_is_chosen_and_kept_when_the_connection_comes_back(
    browser: Browser, opened: tuple[LivePage, FakeSession]
) -> None:
    page, _ = opened
    with Tab(browser, page.url) as tab:
        tab.page.locator(".tile").nth(2).press("Enter")
        expect(tab.at("source")).to_have_text(NAMES[2])
        expect(tab.page.locator('[data-camera="2"]')).to_be_focused()
        page.hub.is_closing = True  # Ends all sockets, as a restart of the server would.
        page.hub.wake()
        tab.expect_phase("offline")
        page.hub.is_closing = False
        tab.expect_phase("waiting")
        expect(tab.at("source")).to_have_text(NAMES[2])
        expect(tab.page.locator('[data-camera="2"]')).to_have_attribute("aria-checked", "true")
        assert tab.complaints == []


def test_a_camera_that_was_stopped_is_named_on_the_wall_and_its_picture_gone(
    browser: Browser, opened: tuple[LivePage, FakeSession]
) -> None:
    page, session = opened
    with Tab(browser, page.url) as tab, dial(page.url) as socket:
        show(session, URIS[1], 3.0)
        expect(tab.at("phase")).to_have_text("1 of 3 live")
        say(socket, "look", camera=1)
        say(socket, "stop")
        tile = tab.page.locator(".tile").nth(1)
        expect(tile.locator(".veil")).to_have_text("Stopped")
        expect(tile.locator(".badge").first).to_have_text(NAMES[1])
        page.hub.is_closing = True
        page.hub.wake()
        tab.expect_phase("offline")
        expect(tile.locator("canvas")).to_have_css("opacity", "0")
        expect(tile.locator(".badge").first).to_be_hidden()  # "No connection" stands there

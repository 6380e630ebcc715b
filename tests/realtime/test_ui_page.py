"""The page in a real browser."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from engines.manifest import PerceptionSpec
from realtime.config import Config
from realtime.session import LiveSession
from realtime.sources import BrowserSource, open_source, without_credentials
from realtime.subject import draw_subject
from realtime.truth import TrueInterval, Truth
from realtime.ui import LivePage, SourceChoices, open_page
from realtime.ui.pictures import Media
from tests.engines.tiny_bundle import write_tiny_bundle
from tests.fakes import FakeSession, ScriptedPerceiver
from tests.realtime.broadcast import CLIP, fake_page, plain, playing
from tests.realtime.tab import Tab


@pytest.fixture
def opened() -> Iterator[tuple[LivePage, FakeSession]]:
    with fake_page() as (page, session):
        yield page, session


def test_the_page_shows_picture_bars_gauge_events_and_status_and_asks_nobody_else(
    browser: Browser, opened: tuple[LivePage, FakeSession]
) -> None:
    page, session = opened
    with playing(session), Tab(browser, page.url) as tab:
        tab.expect_phase("running")
        tab.expect_motion()
        expect(tab.at("gesture-now")).to_have_text("Touching jaw")
        for_s = re.compile(r"^mean 80% for \d+\.\d s, 1\.0 s ago$")
        expect(tab.at("gesture-for")).to_have_text(for_s)
        expect(tab.at("bars").locator(".prob")).to_have_text(["latest 80%", "15%"])
        expect(tab.at("emotion-now")).to_have_text("Not sure")
        expect(tab.at("events").locator("li").first).to_contain_text("88%")
        expect(tab.page.locator(".events h2")).to_have_text(re.compile(r"^Events \d+peak$"))
        expect(tab.status("Age of prediction")).to_have_text(re.compile(r"^0\.[34]\d s$"))
        expect(tab.status("Runtime")).to_have_text("Fake CPU fp32")
        expect(tab.status("Bundle")).to_have_text("tiny 0.1, untrained")
        expect(tab.at("untrained")).to_be_visible()
        expect(tab.at("emotion-note")).to_contain_text("let the person in the picture know")
        expect(tab.at("emotion-note")).to_contain_text("was not measured")
        tab.page.locator(".switch").click()
        expect(tab.at("emotion-body")).to_be_hidden()
        expect(tab.at("emotion-note")).to_contain_text("still inferred")
        assert tab.complaints == []
    hosts = {urlsplit(url).hostname for url in tab.requests if not url.startswith("data:")}
    assert hosts == {"127.0.0.1"}
    assert any(url.endswith("/live/ws") for url in tab.requests)


def test_the_demo_clip_shows_what_its_script_performs_beside_each_prediction(
    browser: Browser,
) -> None:
    truth = Truth((
        TrueInterval("micro-gesture", "Folding arms", 1.5, 2.5),
        TrueInterval("emotion", "positive", 3.5, 9.0),
    ))  # fmt: skip
    choices = SourceChoices(initial=(CLIP,), demo_clip=CLIP, demo_truth=truth)
    with fake_page(sources=choices) as (page, session), Tab(browser, page.url) as tab:
        gesture, emotion = tab.at("gesture-truth"), tab.at("emotion-truth")
        # The picture of second 3 stands beside a prediction about second 2.
        session.show(plain(3.0))
        expect(gesture).to_have_text("TruthFolding arms1.0 s ago")
        expect(gesture).to_have_attribute("title", re.compile("script of this clip"))
        expect(tab.at("gesture-now")).to_have_text("Touching jaw")
        expect(emotion).to_have_text("Truthnone / at rest1.0 s ago")
        session.show(plain(5.0))
        expect(gesture).to_have_text("Truthnone / at rest1.0 s ago")
        expect(emotion).to_have_text("Truthpositive1.0 s ago")
        tab.page.locator(".switch").click()
        expect(emotion).to_be_hidden()
        tab.page.locator(".switch").click()
        expect(emotion).to_be_visible()
        # Anything else has no truth; the clip has it in its later rounds too.
        tab.choose("clip", "other.mp4")
        expect(tab.at("source")).to_have_text("other.mp4")
        tab.expect_phase("waiting")
        session.show(plain(3.0))
        tab.expect_phase("running")
        expect(gesture).to_be_hidden()
        expect(emotion).to_be_hidden()
        session.round_s = 10.0
        tab.choose("demo")
        tab.expect_phase("waiting")
        session.show(plain(33.0))
        expect(gesture).to_have_text("TruthFolding arms1.0 s ago")
        assert tab.complaints == []


def test_stop_and_start_and_a_source_that_does_not_work(
    browser: Browser, opened: tuple[LivePage, FakeSession]
) -> None:
    page, session = opened
    with playing(session), Tab(browser, page.url) as tab:
        tab.expect_phase("running")
        tab.at("stop").click()
        tab.expect_phase("stopped")
        expect(tab.at("veil")).to_contain_text("Choose a source")
        expect(tab.at("bars").locator("li")).to_have_count(0)
        expect(tab.at("stop")).to_be_disabled()
        tab.choose("clip", "bad")
        tab.expect_phase("failed")
        expect(tab.at("veil")).to_contain_text("there is no such source; name another")
        tab.choose("url", "nonsense")
        expect(tab.at("error")).to_contain_text("looks like rtsp://")
        tab.choose("demo")
        tab.expect_phase("running")
        tab.expect_motion()
        expect(tab.at("error")).to_be_hidden()
        assert tab.complaints == []
    assert session.uris[-2:] == ["bad", CLIP]


def test_arrow_keys_choose_among_the_sources_and_tab_reaches_the_chosen_one(
    browser: Browser, opened: tuple[LivePage, FakeSession]
) -> None:
    with Tab(browser, opened[0].url) as tab:
        chosen = tab.at("tabs").locator('[aria-checked="true"]')
        expect(chosen).to_have_text("Demo clip")
        chosen.focus()
        for key, name in [
            ("ArrowRight", "Server camera"), ("ArrowDown", "Stream"), ("ArrowUp", "Server camera"),
            ("ArrowLeft", "Demo clip"), ("ArrowLeft", "My camera"), ("ArrowRight", "Demo clip"),
            ("ArrowRight", "Server camera"),
        ]:  # fmt: skip
            tab.page.keyboard.press(key)
            expect(chosen).to_have_text(name)
            expect(chosen).to_be_focused()
        tab.page.keyboard.press("Tab")
        expect(tab.at("value")).to_be_focused()
        tab.page.keyboard.press("Shift+Tab")
        expect(chosen).to_be_focused()


def test_a_lost_camera_is_dimmed_and_counts_the_seconds_until_it_is_back(
    browser: Browser, opened: tuple[LivePage, FakeSession]
) -> None:
    page, session = opened
    with Tab(browser, page.url) as tab:
        session.show(plain(1.0))
        tab.expect_phase("running")
        made = plain(2.0)
        gone = replace(
            made.status, connected=False, lost_since=time.monotonic() - 12, message="unplugged"
        )
        session.show(replace(made, status=gone))
        tab.expect_phase("lost")
        expect(tab.at("veil-title")).to_have_text(
            re.compile(r"^Lost for (1[3-9]|2\d) s, trying again$")
        )
        expect(tab.at("veil-text")).to_have_text("unplugged")
        dimmed = tab.at("canvas").evaluate("canvas => getComputedStyle(canvas).filter")
        assert "grayscale" in dimmed
        session.show(plain(3.0))
        tab.expect_phase("running")
        expect(tab.at("veil")).to_be_hidden()
        # A picture that stands still never passes for a live one.
        tab.expect_phase("silent")
        expect(tab.at("veil-title")).to_have_text(re.compile(r"^No picture for \d+ s$"))


def test_the_browsers_own_camera_is_shown_back_and_given_up_on_stop(
    browser: Browser, opened: tuple[LivePage, FakeSession]
) -> None:
    page, session = opened
    with Tab(browser, page.url) as tab:
        tab.choose("guest")
        expect(tab.at("source")).to_have_text("Your camera")
        tab.expect_phase("running")
        tab.expect_motion()
        assert "browser" in session.feeds
        # The fake camera's ground is green.
        script = "c => [...c.getContext('2d').getImageData(c.width / 2, 12, 1, 1).data]"
        red, green, blue, _ = tab.at("canvas").evaluate(script)
        assert green > 80 > max(red, blue)
        tab.at("stop").click()
        expect(tab.at("source")).to_have_text("Demo clip")
        assert tab.complaints == []
    deadline = time.monotonic() + 10  # it is closed off the event loop
    while "browser" in session.feeds and time.monotonic() < deadline:
        time.sleep(0.01)
    assert list(session.feeds) == [CLIP]


def test_the_page_fits_a_phone_and_comes_back_after_a_lost_connection(
    browser: Browser, opened: tuple[LivePage, FakeSession]
) -> None:
    page, session = opened
    with playing(session), Tab(browser, page.url, width=390, height=844) as tab:
        tab.expect_phase("running")
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390
        tab.page.locator(".switch").click()
        expect(tab.at("emotion-body")).to_be_hidden()
        page.hub.is_closing = True  # Ends all sockets, as a restart of the server would.
        tab.expect_phase("offline")
        expect(tab.at("veil")).to_contain_text("No connection to Tells")
        page.hub.is_closing = False
        tab.expect_phase("running")
        # What the viewer has switched off stays off, and does not come back as it was then.
        expect(tab.at("emotion-body")).to_be_hidden()
        expect(tab.at("emotion-note")).to_contain_text("still inferred")


def test_in_a_laptops_window_the_status_line_covers_nothing(
    browser: Browser, opened: tuple[LivePage, FakeSession]
) -> None:
    with playing(opened[1]), Tab(browser, opened[0].url, width=1366, height=625) as tab:
        expect(tab.at("events").locator("li").first).to_contain_text("88%")
        boxes = {c: tab.page.locator(c).bounding_box() for c in (".status", ".events", ".stage")}
        bottoms = {name: box["y"] + box["height"] for name, box in boxes.items() if box}
        assert max(bottoms[".events"], bottoms[".stage"]) < 625 - 40 < bottoms[".status"] <= 625


@pytest.mark.parametrize(("width", "height"), [(844, 390), (667, 375)])
def test_on_a_phone_held_sideways_the_results_stand_beside_the_picture(
    browser: Browser, opened: tuple[LivePage, FakeSession], width: int, height: int
) -> None:
    with playing(opened[1]), Tab(browser, opened[0].url, width=width, height=height) as tab:
        tab.expect_phase("running")
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = [tab.page.locator(c).bounding_box() for c in (".screen", ".gestures", ".reading")]
        screen, gestures, reading = [box for box in boxes if box is not None]
        assert screen["x"] + screen["width"] <= gestures["x"]
        for box in (screen, gestures, reading):
            assert box["y"] + box["height"] <= height


def test_a_shared_page_offers_watching_and_the_own_camera_only(browser: Browser) -> None:
    with (
        fake_page(host="0.0.0.0", emotion=False) as (page, session),
        playing(session),
        Tab(browser, f"http://127.0.0.1:{page.url.rsplit(':', 1)[-1]}") as tab,
    ):
        tab.expect_phase("running")
        tabs = tab.at("tabs").locator("button")
        expect(tab.at("emotion-note")).to_have_text(re.compile("host has switched .* off"))
        expect(tab.at("emotion-body")).to_be_hidden()
        expect(tabs).to_have_text(["Shared picture", "My camera"])
        expect(tab.at("stop")).to_be_disabled()


def perceive(spec: PerceptionSpec) -> ScriptedPerceiver:
    return ScriptedPerceiver(spec)


def test_a_real_session_is_seen_moving_with_its_own_rates(browser: Browser, tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "tiny")
    media = Media(
        partial(open_source, realtime=True, loop=True), BrowserSource, without_credentials,
        draw_subject,
    )  # fmt: skip
    with (
        LiveSession([bundle], Config(hop_s=0.2), "cpu", perceive=perceive) as session,
        open_page(session, sources=SourceChoices(initial=("test://",)), media=media) as page,
        Tab(browser, page.url) as tab,
    ):
        tab.expect_phase("running")
        tab.expect_motion()
        fill = tab.at("bars").locator(".fill").first
        expect(fill).to_be_attached()
        before = fill.get_attribute("style")
        expect(fill).not_to_have_attribute("style", before or "")
        expect(tab.status("Age of prediction")).to_have_text(re.compile(r"^[01]\.\d\d s$"))
        expect(tab.status("Prediction")).to_have_text(re.compile(r"^[1-9]\.\d /s$"))
        tab.at("stop").click()
        tab.expect_phase("stopped")
        end = time.monotonic() + 3
        while session.cameras and time.monotonic() < end:
            time.sleep(0.05)
        assert session.cameras == ()
        tab.choose("guest")
        tab.expect_phase("running")
        tab.expect_motion()
        expect(tab.status("Capture")).to_have_text(re.compile(r"^[1-9]\d\.\d fps$"))
        assert len(session.cameras) == 1
        assert tab.complaints == []

"""This browser's own camera on the page: taken away, not there, in use."""

from playwright.sync_api import Browser, expect

from tests.realtime.broadcast import fake_page
from tests.realtime.tab import Tab


def test_a_camera_that_is_taken_away_is_said_at_once_and_start_opens_it_again(
    browser: Browser,
) -> None:
    with fake_page() as (page, _), Tab(browser, page.url) as tab:
        tab.choose("guest")
        tab.expect_phase("running")
        tab.context.clear_permissions()
        tab.expect_phase("gone")
        expect(tab.at("veil-title")).to_have_text("This browser's camera has gone")
        expect(tab.at("veil-text")).to_contain_text("press Start")
        tab.context.grant_permissions(["camera"])
        tab.at("start").click()
        tab.expect_phase("running")
        tab.expect_motion()
        tab.at("stop").click()
        expect(tab.at("source")).to_have_text("Demo clip")
        assert tab.complaints == []


CURES = {
    "NotAllowedError": "allow it beside the address",
    "NotFoundError": "No camera here: connect one",
    "OverconstrainedError": "No camera here: connect one",
    "NotReadableError": "close other programs that use it",
    "AbortError": "close other programs that use it",
    "SecurityError": "only to pages on https or localhost",
    "UnknownError": "The camera does not start: as browsers put it",
}


def test_a_camera_that_does_not_start_is_said_with_its_cure(browser: Browser) -> None:
    with fake_page() as (page, _), Tab(browser, page.url) as tab:
        for error, cure in CURES.items():
            fails = f"async () => {{ throw new DOMException('as browsers put it', '{error}'); }}"
            tab.page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {fails}; }}")
            tab.choose("guest")
            expect(tab.at("error")).to_contain_text(cure)
        assert tab.complaints == []


def test_a_page_without_https_says_that_it_gets_no_camera(browser: Browser) -> None:
    with fake_page() as (page, _), Tab(browser, page.url) as tab:
        # As browsers do on pages that are neither on https nor on localhost.
        tab.page.evaluate("Object.defineProperty(navigator, 'mediaDevices', {value: undefined})")
        tab.choose("guest")
        expect(tab.at("error")).to_contain_text("only to pages on https or localhost")

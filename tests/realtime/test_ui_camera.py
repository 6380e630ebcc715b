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

"""What the page says of gestures and emotion."""

from dataclasses import replace

from playwright.sync_api import Browser, expect

from realtime.records import Estimate
from tests.realtime.broadcast import fake_page, plain
from tests.realtime.tab import Tab


def test_the_bar_of_the_background_is_called_none(browser: Browser) -> None:
    top = (("Nothing", 0.8), ("Folding arms", 0.15))
    calm = Estimate("micro-gesture", None, 0.8, 2.0, "background", top, at=2.0)
    with fake_page() as (page, session), Tab(browser, page.url) as tab:
        session.show(replace(plain(3.0), estimates=(calm,)))
        expect(tab.at("gesture-now")).to_have_text("No gesture")
        names = tab.at("bars").locator(".name")
        expect(names).to_have_text(["none (nothing)", "Folding arms"])
        assert tab.complaints == []

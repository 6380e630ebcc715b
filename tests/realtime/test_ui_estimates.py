"""What the page says of gestures and emotion."""

from dataclasses import replace

from playwright.sync_api import Browser, expect

from engines.manifest import TaskMetrics
from realtime.records import Estimate
from realtime.ui import open_page
from tests.fakes import FakeSession
from tests.realtime.broadcast import CHOICES, echo_media, fake_page, page_manifest, plain
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


def test_emotion_is_said_to_be_measured_on_rendered_people_only(browser: Browser) -> None:
    measured = TaskMetrics(
        task="emotion", split="rendered people, layout A, test", n=19, top1=0.73684, macro_f1=None,
        ece=None, majority=0.6,
    )  # fmt: skip
    session = FakeSession([replace(page_manifest(), metrics=(measured,))])
    with (
        open_page(session, sources=CHOICES, media=echo_media(session)) as page,
        Tab(browser, page.url) as tab,
    ):
        expect(tab.at("emotion-note")).to_contain_text(
            "Measured on rendered people it was right in 14 of 19 cases, where always the same "
            "answer is right in 60%; how often it is right about real people was never measured."
        )

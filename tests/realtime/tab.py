"""The page in one tab of a real browser."""

import hashlib
import time

from playwright.sync_api import Browser, Locator, Page, expect

expect.set_options(timeout=10_000)


class Tab:
    """One browser tab that shows the page; remembers what it asked for and complained about."""

    def __init__(self, browser: Browser, url: str, width: int = 1280, height: int = 800) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, permissions=["camera"]
        )
        self.page: Page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(url)

    def __enter__(self) -> "Tab":
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def at(self, name: str) -> Locator:
        return self.page.locator(f'[data-id="{name}"]')

    def status(self, name: str) -> Locator:
        label = self.page.get_by_text(name, exact=True)
        return self.page.locator(".status div").filter(has=label).locator("strong")

    def choose(self, kind: str, value: str | None = None) -> None:
        self.page.locator(f'[data-kind="{kind}"]').click()
        if value is not None:
            self.at("value").fill(value)
        self.at("start").click()

    def expect_phase(self, phase: str) -> None:
        expect(self.page.locator(".tells")).to_have_attribute("data-phase", phase)

    def pixels(self) -> str:
        script = "canvas => canvas.toDataURL()"
        return hashlib.sha256(str(self.at("canvas").evaluate(script)).encode()).hexdigest()

    def expect_motion(self) -> None:
        before = self.pixels()
        end = time.monotonic() + 5
        while self.pixels() == before:
            assert time.monotonic() < end, "the picture does not move"
            time.sleep(0.05)

"""A page over a scripted session, and a plain web socket client for it."""

import http.cookiejar
import json
import struct
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from websockets.sync.client import ClientConnection, connect

from realtime.records import Event, Image, Observation, Snapshot
from realtime.ui import LivePage, SourceChoices, open_page
from realtime.ui.pictures import Media
from tests.engines.tiny_bundle import tiny_manifest
from tests.fakes import FakeSession
from tests.realtime import scene

CLIP = "/clips/demo.mp4"
CHOICES = SourceChoices(initial=(CLIP,), demo_clip=CLIP)


class EchoSource:
    """A browser's camera whose pictures the session shows as they came."""

    def __init__(self, session: FakeSession) -> None:
        self.id, self.times, self._session = "browser", list[float](), session

    def push(self, jpeg: bytes, t: float) -> None:
        bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert bgr is not None
        self.times.append(t)
        self._session.feeds[self.id].publish(picture(np.ascontiguousarray(bgr[..., ::-1]), t))


def picture(image: Image, t: float) -> Snapshot:
    made = scene.snapshot(t)
    status = replace(made.status, connected=True, lost_since=None, prediction_age_s=0.31)
    return replace(made, frame=replace(made.frame, image=image), status=status)


def plain(t: float, size: tuple[int, int] = (48, 64)) -> Snapshot:
    """A picture whose grey level tells its time in tenths."""
    return picture(np.full((*size, 3), int(10 * t) % 256, np.uint8), t)


@contextmanager
def fake_page(**options: Any) -> Iterator[tuple[LivePage, FakeSession]]:
    session = FakeSession([page_manifest()])
    everything: dict[str, Any] = {"sources": CHOICES, "media": echo_media(session)} | options
    with open_page(session, **everything) as page:
        yield page, session


def until(condition: Callable[[], bool], timeout_s: float = 5) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def redact(uri: str) -> str:
    """Stands in for the real one where it can be seen that it was asked."""
    return uri.upper() if "@" in uri else uri


def echo_media(session: FakeSession) -> Media:
    """The fake session's sources, and nothing drawn."""

    def draw(image: Image, _: Observation) -> Image:
        return image

    return Media(session.open_source, lambda: EchoSource(session), redact, draw)


def page_manifest() -> Any:
    """Random weights, gestures and emotion."""
    return replace(tiny_manifest(), outputs=scene.OUTPUTS)


@contextmanager
def playing(session: FakeSession, fps: float = 30) -> Iterator[None]:
    """Show a new picture to all cameras, and now and then an event, until the block ends."""
    is_over = threading.Event()

    def play() -> None:
        start = time.monotonic()
        index = 0
        while not is_over.wait(1 / fps):
            t, index = time.monotonic() - start, index + 1
            events: list[Event] = [scene.event(start=t)] if index % 15 == 0 else []
            session.show(plain(t, (480, 640)), *events)

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def dial(page: str, *, origin: str | None = "", cookie: str = "") -> ClientConnection:
    """A socket as the script of the page at that address opens it.

    `origin` "" is the page's own, None sends none.
    """
    headers = {"Cookie": cookie} if cookie else {}
    if origin is not None:
        headers["Origin"] = origin or page
    url = page.replace("http://", "ws://") + "/live/ws"
    return connect(url, additional_headers=headers, proxy=None)


def hear(socket: ClientConnection, kind: str, timeout_s: float = 3) -> dict[str, Any]:
    """The next text message of one type; what comes before it is passed over."""
    while True:
        data = socket.recv(timeout_s)
        if isinstance(data, str) and (message := json.loads(data))["type"] == kind:
            return dict(message)


def see(socket: ClientConnection, timeout_s: float = 3) -> tuple[dict[str, Any], Image]:
    """The next picture."""
    while True:
        data = socket.recv(timeout_s)
        if isinstance(data, bytes):
            (length,) = struct.unpack_from("<I", data)
            jpeg = np.frombuffer(data[4 + length :], np.uint8)
            image = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
            assert image is not None
            return json.loads(data[4 : 4 + length]), np.asarray(image, np.uint8)


def say(socket: ClientConnection, verb: str, /, **values: object) -> None:
    socket.send(json.dumps({"type": verb} | values))


def camera_message(t: float, size: tuple[int, int] = (48, 64)) -> bytes:
    """What the page's script sends for one picture of the browser's camera."""
    is_ok, jpeg = cv2.imencode(".jpg", np.full((*size, 3), 90, np.uint8))
    assert is_ok
    return struct.pack("<d", t) + jpeg.tobytes()


def sign_in(page: str, user: str, password: str) -> str:
    """Log in as the login page does; the cookie header of whoever has."""
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar)
    )
    form = urllib.parse.urlencode({"username": user, "password": password}).encode()
    with opener.open(page + "/login", form, timeout=10):
        pass
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)

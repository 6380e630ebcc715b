"""One viewer's connection: newest picture only, one in flight.

To the viewer go `hello` and `state` (JSON text) and pictures (binary: uint32 length of a JSON text,
little-endian, the text, a JPEG), of one camera or of all by turns. The viewer answers every picture
with `drawn`; only then is the newest one sent, so a slow viewer gets fewer pictures and never old
ones. From the viewer come commands (JSON text) and, in own-camera mode, its pictures (binary:
float64 seconds, little-endian, a JPEG), each answered with `taken`.
"""

import asyncio
import contextlib
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from starlette.websockets import WebSocket, WebSocketDisconnect

from engines.errors import TellsError
from realtime.errors import SourceError
from realtime.ui.access import is_logged_in
from realtime.ui.guest import GuestCamera, parse_picture
from realtime.ui.messages import Json
from realtime.ui.pictures import Phase, PictureFeed
from realtime.ui.stage import Command

if TYPE_CHECKING:
    from realtime.ui.socket import Hub

MAX_GUEST_CAMERAS = 2
SIGNED_OUT, FULL, CLOSING = 4401, 4408, 4410
"""Codes with which the socket is closed; the page's script knows them."""
_LOGIN_CHECK_S = 1.0
_LONGEST_COMMAND = 4096


@dataclass
class _Followed:
    """A feed, and how far the viewer has seen it."""

    feed: PictureFeed
    number: int = 0
    last_event: int = 0


class Viewer:
    """One connection."""

    def __init__(self, hub: "Hub", socket: WebSocket) -> None:
        self._hub = hub
        self._socket = socket
        self._loop = asyncio.get_running_loop()
        self._awake = asyncio.Event()
        self._awake.set()
        self._may_choose = hub.access.may_choose(socket.headers)
        self._guest: GuestCamera | None = None
        self._camera = 0 if len(hub.stages) == 1 else None
        """The stage that is looked at; None = all of them."""
        self._followed: dict[int, _Followed] = {}
        self._last_camera = 0
        self._in_flight = False
        self._sent_state: Json | None = None
        self._end: tuple[Phase, str] | None = None

    @property
    def is_guest(self) -> bool:
        """True while the viewer's own camera is in use."""
        return self._guest is not None

    def wake(self) -> None:
        """Look for what is new; from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._awake.set)

    async def run(self) -> None:
        """Serve the viewer until either side ends it."""
        hello = self._hub.hello | {"type": "hello", "may_choose": self._may_choose}
        tasks = {asyncio.create_task(self._receive())}
        try:
            await self._socket.send_json(hello)
            tasks.add(asyncio.create_task(self._send()))
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except (WebSocketDisconnect, RuntimeError):
            pass  # Gone: Starlette says RuntimeError to whoever sends after the end.
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def leave(self) -> None:
        """Give back what the viewer held."""
        self._follow({})
        guest, self._guest = self._guest, None
        if guest is not None:
            await asyncio.to_thread(guest.close)

    async def _send(self) -> None:
        while True:
            # Wakes each second, because a logout says nothing to sockets that are open already.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._awake.wait(), _LOGIN_CHECK_S)
            self._awake.clear()
            if self._hub.is_closing:
                return await self._socket.close(CLOSING, "Tells has been ended")
            if not is_logged_in(self._socket.cookies, self._hub.app):
                return await self._socket.close(SIGNED_OUT, "signed out")
            self._follow(self._feeds())
            await self._send_state()
            await self._send_picture()

    def _feeds(self) -> dict[int, PictureFeed]:
        """What is looked at, if it is there: camera -> its pictures."""
        if self._guest is not None:
            return {} if self._guest.feed is None else {0: self._guest.feed}
        shown = {i: stage.shown for i, stage in enumerate(self._hub.stages)}
        return {i: f for i, f in shown.items() if f is not None and self._camera in (i, None)}

    def _follow(self, feeds: Mapping[int, PictureFeed]) -> None:
        for camera, followed in tuple(self._followed.items()):
            if feeds.get(camera) is not followed.feed:
                followed.feed.leave(self.wake)
                del self._followed[camera]
        for camera, feed in feeds.items():
            if camera not in self._followed:
                self._followed[camera] = _Followed(feed)
                feed.join(self.wake)

    async def _send_state(self) -> None:
        state = self._state()
        if state != self._sent_state:
            self._sent_state = state
            await self._socket.send_json(state)

    def _state(self) -> Json:
        if self._guest is not None:
            phase, message = self._guest.end or ("running", "")
            return _state("guest", phase, "Your camera", message)
        states = [stage.state for stage in self._hub.stages]
        if self._camera is None:
            return _state("all", "running") | {"stages": [asdict(state) for state in states]}
        state = states[self._camera]
        return _state("shared", state.phase, state.source, state.message, self._camera)

    async def _send_picture(self) -> None:
        if self._in_flight:
            return
        for camera in sorted(self._followed, key=lambda c: (c <= self._last_camera, c)):
            followed = self._followed[camera]
            update = followed.feed.newer(followed.number, followed.last_event)
            if update is not None:
                break
        else:
            return
        followed.number, followed.last_event = update.number, update.last_event
        self._last_camera, self._in_flight = camera, True
        head = json.dumps(update.head | {"camera": camera}, separators=(",", ":")).encode()
        await self._socket.send_bytes(struct.pack("<I", len(head)) + head + update.jpeg)

    async def _receive(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if (data := message.get("bytes")) is not None:
                await self._take_picture(data)
            elif len(text := message.get("text") or "") <= _LONGEST_COMMAND:
                await self._obey(text)

    async def _take_picture(self, data: bytes) -> None:
        guest = self._guest
        if guest is None:
            return
        try:
            await asyncio.to_thread(guest.push, *parse_picture(data))
        except TellsError as error:
            await self._notice(str(error))
        await self._socket.send_json({"type": "taken"})

    async def _obey(self, text: str) -> None:
        try:
            command = json.loads(text)
            verb = command["type"]
        except (ValueError, TypeError, KeyError):
            return
        if verb == "drawn":
            self._in_flight = False
            self._awake.set()
            return
        try:
            await self._act(verb, command)
        except TellsError as error:
            await self._notice(str(error))
        self._awake.set()

    async def _act(self, verb: str, command: Json) -> None:
        if verb == "guest":
            await self._open_guest()
        elif verb == "watch":
            await self._leave_own()
        elif verb == "look":
            self._look(command.get("camera"))
            await self._leave_own()
        elif verb in ("start", "stop"):
            if not self._may_choose:
                raise SourceError("only the host of this page chooses what is shown")
            if self._camera is None:
                raise SourceError("choose one of the cameras first, to exchange or to stop it")
            await self._leave_own()
            if verb == "start":
                self._hub.start(self._camera, command)
            else:
                self._hub.stages[self._camera].show(Command(None))

    def _look(self, camera: object) -> None:
        """Look at one of the shared cameras, or (None) at all."""
        num_cameras = len(self._hub.stages)
        if isinstance(camera, int) and 0 <= camera < num_cameras:
            self._camera = camera
        elif camera is None and num_cameras > 1:
            self._camera = None
        else:
            raise SourceError("there is no such camera")
        self._follow({})  # The page has been cleared: pictures and events are sent anew.

    async def _leave_own(self) -> None:
        """Back to the shared camera; who follows it already goes on, and is told no event twice."""
        if self._guest is not None:
            await self.leave()

    async def _open_guest(self) -> None:
        if self._guest is not None:
            return
        taken = self._hub.num_guests
        if taken >= MAX_GUEST_CAMERAS:
            raise SourceError(
                f"{taken} browser cameras are in use, which is the most; watch instead"
            )
        self._guest = GuestCamera(self._hub.session, self._hub.media, self.wake)
        try:
            await asyncio.to_thread(self._guest.open)
        except TellsError:
            await self.leave()
            raise

    async def _notice(self, text: str) -> None:
        await self._socket.send_json({"type": "notice", "text": text})


def _state(
    mode: str, phase: str, source: str = "", message: str = "", camera: int | None = None
) -> Json:
    return {
        "type": "state", "mode": mode, "phase": phase, "source": source, "message": message,
        "camera": camera,
    }  # fmt: skip

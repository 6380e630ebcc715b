"""The live socket: who is let in, and what all viewers share."""

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from starlette.websockets import WebSocket

from realtime.errors import SourceError
from realtime.sources import open_sources
from realtime.truth import Truth
from realtime.ui.access import Access, is_logged_in
from realtime.ui.messages import Json, describe_session
from realtime.ui.pictures import Media, Session
from realtime.ui.stage import Command, Stage
from realtime.ui.viewer import FULL, SIGNED_OUT, Viewer

logger = logging.getLogger(__name__)

MAX_VIEWERS = 16


@dataclass(frozen=True)
class SourceChoices:
    """What can be shown."""

    initial: tuple[str, ...] = ()
    """URIs that run when the page comes up, each on a stage of its own."""
    names: Mapping[str, str] = field(default_factory=dict)
    """URI -> what it is called, of those that are not called by their address."""
    demo_clip: str | None = None
    """Path of the bundled clip, if it is there."""
    demo_truth: Truth | None = None
    """What is performed in it."""


class Hub:
    """All viewers of one page, and what they share. Runs on the web server's event loop."""

    def __init__(
        self,
        session: Session,
        choices: SourceChoices,
        access: Access,
        *,
        media: Media,
        emotion: bool,
    ) -> None:
        self.session = session
        self.choices = choices
        self.access = access
        self.media = media
        self.stages = [Stage(session, media) for _ in range(max(1, len(choices.initial)))]
        """What runs, whether or not anybody looks: one camera each."""
        self.hello = describe_session(session.manifests, runtime=session.runtime, emotion=emotion)
        self.hello["has_demo"] = choices.demo_clip is not None
        is_demo = choices.initial == (choices.demo_clip,)
        self.hello["cameras"] = [] if is_demo else [self.name_of(uri) for uri in choices.initial]
        self.viewers: set[Viewer] = set()
        self.app: Any = None
        """The running Gradio application; nobody is let in before it is known."""
        self.is_closing = False
        for stage in self.stages:
            stage.on_change = self.wake

    async def handle(self, socket: WebSocket) -> None:
        """One connection, from handshake to end."""
        if self.app is None or self.is_closing or not self.access.is_same_origin(socket.headers):
            await socket.close()  # Before accept: the handshake is answered 403.
            return
        await socket.accept()
        if not is_logged_in(socket.cookies, self.app):
            # After accept, because of a refused handshake a page learns no reason. Told this one it
            # loads anew, and so shows the login; its cookie may be of a server that was restarted.
            await socket.close(SIGNED_OUT, "signed out")
            return
        if len(self.viewers) >= MAX_VIEWERS:
            await socket.close(FULL, f"{MAX_VIEWERS} viewers are connected, which is the most")
            return
        viewer = Viewer(self, socket)
        self.viewers.add(viewer)
        try:
            await viewer.run()
        finally:
            self.viewers.discard(viewer)
            await viewer.leave()

    def wake(self) -> None:
        """Let all viewers look for what is new; from any thread."""
        for viewer in tuple(self.viewers):
            viewer.wake()

    @property
    def num_guests(self) -> int:
        """Browser cameras in use."""
        return sum(viewer.is_guest for viewer in self.viewers)

    def open_initial(self) -> None:
        """Open what runs when the page comes up.

        Raises:
            TellsError: it cannot be opened (see `open_sources`).
        """
        uris = self.choices.initial
        if not uris:
            return
        sources = open_sources(uris, self.media.open_source, self.choices.names)
        for stage, uri, source in zip(self.stages, uris, sources, strict=True):
            stage.show_now(self.command(uri), source)

    def close(self) -> None:
        """End all connections soon, then the shared cameras."""
        self.is_closing = True
        self.wake()
        with ThreadPoolExecutor(len(self.stages)) as pool:  # lost cameras take their time to end
            list(pool.map(Stage.close, self.stages))

    def start(self, camera: int, command: Json) -> None:
        """Show on a stage what a viewer asks for.

        Raises:
            TellsError: the request is not one that the page can make.
        """
        kind, value = command.get("kind"), command.get("value", "")
        if not isinstance(value, str):
            raise SourceError("a source must be a text")
        uri = self._resolve(camera, str(kind), value.strip())
        self.stages[camera].show(self.command(uri))

    def command(self, uri: str) -> Command:
        """What the stage has to know of a source."""
        is_demo = uri == self.choices.demo_clip
        return Command(uri, self.name_of(uri), self.choices.demo_truth if is_demo else None)

    def name_of(self, uri: str) -> str:
        """What the page calls a source: never with a password."""
        if uri in self.choices.names:
            return self.choices.names[uri]
        if uri == self.choices.demo_clip:
            return "Demo clip"
        if uri.isdecimal():
            return f"Camera {uri}"
        shown = self.media.redact(uri)
        if "://" in uri or shown != uri:
            return shown
        return uri.replace("\\", "/").rsplit("/", 1)[-1]

    def _resolve(self, camera: int, kind: str, value: str) -> str:
        if kind == "demo" and self.choices.demo_clip is not None:
            return self.choices.demo_clip
        if kind == "initial" and self.choices.initial:
            return self.choices.initial[camera]
        if kind == "camera" and value.isdecimal() and len(value) < 4:
            return value
        if kind == "camera":
            raise SourceError(
                f"a camera is a number such as 0, got '{self.media.redact(value)[:40]}'"
            )
        if kind == "url" and "://" in value and not value.lower().startswith("file:"):
            return value
        if kind == "url":
            raise SourceError("a stream address looks like rtsp://host/path or http://host/path")
        if kind == "clip" and (path := _without_quotes(value)) and "://" not in path:
            return path
        raise SourceError("a clip is the path of a video file on the machine that runs Tells")


def _without_quotes(path: str) -> str:
    """A path as it is: file managers copy it between quotes."""
    is_quoted = len(path) > 1 and path[0] == path[-1] and path[0] in "\"'"
    return path[1:-1].strip() if is_quoted else path

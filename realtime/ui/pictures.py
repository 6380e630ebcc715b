"""One camera's newest picture, drawn and encoded once for everybody who watches it."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import cv2

from engines.errors import TellsError
from engines.manifest import Manifest
from realtime.feed import EndOfStream
from realtime.records import Estimate, Event, Image, Observation, Snapshot
from realtime.truth import TrueMoment
from realtime.ui.messages import Json, describe_event, describe_snapshot

logger = logging.getLogger(__name__)

Draw = Callable[[Image, Observation], Image]
"""Paints the subject on a copy of the picture."""
TellTruth = Callable[[Sequence[Estimate]], Sequence[TrueMoment]]
"""Estimates -> what is true at the moments that they are about, where that is known."""
Phase = Literal["stopped", "opening", "running", "ended", "failed"]
OnEnd = Callable[["PictureFeed", Phase, str], None]
"""The feed, what has become of it, and one line for people."""

_LONGEST_SIDE_PX = 960
_JPEG_QUALITY = 78
_EVENTS_KEPT = 50


class Reader(Protocol):
    """A camera's snapshots, as one thread sees them (`realtime.feed.SnapshotReader`)."""

    def next(self, timeout_s: float) -> Snapshot | None:
        """The newest unseen snapshot; None if there is none within `timeout_s` seconds."""


class Session(Protocol):
    """What the page needs of `realtime.session.LiveSession`."""

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """Of the opened bundles."""

    @property
    def runtime(self) -> str:
        """Runtime, device and precision."""

    @property
    def recorded(self) -> set[str]:
        """The cameras that are being recorded."""

    def reader(self, camera: str) -> Reader:
        """A new reader of one camera."""

    def add_camera(self, source: Any, *, reopen: Callable[[], Any] | None = None) -> str:
        """Watch an opened source, opened again by `reopen` if it is lost; the camera's id."""

    def pause_camera(self, camera: str, *, is_paused: bool) -> None:
        """Let a clip stand still, or go on."""

    def remove_camera(self, camera: str) -> None:
        """Stop the camera and close its source."""


@dataclass(frozen=True)
class Media:
    """The stages that the page wires: where pictures come from, and who draws on them."""

    open_source: Callable[[str], Any]
    """URI -> an opened `realtime.sources.Source`."""
    open_browser: Callable[[], Any]
    """-> an opened source with `push(jpeg, t)`, for a browser's own camera."""
    redact: Callable[[str], str]
    """URI -> URI without its password."""
    draw: Draw


@dataclass(frozen=True)
class Update:
    """What a viewer is sent at once."""

    number: int
    """Counts the feed's pictures."""
    last_event: int
    head: Json
    jpeg: bytes


@dataclass(frozen=True, eq=False)
class _Picture:
    number: int
    snapshot: Snapshot
    jpeg: bytes
    made: float


class PictureFeed:
    """Reads one camera on a thread of its own; viewers take the newest picture when they can."""

    def __init__(
        self,
        reader: Reader,
        draw: Draw,
        on_end: OnEnd,
        tell_truth: TellTruth = lambda _: (),
        on_look: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """Prepare to read; `start` begins.

        Args:
            reader: of the camera.
            draw: paints the subject on a picture.
            on_end: called once, on the feed's thread, when the camera will deliver nothing more.
            tell_truth: of the clip that is shown; by default nothing is known.
            on_look: told, on the feed's thread and several times a second, whether anybody watches.
        """
        self._on_look = on_look
        self._tell_truth = tell_truth
        self._reader = reader
        self._draw = draw
        self._on_end = on_end
        self._lock = threading.Lock()
        self._wakes: set[Callable[[], None]] = set()
        self._newest: _Picture | None = None
        self._num_pictures = 0
        self._events: deque[Json] = deque(maxlen=_EVENTS_KEPT)
        self._num_events = 0
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="page-feed", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def join(self, wake: Callable[[], None]) -> None:
        """Have `wake` called, from the feed's thread, after every new picture."""
        with self._lock:
            self._wakes.add(wake)

    def leave(self, wake: Callable[[], None]) -> None:
        """Undo `join`."""
        with self._lock:
            self._wakes.discard(wake)

    def newer(self, number: int, last_event: int) -> Update | None:
        """The newest picture, with all kept events after `last_event`; None if it is `number`."""
        with self._lock:
            newest, num_events = self._newest, self._num_events
            if newest is None or newest.number == number:
                return None
            events = [event for event in self._events if event["number"] > last_event]
        snapshot = newest.snapshot
        truths = self._tell_truth(snapshot.estimates)
        head = describe_snapshot(snapshot, time.monotonic(), made=newest.made, truths=truths)
        return Update(newest.number, num_events, head | {"events": events}, newest.jpeg)

    def close(self) -> None:
        """Stop reading; the camera itself is the session's."""
        self._is_closed.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(2.0)

    def _run(self) -> None:
        last: Snapshot | None = None
        made = 0.0
        try:
            while not self._is_closed.is_set():
                self._on_look(bool(self._wakes))
                snapshot = self._reader.next(0.25)
                if snapshot is not None:
                    self._keep_events(snapshot.new_events)
                    last, made = snapshot, time.monotonic()
                if last is None:
                    continue
                if self._wakes:
                    self._publish(last, made)
                    last = None
                else:  # Nobody watching: not worth encoding, until somebody comes.
                    self._forget()
        except BaseException as error:  # Thread boundary: what ended the camera goes on the page.
            if not self._is_closed.is_set():
                self._end(error)

    def _end(self, error: BaseException) -> None:
        if isinstance(error, EndOfStream):
            self._on_end(self, "ended", "The clip is over.")
            return
        if isinstance(error, TellsError):
            logger.warning("%s", error)
        else:
            logger.error("the camera's feed ended", exc_info=error)
        self._on_end(self, "failed", str(error) or type(error).__name__)

    def _keep_events(self, events: Sequence[Event]) -> None:
        with self._lock:
            for event in events:
                self._num_events += 1
                self._events.append(describe_event(event, self._num_events))

    def _forget(self) -> None:
        """Whoever comes next shall not see, as live, what the last viewer saw."""
        with self._lock:
            self._newest = None

    def _publish(self, snapshot: Snapshot, made: float) -> None:
        self._num_pictures += 1
        picture = _Picture(self._num_pictures, snapshot, self._encode(snapshot), made)
        with self._lock:
            self._newest = picture
            wakes = tuple(self._wakes)
        for wake in wakes:
            wake()

    def _encode(self, snapshot: Snapshot) -> bytes:
        image = self._draw(snapshot.frame.image, snapshot.observation)
        scale = _LONGEST_SIDE_PX / max(image.shape[:2])
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        is_ok, data = cv2.imencode(
            ".jpg",
            cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
            [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY],
        )
        assert is_ok
        return data.tobytes()

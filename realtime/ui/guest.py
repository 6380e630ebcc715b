"""A viewer's own camera: pictures that a browser sends, as one more camera of the session."""

import struct
import threading
from collections.abc import Callable
from typing import Any

from realtime.errors import SourceError
from realtime.ui.pictures import Media, Phase, PictureFeed, Session

MAX_MESSAGE_BYTES = 1_000_000


class GuestCamera:
    """One viewer's camera, from the first picture to the end of the connection."""

    def __init__(
        self,
        session: Session,
        media: Media,
        wake: Callable[[], None],
    ) -> None:
        self._session = session
        self._media = media
        self._wake = wake
        self._source: Any = None
        self._camera: str | None = None
        self._lock = threading.Lock()
        self._is_closed = False
        self.feed: PictureFeed | None = None
        self.end: tuple[Phase, str] | None = None
        """What has become of it, and one line for people; None while it runs."""

    def open(self) -> None:
        """Add the camera to the session; takes a moment, so not on the event loop.

        Raises:
            TellsError: the session cannot take one more camera.
        """
        with self._lock:
            if self._is_closed:  # The viewer left while this waited for its thread.
                return
            self._camera = self._session.add_camera(self._reopen(), reopen=self._reopen)
            self.feed = PictureFeed(
                self._session.reader(self._camera), self._media.draw, self._ended
            )
            self.feed.start()

    def push(self, t: float, jpeg: bytes) -> None:
        """Hand over one picture; it is decoded here, so not on the event loop.

        Raises:
            SourceError: it is no picture.
        """
        if self.feed is not None:
            self._source.push(jpeg, t)

    def close(self) -> None:
        """Remove the camera from the session; waits for an `open` that still runs."""
        with self._lock:
            self._is_closed = True
            if self.feed is not None:
                self.feed.close()
            if self._camera is not None:
                self._session.remove_camera(self._camera)

    def _reopen(self) -> Any:
        # A tab in the background sends nothing for a while and counts as lost until it is back.
        self._source = self._media.open_browser()
        return self._source

    def _ended(self, _: PictureFeed, phase: Phase, message: str) -> None:
        self.end = (phase, message)
        self._wake()


def parse_picture(data: bytes) -> tuple[float, bytes]:
    """Time in seconds and JPEG of a browser's message; the source checks the JPEG itself.

    Raises:
        SourceError: too large a message, or too small to be one.
    """
    if not 8 < len(data) <= MAX_MESSAGE_BYTES:
        raise SourceError(
            f"a browser's picture must be at most {MAX_MESSAGE_BYTES} bytes, got {len(data)}"
        )
    (t,) = struct.unpack_from("<d", data)
    return t, data[8:]

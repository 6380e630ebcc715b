"""BrowserSource: pictures that a web page sends from its viewer's own camera."""

import math
import time
from typing import Final, cast

import cv2
import numpy as np

from realtime.errors import SourceError, SourceLost
from realtime.records import Frame, Image
from realtime.slot import LatestSlot, SlotClosed
from realtime.sources.closing import ClosingSource
from realtime.sources.picture import fit
from realtime.sources.stream_time import StreamTime

MAX_BYTES: Final = 4 * 2**20
MAX_PIXELS: Final = 1920 * 1200
MIN_SIDE: Final = 16
_FRAME_HEADERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG markers that are followed by the picture's size."""


class BrowserSource(ClosingSource):
    """Takes pictures from one web socket; the newest wins, untaken ones are counted as dropped.

    `push` is called by the socket's handler (off its event loop: it decodes), iteration by the
    capture thread, `close` by any.
    """

    def __init__(self, *, timeout_s: float = 10.0) -> None:
        """Ready for pictures; after a silence of `timeout_s` the viewer counts as lost."""
        self.id, self.is_live = "browser", True
        self.fps: float | None = None
        self.size = (0, 0)
        """That of the first picture, (0, 0) before it; later ones are fitted into it."""
        self.num_frames: int | None = None
        self.duration_s: float | None = None
        self._timeout_s = timeout_s
        self._slot: LatestSlot[Frame] = LatestSlot()
        self._clock = StreamTime(1 / 30, is_live=True)
        self._index = 0

    @property
    def num_dropped(self) -> int:
        """Pictures that a newer one replaced before they were taken."""
        return self._slot.num_dropped

    def push(self, jpeg: bytes, t: float) -> None:
        """Hand in a picture; after `close` it is ignored.

        Args:
            jpeg: at most 4 MB and 1920x1200 px.
            t: when it was taken, in seconds of the page's own clock.

        Raises:
            SourceError: it is no such picture, or `t` is not a finite number.
        """
        arrived = time.monotonic()
        if not math.isfinite(t):
            raise SourceError(f"{self.id}: a picture's time must be a finite number, got {t}")
        image = _decode(jpeg, self.id)
        if self._index == 0:
            self.size = (image.shape[1], image.shape[0])
        frame = Frame(
            fit(image, self.size), self._clock.step(t, arrived), self._index, self.id, arrived
        )
        self._index += 1
        self._slot.put(frame)

    def __next__(self) -> Frame:
        """The newest picture.

        Raises:
            StopIteration: the source was closed.
            SourceLost: none came for `timeout_s`.
        """
        try:
            frame = self._slot.get(self._timeout_s)
        except SlotClosed:
            raise StopIteration from None
        if frame is None:
            raise SourceLost(
                f"{self.id} has sent no picture for {self._timeout_s:g} s: its page is in the "
                f"background or its camera has gone; Start on that page opens it again"
            )
        return frame

    def close(self) -> None:
        """End the iteration at once."""
        self._slot.close()


def _decode(jpeg: bytes, source: str) -> Image:
    if len(jpeg) > MAX_BYTES:
        raise SourceError(f"{source}: a picture of {len(jpeg)} bytes is too big (4 MB at most)")
    shape = _jpeg_shape(jpeg)
    if shape is None or not jpeg.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise SourceError(
            f"{source}: expected a whole JPEG, got {len(jpeg)} bytes of something else"
        )
    if shape[0] * shape[1] > MAX_PIXELS or min(shape) < MIN_SIDE:
        raise SourceError(
            f"{source}: a picture of {shape[1]}x{shape[0]} px is not accepted "
            f"({MIN_SIDE}x{MIN_SIDE} to 1920x1200)"
        )
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise SourceError(f"{source}: a damaged JPEG of {len(jpeg)} bytes")
    return cast(Image, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def _jpeg_shape(jpeg: bytes) -> tuple[int, int] | None:
    """Height and width by the header (few bytes can claim a huge picture), None if no JPEG."""
    if jpeg[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(jpeg) and jpeg[at] == 0xFF:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if marker in _FRAME_HEADERS:
            return int.from_bytes(jpeg[at + 5 : at + 7], "big"), int.from_bytes(
                jpeg[at + 7 : at + 9], "big"
            )
        at += 2 + length
    return None

"""SyntheticSource: `test://`, a moving pattern that needs neither camera nor file."""

import math
import threading
import time
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import cv2
import numpy as np

from realtime.errors import SourceError
from realtime.records import Frame, Image
from realtime.sources.closing import ClosingSource
from realtime.sources.pace import Pace
from realtime.sources.uri import without_credentials

ALLOWED: Final = "test://?fps=30&size=640x480&seconds=5"
SQUARE_PX: Final = 48
ROUND_S: Final = 4.0
"""The square goes round once in this time."""


class SyntheticSource(ClosingSource):
    """A white square that goes round on a coloured ground, with the time written beside it."""

    def __init__(self, uri: str, *, realtime: bool = False, loop: bool = False) -> None:
        """Read the URI: `fps` (30), `size` (640x480) and `seconds` (endless) may be given.

        Args:
            uri: `test://`, with a query such as `?fps=30&size=640x480&seconds=5`.
            realtime: let the frames out as a camera would.
            loop: go on after `seconds`.

        Raises:
            SourceError: an unknown or impossible parameter.
        """
        parameters = _parameters(uri)
        self.id, self.is_live = without_credentials(uri), False
        self.fps: float | None = parameters.fps
        self.size = parameters.size
        endless = loop or parameters.seconds is None
        self.duration_s = None if endless else parameters.seconds
        self.num_dropped = 0
        self.num_frames = (
            None if self.duration_s is None else max(1, round(self.duration_s * parameters.fps))
        )
        self._interval_s = 1 / parameters.fps
        self._stopping = threading.Event()
        self._pace = Pace(self._stopping) if realtime else None
        self._ground = _ground(self.size)
        self._index = 0

    def __next__(self) -> Frame:
        """The next frame; StopIteration after the last one, or when the source was closed."""
        t = self._index * self._interval_s
        if self.num_frames is not None and self._index >= self.num_frames:
            raise StopIteration
        if self._pace is not None:
            self._pace.wait(t)
        if self._stopping.is_set():
            raise StopIteration
        arrived = time.monotonic()
        frame = Frame(self._draw(t), t, self._index, self.id, arrived)
        self._index += 1
        return frame

    def close(self) -> None:
        """End the iteration, from any thread."""
        self._stopping.set()

    def _draw(self, t: float) -> Image:
        image = self._ground.copy()
        x, y = centre(t, self.size)
        half = SQUARE_PX // 2
        cv2.rectangle(image, (x - half, y - half), (x + half, y + half), (255, 255, 255), -1)
        cv2.putText(image, f"{t:.2f} s", (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 0), 2)
        return image


def centre(t: float, size: tuple[int, int]) -> tuple[int, int]:
    """Where the square's centre is at stream second `t`, px."""
    angle = 2 * math.pi * t / ROUND_S
    width, height = size
    return (
        round(width * (0.5 + 0.3 * math.cos(angle))),
        round(height * (0.5 + 0.3 * math.sin(angle))),
    )


class _Parameters:
    fps = 30.0
    size = (640, 480)
    seconds: float | None = None


def _parameters(uri: str) -> _Parameters:
    shown, found = without_credentials(uri), _Parameters()
    try:
        parts = urlsplit(uri)
    except ValueError:  # its text holds the address as it was typed
        raise SourceError(f"{shown} is not understood: expected {ALLOWED}") from None
    if parts.netloc or parts.path.strip("/"):
        raise SourceError(f"{shown} is not understood: expected {ALLOWED}")
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key == "fps":
            found.fps = _number(shown, key, value, 1, 240)
        elif key == "seconds":
            found.seconds = _number(shown, key, value, 0.01, 1e6)
        elif key == "size":
            width, x, height = value.partition("x")
            limits = (64, 4096)
            found.size = (
                int(_number(shown, "width", width, *limits)),
                int(_number(shown, "height", height if x else "none", *limits)),
            )
        else:
            key = without_credentials(key)
            raise SourceError(f"{shown} has an unknown parameter {key}: expected {ALLOWED}")
    return found


def _number(shown: str, key: str, text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        got = without_credentials(text)
        raise SourceError(
            f"{shown}: {key} must be a number from {low:g} to {high:g}, got {got!r}; "
            f"as in {ALLOWED}"
        )
    return value


def _ground(size: tuple[int, int]) -> Image:
    width, height = size
    ground = np.empty((height, width, 3), np.uint8)
    ground[..., 0] = np.linspace(20, 160, width, dtype=np.uint8)
    ground[..., 1] = np.linspace(20, 120, height, dtype=np.uint8)[:, None]
    ground[..., 2] = 90
    return ground

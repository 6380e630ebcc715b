"""Pace: lets the frames of a clip out when they are due, as a camera would."""

import threading
import time
from typing import Final

LATEST_S: Final = 1.0
"""Who is later than this (a paused program, a laptop that slept) begins anew instead of racing."""


class Pace:
    """Maps stream seconds to the wall clock, from the first frame on."""

    def __init__(self, stopping: threading.Event) -> None:
        """Args: stopping: ends a wait at once."""
        self._stopping = stopping
        self._start: float | None = None

    def wait(self, t: float) -> None:
        """Return when the frame at stream second `t` is due."""
        now = time.monotonic()
        if self._start is None or now > self._start + t + LATEST_S:
            self._start = now - t
        self._stopping.wait(max(0.0, self._start + t - now))

"""StreamTime: the seconds of a source, strictly increasing whatever its time stamps do."""

from typing import Final

MIN_STEP_S: Final = 0.001
"""Step to a frame whose stamp is not later than the one before: MediaPipe counts whole ms."""
BACK_JUMP_S: Final = 0.2
"""A stamp further back than this is a new beginning (a clock that was set, clips in a row)."""
AHEAD_JUMP_S: Final = 5.0
"""A live stamp that runs ahead of the wall clock by this much in one frame is one as well."""
LONGEST_REPAIR_S: Final = 1.0


class StreamTime:
    """Turns presentation stamps into stream seconds that begin at 0 and always increase.

    - The first frame is at 0; later ones lie where their stamps say.
    - A stamp that repeats or goes back a little becomes a small step; the ones after it are kept.
    - A jump (back by more than 0.2 s; live also ahead of the wall clock by more than 5 s) is a new
      beginning of the stamps: stream time goes on by what the wall clock says has passed (live) or
      by one frame interval (file), and the stamps count from there.
    - Frames without a stamp are placed by their arrival (live) or one interval apart (file).

    A gap that the stamps of a file tell of stays a gap. One thread calls it.
    """

    def __init__(self, interval_s: float, *, is_live: bool) -> None:
        self._interval_s, self._is_live = interval_s, is_live
        self._last = 0.0
        self._last_arrived: float | None = None
        self._offset: float | None = None

    def restart(self) -> None:
        """The stamps begin anew with the next frame: a clip's next round, one interval later."""
        self._offset = None

    def step(self, pts_s: float | None, arrived: float) -> float:
        """Stream seconds of the next frame.

        Args:
            pts_s: its presentation stamp, None if it has none.
            arrived: `time.monotonic()` when it came.
        """
        if self._last_arrived is None:
            self._last_arrived = arrived
            self._offset = None if pts_s is None else -pts_s
            return 0.0
        passed = arrived - self._last_arrived if self._is_live else self._interval_s
        passed = max(passed, MIN_STEP_S)
        self._last_arrived = arrived
        t = self._last + passed
        if pts_s is not None:
            if self._offset is not None and self._is_jump(pts_s + self._offset, passed):
                self._offset = None
            if self._offset is None:
                self._offset = t - pts_s
            t = pts_s + self._offset
        if t < self._last + MIN_STEP_S:
            t = self._last + (min(passed, LONGEST_REPAIR_S) if self._is_live else MIN_STEP_S)
        self._last = t
        return t

    def _is_jump(self, t: float, passed: float) -> bool:
        step = t - self._last
        return step < -BACK_JUMP_S or (self._is_live and step > passed + AHEAD_JUMP_S)

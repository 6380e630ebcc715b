"""Backlog: packets of a camera that wait, because its pictures are decoded too slowly.

They wait in the network's buffers, where nothing drops them: without a limit what is shown would be
older from minute to minute. So while the stream is behind only key frames are decoded, until it has
caught up. Where reading has to wait for packets none wait for it: what is late then is so by its
stamps alone, which in some cameras run slowly or stand still.
"""

import logging
import math
from collections import deque
from typing import Final

logger = logging.getLogger(__name__)

LATE_S: Final = 1.0
"""So much over the least delay seen lately is late; connections that stutter stay below."""
PATIENCE_S: Final = 3.0
"""Late for so long is behind: what piled up while a connection stalled is decoded sooner."""
CAUGHT_UP_S: Final = 0.3
KEYS_APART_S: Final = 1.0
"""Of key frames, too, no more are decoded meanwhile: in some streams every picture is one."""
MEMORY_S: Final = 60.0
"""The least delay is that of so many seconds: clocks of cameras run a little fast or slow."""
_MOST: Final = 10_000
"""Delays that are kept: more than any camera sends packets in `MEMORY_S`."""
WAITING_SHARE: Final = 0.3
"""Who waits for packets for such a share of the time has no backlog."""
JUMP_S: Final = 5.0
"""So far ahead of the clock from packet to packet, the stamps have begun anew."""


class Backlog:
    """Says which packets of a live stream are left out. One thread calls it."""

    def __init__(self, source: str) -> None:
        self.is_behind = False
        self.num_skipped = 0
        """Packets that were left out, each of a picture."""
        self._source = source
        self._delays: deque[tuple[float, float]] = deque(maxlen=_MOST)
        """(when, how long): the least, and later ones that may be the least when it is too old."""
        self._last: tuple[float, float] | None = None
        self._late_since: float | None = None
        self._waited_s = 0.0  # for packets, since then
        self._has_gap = False  # a picture was left out, and others may build on it
        self._last_key = -math.inf
        self._is_told = False

    def skips(
        self, stamp_s: float | None, now: float, *, is_key: bool, waited_s: float = 0.0
    ) -> bool:
        """Whether a packet is not to be decoded.

        Args:
            stamp_s: its decoding stamp, None if it has none.
            now: `time.monotonic()` when it was read.
            is_key: whether its picture builds on no other.
            waited_s: how long reading waited for it.
        """
        self._waited_s += waited_s
        if stamp_s is not None:
            self._look(stamp_s, now)
        if is_key and not (self.is_behind and now - self._last_key < KEYS_APART_S):
            self._has_gap, self._last_key = False, now
            return False
        self._has_gap = self._has_gap or self.is_behind
        self.num_skipped += self._has_gap
        return self._has_gap

    def _look(self, stamp_s: float, now: float) -> None:
        if self._is_jump(stamp_s, now):
            self._delays.clear()
        self._last = (stamp_s, now)
        delay_s = now - stamp_s
        while self._delays and self._delays[-1][1] >= delay_s:
            self._delays.pop()
        self._delays.append((now, delay_s))
        while self._delays[0][0] < now - MEMORY_S:
            self._delays.popleft()
        late_s = delay_s - self._delays[0][1]
        if late_s <= LATE_S:
            self._late_since = None
        elif self._late_since is None:
            self._late_since, self._waited_s = now, 0.0
        late_for_s = 0.0 if self._late_since is None else now - self._late_since
        is_judged = late_for_s > PATIENCE_S
        if is_judged and self._waited_s > WAITING_SHARE * late_for_s:
            self._delays.clear()
            self._late_since, self.is_behind = None, False
        elif self.is_behind:
            self.is_behind = late_s > CAUGHT_UP_S
        elif is_judged:
            self._fall_behind()

    def _is_jump(self, stamp_s: float, now: float) -> bool:
        """A stall is none: time passes and stamps do not, until what waited comes at once."""
        if self._last is None:
            return False
        step_s, passed_s = stamp_s - self._last[0], now - self._last[1]
        return step_s < -LATE_S or step_s > passed_s + JUMP_S

    def _fall_behind(self) -> None:
        self.is_behind = True
        self._late_since = None  # what is read from now on tells whether anything waits
        if not self._is_told:
            self._is_told = True
            logger.warning(
                "%s comes faster than this machine decodes it: pictures are left out, so that it "
                "stays live; choose a smaller stream of the camera, or fewer cameras",
                self._source,
            )

"""ClosingSource: the part of iterating and closing that is the same for every source."""

from collections.abc import Iterator

from engines.closing import Closing
from realtime.records import Frame


class ClosingSource(Closing, Iterator[Frame]):
    """An iterator of frames; `close` ends the iteration, from any thread, more than once."""

    round_s: float | None = None

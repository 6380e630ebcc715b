"""AbsentSource: a camera that could not be opened yet."""

from realtime.errors import SourceLost
from realtime.records import Frame
from realtime.sources.closing import ClosingSource


class AbsentSource(ClosingSource):
    """Lost from the beginning: who reads it looks for the camera again, as for any that is lost."""

    is_live = True
    fps: float | None = None
    size = (0, 0)
    num_frames: int | None = None
    num_dropped = 0
    duration_s: float | None = None

    def __init__(self, name: str, reason: str) -> None:
        self.id = name
        self.reason = reason
        """Why it cannot be opened, in a line without a password."""

    def __next__(self) -> Frame:
        """Raises SourceLost."""
        raise SourceLost(self.reason)

    def close(self) -> None:
        """Nothing is open."""

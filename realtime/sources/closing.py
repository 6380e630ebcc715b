"""ClosingSource: the part of iterating and closing that is the same for every source."""

from abc import abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from realtime.records import Frame


class ClosingSource(Iterator[Frame]):
    """An iterator of frames that is closed at the end of its `with` block."""

    @abstractmethod
    def close(self) -> None:
        """End the iteration and release the source; from any thread, more than once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

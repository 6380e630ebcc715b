"""WebcamSource: a camera of this machine through OpenCV, and the list of those that are there."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, cast

import cv2
import numpy as np

from realtime.errors import SourceError, SourceLost
from realtime.records import Frame, Image
from realtime.slot import SlotClosed
from realtime.sources.capture import CaptureThread
from realtime.sources.closing import ClosingSource
from realtime.sources.picture import fit

MAX_INDEX: Final = 63
PROBED_INDICES: Final = range(6)
"""Where the system does not list its cameras, these are tried."""
HINT: Final = "see `python -m realtime cameras` for those that can be opened"


class Capture(Protocol):
    """What is used of `cv2.VideoCapture`."""

    def isOpened(self) -> bool: ...  # noqa: D102, N802 -- OpenCV's names
    def grab(self) -> bool: ...  # noqa: D102
    def retrieve(self) -> tuple[bool, np.ndarray | None]: ...  # noqa: D102
    def get(self, prop: int, /) -> float: ...  # noqa: D102
    def release(self) -> None: ...  # noqa: D102


OpenCapture = Callable[[int], Capture]


@dataclass(frozen=True)
class CameraInfo:
    """A camera that can be opened."""

    uri: str
    """What `open_source` takes."""
    name: str
    """The system's name for it."""
    size: tuple[int, int]
    """Width and height in px as it opens."""
    fps: float | None
    """What it promises; None if it does not say."""


@dataclass(frozen=True, eq=False)
class _Shot:
    bgr: Image
    t: float
    index: int
    arrived: float


class WebcamSource(ClosingSource):
    """A webcam, opened, read and released by a thread of its own (OpenCV wants that).

    The newest picture wins; `close` ends an iteration that waits at once, from any thread. Stream
    time is the monotonic clock since the first picture: drivers' stamps are not to be trusted.
    """

    def __init__(
        self, index: int, *, timeout_s: float = 10.0, open_capture: OpenCapture | None = None
    ) -> None:
        """Open it and wait for the first picture.

        Args:
            index: the system's number of the camera, from 0.
            timeout_s: the longest silence, when opening and later.
            open_capture: opens camera `index`; None = OpenCV.

        Raises:
            SourceError: there is no such camera, it may not be used, or it sends no picture.
        """
        self.id, self.is_live = f"webcam:{index}", True
        self.num_frames: int | None = None
        self.duration_s: float | None = None
        opener = open_capture or _open_capture
        self._capture: CaptureThread[_Webcam, _Shot] = CaptureThread(
            lambda: _Webcam(index, self.id, opener(index)),
            _Webcam.shots,
            source=self.id,
            timeout_s=timeout_s,
        )
        camera = self._capture.open()
        self.size, self.fps = camera.size, camera.fps

    @property
    def num_dropped(self) -> int:
        """Pictures that a newer one replaced before they were taken."""
        return self._capture.num_dropped

    def __next__(self) -> Frame:
        """The newest frame.

        Raises:
            StopIteration: the source was closed.
            SourceLost: the camera was unplugged or sent nothing for `timeout_s`.
        """
        try:
            shot = self._capture.get()
        except SlotClosed:
            raise StopIteration from None
        image = fit(cast(Image, cv2.cvtColor(shot.bgr, cv2.COLOR_BGR2RGB)), self.size)
        return Frame(image, shot.t, shot.index, self.id, shot.arrived)

    def close(self) -> None:
        """End the iteration and let go of the camera; takes at most half a second."""
        self._capture.close()


class _Webcam:
    """The opened camera, for the thread that opened it."""

    def __init__(self, index: int, source: str, capture: Capture) -> None:
        self._capture, self._source = capture, source
        if not capture.isOpened():
            capture.release()
            raise SourceError(f"{source} cannot be opened: {_why(index)}; {HINT}")
        self._first = self._read()
        if self._first is None:
            capture.release()
            raise SourceError(
                f"{source} opens but sends no picture: is it covered or in use? {HINT}"
            )
        height, width = self._first[0].shape[:2]
        self.size = (width, height)
        fps = capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 1 <= fps <= 480 else None  # 0, NaN and 90000 have been seen

    def shots(self) -> Iterator[_Shot]:
        """Pictures as they come.

        Raises:
            SourceLost: none comes any more.
        """
        read, index, start, last = self._first, 0, None, 0.0
        while read is not None:
            bgr, arrived = read
            start = arrived if start is None else start
            last = max(arrived - start, last + 1e-3) if index else 0.0
            yield _Shot(bgr, last, index, arrived)
            read, index = self._read(), index + 1
        raise SourceLost(f"{self._source} sends no pictures any more: was it unplugged?")

    def close(self) -> None:
        """Release it."""
        self._capture.release()

    def _read(self) -> tuple[Image, float] | None:
        if not self._capture.grab():
            return None
        arrived = time.monotonic()
        is_good, bgr = self._capture.retrieve()
        return (bgr, arrived) if is_good and bgr is not None else None


def list_cameras(
    *, indices: tuple[int, ...] | None = None, open_capture: OpenCapture | None = None
) -> tuple[CameraInfo, ...]:
    """The webcams of this machine that can be opened; each is opened for a moment.

    Args:
        indices: those to try; None = those that the system lists (Linux), or 0 to 5.
        open_capture: opens camera `index`; None = OpenCV.
    """
    found = []
    for index in _indices() if indices is None else indices:
        try:
            with WebcamSource(index, timeout_s=5.0, open_capture=open_capture) as source:
                found.append(CameraInfo(source.id, _name(index), source.size, source.fps))
        except SourceError:
            continue  # in use, without permission, or a node that gives no pictures
    return tuple(found)


def _open_capture(index: int) -> Capture:
    # OpenCV writes paragraphs to stderr for a camera that is not there.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    backend = cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY
    return cv2.VideoCapture(index, backend)


def _indices() -> tuple[int, ...]:
    if sys.platform != "linux":
        return tuple(PROBED_INDICES)
    nodes = (path.name.removeprefix("video") for path in Path("/dev").glob("video*"))
    return tuple(sorted(int(number) for number in nodes if number.isdecimal()))


def _name(index: int) -> str:
    try:
        return Path(f"/sys/class/video4linux/video{index}/name").read_text().strip()
    except OSError:
        return f"camera {index}"


def _why(index: int) -> str:
    if sys.platform != "linux":
        return (
            "there is no such camera, or another program or the system's privacy settings hold it"
        )
    node = Path(f"/dev/video{index}")
    if not node.exists():
        return "there is no such camera"
    try:
        node.open("rb").close()
    except PermissionError:
        return f"{node} may not be used: add your user to the group `video`"
    except OSError as error:
        return f"{node}: {(error.strerror or 'unknown error').lower()}"
    return "another program may be using it"

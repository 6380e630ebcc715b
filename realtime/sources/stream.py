"""FileSource: every frame of a video file. NetworkSource: RTSP and HTTP. Both read through PyAV."""

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import av

from realtime.records import Frame
from realtime.slot import SlotClosed
from realtime.sources.capture import CaptureThread
from realtime.sources.closing import ClosingSource
from realtime.sources.container import Grab, Video, open_file, open_url
from realtime.sources.pace import Pace
from realtime.sources.stream_time import StreamTime
from realtime.sources.uri import name_of_file, without_credentials

logger = logging.getLogger(__name__)

MISSING_S: Final = 0.5
MISSING_SHARE: Final = 0.02
"""A file of which more than half a second and 2 % are missing at its end was cut off."""


class FileSource(ClosingSource):
    """Every frame of a file, decoded in the thread that iterates; `close` may come from any."""

    def __init__(self, path: Path, *, realtime: bool = False, loop: bool = False) -> None:
        """Open it and decode the first picture.

        Args:
            path: a video file in any format that FFmpeg reads.
            realtime: let the frames out at the pace of the clip.
            loop: repeat it for ever; stream time goes on over the seam by one frame interval.

        Raises:
            SourceError: it cannot be read; the message says why.
        """
        self.id, self.is_live = name_of_file(path), False
        self._loop = loop
        self._video = open_file(path)
        self.fps, self.size = self._video.fps, self._video.size
        self.num_frames = None if loop else self._video.num_frames
        self.duration_s = None if loop else self._video.duration_s
        self.num_dropped = 0
        self._corrupt_before = 0
        self._lock = threading.Lock()  # the container is used and closed by one thread at a time
        self._stopping = threading.Event()
        self._pace = Pace(self._stopping) if realtime else None
        self._clock = StreamTime(self._video.interval_s, is_live=False)
        self._pictures = self._video.pictures()
        self._index = 0
        self._t = self._round_t = 0.0

    @property
    def corrupt_frames(self) -> int:
        """Damaged packets and pictures that were left out so far."""
        return self._video.corrupt_frames

    def __next__(self) -> Frame:
        """The next frame.

        Raises:
            StopIteration: the file has ended, or was closed.
            SourceError: it cannot be read any more.
        """
        picture = self._next_picture()
        if picture is None:
            raise StopIteration
        arrived = time.monotonic()
        t = self._clock.step(self._video.stamp(picture), arrived)
        if self._pace is not None:
            self._pace.wait(t)
            arrived = time.monotonic()
        if self._stopping.is_set():
            raise StopIteration
        frame = Frame(self._video.image(picture), t, self._index, self.id, arrived)
        self._index, self._t = self._index + 1, t
        return frame

    def close(self) -> None:
        """End the iteration and release the file; waits for the picture that is being decoded."""
        self._stopping.set()
        with self._lock:
            self._video.close()

    def _next_picture(self) -> "av.VideoFrame | None":
        with self._lock:
            if self._stopping.is_set():
                return None
            picture = next(self._pictures, None)
            if picture is not None:
                return picture
            self._report_end()
            if not self._loop:
                self._video.close()
                return None
            self._video.rewind()
            self._pictures = self._video.pictures()
            self._clock.restart()
            if self.round_s is None:  # measured, because what a file says of its length is vague
                self.round_s = self._t + self._video.interval_s
            self._round_t, self._corrupt_before = self._t, self.corrupt_frames
            return next(self._pictures, None)

    def _report_end(self) -> None:
        if num_corrupt := self.corrupt_frames - self._corrupt_before:
            logger.warning("%s: %d damaged frames left out", self.id, num_corrupt)
        length_s, played_s = self._video.duration_s, self._t - self._round_t
        if length_s and length_s - played_s > MISSING_S + MISSING_SHARE * length_s:
            logger.warning("%s ends at %.1f of %.1f s: cut off?", self.id, played_s, length_s)


class NetworkSource(ClosingSource):
    """An RTSP or HTTP(S) address, read by a thread of its own at the speed of the camera.

    A camera (`is_live`) keeps only its newest picture; those that nobody took are counted.
    A clip of known length (`is_live` False) waits for its reader, and loses none. `close` ends an
    iteration that waits at once, from any thread; the connection is released by its own thread as
    soon as FFmpeg returns, at the latest a second after `timeout_s`.
    """

    def __init__(self, url: str, *, realtime: bool = False, timeout_s: float = 10.0) -> None:
        """Connect and wait for the first picture.

        Args:
            url: `rtsp://`, `rtsps://`, `http://` or `https://`, with user and password if needed.
            realtime: let a clip's frames out at its own pace (a camera's come as they come).
            timeout_s: the longest silence, when opening and later.

        Raises:
            SourceError: no connection, no access, nothing there, no video, or no answer in time.
        """
        self.id = without_credentials(url)
        self._stopping = threading.Event()
        self._capture: CaptureThread[Video, Grab] = CaptureThread(
            lambda: open_url(url, timeout_s), self._grabs, source=self.id, timeout_s=timeout_s
        )
        self._video = self._capture.open()
        self.is_live, self.fps, self.size = self._video.is_live, self._video.fps, self._video.size
        self.num_frames, self.duration_s = self._video.num_frames, self._video.duration_s
        self._pace = Pace(self._stopping) if realtime and not self.is_live else None

    @property
    def corrupt_frames(self) -> int:
        """Damaged packets and pictures that were left out so far."""
        return self._video.corrupt_frames

    @property
    def num_dropped(self) -> int:
        """Pictures of a camera that came too fast to be decoded, or to be taken."""
        return self._video.num_skipped + self._capture.num_dropped

    def __next__(self) -> Frame:
        """The next frame; of a camera, the newest.

        Raises:
            StopIteration: a clip has ended, or the source was closed.
            SourceLost: a camera ended the stream, or sent nothing for `timeout_s`.
            SourceError: a clip broke off, or stalled for `timeout_s`.
        """
        try:
            grab = self._capture.get()
        except SlotClosed:
            raise StopIteration from None
        arrived = grab.arrived
        if self._pace is not None:
            self._pace.wait(grab.t)
            arrived = time.monotonic()
        return Frame(self._video.image(grab.picture), grab.t, grab.index, self.id, arrived)

    def close(self) -> None:
        """End the iteration and let go of the connection; takes at most half a second."""
        self._stopping.set()
        self._capture.close()

    def _grabs(self, video: Video) -> Iterator[Grab]:
        self._capture.keeps_all = not video.is_live
        pace = Pace(self._stopping) if video.is_in_pieces else None
        for grab in video.grabs():
            if pace is None:
                yield grab
            else:  # else of each piece only the last picture would be the newest for long enough
                pace.wait(grab.t)
                yield replace(grab, arrived=time.monotonic())

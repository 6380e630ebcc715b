"""The video sink: `annotated.mp4`, which is written to its final name as it goes.

A crash or a full disk costs the last second at most: it is a fragmented MP4 meanwhile.
"""

import os
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange

from engines.closing import Closing
from realtime.errors import OutputError
from realtime.output_folder import unwritable
from realtime.records import Image, Snapshot

_TIME_BASE = Fraction(1, 90_000)
_FRAGMENT_US = 1_000_000
_MOST_PAUSE_S = 60.0
_THREADS = 2
_BT601 = 6  # AVCOL_SPC_SMPTE170M; PyAV's own names are swscale's numbers


class VideoSink(Closing):
    """`annotated.mp4`: H.264 with the snapshots' own time stamps, playable in browsers.

    A pause of more than a minute, such as a camera's outage, lasts a minute in it. While it is
    written, the file is a fragmented MP4, playable up to its last second even after a `kill -9`;
    closing it makes it an ordinary one (FFmpeg's `hybrid_fragmented`), unless it is endless.
    """

    def __init__(
        self, path: Path, draw: Callable[[Snapshot], Image], *, is_endless: bool = False
    ) -> None:
        """Args: where to write, and what makes the picture, uint8 [H, W, 3] RGB, of a snapshot.

        The first picture's size is the video's; `is_endless` where it may run for days.

        Raises:
            OutputError: the file exists, or cannot be made.
        """
        self._path, self._draw = path, draw
        # The index of an ordinary MP4 is gathered in memory: 73 bytes a frame, 190 MB a day.
        kind = "empty_moov" if is_endless else "hybrid_fragmented"
        try:
            path.open("xb").close()
            self._container: av.container.OutputContainer | None = av.open(
                str(path),
                "w",
                format="mp4",
                options={
                    "movflags": f"{kind}+default_base_moof",
                    "frag_duration": str(_FRAGMENT_US),
                    "flush_packets": "1",
                },
            )
        except FileExistsError:
            raise OutputError(f"{path} exists already: name another folder with --out") from None
        except OSError as error:
            raise unwritable(path, error) from None
        self._stream: av.VideoStream | None = None
        self._last_pts = 0
        self._last_t = self._shift = 0.0
        self._has_failed = False

    def write(self, snapshot: Snapshot) -> None:
        """Draw and encode one frame.

        Raises:
            OutputError: the file cannot be written.
        """
        image = self._draw(snapshot)
        stream = self._stream or self._open_stream(image, snapshot.frame.t)
        # OpenCV converts in a third of swscale's time, to BT.601 in the limited range.
        planes = cv2.cvtColor(_fit(image, stream.height, stream.width), cv2.COLOR_RGB2YUV_I420)
        frame = av.VideoFrame.from_ndarray(np.asarray(planes, np.uint8), format="yuv420p")
        frame.pts, frame.time_base = self._advance(snapshot.frame.t), _TIME_BASE
        assert self._container is not None
        try:
            self._container.mux(stream.encode(frame))
        except (OSError, FFmpegError) as error:
            self._has_failed = True
            raise _video_error(self._path, error) from None

    def close(self) -> None:
        """Finish the file; may be called again.

        Raises:
            OutputError: the end could not be written (what came before it is playable).
        """
        container, stream, self._container = self._container, self._stream, None
        if container is None:
            return
        try:
            if stream is not None and not self._has_failed:
                container.mux(stream.encode(None))
            container.close()
            if stream is None:
                self._path.unlink(missing_ok=True)  # not one frame came: no file, no empty one
        except (OSError, FFmpegError) as error:
            had_failed, self._has_failed = self._has_failed, True
            if not had_failed:
                raise _video_error(self._path, error) from None
        finally:
            if self._has_failed:
                _cut_after_last_fragment(self._path)

    def _open_stream(self, image: Image, t: float) -> av.VideoStream:
        assert self._container is not None
        # x264 plans for this rate; what is shown when is in the time stamps.
        stream = self._container.add_stream("libx264", rate=30)
        height, width = (side - side % 2 for side in image.shape[:2])
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.time_base = stream.time_base = _TIME_BASE
        context.thread_count = _THREADS
        context.colorspace, context.color_range = _BT601, ColorRange.MPEG
        context.options = {"preset": "ultrafast", "crf": "23", "tune": "zerolatency", "g": "60"}
        self._stream, self._last_t, self._shift, self._last_pts = stream, t, -t, -1
        return stream

    def _advance(self, t: float) -> int:
        """Ticks since the first frame; after a source began anew, time goes on from its end."""
        step = t - self._last_t
        # Of a step of 2^31 ticks (6.6 h) FFmpeg's muxer makes one tick, and of all that follow.
        self._shift += (min(step, _MOST_PAUSE_S) if step >= 0 else 1 / 30) - step
        self._last_t = t
        self._last_pts = max(round((t + self._shift) / _TIME_BASE), self._last_pts + 1)
        return self._last_pts


def _video_error(path: Path, error: OSError | FFmpegError) -> OutputError:
    return unwritable(path, OSError(error.errno, error.strerror or str(error)))


def _cut_after_last_fragment(path: Path) -> None:
    """Remove the partly written fragment at the end, over which some players stumble."""
    with path.open("r+b") as file:
        end, whole = file.seek(0, os.SEEK_END), 0
        at = 0
        while at + 8 <= end:
            file.seek(at)
            size, kind = struct.unpack(">I4s", file.read(8))
            if size < 8 or at + size > end:
                break
            at += size
            if kind in (b"moov", b"mdat"):
                whole = at
        if whole:
            file.truncate(whole)


def _fit(image: Image, height: int, width: int) -> Image:
    """The picture at the video's size: cut by an odd pixel, or reduced into black borders."""
    h, w = image.shape[:2]
    if h in (height, height + 1) and w in (width, width + 1):
        return np.ascontiguousarray(image[:height, :width])
    zoom = min(height / h, width / w)
    inner = cv2.resize(image, (max(int(w * zoom), 1), max(int(h * zoom), 1)))
    out: Image = np.zeros((height, width, 3), np.uint8)
    top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
    out[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return out

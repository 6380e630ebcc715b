"""Video: a file or a stream that PyAV has opened."""

import logging
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import av
import av.logging
from av.codec.context import Flags
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from realtime.errors import SourceError, SourceLost
from realtime.records import Image
from realtime.sources.backlog import Backlog
from realtime.sources.picture import fit, upright
from realtime.sources.reasons import check_file, no_answer, why, why_not_video
from realtime.sources.stated import (
    has_no_end,
    length_s,
    pixel_aspect,
    plausible_rate,
    video_stream,
)
from realtime.sources.stream_time import StreamTime
from realtime.sources.uri import for_ffmpeg, name_of_file, without_credentials

logger = logging.getLogger(__name__)

av.logging.set_level(None)  # FFmpeg's own lines hold URLs with their passwords

MAX_BAD_READS: Final = 100
"""Unreadable packets in a row after which a damaged file counts as ended."""
FILE_TIMEOUT_S: Final = 20.0
"""No file takes longer to open or to read from, even from a slow share."""
PROBE_S: Final = 1.0
"""How long FFmpeg may look at a live stream before it is shown."""
FRESH_S, WAITS = 0.01, 2
"""Who has to wait so long for so many packets in a row has read all that had piled up."""
CATCH_UP_S: Final = 2.0
"""How long a camera's pictures of before are passed over at most."""
GRACE_S: Final = 1.0
"""FFmpeg gives up this much later than the reader: giving up, it first hands out a stale frame."""
NO_KEY_FRAME: Final = (
    "it sends, but no key frame in time; set a shorter interval of key frames (I frames) in the "
    "camera, or wait longer with --source-timeout-s"
)
DEFAULT_FPS: Final = 25.0
"""Assumed where a file has neither stamps nor a rate."""
NO_STAMPS: Final = ("mpjpeg", "mjpeg", "h264", "hevc", "jpeg_pipe")
"""Formats without time stamps: FFmpeg invents 25 fps, which is wrong for a live stream."""


@dataclass(frozen=True, eq=False)
class Grab:
    """A decoded picture, not converted yet."""

    picture: av.VideoFrame
    t: float
    index: int
    arrived: float


class Video:
    """An opened container of which one picture has been decoded. One thread uses it."""

    def __init__(
        self, container: InputContainer, source: str, *, is_live: bool, until: float | None = None
    ) -> None:
        """Decode the first picture, by `until` on the monotonic clock.

        Raises:
            SourceError: there is no video in it, or no picture can be decoded.
        """
        self.source, self.is_live = source, is_live
        self.corrupt_frames = 0
        """Packets and pictures that were damaged and left out."""
        self._waits = 0  # in a row
        self._container = container
        self.has_stamps = not is_live or container.format.name not in NO_STAMPS
        self.is_in_pieces = is_live and container.format.name == "hls"
        """Whether pictures come seconds at a time, as files; FFmpeg leaves out those too old."""
        self._backlog = Backlog(source) if is_live and not self.is_in_pieces else None
        self._stream = video_stream(container, source)
        if is_live:  # threads by frame would hold back a picture for each
            self._stream.codec_context.flags |= Flags.low_delay
        self._stream.thread_type = "SLICE" if is_live else "AUTO"
        self._until = until
        self._pictures = self._decode() if self._backlog is None else self._decode_live()
        self._first = next(self._pictures, None)
        self._until = None
        if self._first is None:
            raise SourceError(
                f"{source} cannot be read: none of its pictures decodes, it is cut off or damaged"
            )
        if is_live:
            self.corrupt_frames = 0  # those before the first key frame are no damage
        self._pixel_aspect = pixel_aspect(self._stream)
        height, width = upright(self._first, self._pixel_aspect).shape[:2]
        self.size = (width, height)
        """Width and height of every frame: pictures of another size are fitted into it."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = plausible_rate(rate) if self.has_stamps else None
        self.duration_s = None if is_live else length_s(container, self._stream)
        self.num_frames = None if is_live else self._stream.frames or self._estimate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def interval_s(self) -> float:
        """Nominal time from frame to frame."""
        return 1 / (self.fps or DEFAULT_FPS)

    @property
    def num_skipped(self) -> int:
        """Pictures of a camera that were not decoded, so that it stays live."""
        return self._backlog.num_skipped if self._backlog is not None else 0

    def pictures(self) -> Iterator[av.VideoFrame]:
        """All pictures from the first on, in the order of showing; damaged ones are left out.

        Raises:
            SourceError: a clip on the network broke off.
            SourceLost: a live stream ended or broke off.
        """
        if self._first is not None:
            first, self._first = self._first, None
            yield first
        yield from self._pictures
        if self.is_live:
            raise SourceLost(f"{self.source} has ended the stream")

    def grabs(self) -> Iterator[Grab]:
        """The same, stamped."""
        clock = StreamTime(self.interval_s, is_live=self.is_live)
        for index, picture in enumerate(self.pictures()):
            arrived = time.monotonic()
            yield Grab(picture, clock.step(self.stamp(picture), arrived), index, arrived)

    def stamp(self, picture: av.VideoFrame) -> float | None:
        """The picture's presentation stamp in seconds, None if it has none that can be used."""
        return picture.time if self.has_stamps and picture.pts is not None else None

    def image(self, picture: av.VideoFrame) -> Image:
        """uint8 [H, W, 3] RGB, upright, its pixels square, of `size`."""
        return fit(upright(picture, self._pixel_aspect), self.size)

    def rewind(self) -> None:
        """Begin again with the first picture.

        Raises:
            SourceError: the format does not allow it.
        """
        try:
            self._container.seek(self._container.start_time or 0)
        except FFmpegError as error:
            raise SourceError(f"{self.source} cannot be repeated: {why(error)}") from None
        self._pictures = self._decode()

    def close(self) -> None:
        """Release it."""
        self._pictures.close()  # it holds this object, which holds the decoder
        self._container.close()

    def _decode_live(self) -> Generator[av.VideoFrame, None, None]:
        """Without what piled up while FFmpeg looked at the stream: it came a second ago."""
        pictures, until, stale = self._decode(), time.monotonic() + CATCH_UP_S, None
        for stale in pictures:
            if self._waits >= WAITS or time.monotonic() > until:
                yield stale
                yield from pictures
                return
        if stale is not None:
            yield stale

    def _decode(self) -> Generator[av.VideoFrame, None, None]:
        bad_reads = 0
        while bad_reads < MAX_BAD_READS:
            try:
                asked = time.monotonic()
                for packet in self._container.demux(self._stream):
                    bad_reads = 0
                    if not self._is_skipped(packet, asked):
                        yield from self._decode_packet(packet)
                    asked = time.monotonic()
                    if self._until is not None and asked > self._until:
                        raise SourceError(f"{self.source} cannot be opened: {NO_KEY_FRAME}")
                return
            except IndexError:  # PyAV's for a packet of a stream that begins in mid-file
                bad_reads += 1
            except av.error.InvalidDataError:
                bad_reads += 1
                self.corrupt_frames += 1
            except FFmpegError as error:
                raise self._broken(error) from None
        logger.warning("%s: nothing readable follows, it ends here", self.source)

    def _is_skipped(self, packet: "av.Packet[VideoStream]", asked: float) -> bool:
        if self._backlog is None:
            return False
        stamp_s = None
        if self.has_stamps and packet.dts is not None and packet.time_base is not None:
            stamp_s = float(packet.dts * packet.time_base)
        now = time.monotonic()
        self._waits = self._waits + 1 if now - asked > FRESH_S else 0
        return self._backlog.skips(stamp_s, now, is_key=packet.is_keyframe, waited_s=now - asked)

    def _decode_packet(self, packet: "av.Packet[VideoStream]") -> Iterator[av.VideoFrame]:
        try:
            pictures = packet.decode() if not packet.is_corrupt else []
        except av.error.InvalidDataError:
            pictures = []
            self.corrupt_frames += 1
        self.corrupt_frames += packet.is_corrupt
        for picture in pictures:
            if picture.is_corrupt:
                self.corrupt_frames += 1
            else:
                yield picture

    def _broken(self, error: FFmpegError) -> SourceError | SourceLost:
        kind = SourceLost if self.is_live else SourceError
        return kind(f"{self.source} broke off: {why(error)}")

    def _estimate(self) -> int | None:
        if self.duration_s is None or self.fps is None:
            return None
        return max(1, round(self.duration_s * self.fps))


def open_file(path: Path) -> Video:
    """Open a video file.

    Raises:
        SourceError: it is missing, a folder, empty, unreadable, cut off, or not a video.
    """
    check_file(path)
    name = name_of_file(path)
    try:
        # `file:` keeps `a:b.mp4` from being a protocol, the whitelist a playlist off the net.
        options = {"protocol_whitelist": "file"}
        container = _av_open(f"file:{path}", options, FILE_TIMEOUT_S)
    except FFmpegError as error:
        raise SourceError(f"{name} cannot be read: {why_not_video(path, error)}") from None
    return _video(container, name, is_live=False)


def open_url(url: str, timeout_s: float) -> Video:
    """Connect to a camera or a clip on the network.

    Raises:
        SourceError: it cannot be reached, refuses, or sends no video within the time-out.
    """
    source, address = without_credentials(url), for_ffmpeg(url)
    micros = str(int((timeout_s + GRACE_S) * 1e6))
    options = {"timeout": micros}
    if address.lower().startswith("rtsp"):
        # UDP, which loses packets, only with cameras that know nothing else.
        options |= {"rtsp_flags": "prefer_tcp", "allowed_media_types": "video"}
        options |= {"analyzeduration": str(int(PROBE_S * 1e6))}
    else:
        options |= {"rw_timeout": micros, "live_start_index": "-1"}  # of pieces, the newest
    begin = time.monotonic()
    try:
        container = _av_open(address, options, (timeout_s, timeout_s + GRACE_S))
    except FFmpegError as error:
        # Of a server that says nothing FFmpeg reports many things, but always this late.
        is_late = time.monotonic() - begin > 0.95 * timeout_s
        reason = no_answer(timeout_s) if is_late else why(error, address)
    except ValueError:  # PyAV's for what it cannot even parse
        reason = "this is no valid address"
    else:
        until = begin + timeout_s
        return _video(container, source, is_live=has_no_end(container), until=until)
    raise SourceError(f"{source} cannot be opened: {reason}")


def _av_open(
    address: str, options: dict[str, str], timeout: float | tuple[float, float]
) -> InputContainer:
    # Titles and handler names are not always UTF-8; PyAV would stop at them.
    return av.open(address, options=options, timeout=timeout, metadata_errors="replace")


def _video(
    container: InputContainer, source: str, *, is_live: bool, until: float | None = None
) -> Video:
    try:
        return Video(container, source, is_live=is_live, until=until)
    except (SourceError, SourceLost) as error:
        container.close()
        raise SourceError(str(error)) from None

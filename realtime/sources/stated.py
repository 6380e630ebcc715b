"""What a container states of itself: how much of it can be believed."""

from typing import Final

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from realtime.errors import SourceError

NOT_VIDEO: Final = ("tty", "image2", "ico", "apng")
"""Text and pictures that FFmpeg is willing to take for a video; so are all `*_pipe` formats."""


def has_no_end(container: InputContainer) -> bool:
    """Whether it is a camera's stream and no clip.

    Of a camera's FLV FFmpeg says that it lasts 0 s, of its MP4, which comes in fragments and so
    without an index, as long as what has come of it.
    """
    if not container.duration:
        return True
    is_mp4 = "mp4" in container.format.name.split(",")
    return is_mp4 and container.size < 0 and not any(s.frames for s in container.streams.video)


def video_stream(container: InputContainer, source: str) -> VideoStream:
    """Its video.

    Raises:
        SourceError: there is none.
    """
    name = container.format.name
    if name in NOT_VIDEO or name.endswith("_pipe"):
        raise SourceError(f"{source} is not a video but a picture or a text")
    for stream in container.streams.video:
        if not stream.disposition & stream.disposition.attached_pic:  # the cover of a song
            return stream
    what = "only sound" if container.streams.audio else "nothing that can be shown"
    raise SourceError(f"{source} is not a video: it holds {what}")


def plausible_rate(rate: object) -> float | None:
    """Frames per second, None for nonsense such as the 90000 of an RTP clock."""
    fps = float(rate or 0)  # type: ignore[arg-type]
    return fps if 0.1 <= fps <= 480 else None


def pixel_aspect(stream: VideoStream) -> float:
    """A pixel's width over its height, 1 where it is unknown or nonsense."""
    aspect = float(stream.sample_aspect_ratio or 1)
    return aspect if 0.25 <= aspect <= 4 else 1.0


def length_s(container: InputContainer, stream: VideoStream) -> float | None:
    """Seconds from start to end."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base

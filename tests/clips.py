"""Clips that tests make for themselves with PyAV: a square that moves, and faults on order."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

MILLIS = Fraction(1, 1000)


def picture(index: int, size: tuple[int, int] = (160, 120)) -> np.ndarray:
    """A dark picture, red at the top left, with a white square whose place tells the index."""
    width, height = size
    image = np.full((height, width, 3), 40, np.uint8)
    image[: height // 3, : width // 3] = (220, 20, 20)
    x = 4 * index % (width - 16)
    image[-24:-8, x : x + 16] = 255
    return image


def make_clip(
    path: Path,
    stamps_s: Sequence[float],
    *,
    size: tuple[int, int] = (160, 120),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    gop: int = 10,
    options: dict[str, str] | None = None,
    rotation: int = 0,
    mirrored: bool = False,
) -> Path:
    """Write one picture at each of the given seconds, without B-frames; return the path."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=30)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.time_base = stream.codec_context.time_base = MILLIS
        stream.codec_context.gop_size = gop
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "tune": "zerolatency"}
        if rotation or mirrored:
            stream.set_display_rotation(rotation, hflip=mirrored)
        for index, t in enumerate(stamps_s):
            frame = av.VideoFrame.from_ndarray(picture(index, size), format="rgb24")
            frame.pts, frame.time_base = round(t * 1000), MILLIS
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def make_sound(path: Path) -> Path:
    """Write one second of silence."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        for start in range(0, 16000, 1024):
            silence = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def as_camera(clip: Path, path: Path, seconds: float, *, keys_apart_s: float = 1.0) -> Path:
    """Rewrite a clip as a camera would send it, repeated until `seconds` are full.

    H.264 without B-frames and with key frames so far apart; encoded once, then copied.
    """
    once = path.with_suffix(".once.mp4")
    with av.open(str(clip)) as source, av.open(str(once), "w") as target:
        video = source.streams.video[0]
        stream = target.add_stream("libx264", rate=video.average_rate or 25)
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        stream.codec_context.gop_size = round(keys_apart_s * float(video.average_rate or 25))
        stream.options = {"preset": "ultrafast", "tune": "zerolatency"}
        for frame in source.decode(video):
            frame.pict_type = av.video.frame.PictureType.NONE
            target.mux(stream.encode(frame.reformat(format="yuv420p")))
        target.mux(stream.encode(None))
    _repeat(once, path, seconds)
    once.unlink()
    return path


def _repeat(clip: Path, path: Path, seconds: float) -> None:
    begin_s = Fraction(0)
    with av.open(str(path), "w") as target:
        stream: VideoStream | None = None
        while begin_s < seconds:
            with av.open(str(clip)) as source:
                video = source.streams.video[0]
                stream = stream or target.add_stream_from_template(video)
                assert video.time_base is not None
                begin, end = round(begin_s / video.time_base), 0
                for packet in source.demux(video):
                    if packet.dts is None or packet.pts is None:
                        continue
                    end = max(end, packet.pts + (packet.duration or 0))
                    packet.pts, packet.dts = packet.pts + begin, packet.dts + begin
                    packet.stream = stream
                    target.mux(packet)
                begin_s += end * video.time_base

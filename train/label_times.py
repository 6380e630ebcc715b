"""Labels in frames -> Spans in seconds, also where frames of the file could not be decoded."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from realtime.sources.container import open_file
from train.annotations import Segment, Video
from train.store_files import Span

DAMAGED = "damaged frame, left out"
"""The problem whose videos lack frames."""
_SAME_S = 1e-6
Seconds = NDArray[np.float64]


def spans_of(video: Video, t: Seconds, problems: Counter[str]) -> tuple[Span, ...]:
    """The labels of a video in stream time.

    Args:
        video: numbers the frames of its file, damaged ones among them.
        t: float64 [N] stream seconds of the frames that were decoded.
        problems: says whether all were; takes what is wrong with the labels.

    Raises:
        SourceError: the file is damaged, and cannot be read again.
    """
    every = _file_clock(video.path, t) if problems[DAMAGED] and video.segments else t
    return tuple(_in_seconds(video.segments, t, every, problems))


def lost_frames(video: Video, t: Seconds, problems: Counter[str]) -> tuple[int, ...]:
    """Which frames of the file, 0-based, were not decoded; none where its stamps do not say.

    Args:
        video: whose file.
        t: as of `spans_of`.
        problems: as there.

    Raises:
        SourceError: as there.
    """
    if not problems[DAMAGED]:
        return ()
    every = _file_clock(video.path, t)
    following = t[np.searchsorted(t, every - _SAME_S).clip(max=len(t) - 1)]
    is_lost = np.abs(following - every) > _SAME_S
    return tuple(np.flatnonzero(is_lost).tolist()) if (~is_lost).sum() == len(t) else ()


def _file_clock(path: Path, t: Seconds) -> Seconds:
    """float64 [M] stream seconds of every frame in the file, by its own stamps, undecoded."""
    stamps = []
    with open_file(path) as video:
        first = video.stamp(next(iter(video.pictures())))  # stream time is 0 there
    with (
        av.open(f"file:{path}", metadata_errors="replace") as container,
        suppress(FFmpegError),  # what follows cannot be read, and so was not decoded
    ):
        for packet in container.demux(container.streams.video[0]):
            if packet.pts is not None and not packet.is_discard:
                stamps.append(float(packet.pts * packet.time_base))
    if first is None or len(stamps) < len(t):
        return t  # a format without stamps: frames can only be counted
    return np.sort(stamps) - first


def _in_seconds(
    segments: Sequence[Segment], t: Seconds, every: Seconds, problems: Counter[str]
) -> Iterator[Span]:
    last = int(np.searchsorted(every, t[-1] + _SAME_S)) - 1
    for segment in segments:
        if segment.start > last:
            problems["label beyond the video's end, left out"] += 1
            continue
        if segment.end > last:
            problems["label cut at the video's end"] += 1
        first_s, last_s = every[segment.start], every[min(segment.end, last)]
        lo = int(np.searchsorted(t, first_s - _SAME_S))
        hi = int(np.searchsorted(t, last_s + _SAME_S)) - 1
        if lo > hi:
            problems["label on damaged frames alone, left out"] += 1
        else:
            yield Span(segment.label, float(t[lo]), float(t[hi]), segment.row)

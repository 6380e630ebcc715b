"""Anything that yields frames: webcams, files, RTSP and HTTP addresses, browsers, a test pattern.

`open_source` returns an opened source that has proved to deliver. Iterating yields frames as they
come and ends at the end of a clip; a live source that stops raises `SourceLost`. `close` may come
from another thread and ends a waiting iteration within a second: waiting is done on an event, never
inside a driver or FFmpeg, whose own thread is left behind if it hangs.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Protocol, Self
from urllib.parse import unquote, urlsplit

from realtime.errors import SourceError
from realtime.records import Frame
from realtime.sources.absent import AbsentSource
from realtime.sources.browser import BrowserSource
from realtime.sources.stream import FileSource, NetworkSource
from realtime.sources.synthetic import SyntheticSource
from realtime.sources.uri import without_credentials
from realtime.sources.webcam import MAX_INDEX, CameraInfo, WebcamSource, list_cameras

__all__ = [
    "AbsentSource", "BrowserSource", "CameraInfo", "FileSource", "NetworkSource", "Source",
    "SyntheticSource", "WebcamSource", "list_cameras", "open_source", "open_sources",
    "without_credentials",
]  # fmt: skip

logger = logging.getLogger(__name__)

ALLOWED: Final = (
    "a camera number (0), a video file, rtsp:// or http:// with or without s, or test://"
)

SILENT_S: Final = 3.0
"""Whoever waits so long for one of several sources is told for which."""
NETWORK: Final = ("rtsp", "rtsps", "http", "https")
NEEDS_SLASHES: Final = (*NETWORK, "file", "test")


class Source(Protocol):
    """An opened source: an iterator of frames and a context manager."""

    @property
    def id(self) -> str:
        """Its URI without credentials."""

    @property
    def is_live(self) -> bool:
        """True for cameras: frames come when they come, and it has no end of its own."""

    @property
    def fps(self) -> float | None:
        """Nominal frames per second, None if it does not say. Never use it for timing."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of its frames, px."""

    @property
    def num_frames(self) -> int | None:
        """Frames from start to end, maybe an estimate (for a progress bar); None = no end known."""

    @property
    def num_dropped(self) -> int:
        """Frames that a newer one replaced before they were taken; 0 where none can be."""

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end; None = no end known."""

    @property
    def round_s(self) -> float | None:
        """Stream seconds from one beginning of a repeated clip to the next; None before that."""

    def __iter__(self) -> Iterator[Frame]: ...

    def __next__(self) -> Frame:
        """The next frame; StopIteration at the end, SourceLost when a live source stopped."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def close(self) -> None:
        """End the iteration and release the source; from any thread, more than once."""


def open_source(
    uri: str,
    *,
    realtime: bool = False,
    loop: bool = False,
    timeout_s: float = 10.0,
    names: Mapping[str, str] = MappingProxyType({}),
) -> Source:
    """Open a source by its URI.

    Args:
        uri: `0` or `webcam:0`, a path or `file://`, `rtsp(s)://`, `http(s)://`, or `test://`.
        realtime: let the frames of a clip out at its own pace, as a camera would.
        loop: repeat a file or `test://` for ever; stream time goes on over the seam.
        timeout_s: the longest silence of a camera or server, when opening and later.
        names: URI -> id of sources that are not to be called by their URI.

    Raises:
        SourceError: it cannot be opened; one line says why, and what to do.
    """
    source = _open(uri, realtime=realtime, loop=loop, timeout_s=timeout_s)
    source.id = names.get(uri, source.id)
    return source


def _open(
    uri: str, *, realtime: bool, loop: bool, timeout_s: float
) -> WebcamSource | NetworkSource | SyntheticSource | FileSource:
    scheme, _, rest = uri.partition(":")
    scheme = scheme.lower()
    if uri.isdecimal() or scheme == "webcam":
        number = uri if uri.isdecimal() else rest
        if not (number.isascii() and number.isdecimal() and int(number) <= MAX_INDEX):
            shown = without_credentials(uri)
            raise SourceError(f"{shown} is no camera: expected webcam:0 to webcam:{MAX_INDEX}")
        return WebcamSource(int(number), timeout_s=timeout_s)
    if uri.startswith("/dev/video") and uri.removeprefix("/dev/video").isdecimal():
        return WebcamSource(int(uri.removeprefix("/dev/video")), timeout_s=timeout_s)
    if scheme in NETWORK and rest.startswith("//"):
        return NetworkSource(uri, realtime=realtime, timeout_s=timeout_s)
    if scheme == "test" and rest.startswith("//"):
        return SyntheticSource(uri, realtime=realtime, loop=loop)
    if scheme == "file" and rest.startswith("//"):
        return FileSource(_path(uri), realtime=realtime, loop=loop)
    if not uri or "://" in uri or scheme in NEEDS_SLASHES:
        shown = without_credentials(uri) if uri else "An empty name"
        raise SourceError(f"{shown} is not a source: expected {ALLOWED}")
    # Not `Path.expanduser`: that raises for `~someone` who is unknown.
    return FileSource(Path(os.path.expanduser(uri)), realtime=realtime, loop=loop)


def open_sources(
    uris: Sequence[str],
    open_one: Callable[[str], Source],
    names: Mapping[str, str] = MappingProxyType({}),
) -> list[Source]:
    """Open sources at the same time, by `open_one`, in the order of `uris`.

    One of several network cameras that cannot be opened now is returned as one that is lost, for
    its reader to look for again.

    Raises:
        SourceError: something else cannot be opened, or nothing can; whatever was is closed.
    """
    jobs = [_job(open_one, uri) for uri in uris]
    called = [names.get(uri) or without_credentials(uri) for uri in uris]
    silent_from = time.monotonic() + SILENT_S
    # In short waits, because on Windows a long one does not notice Ctrl-C.
    while wait(jobs, timeout=0.2).not_done:
        if len(uris) > 1 and time.monotonic() > silent_from:
            late = [name for name, job in zip(called, jobs, strict=True) if not job.done()]
            logger.warning("still waiting for %s", ", ".join(late))
            silent_from = math.inf
    errors = [job.exception() for job in jobs]
    sources: list[Source] = [job.result() for job in jobs if job.exception() is None]
    for uri, error in zip(uris, errors, strict=True):
        if error is not None and not (sources and _is_absent(uri, error)):
            for source in sources:
                source.close()
            raise error
    return [
        job.result() if error is None else AbsentSource(name, str(error))
        for name, job, error in zip(called, jobs, errors, strict=True)
    ]


def _job(open_one: Callable[[str], Source], uri: str) -> "Future[Source]":
    """Opens on a thread that nobody waits for at the end: Ctrl-C comes while a camera is silent."""
    job: Future[Source] = Future()

    def run() -> None:
        try:
            job.set_result(open_one(uri))
        except BaseException as error:  # thread boundary: it goes to whoever waits
            job.set_exception(error)

    threading.Thread(target=run, name=f"open {without_credentials(uri)}", daemon=True).start()
    return job


def _is_absent(uri: str, error: BaseException) -> bool:
    """True of a network camera that may be there later."""
    return isinstance(error, SourceError) and uri.partition(":")[0].lower() in NETWORK


def _path(uri: str) -> Path:
    shown = without_credentials(uri)
    try:
        parts = urlsplit(uri)
    except ValueError:  # its text holds the address as it was typed
        raise SourceError(f"{shown} is not understood: expected file:///folder/name") from None
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost"):
        raise SourceError(f"{shown} names a file of another machine: expected file:///folder/name")
    if len(path) > 2 and path[0] == "/" and path[2] == ":":  # file:///C:/clip.mp4
        path = path[1:]
    return Path(path)

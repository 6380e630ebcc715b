"""Why a source cannot be opened or read: FFmpeg's and the system's reasons in words.

Never `str(error)`: PyAV puts the URL with its password there.
"""

import errno
import re
import socket
import stat
from pathlib import Path
from typing import Final

import av
from av.error import FFmpegError

from realtime.errors import SourceError
from realtime.sources.uri import host_of, name_of_file

_CAMERA: Final = re.compile(r"(\d+(\.\d+){3}|[\w.-]+:\d+)(:\d+)?(/|$)")
"""How the address of a camera begins that was typed without its scheme."""
PLAYLISTS: Final = (b"#EXTM3U", b"ffconcat", b"v=0", b"<MPD", b"<?xml")
"""How lists begin that would lead FFmpeg elsewhere, also into the network."""

_REASONS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (av.error.HTTPUnauthorizedError, "access refused (401): check user and password in the URL"),
    (av.error.HTTPForbiddenError, "access forbidden (403): check the rights of the user"),
    (av.error.HTTPNotFoundError, "there is nothing at this path (404): check the end of the URL"),
    (av.error.HTTPServerError, "the server has an error of its own (5xx): try again later"),
    (av.error.HTTPClientError, "the server refuses the request (4xx): check the URL"),
    (ConnectionRefusedError, "connection refused: check that it is switched on, and the port"),
    (ConnectionError, "the connection was cut"),
    (av.error.InvalidDataError, "what comes from there is not a video"),
    (av.error.DecoderNotFoundError, "its codec is unknown, or damage hides it"),
    (EOFError, "it is cut off before its first picture"),
    (av.error.ProtocolNotFoundError, "FFmpeg as built into PyAV does not speak this protocol"),
)


def check_file(path: Path) -> None:
    """Refuse what cannot be a video file.

    Raises:
        SourceError: it is missing, a folder, empty, or may not be read.
    """
    name = name_of_file(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise SourceError(f"{name} is a folder: name a video file in it")
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{name} is not a file: name a video file")
        if status.st_size == 0:
            raise SourceError(f"{name} is empty (0 bytes): record or copy it again")
        with path.open("rb") as file:
            is_playlist = file.read(64).lstrip().startswith(PLAYLISTS)
    except (FileNotFoundError, NotADirectoryError):
        hint = f", or write rtsp://{name} if it is a camera" if _CAMERA.match(name) else ""
        raise SourceError(f"There is no file {name}: check the name{hint}") from None
    except ValueError:  # a NUL in it
        raise SourceError(f"{name!r} cannot be the name of a file: check it") from None
    except PermissionError:
        raise SourceError(f"{name} may not be read: check its permissions") from None
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error.strerror}") from None
    if is_playlist:
        raise SourceError(f"{name} is not a video but a list of others: name one of them")


def why_not_video(path: Path, error: FFmpegError) -> str:
    """Why FFmpeg did not open a file that `check_file` let through."""
    if not isinstance(error, av.error.InvalidDataError):
        return why(error)
    with path.open("rb") as file:
        is_mp4 = file.read(12)[4:8] == b"ftyp"
    if is_mp4:
        return "the MP4 is cut off, its index (moov) is missing; record or copy it again"
    return "it is not a video, or damaged from the start"


def why(error: FFmpegError, address: str = "") -> str:
    """FFmpeg's reason in words; `address` is the URL that was tried, for its host."""
    if isinstance(error, TimeoutError | av.error.ExitError):
        return no_answer(None)
    for kind, text in _REASONS:
        if isinstance(error, kind):
            return text
    if address and not _is_known(host_of(address)):
        return "its host is unknown: check the address"  # unnamed: it may be half a password
    if error.errno == errno.EIO:
        return "the connection was cut" if address else "it cannot be read any further"
    return (error.strerror or type(error).__name__).lower()


def no_answer(timeout_s: float | None) -> str:
    """The reason for silence."""
    limit = "" if timeout_s is None else f" within {timeout_s:g} s"
    return f"no answer{limit}: check that it is switched on and can be reached"


def _is_known(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return False
    return True

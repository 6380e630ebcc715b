"""URLs of cameras: what may be shown of them, and how FFmpeg reads them.

Cameras' passwords are typed into URLs as they are, with `@`, `/` or `%` in them, or stand in the
query. What is shown hides rather too much than too little; what is opened has them escaped.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

from realtime.errors import SourceError

_SECRET = re.compile(
    r"([\w-]*(?:pas|pwd|psw|token|secret|auth|key|sig)[\w-]*|(?<!\w)pw?)=[^&;]*", re.IGNORECASE
)
_QUOTED_LOGIN = re.compile(r"\S*:\S.*@", re.DOTALL)
_SCHEME = re.compile(r"([A-Za-z][\w+.-]*)://")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^/?#@:\s\[\]]+)(:\d*)?(?=[/?#]|$)")
_BARE_PERCENT = re.compile(r"%(?![0-9a-fA-F]{2})")


def without_credentials(uri: str) -> str:
    """The URI as it may be shown: no user, no password, no secret in its query.

    Where a `:` precedes an `@`, everything before the last `@` may belong to a password and is left
    out, although an address may hold an `@` too. That goes for mistyped addresses as well, such as
    `rtsp:/user:password@host`, of which not even the scheme is certain.
    """
    uri = _printable(uri)
    scheme = _SCHEME.match(uri)
    start = scheme.group() if scheme else ""
    rest = uri.removeprefix(start)
    before, at, after = rest.rpartition("@")
    if at and ":" in before:
        rest = after or "***"
    elif start:
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        rest = rest[authority.rfind("@") + 1 :]
    return start + _SECRET.sub(r"\1=***", rest)


def redact_text(text: str) -> str:
    """A sentence that may quote addresses as they were typed, as it may be shown.

    From the first word with a `:` inside to the last `@` all may belong to a password, which may
    hold spaces and quotes.
    """
    return _SECRET.sub(r"\1=***", _QUOTED_LOGIN.sub("***@", text))


def redact_arguments(text: str, arguments: Sequence[str]) -> str:
    """A sentence that may quote what was typed, or a path made of it, as it may be shown.

    Looking for nothing else leaves the rest of the sentence, and names of files, as they are.
    """
    for argument in arguments:
        value = argument.partition("=")[2] if argument.startswith("-") else argument
        if not value or os.path.lexists(value):
            continue
        path = Path(value)  # has one slash where an address has two
        for form in (value, *map(str, (path, *path.parents)), path.name):
            if (shown := without_credentials(form)) != form:
                text = text.replace(form, shown).replace(repr(form)[1:-1], shown)
    return text


def name_of_file(path: Path) -> str:
    """The path as it may be shown: whole if it exists, else it may be a mistyped address."""
    name = _printable(str(path))
    # Not `path.exists`: that raises where a folder may not be searched or a name is impossible.
    return name if os.path.lexists(path) else without_credentials(name)


def _printable(name: str) -> str:
    """With `?` for what is not UTF-8 of a file's name: no JSON, terminal or page would take it."""
    return name.encode("utf-8", "replace").decode()


def for_ffmpeg(uri: str) -> str:
    """The URL with its user and password escaped, so that FFmpeg splits it where a person would.

    Raises:
        SourceError: there is no host, or a port that is none.
    """
    scheme, _, rest = uri.partition("://")
    scheme = scheme.lower()  # FFmpeg knows no `RTSP://`
    userinfo, address = _split(rest)
    shown = without_credentials(uri)
    if not _HOST.match(address):
        raise SourceError(f"{shown} names no host: expected {scheme}://host[:port]/path")
    try:
        host, port = urlsplit(f"{scheme}://{address}").hostname, urlsplit(f"x://{address}").port
    except ValueError:
        host, port = None, None
    if not host or port == 0:
        raise SourceError(f"{shown} has no valid host and port: ports go from 1 to 65535")
    if not userinfo:
        return f"{scheme}://{address}"
    user, colon, password = userinfo.partition(":")
    return f"{scheme}://{_escape(user)}{colon}{_escape(password)}@{address}"


def host_of(uri: str) -> str:
    """Host of a URL that `for_ffmpeg` has made."""
    return urlsplit(uri).hostname or ""


def _split(rest: str) -> tuple[str, str]:
    """Userinfo and the address behind it.

    By the rule the userinfo ends at the last `@` before the path. But people paste passwords with
    `/`, `?` or `#` in them: where a `:` precedes, it ends at the last `@` of all, unless the text
    before the path is a host as it stands. An `@` in a path behind a password must be `%40`.
    """
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    before, at, after = rest.rpartition("@")
    if at and ":" in before and ("@" in authority or not _HOST.match(rest)):
        return before, after
    user, _, address = rest[: len(authority)].rpartition("@")
    return user, address + rest[len(authority) :]


def _escape(part: str) -> str:
    """Escape what may not stand in a userinfo; escapes that are there already are kept."""
    return quote(_BARE_PERCENT.sub("%25", part), safe="%!$&'()*+,;=-._~")

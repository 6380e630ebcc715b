"""Who may open the live socket, and who may choose a source.

Gradio's login and its CORS rules do not reach web sockets, so the socket makes both checks itself.
"""

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Access:
    """The rules of one page.

    A source is an address that this machine opens, so a stranger who may type one can probe the
    host's network and read its files. It may be chosen at the host's own machine, or by someone who
    has logged in on the local network; never through a share link.
    """

    host: str
    """The address that the page listens on."""
    has_login: bool
    is_shared: bool
    """True where a public share link was asked for."""

    def may_choose(self, headers: Mapping[str, str]) -> bool:
        """True if this connection may start, stop and exchange the shared camera."""
        if self.is_shared:
            return False
        if self.has_login:
            return True
        # A proxy or tunnel in front of a loopback page makes everybody look local.
        is_forwarded = any(name in headers for name in ("x-forwarded-for", "forwarded"))
        return is_loopback(self.host) and not is_forwarded

    def is_same_origin(self, headers: Mapping[str, str]) -> bool:
        """True if the page that opens the socket was served under the socket's own address.

        Browsers always send Origin and let no page forge it or Host. Without a login the host's
        name must be one of ours as well: a foreign name that was made to resolve to this machine
        (DNS rebinding) would have an equal Origin and Host.
        """
        origin = urlsplit(headers.get("origin", "")).netloc.lower()
        hosts = {headers.get(name, "").lower() for name in ("host", "x-forwarded-host")}
        if not origin or origin not in hosts:
            return False
        return self.has_login or self._is_own_name(_name_of(origin))

    def _is_own_name(self, name: str) -> bool:
        own = {"localhost", self.host.lower(), socket.gethostname().lower()}
        return _is_address(name) or name in own or name.removesuffix(".local") in own


def is_logged_in(cookies: Mapping[str, str], app: Any) -> bool:
    """Gradio's own rule (`login_check` in its routes), for a web socket's cookies.

    Args:
        cookies: of the handshake.
        app: the running Gradio application; it knows the tokens that are still valid.
    """
    if app.auth is None:
        return True
    token = cookies.get(f"access-token-{app.cookie_id}") or cookies.get(
        f"access-token-unsecure-{app.cookie_id}"
    )
    return token is not None and app.tokens.get(token) is not None


def is_loopback(host: str) -> bool:
    """True if only programs on this machine can reach a server that listens on `host`."""
    if host == "localhost":
        return True
    return _is_address(host) and ipaddress.ip_address(host.strip("[]")).is_loopback


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _name_of(netloc: str) -> str:
    return urlsplit(f"//{netloc}").hostname or ""

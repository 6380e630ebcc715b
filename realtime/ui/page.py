"""The page itself: Gradio's server with our socket on its port, the share link, and `serve`."""

import contextlib
import io
import logging
import math
import os
import secrets
import socket
import time
import webbrowser
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.tunneling import CURRENT_TUNNELS
from starlette.routing import WebSocketRoute

from realtime.errors import PageError
from realtime.interrupt import ended_by_signals
from realtime.sources import BrowserSource, open_source, without_credentials
from realtime.subject import draw_subject
from realtime.ui.access import Access, is_loopback
from realtime.ui.pictures import Media, Session
from realtime.ui.socket import Hub, SourceChoices

if TYPE_CHECKING:
    from realtime.session import LiveSession

__all__ = ["LivePage", "SourceChoices", "open_page", "serve"]

logger = logging.getLogger(__name__)

SOCKET_PATH = "/live/ws"
_PORTS_TRIED = 20
_OPEN_TO_ALL = (
    "Warning: anybody on the network can watch, and nobody can choose sources on the page; with "
    "--auth USER:PASSWORD only whoever signs in can watch, and choose."
)


@dataclass(frozen=True)
class LivePage:
    """A page that is up."""

    url: str
    share_url: str | None
    hub: Hub


def serve(
    session: "LiveSession",
    *,
    sources: SourceChoices,
    host: str = "127.0.0.1",
    port: int | None = 7860,
    share: bool = False,
    auth: tuple[str, str] | None = None,
    open_browser: bool = False,
    duration_s: float | None = None,
    plays_once: bool = False,
) -> None:
    """Show the session on a page until Ctrl-C or SIGTERM; says on stdout where the page is.

    Args:
        session: an entered session.
        sources: what runs at first, and what else is offered.
        host: address to listen on. Where that is more than this machine, viewers need `auth` to
            choose sources; without it they see what the command line named, or their own camera.
        port: the next free one is taken, and named, if it is in use; None = any.
        share: make a public link through Gradio's tunnel; nobody can choose sources then.
        auth: user and password; with `share` they are made up if they are missing.
        open_browser: show the page in this machine's browser.
        duration_s: end by itself when the page has been up for so long; None = do not.
        plays_once: clips end at their end, for a recording; else they begin anew.

    Raises:
        TellsError: the first source cannot be opened, or the page cannot listen there.
    """
    config = session.lineup.config
    login = auth or (("tells", secrets.token_urlsafe(9)) if share else None)
    with (
        open_page(
            session,
            sources=sources,
            media=_media(config.source_timeout_s, sources.names, loop=not plays_once),
            emotion=config.emotion,
            source_timeout_s=config.source_timeout_s,
            host=host,
            port=port,
            share=share,
            auth=login,
        ) as page,
        ended_by_signals() as is_ended,
    ):
        _say(f"Tells is on {page.url}{_taken(page.url, port)}; Ctrl-C ends it.")
        if login is None and not is_loopback(host):
            _say(_OPEN_TO_ALL)
        if share:
            _say_share(page, login if auth is None else None)
        if open_browser:
            webbrowser.open(page.url)
        end = time.monotonic() + (math.inf if duration_s is None else duration_s)
        # In short waits, because on Windows a long one does not notice Ctrl-C.
        while not is_ended.wait(0.2) and time.monotonic() < end:
            pass


@contextlib.contextmanager
def open_page(
    session: Session,
    *,
    sources: SourceChoices,
    media: Media | None = None,
    emotion: bool = True,
    source_timeout_s: float = 10.0,
    host: str = "127.0.0.1",
    port: int | None = None,
    share: bool = False,
    auth: tuple[str, str] | None = None,
) -> Iterator[LivePage]:
    """Have the page up inside a `with` block; most arguments as for `serve`.

    `media` are stages other than the real ones, `emotion` is False where the host has switched
    emotion inference off, a source that is silent for `source_timeout_s` is lost, `port` None takes
    any.
    """
    port = _free_port(host, port)
    access = Access(host, has_login=auth is not None, is_shared=share)
    demo = _build()
    media = media or _media(source_timeout_s, sources.names)
    hub = Hub(session, sources, access, media=media, emotion=emotion)
    try:
        hub.open_initial()
        hub.app = _launch(demo, hub, host, port, share=share, auth=auth)
        yield LivePage(_url(host, demo.server_port), demo.share_url, hub)
    finally:
        hub.close()
        demo.close(verbose=False)
        for tunnel in CURRENT_TUNNELS:
            tunnel.kill()


def _media(timeout_s: float, names: Mapping[str, str], *, loop: bool = True) -> Media:
    return Media(
        open_source=partial(
            open_source, realtime=True, loop=loop, timeout_s=timeout_s, names=names
        ),
        open_browser=partial(BrowserSource, timeout_s=timeout_s),
        redact=without_credentials,
        draw=draw_subject,
    )


def _build() -> Any:
    with gr.Blocks(title="Tells", analytics_enabled=False, fill_width=True) as demo:
        gr.HTML(
            html_template=_text("live.html"),
            js_on_load="Tells.mount(element)",
            apply_default_css=False,
            elem_id="tells-page",
        )
    return demo


def _text(name: str) -> str:
    return (resources.files("realtime.ui") / name).read_text(encoding="utf-8")


def _launch(
    demo: Any, hub: Hub, host: str, port: int, *, share: bool, auth: tuple[str, str] | None
) -> Any:
    """Start the server; returns the running application."""
    # Gradio looks up two of its servers at every launch unless this is set.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    chatter = io.StringIO()
    with contextlib.redirect_stdout(chatter):
        demo.launch(
            server_name=host,
            server_port=port,
            share=share,
            auth=auth,
            auth_message="This page shows a live camera. Please sign in." if auth else None,
            app_kwargs={"routes": [WebSocketRoute(SOCKET_PATH, hub.handle)]},
            # Not as `css`: Gradio would rewrite it with a parser that splits `:is(a, b)`.
            head=f"<style>{_text('style.css')}</style><script>{_text('live.js')}</script>",
            theme=_theme(),
            favicon_path=str(resources.files("realtime.ui") / "icon.svg"),
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,  # its proxy forwards no web sockets
            footer_links=[],
            max_file_size=1,  # nothing is uploaded here; Gradio's upload route stays otherwise open
            enable_monitoring=False,
            pwa=False,
            mcp_server=False,
        )
    for line in filter(None, chatter.getvalue().splitlines()):
        logger.debug("gradio: %s", line)
    # With a live share Gradio's pages load their scripts from its cloud; ours are all local.
    demo.share = False
    return demo.server_app


def _theme() -> Any:
    """Dark for everybody, and no fonts from elsewhere; what shows of it is the login page."""
    dark = {
        "body_background_fill": "#0d1117",
        "background_fill_primary": "#0d1117",
        "background_fill_secondary": "#0d1117",
        "block_background_fill": "#151b24",
        "block_border_color": "#263041",
        "border_color_primary": "#263041",
        "body_text_color": "#e8edf4",
        "block_label_text_color": "#93a1b5",
        "block_info_text_color": "#93a1b5",
        "block_title_text_color": "#93a1b5",
        "input_background_fill": "#0d1117",
        "input_border_color": "#263041",
    }
    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    return theme.set(**dark, **{f"{name}_dark": color for name, color in dark.items()})


def _free_port(host: str, port: int | None) -> int:
    """The first port from `port` on that is free; any free one for None.

    Raises:
        PageError: none is, or the address cannot be listened on.
    """
    error = OSError()
    name = host.strip("[]")
    for number in range(port, min(port + _PORTS_TRIED, 65536)) if port else (0,):
        try:
            family, kind, proto, _, address = socket.getaddrinfo(
                name, number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            with socket.socket(family, kind, proto) as probe:
                if os.name == "posix":  # There it ignores only connections that are closing.
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                return int(probe.getsockname()[1])
        except UnicodeError:  # two dots, or a part of more than 63 letters
            error = OSError("which is neither an address nor a name")
        except OSError as e:
            error = e
    ports = f"ports {port} to {port + _PORTS_TRIED - 1}" if port else "any port"
    raise PageError(
        f"the page cannot listen on {host}, {ports} ({error.strerror or error}); "
        f"name another --host or --port"
    )


def _url(host: str, port: int) -> str:
    name = _own_address(host) if host.strip("[]") in ("0.0.0.0", "::") else host
    return f"http://[{name}]:{port}" if ":" in name and "[" not in name else f"http://{name}:{port}"


def _own_address(host: str) -> str:
    """The address under which other devices reach this machine; its name where it has none."""
    is_v6 = ":" in host
    # Nothing is sent: a datagram socket only looks up its way to an address that nobody has.
    with socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("2001:db8::1" if is_v6 else "192.0.2.1", 9))
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])


def _taken(url: str, port: int | None) -> str:
    return f" (port {port} was taken)" if port and not url.endswith(f":{port}") else ""


def _say_share(page: LivePage, login: tuple[str, str] | None) -> None:
    sign_in = f" Sign in as {login[0]} with password {login[1]}." if login else ""
    if page.share_url is None:
        _say(f"No share link: Gradio's tunnel cannot be had; the page stays up locally.{sign_in}")
    else:
        _say(f"Shared for up to 72 hours on {page.share_url}.{sign_in}")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - it does nothing where stdout is closed

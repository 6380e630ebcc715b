"""A camera for the tests: GStreamer's RTSP server plays an H.264 file in real time, once.

Run by the system's Python, which has GStreamer's bindings (Debian: python3-gi,
gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-{base,good,bad}): never imported by the tests.

    /usr/bin/python3 tests/rtsp_server.py [--udp] FILE [USER PASSWORD]

serves FILE at rtsp://127.0.0.1:PORT/live and prints PORT when it is ready; without FILE it prints
what is missing on this machine. With --udp it sends no pictures over TCP. They are passed on as
they are, so that the server costs next to no time: FILE needs a key frame every second or so, and
no B-frames.
"""

import sys
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402 -- versions come first

ELEMENTS = ("filesrc", "qtdemux", "h264parse", "clocksync", "rtph264pay")
RIGHTS = ("media.factory.access", "media.factory.construct")


def protect(server: Any, factory: Any, user: str, password: str) -> None:
    """Let only `user` with `password` in (HTTP basic authentication)."""
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth = GstRtspServer.RTSPAuth()
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_role("viewer")
    for right in RIGHTS:
        permissions.add_permission_for_role("viewer", right, True)
    factory.set_permissions(permissions)


def missing() -> list[str]:
    """The elements that this machine lacks."""
    return [name for name in ELEMENTS if Gst.ElementFactory.find(name) is None]


def serve(path: str, *user_password: str, is_udp: bool = False) -> None:
    """Serve until the process is ended."""
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_shared(True)
    if is_udp:
        factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP)
    # clocksync makes a camera of the file: every picture leaves when it is due.
    factory.set_launch(
        f'( filesrc location="{path}" ! qtdemux ! h264parse config-interval=-1 ! clocksync'
        " ! rtph264pay name=pay0 pt=96 )"
    )
    if user_password:
        protect(server, factory, *user_password)
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    sys.stdout.write(f"{server.get_bound_port()}\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


if __name__ == "__main__":
    Gst.init(None)
    if len(sys.argv) == 1:
        sys.stdout.write(" ".join(missing()))
    else:
        serve(*(a for a in sys.argv[1:] if a != "--udp"), is_udp="--udp" in sys.argv)

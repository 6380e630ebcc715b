"""RtspServers: real RTSP servers that play files, each in a process of its own."""

import os
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

from tests.clips import as_camera

SYSTEM_PYTHON = Path("/usr/bin/python3")
SCRIPT = Path(__file__).with_name("rtsp_server.py")


def why_not() -> str | None:
    """What is missing on this machine for an RTSP server, None if nothing is."""
    if not SYSTEM_PYTHON.exists():
        return f"there is no {SYSTEM_PYTHON} with GStreamer's bindings"
    check = subprocess.run(
        [SYSTEM_PYTHON, SCRIPT], capture_output=True, text=True, timeout=30, check=False
    )
    if check.returncode:
        return (
            "Python's bindings of GStreamer's RTSP server are missing (gir1.2-gst-rtsp-server-1.0)"
        )
    return f"GStreamer lacks {check.stdout}" if check.stdout.strip() else None


class RtspServers:
    """Starts servers: `url = servers(file, user_pass=("user", "password"))`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[str]] = {}

    def __call__(
        self,
        file: Path,
        user_pass: tuple[str, str] | None = None,
        *,
        seconds: float = 60.0,
        keys_apart_s: float = 1.0,
        is_udp: bool = False,
    ) -> str:
        """Play a clip in real time, repeated for `seconds`; return its URL with the password.

        The clip begins when the first viewer comes; those who come later see what is played then.
        With `is_udp` nothing is sent over TCP.
        """
        path = self._folder / f"{len(self._processes)}.mp4"
        clip = as_camera(file, path, seconds, keys_apart_s=keys_apart_s)
        options = ["--udp"] if is_udp else []
        process = subprocess.Popen(
            [SYSTEM_PYTHON, SCRIPT, *options, clip, *(user_pass or ())],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port.isdigit(), "the RTSP server did not start"
        login = ":".join(quote(part, safe="") for part in user_pass) + "@" if user_pass else ""
        url = f"rtsp://{login}127.0.0.1:{port}/live"
        self._processes[url] = process
        return url

    def freeze(self, url: str) -> None:
        """Make the server hang: the connection stays, nothing comes."""
        os.kill(self._processes[url].pid, signal.SIGSTOP)

    def stop(self, url: str) -> None:
        """End the server as a crash would; one that has ended is no error."""
        process = self._processes[url]
        process.kill()  # also ends a frozen one
        process.wait(timeout=10)
        if process.stdout is not None:
            process.stdout.close()

    def stop_all(self) -> None:
        """End all servers."""
        for url in self._processes:
            self.stop(url)

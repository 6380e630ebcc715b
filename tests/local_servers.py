"""Small servers of this machine for the tests: HTTP with clips and faults, and one that is mute."""

import base64
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BOUNDARY = b"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"


class _Handler(BaseHTTPRequestHandler):
    """`/clip` whole, `/endless` without its length, `/cut` with half of it missing, `/stall` with
    half of it and then silence, `/locked` with a password, `/mjpeg` live.
    """

    clip: Path
    jpeg: bytes
    login = "ann:p@ss/word"
    mjpeg_hz, mjpeg_frames = 10, 12

    def do_GET(self) -> None:
        data = self.clip.read_bytes() if self.path != "/mjpeg" else b""
        expected = "Basic " + base64.b64encode(self.login.encode()).decode()
        if self.path == "/mjpeg":
            self._send_mjpeg()
        elif self.path == "/locked" and self.headers.get("Authorization") != expected:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="clips"')
            self.end_headers()
        elif self.path in ("/clip", "/locked"):
            self._send(data, len(data))
        elif self.path.startswith("/hls/"):
            piece = self.clip.with_name(self.path.removeprefix("/hls/")).read_bytes()
            self._send(piece, len(piece))
        elif self.path == "/endless":
            with suppress(ConnectionError):  # the reader has gone
                self.wfile.write(CHUNKED % (len(data), data))
        elif self.path in ("/cut", "/stall"):
            self._send(data, len(data) // 2)
            if self.path == "/stall":
                self._wait_until_left()
        elif self.path == "/page":
            self._send(b"<html>no video</html>", 21)
        else:
            self.send_error(503 if self.path == "/busy" else 404)

    def _send(self, data: bytes, num_sent: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with suppress(ConnectionError):  # the reader has gone
            self.wfile.write(data[:num_sent])

    def _wait_until_left(self) -> None:
        with suppress(ConnectionError):
            self.connection.recv(1)

    def _send_mjpeg(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        self.end_headers()
        with suppress(ConnectionError):  # the reader has gone
            for _ in range(self.mjpeg_frames):
                self.wfile.write(BOUNDARY % (len(self.jpeg), self.jpeg))
                self.wfile.flush()
                time.sleep(1 / self.mjpeg_hz)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is http.server's
        pass


@contextmanager
def http_server(clip: Path, jpeg: bytes = b"", *, port: int = 0) -> Iterator[str]:
    """Serve, on any port unless it is named; yields `127.0.0.1:PORT`."""
    handler = type("Handler", (_Handler,), {"clip": clip, "jpeg": jpeg})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def mute_server() -> Iterator[str]:
    """Accepts connections and says nothing; yields `127.0.0.1:PORT`."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def closed_port() -> str:
    """`127.0.0.1:PORT` where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"

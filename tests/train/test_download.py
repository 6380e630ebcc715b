"""Public checkpoints are fetched with their licence shown, completely, and never a wrong file."""

import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from train.models.download import CHECKPOINTS, Checkpoint, CheckpointError, download

CONTENT = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Remembers the ranges that it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Publisher)
        self.ranges: list[str | None] = []


class Publisher(BaseHTTPRequestHandler):
    """Serves CONTENT as `/whole`, and worse."""

    server: "Server"

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.server.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if self.path == "/absent":
            self.send_error(404)
            return
        if start >= len(CONTENT):
            self.send_error(416)
            return
        if self.path == "/no-ranges":
            start = 0
        body = CONTENT[start:] if self.path != "/other" else b"x" * len(CONTENT)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path == "/truncated" else body)

    def log_request(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def offered(server: Server, path: str) -> Checkpoint:
    url = f"http://127.0.0.1:{server.server_port}{path}"
    return Checkpoint("test", "A model", url, "MIT", sha256=DIGEST[:16])


def test_download_shows_the_licence_and_a_bar_and_keeps_the_file(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "folder"
    path = download(offered(server, "/whole"), folder)
    assert path == folder / "whole"
    assert path.read_bytes() == CONTENT
    assert list(folder.iterdir()) == [path]
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("test: A model. Licence: MIT")
    assert "1.05M/1.05M" in shown.err
    assert download(offered(server, "/whole"), folder) == path
    assert len(server.ranges) == 1, "a file that is there is not fetched again"


@pytest.mark.parametrize("have", [1, 500_000, len(CONTENT)])
def test_download_continues_where_it_stopped(server: Server, tmp_path: Path, have: int) -> None:
    (tmp_path / "whole.part").write_bytes(CONTENT[:have])
    assert download(offered(server, "/whole"), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={have}-"]


def test_download_starts_over_where_the_server_knows_no_ranges(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "no-ranges.part").write_bytes(CONTENT[:500_000])
    assert download(offered(server, "/no-ranges"), tmp_path).read_bytes() == CONTENT


def test_a_broken_download_says_so_and_is_continued(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"broke off.*run it again to continue"):
        download(offered(server, "/truncated"), tmp_path)
    (part,) = tmp_path.iterdir()
    assert part.read_bytes() == CONTENT[: len(CONTENT) // 2]
    part.rename(tmp_path / "whole.part")
    assert download(offered(server, "/whole"), tmp_path).read_bytes() == CONTENT
    assert server.ranges[-1] == f"bytes={len(CONTENT) // 2}-"


def test_another_content_is_deleted(server: Server, tmp_path: Path) -> None:
    (tmp_path / "whole.part").write_bytes(b"x" * 1000)
    for path in ("/other", "/whole"):
        with pytest.raises(CheckpointError, match=r"instead of .* and was deleted"):
            download(offered(server, path), tmp_path)
    assert not list(tmp_path.iterdir())


def test_refused_and_unreachable_servers_are_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="answered 404"):
        download(offered(server, "/absent"), tmp_path)
    nobody = dataclasses.replace(offered(server, "/whole"), url="http://127.0.0.1:1/whole")
    with pytest.raises(CheckpointError, match="no connection"):
        download(nobody, tmp_path)


def test_a_folder_that_cannot_be_made_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        download(offered(server, "/whole"), tmp_path / "file")


def test_non_commercial_weights_need_consent_before_anything_is_fetched(
    server: Server, tmp_path: Path
) -> None:
    entry = dataclasses.replace(offered(server, "/whole"), must_accept=True)
    with pytest.raises(CheckpointError, match="accept the licence"):
        download(entry, tmp_path)
    assert server.ranges == []
    assert download(entry, tmp_path, accept_licence=True).exists()


def test_files_for_hands_say_how(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="in a browser, save the file"):
        download(CHECKPOINTS["swinface"], tmp_path)


def test_the_table_states_licences_and_known_digests() -> None:
    for name, entry in CHECKPOINTS.items():
        assert entry.name == name
        assert entry.licence
        assert entry.url.startswith("https://")
        assert entry.must_accept == ("NC" in entry.licence)
    assert CHECKPOINTS["mvit_v2_s"].sha256 in CHECKPOINTS["mvit_v2_s"].url

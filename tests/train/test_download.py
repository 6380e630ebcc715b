"""Public checkpoints are fetched with their licence shown, completely, and never a wrong file."""

import dataclasses
import hashlib
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from train.models.download import CHECKPOINTS, Checkpoint, CheckpointError, check_digest, download

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
        elif self.path == "/gibberish":
            self.wfile.write(b"no HTTP\r\n\r\n")
        elif start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.send_content(0 if self.path == "/no-ranges" else start)

    def send_content(self, start: int) -> None:
        body = CONTENT[start:] if self.path != "/other" else b"x" * (len(CONTENT) - start)
        said = start - 1 if self.path == "/shifted" else start
        self.send_response(206 if start or self.path == "/unasked" else 200)
        if start:
            self.send_header("Content-Range", f"bytes {said}-{len(CONTENT) - 1}/{len(CONTENT)}")
        if self.path != "/no-length":
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
    return Checkpoint("test", "A model", url, "MIT", sha256=DIGEST)


def undigested(server: Server, path: str) -> Checkpoint:
    return dataclasses.replace(offered(server, path), sha256="")


def test_download_shows_the_licence_and_a_bar_and_keeps_the_file(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "folder"
    result = download(offered(server, "/whole"), folder)
    assert result.path == folder / "whole"
    assert result.path.read_bytes() == CONTENT
    assert list(folder.iterdir()) == [result.path]
    assert (result.sha256, result.is_verified) == (DIGEST, True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("test: A model. Licence: MIT")
    assert "1.05M/1.05M" in shown.err
    assert download(offered(server, "/whole"), folder) == result
    assert len(server.ranges) == 1, "a file that is there is not fetched again"


@pytest.mark.parametrize("have", [1, 500_000, len(CONTENT)])
def test_download_continues_where_it_stopped(server: Server, tmp_path: Path, have: int) -> None:
    (tmp_path / "whole.part").write_bytes(CONTENT[:have])
    assert download(offered(server, "/whole"), tmp_path).path.read_bytes() == CONTENT
    assert server.ranges == [f"bytes={have}-"]


@pytest.mark.parametrize(("path", "surplus"), [("/whole", 1000), ("/shifted", -1000)])
def test_a_part_that_does_not_fit_the_servers_answer_is_fetched_anew(
    server: Server, tmp_path: Path, path: str, surplus: int
) -> None:
    have = len(CONTENT) + surplus
    (tmp_path / f"{path[1:]}.part").write_bytes(b"x" * have)
    result = download(undigested(server, path), tmp_path)
    assert result.path.read_bytes() == CONTENT
    assert server.ranges == [f"bytes={have}-", None]


def test_a_server_that_always_sends_another_part_is_given_up(
    server: Server, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="another part than it was asked for"):
        download(undigested(server, "/unasked"), tmp_path)
    assert server.ranges == [None]


def test_download_starts_over_where_the_server_knows_no_ranges(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "no-ranges.part").write_bytes(CONTENT[:500_000])
    assert download(offered(server, "/no-ranges"), tmp_path).path.read_bytes() == CONTENT


def test_a_broken_download_says_so_and_is_continued(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"broke off.*run it again to continue"):
        download(offered(server, "/truncated"), tmp_path)
    (part,) = tmp_path.iterdir()
    assert part.read_bytes() == CONTENT[: len(CONTENT) // 2]
    part.rename(tmp_path / "whole.part")
    assert download(offered(server, "/whole"), tmp_path).path.read_bytes() == CONTENT
    assert server.ranges[-1] == f"bytes={len(CONTENT) // 2}-"


def test_another_content_is_deleted(server: Server, tmp_path: Path) -> None:
    (tmp_path / "whole.part").write_bytes(b"x" * 1000)
    for path in ("/other", "/whole"):
        with pytest.raises(CheckpointError, match=r"expected sha256 .* was deleted"):
            download(offered(server, path), tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_a_published_digest_the_first_download_is_remembered(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "train.models.download")
    entry = undigested(server, "/whole")
    for fetched in (1, 1):  # the second time it is there, and only checked
        result = download(entry, tmp_path)
        assert not result.is_verified
        assert result.verdict.startswith("sha256 unverified")
        assert "sha256 unverified" in caplog.messages.pop()
        assert len(server.ranges) == fetched
    note = tmp_path / "whole.sha256"
    assert note.read_text(encoding="utf-8") == f"{DIGEST}  whole\n"

    result.path.write_bytes(b"changed")
    for check in (lambda: check_digest(result.path, entry), lambda: download(entry, tmp_path)):
        with pytest.raises(CheckpointError, match=r"as at the first download.*delete the file"):
            check()
    result.path.rename(tmp_path / "whole.part")  # what a later attempt would continue
    with pytest.raises(CheckpointError, match=r"as at the first download.*was deleted"):
        download(entry, tmp_path)
    assert download(entry, tmp_path).path.read_bytes() == CONTENT
    note.write_text("nonsense", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"whole\.sha256: expected the sha256 of whole"):
        download(entry, tmp_path)


def test_the_beginning_of_a_digest_is_compared_and_the_rest_remembered(
    server: Server, tmp_path: Path
) -> None:
    entry = dataclasses.replace(offered(server, "/whole"), sha256=DIGEST[:8])
    result = download(entry, tmp_path)
    assert result.is_verified
    assert f"of which {DIGEST[:8]} is published" in result.verdict
    assert (tmp_path / "whole.sha256").exists()


def test_a_file_without_any_digest_is_called_unverified(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "by_hand.pt"
    path.write_bytes(CONTENT)
    check_digest(path, CHECKPOINTS["swinface"])
    assert f"sha256 unverified: nothing to compare {DIGEST} with" in caplog.text
    assert list(tmp_path.iterdir()) == [path], "to look at a file writes nothing"


def test_a_file_of_unknown_size_and_digest_is_not_taken_for_complete(
    server: Server, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="neither size nor sha256"):
        download(undigested(server, "/no-length"), tmp_path)
    assert download(offered(server, "/no-length"), tmp_path).path.read_bytes() == CONTENT


def test_refused_and_unreachable_servers_are_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="answered 404"):
        download(offered(server, "/absent"), tmp_path)
    nobody = dataclasses.replace(offered(server, "/whole"), url="http://127.0.0.1:1/whole")
    for entry in (nobody, offered(server, "/gibberish")):
        with pytest.raises(CheckpointError, match="no connection") as caught:
            download(entry, tmp_path)
        assert "\n" not in str(caught.value)


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
    assert download(entry, tmp_path, accept_licence=True).path.exists()


def test_files_for_hands_say_how(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="in a browser, save checkpoint_step"):
        download(CHECKPOINTS["swinface"], tmp_path)


def test_the_table_states_licences_and_known_digests() -> None:
    for name, entry in CHECKPOINTS.items():
        assert entry.name == name
        assert entry.licence
        assert entry.url.startswith("https://")
        assert entry.must_accept == ("NC" in entry.licence)
    assert CHECKPOINTS["mvit_v2_s"].sha256 in CHECKPOINTS["mvit_v2_s"].url

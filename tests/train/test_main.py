"""`python -m train download`: what there is, under which licence, and fetching one."""

import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from train.__main__ import main
from train.models.download import CHECKPOINTS, Checkpoint

CONTENT = b"weights" * 1000


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Checkpoint]]:
    """Two checkpoints on loopback, one of them non-commercial."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "weights.pt").write_bytes(CONTENT)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/weights.pt"
    yield {
        "free": Checkpoint("free", "A model", url, "MIT"),
        "bound": Checkpoint("bound", "A model", url, "CC BY-NC 4.0", must_accept=True),
    }
    server.shutdown()
    thread.join()
    server.server_close()


def test_without_a_name_every_checkpoint_is_shown_with_its_licence_and_place(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["download"]) == 0
    shown = capsys.readouterr().out
    for checkpoint in CHECKPOINTS.values():
        for text in (checkpoint.name, checkpoint.model, checkpoint.licence, checkpoint.url):
            assert text in shown
    assert "131.9 MB" in shown
    assert shown.count("size unknown") == len(CHECKPOINTS) - 1
    assert shown.count("[--accept-licence]") == 4


def test_the_licence_comes_first_then_the_bar_then_what_is_known_of_the_file(
    offered: dict[str, Checkpoint], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new"
    assert main(["download", "free", "--out", str(out)], offered) == 0
    assert (out / "weights.pt").read_bytes() == CONTENT
    shown = capsys.readouterr()
    assert shown.err.startswith("free: A model. Licence: MIT\n")
    assert "7.00k/7.00k" in shown.err
    assert shown.out.startswith(f"{out / 'weights.pt'}: sha256 unverified")
    assert shown.out.count("\n") == 1


def test_a_non_commercial_licence_is_accepted_by_the_flag_alone(
    offered: dict[str, Checkpoint], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new"
    arguments = ["download", "bound", "--out", str(out)]
    assert main(arguments, offered) == 2
    licence, error = capsys.readouterr().err.splitlines()
    assert licence == "bound: A model. Licence: CC BY-NC 4.0"
    assert error.startswith("train: bound is under CC BY-NC 4.0; accept")
    assert "--accept-licence" in error
    assert not out.exists()
    assert main([*arguments, "--accept-licence"], offered) == 0
    assert (out / "weights.pt").read_bytes() == CONTENT


def test_swinface_is_fetched_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", "swinface", "--out", str(tmp_path)]) == 2
    licence, error = capsys.readouterr().err.splitlines()
    assert "Licence: MIT" in licence
    assert error.startswith("train: swinface cannot be fetched by a script: open https://drive.")
    assert "save checkpoint_step_79999_gpu_0.pt" in error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing", "--out", "x"], "expected one of mvit_v2_s, .*got 'nothing'"),
        (["mvit_v2_s"], "expected --out DIR"),
    ],
)
def test_what_cannot_be_fetched_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["download", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(said, line)

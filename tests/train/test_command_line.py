"""`python -m train`: names that are no UTF-8, readers that leave, Ctrl-C."""

import argparse
import os
import subprocess
import sys
from typing import NoReturn

import pytest

from tests.conftest import PROJECT
from train.__main__ import main
from train.cli import fit, prepare, show

SHOW = ["show", "--data", "x", "--out", "x.png"]


def test_a_path_that_is_no_utf_8_is_printed_all_the_same() -> None:
    code = (
        "import train.cli.show as show\n"
        "from train.__main__ import main\n"
        "show.run = lambda arguments: print(arguments.out)\n"
        f"raise SystemExit(main({SHOW[:-1]!r} + ['caf\\udce9.png']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, timeout=60, check=False,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"caf?.png\n", b"")


def test_a_reader_that_leaves_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "train", "download"], cwd=PROJECT, stdout=write,
            stderr=subprocess.PIPE, timeout=60, check=False,
        )  # fmt: skip
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("arguments", "told", "said"),
    [
        (SHOW, "", "Stopped.\n"),
        (["fit", "--out", "x"], "", "Stopped: the same command goes on from there\n"),
        (["prepare", "--data", "x", "--out", "x"], "interrupted: 1 of 3", "interrupted: 1 of 3\n"),
    ],
)
def test_ctrl_c_is_answered(
    arguments: list[str], told: str, said: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def interrupted(_: argparse.Namespace) -> NoReturn:
        raise KeyboardInterrupt(*filter(None, [told]))

    for command in (fit, prepare, show):
        monkeypatch.setattr(command, "run", interrupted)
    assert main(arguments) == 130
    assert capsys.readouterr().err == said

"""`python -m train export`: what the manifest would refuse is said at once."""

import subprocess
import sys
from pathlib import Path

import pytest

import train.export
from engines.bundle import Bundle
from tests.conftest import PROJECT
from train.__main__ import main
from train.export import ExportOptions
from train.graph import ExportError

COMMAND = ["export", "--recipe", "demo", "--init", "random", "--out", "bundle"]


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--name", "my bundle", "--name: expected letters, digits, _ . -, got 'my bundle'"),
        ("--name", "", "--name: expected letters, digits, _ . -, got ''"),
        ("--name", "a/b", "--name: expected letters, digits, _ . -, got 'a/b'"),
        ("--name", "a\n", r"--name: expected letters, digits, _ . -, got 'a\n'"),
        ("--version", "1 2", "--version: expected letters, digits, _ . + -, got '1 2'"),
        ("--version", "", "--version: expected letters, digits, _ . + -, got ''"),
        ("--seed", "-1", "--seed: expected 0 to 2147483647, got -1"),
        ("--seed", "2147483648", "--seed: expected 0 to 2147483647, got 2147483648"),
    ],
)
def test_what_a_manifest_cannot_hold_is_one_line(
    option: str, value: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main([*COMMAND, option, value]) == 2
    assert capsys.readouterr().err == f"train: {said}\n"
    assert list(tmp_path.iterdir()) == []


def test_random_weights_are_not_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*COMMAND, "--weights"]) == 2
    assert capsys.readouterr().err.startswith("train: --weights: expected a checkpoint by --init")
    assert list(tmp_path.iterdir()) == []


def test_a_bad_name_is_said_before_torch_is_imported() -> None:
    code = (
        "import sys\n"
        "from train.__main__ import main\n"
        f"assert main({[*COMMAND, '--name', 'my bundle']!r}) == 2\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, timeout=60)


def test_names_and_precisions_come_through(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[ExportOptions] = []

    def stop(_recipe: object, options: ExportOptions, _report: object) -> Bundle:
        received.append(options)
        raise ExportError("far enough")

    monkeypatch.setattr(train.export, "export", stop)
    more = ["--precision", "fp16", "--precision", "bf16", "--name", "a_b.c-1", "--version", "1.0+x"]
    assert main([*COMMAND, *more]) == 2
    assert received[0].precisions == ("fp16", "bf16")
    assert (received[0].name, received[0].version) == ("a_b.c-1", "1.0+x")

"""What `python -m engines` says to mistakes, and how it ends: one line, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engines.__main__ import main
from engines.bundle import load_bundle, save_bundle
from engines.errors import BundleError
from engines.runtimes import openvino
from tests.conftest import PROJECT
from tests.engines.tiny_bundle import write_tiny_bundle


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("engines: ")
    assert printed.err.count("\n") == 1
    return printed.err


def program(*arguments: str, **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-m", "engines", *arguments],
        cwd=PROJECT, text=True, check=False, timeout=60,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "b", "--repeats", "abc"], "a whole number of 1 or more, got 'abc'"),
        (["bench", "b", "--repeats", "0"], "a whole number of 1 or more, got '0'"),
        (["bench", "b", "--seconds", "soon"], "seconds above 0, got 'soon'"),
        (["bench", "b", "--seconds", "inf"], "seconds above 0, got 'inf'"),
        (["bench", "b", "--batches", "1", "x"], "a whole number from 1 to 1024, got 'x'"),
        (["bench", "b", "--batches", "999999999999"], "from 1 to 1024, got '999999999999'"),
        (["compile", "b", "--batch", "1,,2"], "commas between them, such as 1,4,16, got '1,,2'"),
        (["bench", "--device", "cpu", "b"], "required: BUNDLE: put it before --device"),
        (["verify", "--device", "cpu", "b"], "required: BUNDLE: put it before --device"),
    ],
)
def test_an_impossible_argument_is_named_with_what_was_expected(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_mistyped_device_is_told_before_any_work(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = []
    monkeypatch.setattr(openvino.OpenVinoRuntime, "__init__", lambda *_, **__: opened.append(1))
    assert main(["verify", str(tiny), "--device", "cpu", "cdua:0"]) == 2
    assert "Device 'cdua:0': expected auto, cpu" in one_line(capsys)
    assert opened == []


def test_a_list_that_is_given_twice_is_one_list(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(tiny), "--device", "cpu", "--device", "ort"]) == 0
    text = capsys.readouterr().out
    assert "OpenVINO" in text
    assert "ONNX Runtime" in text
    few = ["--seconds", "0.01", "--device", "cpu"]
    assert main(["bench", str(tiny), *few, "--batches", "1", "--batches", "3"]) == 0
    heads = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert {"1", "3"} <= heads


def test_the_doctor_blames_a_bundle_that_cannot_be_read_not_the_processor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", str(tmp_path / "nosuch")]) == 2
    expected = f"engines: {tmp_path / 'nosuch'}: expected a bundle's folder, found nothing there\n"
    assert one_line(capsys) == expected
    damaged = write_tiny_bundle(tmp_path / "damaged")
    (damaged / "model.onnx").write_bytes(b"")
    assert main(["doctor", str(damaged)]) == 2
    assert "copy the bundle again" in one_line(capsys)


def test_a_path_that_may_not_be_looked_at_is_one_line(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", "a" * 300]) == 2
    assert "expected a bundle's folder, cannot look there (" in one_line(capsys)
    with pytest.raises(BundleError, match="cannot be written"):
        save_bundle(tmp_path / ("a" * 300), load_bundle(tiny).manifest, {})


@pytest.mark.skipif(sys.platform != "linux", reason="permissions are others elsewhere")
def test_a_bundle_in_a_folder_without_permission_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    user = os.geteuid()
    os.seteuid(user or 65534)  # root may look everywhere
    try:
        assert main(["info", str(closed / "bundle")]) == 2
    finally:
        os.seteuid(user)
    assert "Permission denied" in one_line(capsys)


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://ann:s3cr3t@cam/1",
        "rtsp:/ann:more s3cr3t@cam/1",
        "ann:s3cr3t@cam/1",
        "http://cam/1?password=s3cr3t",
    ],
)
def test_an_address_where_a_path_belongs_is_repeated_without_its_password(
    tiny: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["info", address], ["doctor", address], ["verify", address]):
        assert main(arguments) == 2
        line = one_line(capsys)
        assert "s3cr3t" not in line
        assert "cam/1" in line
        assert line.endswith(": expected a bundle's folder, found nothing there\n")
    assert main(["verify", str(tiny), "--device", address]) == 2
    assert "s3cr3t" not in one_line(capsys)
    for arguments in ([address], ["info", "b", address], ["bench", "b", "--repeats", address]):
        with pytest.raises(SystemExit):
            main(arguments)
        assert "s3cr3t" not in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="closed pipes are reported otherwise elsewhere")
def test_a_reader_that_has_gone_is_no_traceback(tiny: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        run = program("info", str(tiny), stdout=writing)
    finally:
        os.close(writing)
    assert (run.returncode, run.stderr) == (1, "")


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere")
def test_a_name_that_is_not_utf8_can_be_printed(tiny: Path) -> None:
    code = (
        "import sys; from engines.__main__ import main\n"
        f"assert main(['info', {str(tiny)!r}]) == 0\n"
        "print('caf\\udce9', sys.stdout.line_buffering)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert run.stdout.splitlines()[-1:] == ["caf? True"], run.stderr


@pytest.mark.parametrize("library", ["numpy", "pydantic", "tqdm"])
def test_ctrl_c_while_the_libraries_load_is_no_traceback(library: str, tmp_path: Path) -> None:
    """In place of the library stands one that presses Ctrl-C."""
    (tmp_path / f"{library}.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "from engines.__main__ import _progress_bar, main\n"
        "import engines.__main__ as commands\n"
        "commands._info = lambda arguments: _progress_bar('b') and 0\n"
        "sys.exit(main(['info', 'b']))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (130, "Stopped.\n")

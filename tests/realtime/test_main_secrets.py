"""A camera's address where a path belongs is repeated without its password, and no more is lost."""

from pathlib import Path

import pytest

from realtime.__main__ import DEMO_CLIP, main
from realtime.sources.uri import redact_arguments, without_credentials
from tests.engines.tiny_bundle import write_tiny_bundle
from tests.realtime.test_main import one_line

PATHS = ["--truth", "--config", "--bundle", "--pose-model", "--face-model"]
ADDRESSES = {
    "rtsp://ann:s3cr3t@cam/1": "cam/1",
    "http://cam/1?psw=s3cr3t": "cam/1?psw=***",
}


@pytest.mark.parametrize("option", PATHS)
@pytest.mark.parametrize(("address", "shown"), ADDRESSES.items())
def test_an_address_in_place_of_a_path(
    option: str, address: str, shown: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["analyze", "--out", str(tmp_path / "out"), str(DEMO_CLIP)]
    for words in ([option, address], [f"{option}={address}"]):
        assert main([*command, *words]) == 2
        line = one_line(capfd)
        assert "s3cr3t" not in line
        assert shown in line
        assert not line.endswith(shown), "what is wrong with it is told, too"


@pytest.mark.parametrize("name", ["psw", "PSW", "user_psw"])
def test_psw_is_a_password_too(name: str) -> None:
    shown = without_credentials(f"rtsp://cam/stream?user=admin&{name}=hunter2")
    assert shown == f"rtsp://cam/stream?user=admin&{name}=***"


def test_only_what_was_typed_is_looked_for(tmp_path: Path) -> None:
    ours = "key=3 is no number; write to me:you@home"
    assert redact_arguments(ours, ["--out", "o", "", "rtsp://ann:s3cr3t@cam/1"]) == ours
    address = "rtsp://ann:it's s3cr3t@cam/a//b"
    for told in (address, str(Path(address)), f"/here/{Path(address)}", f"{Path(address).parent}"):
        for quoted in (told, repr(told)):
            said = redact_arguments(f"{quoted}: not there", [f"--config={address}"])
            assert "s3cr3t" not in said
            assert said.endswith(": not there") or said.endswith("': not there")


def test_a_file_is_called_by_its_whole_name(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "12:30 me@home.toml"
    path.write_text("colour = 'red'\n")
    bundle = write_tiny_bundle(tmp_path / "tiny")
    command = ["analyze", "x.mp4", "--out", "o", "--bundle", str(bundle), "--config", str(path)]
    assert main(command) == 2
    assert f"{path}: colour: is not a known key" in one_line(capfd)


def test_an_address_is_no_folder_to_write_to(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["analyze", str(DEMO_CLIP), "--out", "rtsp://ann:s3cr3t@cam/1"]) == 2
    line = one_line(capfd)
    assert "--out: expected a folder, got the address" in line
    assert "s3cr3t" not in line
    assert not any(tmp_path.iterdir())

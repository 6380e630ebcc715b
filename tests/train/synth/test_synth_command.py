"""`python -m train synth`: what is wrong is said in one line, with exit code 2."""

import argparse
from pathlib import Path

import pytest

from train.__main__ import main
from train.avatar_names import AVATARS
from train.cli import synth


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line of a command that the user must mend."""
    assert main(["synth", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("train: ")]
    assert len(lines) == 1
    assert "Traceback" not in err
    return lines[0]


@pytest.mark.parametrize("size", ["640", "640x", "64x64", "641x360", "5000x360", "-640x360", "axb"])
def test_a_bad_size_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], size: str) -> None:
    line = said(
        capsys, "--avatars", tmp_path, "--out", tmp_path / "out", "--clips", 1, f"--size={size}"
    )
    assert line == f"train: --size: expected WxH, even numbers from 96 to 4096, got {size!r}"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "value", "bounds"),
    [("--clips", "0", "1 to 9999"), ("--clips", "10000", "1 to 9999"),
     ("--workers", "0", "1 or more"),
     ("--seed", "-1", "0 to 2147483647"), ("--seed", "2147483648", "0 to 2147483647"),
     ("--length-s", "1.5", "4 to 3600"), ("--length-s", "nan", "4 to 3600"),
     ("--length-s", "inf", "4 to 3600")],
)  # fmt: skip
def test_numbers_out_of_bounds_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, bounds: str
) -> None:
    arguments = {"--clips": "1"} | {option: value}
    flat = [f"{name}={number}" for name, number in arguments.items()]
    line = said(capsys, "--avatars", tmp_path, "--out", tmp_path / "out", *flat)
    assert line.startswith(f"train: {option}: expected {bounds}, got {value}")


def test_missing_avatars_are_named_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    line = said(capsys, "--avatars", tmp_path / "none", "--out", out, "--clips", 1)
    for part in (str(tmp_path / "none"), "f001_facial.glb", "Microsoft-Rocketbox"):
        assert part in line
    assert not out.exists()


def test_unknown_people_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["synth", "--avatars", ".", "--out", str(tmp_path), "--clips", "1", "--people", "x"])
    assert caught.value.code == 2
    assert "m017" in capsys.readouterr().err


def arguments(avatars: Path, out: Path) -> tuple[object, ...]:
    return (
        "--avatars", avatars, "--out", out, "--clips", 1, "--people", "m002", "--size", "128x96",
        "--workers", 1,
    )  # fmt: skip


def test_a_folder_that_cannot_be_made_is_said(
    avatars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    line = said(capsys, *arguments(avatars, tmp_path / "file" / "out"))
    assert line.startswith(f"train: {tmp_path}/file/out: cannot be written (Not a directory); ")


def test_a_full_disk_is_said_and_the_video_is_not_done(
    avatars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "imigue_rgb_phase1/train_data/0001"
    folder.mkdir(parents=True)
    (folder / "0001.partial").symlink_to("/dev/full")
    line = said(capsys, *arguments(avatars, tmp_path))
    assert line == f"train: {tmp_path}: cannot be written (No space left on device)"
    assert not (folder / "0001.mp4").exists()
    assert not (tmp_path / ".synth/0001.json").exists()


def test_a_folder_of_other_options_is_refused_and_left_alone(
    avatars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = tmp_path / ".synth"
    records.mkdir()
    (records / "options.json").write_text('{"seed": 5}')
    line = said(capsys, *arguments(avatars, tmp_path))
    assert f"{tmp_path}: was begun with another" in line
    assert "seed" in line
    assert "new folder" in line
    assert [p.name for p in tmp_path.rglob("*")] == [".synth", "options.json"]


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_broken_options_of_an_earlier_run_are_said(
    avatars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (tmp_path / ".synth").mkdir()
    (tmp_path / ".synth/options.json").write_text(content)
    line = said(capsys, *arguments(avatars, tmp_path))
    assert "options.json: expected the options of an earlier run; name a new folder" in line


def test_a_broken_record_is_said(
    avatars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".synth").mkdir()
    (tmp_path / ".synth/0001.json").write_text("{}")
    line = said(capsys, *arguments(avatars, tmp_path))
    assert "0001.json: expected the record of a video; remove the file" in line


def test_options_that_are_repeated_add_up(tmp_path: Path) -> None:
    """And those that are not keep their defaults."""
    parser = argparse.ArgumentParser()
    synth.add(parser.add_subparsers())
    command = ["synth", "--avatars", str(tmp_path), "--out", str(tmp_path), "--clips", "1"]

    def split(*more: str) -> dict[str, str]:
        people = synth._options(parser.parse_args([*command, *more])).people
        assert isinstance(people, dict)
        return people

    assert split("--people", "f001", "--people", "m002") == {"f001": "train", "m002": "train"}
    assert list(split()) == list(AVATARS)
    assert {name for name, where in split().items() if where == "test"} == {"f009", "m006"}
    tested = split("--test", "f001", "--test", "m002", "--validate")
    assert {name for name, where in tested.items() if where == "test"} == {"f001", "m002"}
    assert "val" not in tested.values()

"""One folder a run: whose it is, and that what is written is whole."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from tests.train.tiny_recipe import tiny
from train.annotations import DataError
from train.out_paths import write_whole
from train.run_folder import cannot_be_written, claim, result_of, write_json
from train.stages import StageConfig

STAGES = {"pose": StageConfig(steps=10, batch=4, lr=0.01)}
OPTIONS = {"seed": 3, "people": ("a", "b"), "init": {}}


def test_a_run_says_what_was_asked_with_which_code_and_is_taken_up_again(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "one"
    claim(run, tiny(), STAGES, OPTIONS)
    text = (run / "config.json").read_text()
    config = json.loads(text)
    assert config["asked"]["stages"]["pose"]["lr"] == 0.01
    assert config["asked"]["recipe"]["name"] == "tiny"
    assert config["asked"]["seed"] == 3
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", config["revision"])
    assert config["libraries"]["torch"] == torch.__version__
    claim(run, tiny(), STAGES, OPTIONS)
    assert (run / "config.json").read_text() == text


def test_another_run_is_refused_and_what_differs_is_named(tmp_path: Path) -> None:
    claim(tmp_path, tiny(), STAGES, OPTIONS)
    longer = {"pose": replace(STAGES["pose"], steps=11)}
    for recipe, stages, options, names in (
        (tiny(), longer, OPTIONS, "stages"),
        (replace(tiny(), face_size=56), STAGES, {**OPTIONS, "seed": 4}, "recipe, seed"),
        (tiny(), STAGES, {**OPTIONS, "public": {}}, "public"),
    ):
        with pytest.raises(DataError, match=f"another {names}; repeat its options"):
            claim(tmp_path, recipe, stages, options)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DataError, match="something else than a run"):
        claim(tmp_path, tiny(), STAGES, OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(DataError, match=r"cannot be written \(Not a .+\); make it writable or"):
        claim(tmp_path / "thesis.txt" / "run", tiny(), STAGES, OPTIONS)


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_broken_files_of_a_run_are_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(DataError, match=r"config.json: .*name a new folder, or remove the file"):
        claim(tmp_path, tiny(), STAGES, OPTIONS)
    assert result_of(tmp_path, "pose") is None
    (tmp_path / "pose").mkdir()
    (tmp_path / "pose" / "result.json").write_text(content)
    with pytest.raises(DataError, match=r"result.json: "):
        result_of(tmp_path, "pose")
    write_json(tmp_path / "pose" / "result.json", {"steps": 3})
    assert result_of(tmp_path, "pose") == {"steps": 3}


def test_a_file_is_written_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    def half(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(28, os.strerror(28))

    path = tmp_path / "last.ckpt"
    path.write_bytes(b"before")
    with (
        pytest.raises(DataError, match=r"\(No space left on device\); make room"),
        cannot_be_written(tmp_path),
    ):
        write_whole(path, half)
    assert path.read_bytes() == b"before"
    write_whole(path, lambda file: file.write(b"after"))
    assert path.read_bytes() == b"after"
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_torch_s_words_for_a_full_disk_are_put_into_the_system_s(tmp_path: Path) -> None:
    class Full:
        """A file on a disk without room."""

        def write(self, data: bytes) -> int:
            raise OSError(28, os.strerror(28))

        def flush(self) -> None:
            pass

    with (
        pytest.raises(DataError, match=r"cannot be written \(No space left"),
        cannot_be_written(tmp_path),
    ):
        torch.save({"weights": torch.zeros(1000)}, Full())  # type: ignore[arg-type]

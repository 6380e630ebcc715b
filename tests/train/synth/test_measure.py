"""Measuring an estimator: errors that are put in are found again; what cannot be is said."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from engines.skeleton import MEDIAPIPE33
from engines.window import Window
from train import __main__ as command
from train.annotations import DataError
from train.store_files import StoredVideo
from train.synth.avatar import load_avatar
from train.synth.body import measure
from train.synth.estimator import as_body, shoulder_width
from train.synth.keypoints import carry, mediapipe_places
from train.synth.measure import measure_estimator
from train.synth.take import RECORDS, SynthOptions, stage

PEOPLE = {"m002": "train", "f003": "train"}
TOO_LOW = 0.3
"""Shoulder widths by which the fake estimator sees hands too low."""


@pytest.fixture(scope="module")
def rendered(avatars: Path, tmp_path_factory: pytest.TempPathFactory) -> SynthOptions:
    """A folder as `synth` leaves it, without the pictures, which nobody looks at here."""
    out = tmp_path_factory.mktemp("rendered")
    options = SynthOptions(
        avatars=avatars, out=out, clips=4, seed=1, is_untrimmed=True, length_s=8.0,
        people=PEOPLE, layout="A", size=(360, 640),
    )  # fmt: skip
    own = {"seed": 1, "is_untrimmed": True, "length_s": 8.0, "people": PEOPLE, "layout": "A",
           "size": [360, 640], "xlsx": False, "is_portrait": False}  # fmt: skip
    (out / RECORDS).mkdir()
    (out / RECORDS / "options.json").write_text(json.dumps(own))
    for clip in range(options.clips):
        options.record(clip).write_text("{}")
    return options


@dataclass
class Perceived:
    """Stands for a store whose estimator sees everything but hands, which it sees too low."""

    options: SynthOptions
    people: Sequence[str] = tuple(PEOPLE)
    folder: Path = Path("prepared")

    def videos(self, split: str) -> list[StoredVideo]:
        assert split == "train"
        return [
            StoredVideo(
                id=f"{clip + 1:04d}", split=split, subject=self.options.subject(clip),
                start=0.0, end=60.0, spans=(), emotion=None, frames=1, poses=1, faces=0,
            )
            for clip in range(self.options.clips) if self.options.subject(clip) in self.people
        ]  # fmt: skip

    def window(self, name: str, start: float, end: float, **rest: object) -> Window:
        clip = int(name) - 1
        body = measure(load_avatar(self.options.avatars, self.options.subject(clip)))
        _, performance, scene = stage(self.options, clip, body)
        points = carry(body, performance.bones, mediapipe_places(body))
        xy = scene.camera.project(points, self.options.size)
        space = (points - scene.camera.eye) @ scene.camera.rotation.T * np.array([1, -1, -1])
        xy[:, 15:23, 1] += TOO_LOW * shoulder_width(xy)
        count, joints = len(xy), len(MEDIAPIPE33.joints)
        return Window(
            t=performance.t - performance.t[0], rgb=np.zeros((count, 1, 1, 3), np.uint8),
            xy=xy.astype(np.float32), xyz=(space / 100).astype(np.float32),
            conf=np.ones((count, joints), np.float32),
            faces=np.zeros((count, 1, 1, 3), np.uint8), has_face=np.zeros(count, np.bool_),
            layout=MEDIAPIPE33.name,
        )  # fmt: skip


def test_errors_that_are_put_in_are_found_again(rendered: SynthOptions) -> None:
    store = Perceived(rendered)
    estimator = measure_estimator([(rendered.out, store)], rendered.avatars, 0, steps=400)  # type: ignore[list-item]
    body = measure(load_avatar(rendered.avatars, "m002"))
    _, performance, scene = stage(rendered, 2, body)
    points = carry(body, performance.bones, mediapipe_places(body))
    xy = scene.camera.project(points, rendered.size)
    depth = -((points - scene.camera.eye) @ scene.camera.rotation.T)[..., 2].astype(np.float32)
    true = as_body(xy, depth, (shoulder_width(xy), shoulder_width(points)))
    error = estimator.mean_error(true)
    assert error[:, 15:23, 1].mean() == pytest.approx(TOO_LOW, abs=0.06)
    assert np.abs(error[:, :11]).mean() < 0.05
    assert (estimator.conf == 1).all()
    assert len(estimator.keys) == len(estimator.rests) == len(estimator.shakes) > 10
    assert estimator.shakes[:, 15:23].mean() < 0.01  # it sees hands too low, but steadily


def test_every_folder_needs_its_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = command.main([
        "estimator", "--rendered", str(tmp_path), str(tmp_path), "--data", str(tmp_path),
        "--avatars", str(tmp_path), "--out", str(tmp_path / "e.npz"),
    ])  # fmt: skip
    assert code == 2
    assert "a store for each folder of --rendered, 2, got 1" in capsys.readouterr().err


def test_one_person_is_too_few(rendered: SynthOptions) -> None:
    store = Perceived(rendered, people=("m002",))
    with pytest.raises(DataError, match="two people or more of the split 'train'"):
        measure_estimator([(rendered.out, store)], rendered.avatars, 0)  # type: ignore[list-item]


def test_a_folder_that_was_not_rendered_is_named(avatars: Path, tmp_path: Path) -> None:
    store = Perceived(None)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="expected a folder that `train synth` has rendered"):
        measure_estimator([(tmp_path, store)], avatars, 0)  # type: ignore[list-item]


def test_a_video_that_was_not_rendered_is_named(rendered: SynthOptions, tmp_path: Path) -> None:
    folder = tmp_path / "some"
    (folder / RECORDS).mkdir(parents=True)
    options = (rendered.out / RECORDS / "options.json").read_text()
    (folder / RECORDS / "options.json").write_text(options)
    with pytest.raises(DataError, match="has no video 0001, which prepared has"):
        measure_estimator([(folder, Perceived(rendered))], rendered.avatars, 0)  # type: ignore[list-item]


def test_the_command_says_in_one_line_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = command.main([
        "estimator", "--rendered", str(tmp_path), "--data", str(tmp_path / "none"),
        "--avatars", str(tmp_path), "--out", str(tmp_path / "e.npz"),
    ])  # fmt: skip
    assert code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", ["nowhere/e.npz", "e.txt"])
def test_where_nothing_can_be_written_nothing_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    code = command.main([
        "estimator", "--rendered", str(tmp_path), "--data", str(tmp_path),
        "--avatars", str(tmp_path), "--out", str(tmp_path / name),
    ])  # fmt: skip
    assert code == 2
    assert "--out: expected FILE.npz in a folder that exists" in capsys.readouterr().err


@pytest.mark.parametrize("seed", ["-1", "2147483648"])
def test_a_seed_that_torch_does_not_take_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: str
) -> None:
    code = command.main([
        "estimator", "--rendered", str(tmp_path), "--data", str(tmp_path),
        "--avatars", str(tmp_path), "--out", str(tmp_path / "e.npz"), "--seed", seed,
    ])  # fmt: skip
    assert code == 2
    error = capsys.readouterr().err
    assert error == f"train: --seed: expected 0 to 2147483647, got {seed}\n"

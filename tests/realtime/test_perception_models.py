"""The model files' cache: filled once, whatever happens meanwhile, and offline ever after."""

import multiprocessing
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from engines.manifest import CropRule, ModelFile, PerceptionSpec
from realtime.errors import PerceptionError
from realtime.perception.models import (
    FACE_MODEL,
    POSE_MODEL,
    WHEEL,
    Wheel,
    cache_folder,
    load_models,
    pip_download,
)
from realtime.perception.quiet import quiet_mediapipe
from realtime.perception.tflite import with_normalization
from tests.conftest import PROJECT, missing


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real wheel, fetched as users get it."""
    try:
        return pip_download(WHEEL, tmp_path_factory.mktemp("wheel"))
    except OSError as error:
        missing("MODELS", f"the MediaPipe wheel cannot be fetched: {error}")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; its folder for this wheel."""
    monkeypatch.setenv("TELLS_CACHE", str(tmp_path / "cache"))
    return cache_folder()


class Shelf:
    """Fetches by copying a file; counts how often, in a folder that other processes see too."""

    def __init__(self, wheel: Path, tally: Path) -> None:
        self.wheel, self.tally = wheel, tally
        tally.mkdir()

    def __call__(self, wheel: Wheel, folder: Path) -> Path:
        (self.tally / str(len(list(self.tally.iterdir())))).touch()
        return Path(shutil.copy(self.wheel, folder / wheel.file))

    @property
    def count(self) -> int:
        return len(list(self.tally.iterdir()))


def offline(wheel: Wheel, folder: Path) -> Path:
    raise OSError("no network")


def load_in_other_process(shelf: Shelf) -> str:
    return load_models(fetch=shelf).pose_path.read_bytes()[:4].hex()


def test_the_models_have_the_pinned_bytes_and_are_fetched_once(
    wheel: Path, cache: Path, tmp_path: Path
) -> None:
    shelf = Shelf(wheel, tmp_path / "tally")
    models = load_models(fetch=shelf)  # compares both files with the pinned sha256
    assert (models.pose, models.face) == (POSE_MODEL, FACE_MODEL)
    first = models.pose_path.read_bytes()
    assert load_models(fetch=offline) == models
    models.pose_path.unlink()
    assert load_models(fetch=shelf).pose_path.read_bytes() == first
    assert shelf.count == 2
    names = {"pose_landmarker_full.task", "face_detection_short_range.tflite", ".lock"}
    assert {p.name for p in cache.iterdir()} <= names


def test_the_landmark_model_carries_its_normalisation(wheel: Path) -> None:
    from mediapipe.tasks.metadata import metadata_schema_py_generated, schema_py_generated

    with zipfile.ZipFile(wheel) as archive:
        old = archive.read("mediapipe/modules/pose_landmark/pose_landmark_full.tflite")
    new = with_normalization(old, 1.5, 255.0)
    before = schema_py_generated.ModelT.InitFromPackedBuf(old, 0)
    after = schema_py_generated.ModelT.InitFromPackedBuf(new, 0)
    assert (after.version, after.description) == (before.version, before.description)
    assert [e.name for e in after.metadata] == [
        *(e.name for e in before.metadata),
        b"TFLITE_METADATA",
    ]
    assert len(after.subgraphs[0].operators) == len(before.subgraphs[0].operators)
    for a, b in zip(after.buffers, before.buffers, strict=False):
        assert np.array_equal(a.data, b.data) if b.data is not None else a.data is None
    document = bytes(bytearray(after.buffers[after.metadata[-1].buffer].data))
    parsed = metadata_schema_py_generated.ModelMetadataT.InitFromPackedBuf(document, 0)
    unit = parsed.subgraphMetadata[0].inputTensorMetadata[0].processUnits[0]
    assert unit.optionsType == metadata_schema_py_generated.ProcessUnitOptions.NormalizationOptions
    assert (list(unit.options.mean), list(unit.options.std)) == ([1.5], [255.0])
    with pytest.raises(ValueError, match="already has"):
        with_normalization(new, 0, 1)
    with pytest.raises(ValueError, match="TFL3"):
        with_normalization(b"PK\3\4 something else", 0, 1)


def test_a_damaged_file_is_made_anew(wheel: Path, cache: Path, tmp_path: Path) -> None:
    shelf = Shelf(wheel, tmp_path / "tally")
    models = load_models(fetch=shelf)
    intact = models.pose_path.read_bytes()
    models.pose_path.write_bytes(intact[:-1] + b"!")
    assert load_models(fetch=shelf).pose_path.read_bytes() == intact
    models.face_path.write_bytes(b"")
    load_models(fetch=shelf)
    assert shelf.count == 3


@pytest.mark.parametrize("damaged", [False, True])
def test_offline_without_models_one_line_tells_the_manual_way(cache: Path, damaged: bool) -> None:
    if damaged:
        cache.mkdir(parents=True)
        (cache / "pose_landmarker_full.task").write_bytes(b"half a file")
    with pytest.raises(PerceptionError) as caught:
        load_models(fetch=offline)
    text = str(caught.value)
    assert "\n" not in text
    assert "no network" in text
    assert WHEEL.file in text
    assert str(cache) in text


def test_a_wheel_put_into_the_cache_by_hand_is_used_offline(wheel: Path, cache: Path) -> None:
    cache.mkdir(parents=True)
    shutil.copy(wheel, cache / WHEEL.file)
    assert load_models(fetch=offline).pose == POSE_MODEL


def test_a_truncated_wheel_is_refused(wheel: Path, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / WHEEL.file).write_bytes(wheel.read_bytes()[:1000])
    with pytest.raises(PerceptionError, match=r"is not mediapipe-.* with sha256"):
        load_models(fetch=offline)
    assert not (cache / "pose_landmarker_full.task").exists()


def test_an_interrupted_first_run_does_no_harm(wheel: Path, cache: Path, tmp_path: Path) -> None:
    def interrupted(wheel: Wheel, folder: Path) -> Path:
        (folder / wheel.file).write_bytes(b"the first bytes")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_models(fetch=interrupted)
    assert [p.name for p in cache.iterdir()] in ([], [".lock"])
    killed = cache / "staging-of-a-killed-run"  # a kill leaves its staging folder behind
    killed.mkdir()
    (killed / "pose_landmarker_full.task").write_bytes(b"half")
    load_models(fetch=Shelf(wheel, tmp_path / "tally"))
    assert not killed.exists()


def test_two_first_runs_at_once_share_one_fetch(wheel: Path, cache: Path, tmp_path: Path) -> None:
    shelf = Shelf(wheel, tmp_path / "tally")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        heads = pool.map(load_in_other_process, [shelf, shelf], chunksize=1)
    assert heads == ["504b0304"] * 2  # a zip's signature
    assert shelf.count == 1


def test_without_an_index_pip_says_so_in_one_line(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(PerceptionError, match=r"cannot be fetched \(.*mediapipe==0.10.21.*\)") as e:
        load_models()
    assert "\n" not in str(e.value)


def test_a_cache_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TELLS_CACHE", str(tmp_path / "file"))
    with pytest.raises(PerceptionError, match="set TELLS_CACHE to a folder that can be written"):
        load_models(fetch=offline)


def test_given_models_are_named_by_file_and_need_no_cache(tmp_path: Path, cache: Path) -> None:
    pose, face = tmp_path / "pose_landmarker_heavy.task", tmp_path / "face.tflite"
    with pytest.raises(PerceptionError, match=r"--pose-model .*heavy.task cannot be read"):
        load_models(pose, face, fetch=offline)
    pose.write_bytes(b"pose")
    face.write_bytes(b"face")
    models = load_models(pose, face, fetch=offline)
    assert models.pose.name == "pose_landmarker_heavy.task"
    assert not cache.exists()
    spec = PerceptionSpec(
        layout="mediapipe33",
        pose_model=POSE_MODEL,
        face_model=ModelFile(name="face.tflite", sha256=models.face.sha256),
        crop=CropRule(scale=3.0, shift=0.25, slack=0.08, tau_s=0.6),
        storage=(256, 256),
        face_size=112,
    )
    with pytest.raises(PerceptionError) as caught:
        models.check_against(spec)
    assert POSE_MODEL.name in str(caught.value)
    assert "pose_landmarker_heavy.task" in str(caught.value)


def test_reading_the_constants_does_not_load_mediapipe() -> None:
    code = "import sys, realtime.perception.models; sys.exit('mediapipe' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0


def test_only_chatter_is_swallowed(capfd: pytest.CaptureFixture[str]) -> None:
    code = (
        "import os; from realtime.perception.quiet import quiet_mediapipe\n"
        "with quiet_mediapipe():\n"
        "    os.write(2, b'W0000 00:00:1795383117.221884 11647 x.cc:114] Feedback manager\\n')\n"
        "    os.write(2, b'INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\\n')\n"
        "    os.write(2, b'somebody else: disk full\\n')\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True)
    assert capfd.readouterr().err == "somebody else: disk full\n"
    with quiet_mediapipe():
        pass

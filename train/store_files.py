"""What a store consists of on disk: its records, and how they are read."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from engines.manifest import PerceptionSpec
from train.annotations import DataError

VERSION = 2
_CUES = ("t", "touched", "actions")
"""Fields of `train.synth.touches.CUES_DTYPE`, which needs a glTF reader to be imported."""
_Record = TypeVar("_Record")


@dataclass(frozen=True)
class Span:
    """One annotated gesture in stream time."""

    label: int
    """Index of its class; `train.labels.UNLABELLED` where that is hidden."""
    start: float
    end: float
    row: int | None = field(default=None, compare=False)
    """Of its video's label file, from 0; None in stores that do not know it yet."""


@dataclass(frozen=True)
class StoredVideo:
    """One prepared video."""

    id: str
    split: str
    subject: str
    emotion: int | None
    spans: tuple[Span, ...]
    start: float
    """Stream seconds of the first frame."""
    end: float
    """Stream seconds of the last frame."""
    frames: int
    poses: int
    """Frames in which the person was found."""
    faces: int
    """Frames in which the face was found."""
    problems: Counter[str] = field(default_factory=Counter)
    """What was wrong with the video or its labels -> how often."""
    rows: int = 0
    """Of its label file, those without a span among them; 0 in stores that do not know it yet."""
    cuts: tuple[float, ...] = ()
    """Stream seconds at which another shot begins; none in stores that do not know them yet."""
    is_annotated: bool = True
    """Whether its gestures are known; else there is no truth of them to judge by."""
    lost: tuple[int, ...] = ()
    """Frames of its file, 0-based, that could not be decoded; none in stores that do not know."""


@dataclass(frozen=True)
class StoreInfo:
    """What a folder of prepared videos is."""

    version: int
    corpus: str
    class_names: tuple[str, ...]
    perception: PerceptionSpec
    jpeg_quality: int
    is_trimmed: bool
    """Every video is one gesture; else what is not annotated is background."""
    skipped: Counter[str] = field(default_factory=Counter)
    first_frame: int = 0
    """What the label files call a video's first frame."""


def frame_dtype(joints: int) -> np.dtype[np.void]:
    """What is kept of one frame, beside its pictures.

    - `t`: stream seconds.
    - `xy` px of the stored picture, `xyz` m, `conf` 0..1, `has_face`: as in `Window`.
    - `stretch`: number of the stretch; another person begins a new one.
    - `rgb_at`, `face_at`: offset and size of the JPEG in the shard; size 0 where there is no face.
    """
    return np.dtype([
        ("t", "<f8"), ("xy", "<f4", (joints, 2)), ("xyz", "<f4", (joints, 3)),
        ("conf", "<f4", joints), ("has_face", "?"), ("stretch", "<i4"),
        ("rgb_at", "<i8", 2), ("face_at", "<i8", 2),
    ])  # fmt: skip


def read_info(folder: Path) -> StoreInfo:
    """What a folder says that it is.

    Raises:
        DataError: no store, or one of another version.
    """
    info = _read(folder / "store.json", _INFO, f"{folder}: expected what `train prepare` writes")
    if info.version != VERSION:
        raise DataError(f"{folder}: is version {info.version}, expected {VERSION}: prepare again")
    return info


def read_video(folder: Path, name: str) -> StoredVideo:
    """One finished video of a store.

    Raises:
        DataError: it is not finished, or cannot be read.
    """
    path = folder / "videos" / f"{name}.json"
    return _read(path, _VIDEO, f"{path}: {again(folder, name)}")


def map_frames(folder: Path, name: str) -> NDArray[np.void]:
    """All of a video but its pictures: records of `frame_dtype`, [N].

    They are mapped, not read: processes share what is looked at, and the system may forget it.

    Raises:
        DataError: it is not finished, or cannot be read.
    """
    path = folder / "videos" / f"{name}.npy"
    try:
        frames = np.load(path, mmap_mode="r")
        if frames.dtype != frame_dtype(frames["conf"].shape[1]):
            raise ValueError
    except (OSError, ValueError, IndexError, EOFError):
        raise DataError(f"{path}: missing or broken; {again(folder, name)}") from None
    return np.asarray(frames)


def cues_file(folder: Path, name: str) -> Path:
    """What hands touch and faces do in a video of a store, where it was rendered."""
    return folder / "videos" / f"{name}_cues.npy"


def map_cues(folder: Path, name: str) -> NDArray[np.void] | None:
    """`train.synth.touches.CUES_DTYPE` [N]; None where nobody knows.

    Raises:
        DataError: they cannot be read.
    """
    path = cues_file(folder, name)
    try:
        frames = np.load(path, mmap_mode="r")
        if frames.dtype.names != _CUES or frames.ndim != 1 or not len(frames):
            raise ValueError
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError):
        raise DataError(f"{path}: broken; {again(folder, name)}") from None
    return np.asarray(frames)


def read_clock(folder: Path, name: str) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """`t` and `stretch` of a video.

    Raises:
        DataError: it is not finished, or cannot be read.
    """
    frames = map_frames(folder, name)
    return frames["t"].copy(), frames["stretch"].copy()


def unwritable(out: Path, error: OSError) -> DataError:
    """What is said where a store cannot grow."""
    return DataError(
        f"{out}: cannot be written ({error.strerror or error}); make room or name another folder, "
        "then run the command again: what is finished stays"
    )


def again(folder: Path, name: str) -> str:
    """How to mend a video."""
    return f"delete {folder / 'videos' / name}.json and run `train prepare` again"


_INFO, _VIDEO = TypeAdapter(StoreInfo), TypeAdapter(StoredVideo)


def _read(path: Path, adapter: TypeAdapter[_Record], advice: str) -> _Record:
    try:
        return adapter.validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{advice} ({path.name}: {error.strerror})") from None
    except ValidationError as error:
        raise DataError(f"{advice} ({path.name}: {error.errors()[0]['msg']})") from None

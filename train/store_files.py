"""What a store consists of on disk: its records, and how they are read."""

import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from engines.manifest import PerceptionSpec
from train.annotations import DataError

VERSION = 1
_Record = TypeVar("_Record")


@dataclass(frozen=True)
class Span:
    """One annotated gesture in stream time."""

    label: int
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


@dataclass(frozen=True, eq=False)
class Arrays:
    """What was seen in the N frames of one video."""

    t: NDArray[np.float64]
    """float64 [N] stream seconds."""
    xy: NDArray[np.float32]
    """float32 [N, V, 2] px of the stored picture; this and the next three as in `Window`."""
    xyz: NDArray[np.float32]
    """float32 [N, V, 3] m."""
    conf: NDArray[np.float32]
    """float32 [N, V] 0..1."""
    has_face: NDArray[np.bool_]
    """bool [N]."""
    stretch: NDArray[np.int32]
    """int32 [N]: number of the stretch; another person begins a new one."""
    rgb_at: NDArray[np.int64]
    """int64 [N, 2]: offset and size of each JPEG in the shard."""
    face_at: NDArray[np.int64]
    """int64 [N, 2]; size 0 where there is no face."""


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


def read_arrays(folder: Path, name: str) -> Arrays:
    """All of a video but its pictures.

    Raises:
        DataError: it is not finished, or cannot be read.
    """
    return Arrays(**_read_arrays(folder, name, [entry.name for entry in fields(Arrays)]))


def read_clock(folder: Path, name: str) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """`t` and `stretch` of a video, without reading more.

    Raises:
        DataError: it is not finished, or cannot be read.
    """
    found = _read_arrays(folder, name, ("t", "stretch"))
    return found["t"], found["stretch"]


def write_whole(path: Path, blob: bytes) -> None:
    """Write a file that is whole or absent, whatever happens meanwhile.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_bytes(blob)
    os.replace(partial, path)


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


def _read_arrays(folder: Path, name: str, keys: Sequence[str]) -> dict[str, NDArray[Any]]:
    path = folder / "videos" / f"{name}.npz"
    try:
        with path.open("rb") as raw, np.load(raw) as file:
            return {key: file[key] for key in keys}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        raise DataError(f"{path}: missing or broken; {again(folder, name)}") from None

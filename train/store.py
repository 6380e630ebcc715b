"""The store: what perception saw of every video, on disk, random access.

    PREPARED/
      store.json         data set, classes, perception, what was skipped
      videos/ID.json     one video: split, subject, labels; written last, so it is whole or absent
      videos/ID.npz      its times, poses, and where its pictures lie in the shard
      shards/ID.tar      WebDataset shard: one sample a frame, `rgb.jpg` and, where seen, `face.jpg`

A Window is read without the pictures that its model will not look at.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from engines.manifest import PerceptionSpec
from engines.preprocess import sample
from engines.tensor_specs import FaceInput, InputSpec, RgbInput
from engines.window import Window
from train.annotations import DataError

VERSION = 1
SEED_SPLITS = ("train", "val", "test")
_CACHED_VIDEOS = 2048
_NEVER = np.zeros(0, np.intp)


@dataclass(frozen=True)
class Span:
    """One annotated gesture in stream time."""

    label: int
    start: float
    end: float


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
class _Arrays:
    t: NDArray[np.float64]
    xy: NDArray[np.float32]
    xyz: NDArray[np.float32]
    conf: NDArray[np.float32]
    has_face: NDArray[np.bool_]
    stretch: NDArray[np.int32]
    """int32 [N]: number of the stretch; another person begins a new one."""
    rgb_at: NDArray[np.int64]
    """int64 [N, 2]: offset and size of each JPEG in the shard."""
    face_at: NDArray[np.int64]
    """int64 [N, 2]; size 0 where there is no face."""


class Store:
    """An opened folder of prepared videos; safe to read from several processes."""

    def __init__(self, folder: Path, info: StoreInfo, videos: dict[str, StoredVideo]) -> None:
        self.folder, self.info, self._videos = folder, info, videos
        self._arrays = lru_cache(_CACHED_VIDEOS)(self._load)
        self._files: dict[str, int] = {}

    def __getstate__(self) -> tuple[Path, StoreInfo, dict[str, StoredVideo]]:
        return self.folder, self.info, self._videos

    def __setstate__(self, state: tuple[Path, StoreInfo, dict[str, StoredVideo]]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the annotated gestures."""
        return self.info.class_names

    def videos(self, split: str | None = None) -> list[StoredVideo]:
        """Those of one split, or all; by id."""
        return [v for v in self._videos.values() if split in (None, v.split)]

    def video(self, name: str) -> StoredVideo:
        """One of them."""
        return self._videos[name]

    def times(self, name: str) -> NDArray[np.float64]:
        """float64 [N] stream seconds of a video's frames."""
        return self._arrays(name).t

    def window(
        self,
        name: str,
        start: float,
        end: float,
        *,
        inputs: Sequence[InputSpec] | None = None,
        speed: float = 1.0,
    ) -> Window | None:
        """The evidence from `start` to `end` (stream s), as the runtime's buffer would give it.

        Args:
            name: the video.
            start: the window reaches back so far at most, and never beyond a change of person.
            end: its end.
            inputs: decode only the pictures that these will sample, the others stay black.
            speed: time runs so much faster: the times become `end - (end - t) / speed`.

        Returns:
            The window; None if there is no frame in it.

        Raises:
            DataError: a shard is missing or broken.
        """
        arrays = self._arrays(name)
        lo, hi = (int(i) for i in np.searchsorted(arrays.t, [start - 1e-6, end + 1e-6]))
        if lo >= hi:
            return None
        lo = max(lo, int(np.searchsorted(arrays.stretch, arrays.stretch[hi - 1])))
        part = slice(lo, hi)
        t = arrays.t[part]
        t = t[-1] - (t[-1] - t) / speed
        (h, w), side = self.info.perception.storage, self.info.perception.face_size
        rgb = np.zeros((hi - lo, h, w, 3), np.uint8)
        faces = np.zeros((hi - lo, side, side, 3), np.uint8)
        has_face = arrays.has_face[part]
        for k in _sampled(t, inputs, RgbInput):
            rgb[k] = self._picture(name, arrays.rgb_at[lo + k])
        for k in _sampled(t, inputs, FaceInput):
            if has_face[k]:
                faces[k] = self._picture(name, arrays.face_at[lo + k])
        return Window(
            t=t, rgb=rgb, xy=arrays.xy[part].copy(), xyz=arrays.xyz[part].copy(),
            conf=arrays.conf[part].copy(), faces=faces, has_face=has_face.copy(),
            layout=self.info.perception.layout,
        )  # fmt: skip

    def _load(self, name: str) -> _Arrays:
        path = self.folder / "videos" / f"{name}.npz"
        try:
            with np.load(path) as file:
                return _Arrays(**{key: file[key] for key in file.files})
        except (OSError, ValueError, TypeError, KeyError):
            raise DataError(f"{path}: missing or broken; prepare the video again") from None

    def _picture(self, name: str, at: NDArray[np.int64]) -> NDArray[np.uint8]:
        path = self.folder / "shards" / f"{name}.tar"
        try:
            if name not in self._files:
                if len(self._files) > 200:
                    os.close(self._files.pop(next(iter(self._files))))
                self._files[name] = os.open(path, os.O_RDONLY)
            blob = os.pread(self._files[name], int(at[1]), int(at[0]))
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}; prepare the video again") from None
        image = cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_COLOR) if blob else None
        if image is None:
            raise DataError(f"{path}: a picture in it is broken; prepare the video again")
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _sampled(
    t: NDArray[np.float64], inputs: Sequence[InputSpec] | None, kind: type
) -> NDArray[np.intp]:
    """Which frames inputs of a kind look at."""
    if inputs is None:
        return np.arange(len(t))
    chosen = [sample(t, spec.sampling)[0] for spec in inputs if isinstance(spec, kind)]
    return np.unique(np.concatenate(chosen)) if chosen else _NEVER


def open_store(folder: Path) -> Store:
    """Read what `prepare` has written; videos that it has not finished are not there.

    Raises:
        DataError: no store, one of another version, or an empty one.
    """
    path = folder / "store.json"
    try:
        info = TypeAdapter(StoreInfo).validate_json(path.read_bytes())
        videos = [
            TypeAdapter(StoredVideo).validate_json(file.read_bytes())
            for file in sorted((folder / "videos").glob("*.json"))
        ]
    except OSError:
        raise DataError(f"{folder}: expected prepared data, make it by `train prepare`") from None
    except ValidationError as error:
        raise DataError(f"{folder}: cannot be read ({error.errors()[0]['msg']})") from None
    if info.version != VERSION:
        raise DataError(f"{folder}: is version {info.version}, expected {VERSION}: prepare again")
    if not videos:
        raise DataError(f"{folder}: holds no finished video: run `train prepare` again")
    return Store(folder, info, {video.id: video for video in videos})

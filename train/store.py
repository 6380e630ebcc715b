"""The store: what perception saw of every video, on disk, random access.

    PREPARED/
      store.json         data set, classes, perception, what was skipped
      videos/ID.json     one video: split, subject, labels; written last, so it is whole or absent
      videos/ID_cues.npy   of a rendered video: what hands touch and faces do in each frame
      videos/ID.npy      its frames: times, poses, and where their pictures lie in the shard
      shards/ID.tar      WebDataset shard: one sample a frame, `rgb.jpg` and, where seen, `face.jpg`

A Window is read without the pictures that its model will not look at.
"""

import os
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.manifest import RENDERED_PEOPLE
from engines.preprocess import sample
from engines.tensor_specs import FaceInput, HandInput, InputSpec, RgbInput
from engines.window import Window, within_shot
from train.annotations import DataError
from train.store_files import (
    StoredVideo,
    StoreInfo,
    again,
    map_cues,
    map_frames,
    read_clock,
    read_info,
    read_video,
)

_CLOCKS, _OPEN = 2048, 200
"""Videos whose times are remembered; whose files stay open."""
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_NEVER = np.zeros(0, np.intp)


class Store:
    """An opened folder of prepared videos; safe to read from several processes."""

    def __init__(self, folder: Path, info: StoreInfo, videos: dict[str, StoredVideo]) -> None:
        self.folder, self.info, self._videos = folder, info, videos
        self._frames = lru_cache(_OPEN)(partial(map_frames, folder))
        self._clock = lru_cache(_CLOCKS)(partial(read_clock, folder))
        self._cues = lru_cache(_OPEN)(partial(map_cues, folder))
        self._files: dict[str, int] = {}

    def __getstate__(self) -> tuple[Path, StoreInfo, dict[str, StoredVideo]]:
        return self.folder, self.info, self._videos

    def __setstate__(self, state: tuple[Path, StoreInfo, dict[str, StoredVideo]]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the annotated gestures."""
        return self.info.class_names

    @property
    def is_rendered(self) -> bool:
        """Whether all of its people were."""
        return self.info.corpus.startswith(RENDERED_PEOPLE)

    def videos(self, split: str | None = None) -> list[StoredVideo]:
        """Those of one split, or all; by id."""
        return [v for v in self._videos.values() if split in (None, v.split)]

    def video(self, name: str) -> StoredVideo:
        """One of them."""
        return self._videos[name]

    def times(self, name: str) -> NDArray[np.float64]:
        """float64 [N] stream seconds of a video's frames."""
        return self._clock(name)[0]

    def last_frame(self, name: str, t: float) -> float:
        """Stream seconds of a video's last frame at or before `t`: live windows end at frames."""
        times = self.times(name)
        return float(times[max(int(np.searchsorted(times, t + 1e-6)) - 1, 0)])

    def window(
        self,
        name: str,
        start: float,
        end: float,
        *,
        anchor: float,
        inputs: Sequence[InputSpec] | None = None,
        speed: float = 1.0,
        rate_hz: float | None = None,
    ) -> Window | None:
        """The evidence from `start` to `end` (stream s), as the runtime's buffer would give it.

        Args:
            name: the video.
            start: the window reaches back so far at most, and never beyond a change of person.
            end: its end.
            anchor: 0..1: where in the window the instant lies that it is about, and whose shot it
                therefore shows.
            inputs: decode only the pictures that these will sample, the others stay black.
            speed: time runs so much faster: the times become `end - (end - t) / speed`.
            rate_hz: as a camera of that rate would have seen it; None for every frame.

        Returns:
            The window; None if there is no frame in it.

        Raises:
            DataError: a shard is missing or broken.
        """
        times, stretch = self._clock(name)
        lo, hi = (int(i) for i in np.searchsorted(times, [start - 1e-6, end + 1e-6]))
        if lo >= hi:
            return None
        lo = max(lo, int(np.searchsorted(stretch, stretch[hi - 1])))
        t = times[lo:hi]
        shots = np.searchsorted(self._videos[name].cuts, t, side="right")
        shown = lo + within_shot(t, shots, anchor)
        if speed != 1.0:
            t = t[-1] - (t[-1] - t) / speed
        kept = np.arange(len(t)) if rate_hz is None else thinned_indices(t, rate_hz)
        t, frames = t[kept], self._frames(name)[shown[kept]]
        (h, w), side = self.info.perception.storage, self.info.perception.face_size
        rgb = np.zeros((len(t), h, w, 3), np.uint8)
        faces = np.zeros((len(t), side, side, 3), np.uint8)
        has_face = frames["has_face"]
        for k in _sampled(t, inputs, (RgbInput, HandInput)):
            rgb[k] = self._picture(name, frames["rgb_at"][k])
        for k in _sampled(t, inputs, (FaceInput,)):
            if has_face[k]:
                faces[k] = self._picture(name, frames["face_at"][k])
        return Window(
            t=t, rgb=rgb, xy=frames["xy"], xyz=frames["xyz"], conf=frames["conf"],
            faces=faces, has_face=has_face, layout=self.info.perception.layout,
        )  # fmt: skip

    def cues(self, name: str, t: NDArray[np.float64]) -> NDArray[np.void] | None:
        """What hands touch and faces do at float64 [N] stream seconds, in the nearest frames.

        Returns:
            `train.synth.touches.CUES_DTYPE` [N]; None where nobody knows: of what was not rendered.

        Raises:
            DataError: they cannot be read.
        """
        frames = self._cues(name)
        if frames is None:
            return None
        between = (frames["t"][1:] + frames["t"][:-1]) / 2
        return frames[np.searchsorted(between, t)]

    def is_whole(self, name: str, start: float, end: float, max_gap_s: float) -> bool:
        """Whether the runtime's buffer would give a window from `start` to `end` (stream s).

        Its rule: one person, no pause, and evidence from the first twentieth on.
        """
        t, stretch = self._clock(name)
        lo, hi = (int(i) for i in np.searchsorted(t, [start - 1e-6, end + 1e-6]))
        if lo >= hi or end - t[hi - 1] > max_gap_s:
            return False
        lo = max(lo - 1, 0)  # a pause may begin before the window
        t, stretch = t[lo:hi], stretch[lo:hi]
        breaks = np.flatnonzero((np.diff(t) > max_gap_s) | (np.diff(stretch) != 0))
        first = t[breaks[-1] + 1] if len(breaks) else t[0]
        return bool(first <= start + 0.05 * (end - start))

    def _picture(self, name: str, at: NDArray[np.int64]) -> NDArray[np.uint8]:
        path = self.folder / "shards" / f"{name}.tar"
        try:
            if name not in self._files:
                if len(self._files) > _OPEN:
                    os.close(self._files.pop(next(iter(self._files))))
                self._files[name] = os.open(path, os.O_RDONLY)
            blob = os.pread(self._files[name], int(at[1]), int(at[0]))
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}; {again(self.folder, name)}") from None
        is_whole = blob.startswith(_JPEG_START) and blob.endswith(_JPEG_END)
        image = cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_COLOR) if is_whole else None
        if image is None:
            raise DataError(f"{path}: a picture in it is broken; {again(self.folder, name)}")
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _sampled(
    t: NDArray[np.float64], inputs: Sequence[InputSpec] | None, kinds: tuple[type, ...]
) -> NDArray[np.intp]:
    """Which frames inputs of some kinds look at."""
    if inputs is None:
        return np.arange(len(t))
    chosen = [sample(t, spec.sampling)[0] for spec in inputs if isinstance(spec, kinds)]
    return np.unique(np.concatenate(chosen)) if chosen else _NEVER


def thinned_indices(t: NDArray[np.float64], rate_hz: float) -> NDArray[np.intp]:
    """Which of the samples at float64 [N] seconds a camera of that rate has; the last stays."""
    slots = np.floor((t[-1] - t) * rate_hz + 1e-6)
    return np.flatnonzero(np.append(slots[:-1] != slots[1:], True))


def open_store(folder: Path) -> Store:
    """Read what `prepare` has written; videos that it has not finished are not there.

    Raises:
        DataError: no store, one of another version, or an empty one.
    """
    info = read_info(folder)
    names = sorted(path.stem for path in (folder / "videos").glob("*.json"))
    videos = {name: read_video(folder, name) for name in names}
    if not videos:
        raise DataError(f"{folder}: holds no finished video: run `train prepare` again")
    return Store(folder, info, videos)

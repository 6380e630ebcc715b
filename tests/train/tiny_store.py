"""A prepared store of a few seconds, written by `train.prepare` from drawn people.

What is drawn follows from the label, so that a tiny network can learn it: a gesture moves the right
wrist and tints the picture, an emotion lightens the face.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from engines.manifest import PerceptionSpec
from engines.skeleton import MEDIAPIPE33
from realtime.records import Face, Frame, Observation, Pose
from tests.clips import make_clip
from train.annotations import Segment, Video
from train.labels import ILLUSTRATIVE, MICRO_GESTURES
from train.perception import perception_of
from train.prepare import perceive_video
from train.recipes import Recipe
from train.store_files import VERSION, StoreInfo
from train.track import JPEG_QUALITY

RATE_HZ = 10
_SIZE = (64, 48)
_CENTRE = np.array([32.0, 24.0])
_PLACES = {"left_shoulder": (12, -6), "right_shoulder": (-12, -6), "nose": (0, -16)}
_PLACES |= {"left_hip": (9, 18), "right_hip": (-9, 18), "left_wrist": (14, 12)}


@dataclass(frozen=True)
class TinyVideo:
    """One video of the store; its frames come every 1 / `RATE_HZ` s."""

    id: str
    split: str
    spans: tuple[tuple[int, float, float], ...] = ()
    """(label, start s, end s) of each gesture."""
    emotion: int | None = None
    seconds: float = 6.0


VIDEOS = (
    TinyVideo("a", "train", ((4, 0.5, 2.5), (10, 3.0, 5.5)), emotion=0),
    TinyVideo("b", "train", ((10, 1.0, 3.0), (22, 3.5, 5.5)), emotion=1),
    TinyVideo("c", "train", ((22, 0.5, 2.0),)),
    TinyVideo("d", "val", ((4, 1.0, 2.5), (22, 3.0, 5.0)), emotion=1),
    TinyVideo("e", "val", ((10, 1.0, 4.0),), emotion=0),
    TinyVideo("f", "test", ((4, 1.0, 4.0),), emotion=0),
)
"""Two videos of known emotion to learn from, and two to be judged by; one that nobody knows."""


class DrawnPerson:
    """A perceiver that draws what the annotation says."""

    def __init__(self, spec: PerceptionSpec, video: TinyVideo) -> None:
        self._spec, self._video = spec, video

    def reset(self) -> None:
        """Nothing is remembered."""

    def __call__(self, frame: Frame) -> Observation:
        (h, w), side = self._spec.storage, self._spec.face_size
        doing = (label for label, start, end in self._video.spans if start <= frame.t < end)
        label = next(doing, ILLUSTRATIVE)
        rng = np.random.default_rng([frame.index, label])
        tint = np.random.default_rng(label).integers(40, 216, 3)
        rgb = np.clip(tint + rng.normal(0, 8, (h, w, 3)), 0, 255).astype(np.uint8)
        emotion = self._video.emotion
        light = 128 if emotion is None else (60, 190)[emotion]
        face = np.clip(light + rng.normal(0, 8, (side, side, 3)), 0, 255).astype(np.uint8)
        return Observation(
            t=frame.t, index=frame.index, source=frame.source, arrived=frame.arrived, rgb=rgb,
            crop=np.array([0, 0, *_SIZE], np.float32), pose=_drawn_pose(label, rng),
            face=Face(face, np.array([26, 2, 38, 14], np.float32), 0.9),
        )  # fmt: skip


def _drawn_pose(label: int, rng: np.random.Generator) -> Pose:
    joints = MEDIAPIPE33.joints
    places = np.random.default_rng(99).uniform(-8, 8, (len(joints), 2))
    for name, place in _PLACES.items():
        places[joints.index(name)] = place
    angle = 2 * np.pi * label / len(MICRO_GESTURES)
    places[joints.index("right_wrist")] = (14 * np.cos(angle), 14 * np.sin(angle))
    places += rng.normal(0, 0.3, places.shape)
    xyz = np.concatenate([places / 40, np.zeros((len(joints), 1))], axis=1)
    conf = np.full(len(joints), 0.9, np.float32)
    xy = (_CENTRE + places).astype(np.float32)
    return Pose(xy=xy, xyz=xyz.astype(np.float32), conf=conf, layout=MEDIAPIPE33.name)


def write_tiny_store(
    folder: Path,
    recipe: Recipe,
    videos: Sequence[TinyVideo] = VIDEOS,
    *,
    class_names: tuple[str, ...] = MICRO_GESTURES,
    is_trimmed: bool = False,
) -> Path:
    """Write the videos as `train prepare` would for the recipe; return the store's folder."""
    spec = perception_of(recipe)
    for name in ("videos", "shards"):
        (folder / name).mkdir(parents=True)
    info = StoreInfo(VERSION, "tiny", class_names, spec, JPEG_QUALITY, is_trimmed)
    (folder / "store.json").write_bytes(TypeAdapter(StoreInfo).dump_json(info))
    for video in videos:
        clip = folder / f"{video.id}.mp4"
        frames = round(video.seconds * RATE_HZ)
        make_clip(clip, [k / RATE_HZ for k in range(frames)], size=_SIZE)
        segments = tuple(
            Segment(label, round(start * RATE_HZ), round(end * RATE_HZ) - 1, row)
            for row, (label, start, end) in enumerate(video.spans)
        )
        annotated = Video(
            video.id, clip, video.split, video.id, segments, video.emotion, len(segments)
        )
        done = perceive_video(annotated, DrawnPerson(spec, video), folder)
        assert done.video is not None
        clip.unlink()
    return folder


def without_emotion(videos: Sequence[TinyVideo] = VIDEOS) -> tuple[TinyVideo, ...]:
    """The same videos of a data set that says nothing about emotion."""
    return tuple(replace(video, emotion=None) for video in videos)


def rewrite_frames(folder: Path, name: str, **changes: np.ndarray) -> None:
    """Change what is kept of a video's frames, by the fields of `frame_dtype`."""
    path = folder / "videos" / f"{name}.npy"
    frames = np.load(path)
    for field, values in changes.items():
        frames[field] = values
    np.save(path, frames)

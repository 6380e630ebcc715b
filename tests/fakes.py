"""Hand-written stand-ins for what a test cannot have: a camera with faults, a body, a clock."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import numpy as np

from engines.manifest import Manifest, PerceptionSpec
from engines.skeleton import LAYOUTS
from realtime.errors import SourceError
from realtime.feed import SnapshotFeed, SnapshotReader
from realtime.records import Event, Face, Frame, Observation, Pose, Prediction, Snapshot

Fault = BaseException
"""In a script, an item that is raised instead of yielded."""


def frame_at(t: float, index: int = 0, *, source: str = "scripted") -> Frame:
    """A 64x48 frame whose grey tells its time."""
    image = np.full((48, 64, 3), int(t * 40) % 256, np.uint8)
    return Frame(image=image, t=t, index=index, source=source, arrived=time.monotonic())


class ScriptedSource:
    """Yields frames at scripted times and raises scripted faults; `pace` is called before each."""

    def __init__(
        self,
        script: Sequence[float | Fault],
        *,
        name: str = "scripted",
        pace: Callable[[int], None] = lambda index: None,
    ) -> None:
        self.id, self.is_live, self.fps, self.size = name, True, 30.0, (64, 48)
        self.num_frames, self.duration_s, self.num_dropped = None, None, 0
        self.round_s: float | None = None
        self._script, self._pace, self.is_closed = list(script), pace, False
        self._next = 0

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        if self._next >= len(self._script) or self.is_closed:
            raise StopIteration
        index, item = self._next, self._script[self._next]
        self._next += 1
        if isinstance(item, BaseException):
            raise item
        self._pace(index)
        return frame_at(item, index, source=self.id)

    def close(self) -> None:
        self.is_closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ScriptedPerceiver:
    """Sees one body whose right wrist swings with time; `absent` says when nobody is there."""

    def __init__(
        self, spec: PerceptionSpec, *, absent: Callable[[float], bool] = lambda t: False
    ) -> None:
        self._spec, self._absent = spec, absent
        self.num_resets = 0

    def __call__(self, frame: Frame) -> Observation:
        (h, w), s = self._spec.storage, self._spec.face_size
        grey = int(127 + 100 * np.sin(frame.t))
        is_absent = self._absent(frame.t)
        face = Face(np.full((s, s, 3), grey, np.uint8), np.array([20, 5, 40, 25], np.float32), 0.9)
        return Observation(
            t=frame.t,
            index=frame.index,
            source=frame.source,
            arrived=frame.arrived,
            rgb=np.full((h, w, 3), grey, np.uint8),
            crop=np.array([0, 0, 64, 48], np.float32),
            pose=None if is_absent else body(frame.t, self._spec.layout),
            face=None if is_absent else face,
        )

    def reset(self) -> None:
        self.num_resets += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def body(t: float, layout: str = "mediapipe33") -> Pose:
    """A body in a 64x48 frame, its right wrist moving with `t`."""
    joints = LAYOUTS[layout].joints
    rng = np.random.default_rng(7)
    xy = rng.uniform(10, 40, (len(joints), 2)).astype(np.float32)
    xyz = rng.uniform(-0.5, 0.5, (len(joints), 3)).astype(np.float32)
    wrist = joints.index("right_wrist")
    xy[wrist] += np.float32(8 * np.sin(2 * t))
    xyz[wrist] += np.float32(0.2 * np.sin(2 * t))
    return Pose(xy=xy, xyz=xyz, conf=np.full(len(joints), 0.9, np.float32), layout=layout)


class FakeClock:
    """A clock that only a test moves."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class FakeSession:
    """A session whose cameras show what the test says; browsers' pictures come back as they are."""

    def __init__(self, manifests: Sequence[Manifest]) -> None:
        self.manifests, self.runtime = tuple(manifests), "Fake CPU fp32"
        self.feeds: dict[str, SnapshotFeed] = {}
        self.uris: list[str] = []
        self.recorded: set[str] = set()
        self.paused: set[str] = set()
        self.round_s: float | None = None
        """Of the sources that are opened from now on."""

    def open_source(self, uri: str) -> ScriptedSource:
        self.uris.append(uri)
        if uri == "bad":
            raise SourceError("bad: there is no such source; name another")
        if uri.startswith("rtsp://bad"):
            raise SourceError("there is no such camera")
        source = ScriptedSource([], name=uri)
        source.round_s = self.round_s
        return source

    def add_camera(self, source: Any, *, reopen: Callable[[], Any] | None = None) -> str:
        self.feeds[source.id] = SnapshotFeed()
        return str(source.id)

    def pause_camera(self, camera: str, *, is_paused: bool) -> None:
        (self.paused.add if is_paused else self.paused.discard)(camera)

    def remove_camera(self, camera: str) -> None:
        self.feeds.pop(camera).finish()

    def reader(self, camera: str) -> SnapshotReader:
        return SnapshotReader(self.feeds[camera])

    def show(self, snapshot: Snapshot, *new: Prediction | Event) -> None:
        for feed in tuple(self.feeds.values()):
            feed.record(new)
            feed.publish(snapshot)

"""LiveSession: cameras, engines and their threads.

    capture  (one per camera)   for frame in source: slot.put(frame)
    perceive (one per camera)   frame = slot.get(); buffer.append(perceiver(frame)); publish
    predict  (one for all)      with engines open: predictor.step; camera.decide
    readers  (page, recorder)   reader.next()

The pace is set by the newest evidence, never by a backlog: the slot drops frames, the predictor
drops windows, and both are counted and shown.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from engines.manifest import Manifest
from realtime.camera import Camera, OpenPerceiver
from realtime.config import Config
from realtime.feed import SnapshotReader
from realtime.lineup import describe_runtimes, load_lineup
from realtime.perception import open_perceiver
from realtime.predictor import Predictor
from realtime.records import Prediction
from realtime.sources import Source
from realtime.stats import StageTimes

POLL_S = 0.1
"""The prediction thread looks this often whether it should end or an estimate went stale."""


class LiveSession:
    """Runs bundles on any number of cameras until it is closed. Any thread may call its methods."""

    def __init__(
        self,
        bundles: Sequence[Path],
        config: Config,
        device: str = "auto",
        *,
        perceive: OpenPerceiver = open_perceiver,
    ) -> None:
        """Load the bundles; nothing runs before the session is entered.

        Raises:
            BundleError: bundles that cannot be used, or not together.
        """
        self.lineup = load_lineup(bundles, config)
        self.runtime = ""
        """Runtime, device and precision of the opened engines."""
        self.recorded: set[str] = set()
        """The cameras that are being recorded: the page exchanges them for no others."""
        self.stages = StageTimes()
        """Perception of any camera, and each engine's calls, which are of a batch of cameras."""
        self.device, self._perceive = device, perceive
        self._cameras: dict[str, Camera] = {}
        self._lock = threading.Lock()
        self._wake, self._stopping, self._ready = (threading.Event() for _ in range(3))
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._predict, name="predict", daemon=True)

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """Those of the opened bundles."""
        return self.lineup.manifests

    @property
    def cameras(self) -> tuple[str, ...]:
        """Ids of the present cameras."""
        return tuple(self._cameras)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for camera in self.cameras:
            self.remove_camera(camera)
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout=5)

    def add_camera(self, source: Source, *, reopen: Callable[[], Source] | None = None) -> str:
        """Watch an opened source, which is the session's to close; return the camera's id.

        Args:
            source: an opened source.
            reopen: opens it again after it was lost; None = a lost source stays lost.

        Raises:
            PerceptionError: the pose or face model is missing or not the bundles'.
        """
        try:
            perceiver = self._perceive(self.lineup.perception)
        except BaseException:
            source.close()
            raise
        with self._lock:
            name, n = source.id, 2
            while name in self._cameras:
                name, n = f"{source.id} ({n})", n + 1
            camera = self._cameras[name] = Camera(
                name,
                source,
                reopen,
                lineup=self.lineup,
                perceiver=perceiver,
                stages=self.stages,
                runtime=self.runtime,
                wake=self._wake.set,
            )
        if self._error is not None:
            camera.feed.finish(self._error)
        camera.start()
        return name

    def remove_camera(self, camera: str) -> None:
        """Stop watching and close the source; a camera that is not there is no error.

        The prediction thread still closes its open events, then readers see the end of the stream.
        """
        gone = self._cameras.get(camera)
        if gone is None:
            return
        gone.stop()
        self._wake.set()
        gone.feed.wait_finished(timeout_s=2)
        with self._lock:
            self._cameras.pop(camera, None)
        gone.feed.finish()

    def pause_camera(self, camera: str, *, is_paused: bool) -> None:
        """Take no frames from a clip for a while, or go on; a camera that is not there is no error.

        Its stream time stands still, too. Of a source that cannot wait the frames would get old.
        """
        if (paused := self._cameras.get(camera)) is not None:
            paused.pause(is_paused)

    def reader(self, camera: str) -> SnapshotReader:
        """A new reader of the camera's snapshots.

        Raises:
            KeyError: no such camera.
        """
        return SnapshotReader(self._cameras[camera].feed)

    def _predict(self) -> None:
        """The prediction thread: the only one that touches engines and deciders."""
        try:
            with ExitStack() as stack:
                engines = self.lineup.open_engines(stack, self.device)
                self.runtime = describe_runtimes(engines)
                predictor = self.lineup.predictor(engines)
                self._ready.set()
                while not self._stopping.is_set():
                    self._wake.wait(POLL_S)
                    self._wake.clear()
                    predictions = self._step(predictor, dict(self._cameras))
                    self.stages.add_engines(engines, predictions)
        except BaseException as error:  # a worker that dies takes its exception to the readers
            self._error = error
            for camera in tuple(self._cameras.values()):
                camera.feed.finish(error)
        finally:
            self._ready.set()

    def _step(self, predictor: Predictor, cameras: dict[str, Camera]) -> list[Prediction]:
        """Run one batch: between two batches cameras come and go, however slow a bundle is."""
        predictor.keep(cameras)
        ending = [c for c in cameras.values() if c.is_perceived and not c.feed.is_finished]
        predictions = predictor.step({name: c.buffer for name, c in cameras.items()})
        for name, camera in cameras.items():
            camera.decide(
                [p for p in predictions if p.source == name],
                predictor.num_dropped.get(name, 0),
                predictor.waiting.get(name, ""),
            )
        for camera in ending:
            if not predictor.is_due(camera.name, camera.buffer):
                camera.finish()
        if predictions:
            self._wake.set()
        return predictions

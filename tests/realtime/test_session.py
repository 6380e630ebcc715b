"""The live session against the offline loop, and under faults."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engines.engine import Engine
from engines.errors import BundleError
from engines.manifest import PerceptionSpec
from engines.postprocess import Scores
from engines.window import Window
from realtime.config import Config
from realtime.errors import SourceError, SourceLost
from realtime.feed import EndOfStream, SnapshotReader
from realtime.lineup import load_lineup
from realtime.pipeline import analyze
from realtime.records import Event, Prediction, Snapshot, Status
from realtime.session import LiveSession
from tests.engines.tiny_bundle import DROP, write_tiny_bundle
from tests.fakes import ScriptedPerceiver, ScriptedSource

CONFIG = Config(hop_s=0.2, tau_s=0.1, min_s=0.0, gap_s=0.2, state_tau_s=0.1, retry_s=0.05)
TIMES = [i / 30 for i in range(150)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks; thresholds so low that its random logits make events come and go."""
    gestures = {"thresholds": {"on": 0.35, "off": 0.3}}
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", outputs=[gestures, {}])


def absent(t: float) -> bool:
    return 2.0 < t < 3.5


def perceive(spec: PerceptionSpec) -> ScriptedPerceiver:
    return ScriptedPerceiver(spec, absent=absent)


def analyze_offline(bundle: Path, source: ScriptedSource, into: list[Snapshot]) -> None:
    """Append each snapshot to `into` as it comes: an error does not take them away."""
    lineup = load_lineup([bundle], CONFIG)
    with ExitStack() as stack:
        engines = lineup.open_engines(stack, "cpu")
        perceiver, predictor = perceive(lineup.perception), lineup.predictor(engines)
        parts = (perceiver, lineup.buffer(), predictor, lineup.decider())
        for snapshot in analyze(source, *parts, status=Status()):
            into.append(snapshot)


def offline(bundle: Path) -> list[Snapshot]:
    snapshots: list[Snapshot] = []
    analyze_offline(bundle, ScriptedSource(TIMES), snapshots)
    assert [s.frame.index for s in snapshots] == list(range(len(TIMES)))
    return snapshots


def drain(reader: SnapshotReader) -> Iterator[Snapshot]:
    while True:
        try:
            snapshot = reader.next(timeout_s=5)
        except EndOfStream:
            return
        assert snapshot is not None, "the session stands still"
        yield snapshot


def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


class InStep:
    """Holds a frame back until the one before is perceived and all that was due is predicted."""

    def __init__(self, session: LiveSession, offline: list[Snapshot]) -> None:
        sizes = [len(s.predictions) + len(s.new_events) for s in offline]
        self._log_sizes = np.cumsum([0, *sizes])
        self._session = session
        self._reader: SnapshotReader | None = None
        self._num_read, self._seen = 0, -1

    def __call__(self, index: int) -> None:
        if self._reader is None:
            self._reader = self._session.reader("scripted")
        until(lambda: self._has_reached(index))

    def _has_reached(self, index: int) -> bool:
        assert self._reader is not None
        snapshot = self._reader.next(timeout_s=0)
        if snapshot is not None:
            self._seen = snapshot.frame.index
            self._num_read += len(snapshot.predictions) + len(snapshot.new_events)
        num_logged = self._num_read + self._reader.num_waiting
        return self._seen == index - 1 and num_logged >= self._log_sizes[index]


def test_the_same_input_gives_the_same_events_offline_and_live(bundle: Path) -> None:
    snapshots = offline(bundle)
    expected = [p for s in snapshots for p in s.predictions]
    expected_events = [e for s in snapshots for e in s.new_events]
    assert len(expected) > 30
    assert len(expected_events) > 1, "the test needs events to compare"
    predicted: list[Prediction] = []
    events: list[Event] = []
    session = LiveSession([bundle], CONFIG, "cpu", perceive=perceive)
    with session:
        camera = session.add_camera(ScriptedSource(TIMES, pace=InStep(session, snapshots)))
        for snapshot in drain(session.reader(camera)):
            predicted += snapshot.predictions
            events += snapshot.new_events
    assert [(p.task, p.at) for p in predicted] == [(p.task, p.at) for p in expected]
    assert sorted(map(repr, events)) == sorted(map(repr, expected_events))


def test_a_worker_that_dies_takes_its_exception_to_the_reader(bundle: Path) -> None:
    class Broken(ScriptedPerceiver):
        def __call__(self, frame: object) -> object:  # type: ignore[override]
            raise ZeroDivisionError("in the perceiver")

    with LiveSession([bundle], CONFIG, "cpu", perceive=Broken) as session:  # type: ignore[arg-type]
        reader = session.reader(session.add_camera(ScriptedSource(TIMES)))
        with pytest.raises(ZeroDivisionError):
            reader.next(timeout_s=5)


def test_a_clip_that_breaks_off_loses_nothing_that_was_seen(bundle: Path) -> None:
    script: list[float | BaseException] = [*TIMES[:100], SourceError("clip: breaks off")]
    offline: list[Snapshot] = []
    with pytest.raises(SourceError, match="breaks off"):
        analyze_offline(bundle, ScriptedSource(script), offline)
    assert [s.frame.index for s in offline] == list(range(100))
    expected = [e for s in offline for e in s.new_events]
    assert expected, "the test needs events to compare"

    live: list[Snapshot] = []
    with LiveSession([bundle], CONFIG, "cpu", perceive=perceive) as session:
        source = ScriptedSource(script, pace=InStep(session, offline))
        snapshots = drain(session.reader(session.add_camera(source)))
        with pytest.raises(SourceError, match="breaks off"):
            live.extend(iter_into(live, snapshots))
    assert [repr(e) for s in live for e in s.new_events] == [repr(e) for e in expected]


def iter_into(kept: list[Snapshot], snapshots: Iterator[Snapshot]) -> Iterator[Snapshot]:
    """Keep each snapshot as it comes, so that an error does not take them away."""
    for snapshot in snapshots:
        kept.append(snapshot)
    yield from ()


def test_a_slow_bundle_on_two_cameras_lets_cameras_come_and_go(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window is always due: the session must not lose itself in them."""
    call = Engine.__call__

    def slow(engine: Engine, windows: Sequence[Window]) -> list[dict[str, Scores]]:
        time.sleep(0.3)
        return call(engine, windows)

    monkeypatch.setattr(Engine, "__call__", slow)

    def endless(name: str) -> ScriptedSource:
        times = [i / 30 for i in range(10_000)]
        return ScriptedSource(times, name=name, pace=lambda _: time.sleep(1 / 30))

    with LiveSession([bundle], CONFIG, "cpu", perceive=perceive) as session:
        for name in ("a", "b"):
            session.add_camera(endless(name))
        time.sleep(2.5)
        late = session.reader(session.add_camera(endless("late")))

        def is_predicted() -> bool:
            snapshot = late.next(timeout_s=1)
            return snapshot is not None and bool(snapshot.predictions)

        until(is_predicted, timeout_s=8)
        started = time.monotonic()
        session.remove_camera("a")
        assert time.monotonic() - started < 1.8


def test_a_lost_camera_is_a_state_and_comes_back_with_time_going_on(bundle: Path) -> None:
    again = threading.Event()

    def reopen() -> ScriptedSource:
        if not again.is_set():
            raise SourceError("camera: refused")
        return ScriptedSource([i / 30 for i in range(60)], pace=lambda _: time.sleep(0.01))

    lost = ScriptedSource([*TIMES[:20], SourceLost("camera: no frame for 10 s")])
    with LiveSession([bundle], CONFIG, "cpu", perceive=perceive) as session:
        reader = session.reader(session.add_camera(lost, reopen=reopen))
        snapshots: list[Snapshot] = []

        def is_lost() -> bool:
            snapshot = reader.next(timeout_s=1)
            if snapshot is not None:
                snapshots.append(snapshot)
            return bool(snapshots) and snapshots[-1].status.message == "camera: refused"

        until(is_lost)
        assert not snapshots[-1].status.connected
        assert snapshots[-1].status.lost_since is not None
        before = snapshots[-1].frame.t
        again.set()
        until(lambda: (s := reader.next(timeout_s=1)) is not None and s.status.connected)
        found = reader.next(timeout_s=1)
        assert found is not None
        assert found.frame.t > before


def test_removing_a_camera_ends_its_threads_and_closes_its_source(bundle: Path) -> None:
    source = ScriptedSource([i / 30 for i in range(10_000)], pace=lambda _: time.sleep(0.005))
    with LiveSession([bundle], CONFIG, "cpu", perceive=perceive) as session:
        camera = session.add_camera(source)
        reader = session.reader(camera)
        assert reader.next(timeout_s=2) is not None
        started = time.monotonic()
        session.remove_camera(camera)
        assert time.monotonic() - started < 2
        assert source.is_closed
        assert session.cameras == ()
        with contextlib.suppress(EndOfStream):
            reader.next(timeout_s=1)
        with pytest.raises(EndOfStream):
            reader.next(timeout_s=1)
    names = [t.name for t in threading.enumerate()]
    assert not [n for n in names if n.startswith(("capture", "perceive", "predict"))]


def test_two_cameras_share_one_session_and_keep_their_own_names(bundle: Path) -> None:
    def slow(_: int) -> None:
        time.sleep(0.01)

    with LiveSession([bundle], CONFIG, "cpu", perceive=perceive) as session:
        cameras = [session.add_camera(ScriptedSource(TIMES, pace=slow)) for _ in range(2)]
        assert cameras == ["scripted", "scripted (2)"]
        readers = [session.reader(camera) for camera in cameras]
        for camera, reader in zip(cameras, readers, strict=True):
            predictions = [p for s in drain(reader) for p in s.predictions]
            assert predictions
            assert {p.source for p in predictions} == {camera}


def test_slow_perception_drops_frames_and_counts_them(bundle: Path) -> None:
    class Slow(ScriptedPerceiver):
        def __call__(self, frame):  # type: ignore[no-untyped-def]
            time.sleep(0.05)
            return super().__call__(frame)

    with LiveSession([bundle], CONFIG, "cpu", perceive=Slow) as session:
        source = ScriptedSource(TIMES[:100], pace=lambda _: time.sleep(0.005))
        snapshots = list(drain(session.reader(session.add_camera(source))))
    assert snapshots[-1].status.frames_dropped > 50
    assert snapshots[-1].frame.index == 99


def test_emotion_switched_off_is_neither_estimated_nor_logged(bundle: Path) -> None:
    quiet = replace(CONFIG, emotion=False)
    with LiveSession([bundle], quiet, "cpu", perceive=perceive) as session:
        snapshots = list(drain(session.reader(session.add_camera(ScriptedSource(TIMES)))))
    tasks = {e.task for s in snapshots for e in s.estimates}
    assert tasks == {"micro_gesture"}
    assert {p.task for s in snapshots for p in s.predictions} <= {"micro_gesture"}


def test_two_bundles_one_for_each_task_run_side_by_side(tmp_path: Path) -> None:
    """The paper's arrangement."""
    gesture = write_tiny_bundle(tmp_path / "gesture", name="gesture", outputs=[{}, DROP])
    emotion = write_tiny_bundle(tmp_path / "emotion", name="emotion", outputs=[DROP, {}])
    with LiveSession([gesture, emotion], CONFIG, "cpu", perceive=perceive) as session:
        source = ScriptedSource(TIMES, pace=lambda _: time.sleep(0.005))
        snapshots = list(drain(session.reader(session.add_camera(source))))
    seen = {(p.task, p.bundle) for s in snapshots for p in s.predictions}
    assert seen == {("micro_gesture", "gesture 0.1"), ("emotion", "emotion 0.1")}
    assert [e.task for e in snapshots[-1].estimates] == ["micro_gesture", "emotion"]
    assert snapshots[-1].status.bundle == "gesture 0.1 + emotion 0.1"


def test_bundles_that_do_not_fit_together_are_refused(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="Two bundles serve the task"):
        load_lineup([bundle, bundle], CONFIG)
    with pytest.raises(BundleError):
        LiveSession([tmp_path / "none"], CONFIG)

"""Several cameras in one run without a page: one engine, a folder each, and one that fails."""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from engines.engine import STAGES
from engines.manifest import PerceptionSpec
from realtime.config import Config
from realtime.errors import OutputError, PerceptionError, SourceError
from realtime.live_runs import recording_beside, run_headless
from realtime.output_folder import camera_folders
from realtime.recording import Recording
from realtime.records import Frame, Observation, Snapshot
from realtime.session import LiveSession
from realtime.sources import AbsentSource, FileSource, Source, open_source, open_sources
from tests.clips import make_clip
from tests.conftest import PROJECT
from tests.engines.tiny_bundle import write_tiny_bundle
from tests.fakes import ScriptedPerceiver
from tests.local_servers import closed_port, http_server, mute_server
from tests.realtime.broadcast import until

CONFIG = Config(
    hop_s=0.2, tau_s=0.1, min_s=0.0, gap_s=0.2, state_tau_s=0.1, retry_s=0.1, source_timeout_s=2.0
)
A, B = "test://?fps=30&size=64x64&seconds=3", "test://?fps=25&size=64x64&seconds=4"


class Poisoned(ScriptedPerceiver):
    """Fails at one camera's frame, as a lost GPU or a corrupt model would."""

    def __call__(self, frame: Frame) -> Observation:
        if frame.source == A and frame.t > 2:
            raise PerceptionError("the pose model is gone")
        return super().__call__(frame)


def perceive(spec: PerceptionSpec) -> ScriptedPerceiver:
    return ScriptedPerceiver(spec, absent=lambda t: 2.0 < t < 2.9)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    gestures = {"thresholds": {"on": 0.35, "off": 0.3}}
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", outputs=[gestures, {}])


@pytest.fixture
def session(bundle: Path) -> LiveSession:
    return LiveSession([bundle], CONFIG, "cpu", perceive=perceive)


def runs(out: Path) -> dict[str, dict[str, object]]:
    """Name of a camera's folder -> its run.json."""
    return {p.parent.name: json.loads(p.read_text()) for p in sorted(out.glob("*/run.json"))}


def test_two_cameras_have_a_folder_each_and_their_events_on_one_terminal(
    session: LiveSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary, is_whole = run_headless(session, [A, B], out=tmp_path / "out", duration_s=None)
    assert is_whole
    records = runs(tmp_path / "out")
    assert [record["source"] for record in records.values()] == [B, A]
    for record in records.values():
        assert record["outcome"] == "finished"
        assert record["counts"]["predictions"] > 10  # type: ignore[index]
        stages = record["timings"]["stage_ms"]  # type: ignore[index]
        assert set(stages) == {"perception", *(f"tiny {stage}" for stage in STAGES)}
        assert min(stages.values()) > 0
    said = capsys.readouterr().out
    for name in records:
        assert str(tmp_path / "out" / name) in summary
        for file in ("annotated.mp4", "events.csv", "events.eaf", "timeline.png"):
            assert (tmp_path / "out" / name / file).stat().st_size > 0
        events = (tmp_path / "out" / name / "events.csv").read_text().count("micro_gesture")
        assert said.count(f"{records[name]['source']}  ") == events > 0


def test_cameras_of_the_settings_go_by_their_names(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    away = f"rtsp://ann:s3cr3t@{closed_port()}/live"
    config = replace(CONFIG, sources={"desk": A, "the door": away})
    session = LiveSession([bundle], config, "cpu", perceive=perceive)
    run_headless(session, list(config.sources.values()), out=tmp_path / "out", duration_s=4)
    records = runs(tmp_path / "out")
    assert {name: record["source"] for name, record in records.items()} == {
        "desk": "desk", "the-door": "the door",
    }  # fmt: skip
    assert "the door: rtsp://127.0.0.1" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_of_several_cameras_one_that_fails_leaves_the_others_alone(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = LiveSession([bundle], CONFIG, "cpu", perceive=Poisoned)
    summary, is_whole = run_headless(session, [A, B], out=tmp_path / "out", duration_s=None)
    assert not is_whole
    outcomes = {str(r["source"]): r["outcome"] for r in runs(tmp_path / "out").values()}
    assert outcomes == {A: "failed", B: "finished"}
    assert "the pose model is gone; the other cameras go on" in caplog.text
    assert summary.count("timeline.png") == 1
    session = LiveSession([bundle], CONFIG, "cpu", perceive=Poisoned)
    with pytest.raises(PerceptionError, match="the pose model is gone"):
        run_headless(session, [A], out=None, duration_s=None)


def test_a_folder_that_cannot_be_used_is_said_before_anything_is_written(
    session: LiveSession, tmp_path: Path
) -> None:
    used = camera_folders(tmp_path, [A, B])[1]
    used.mkdir(parents=True)
    (used / "run.json").write_text("{}")
    with pytest.raises(OutputError, match="holds an earlier run"):
        run_headless(session, [A, B], out=tmp_path, duration_s=None)
    assert not list(tmp_path.rglob("annotated.mp4"))


def test_a_camera_that_is_not_there_yet_is_looked_for_while_the_others_run(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It comes a second later, and is recorded from then on."""
    clip = make_clip(tmp_path / "clip.mp4", [i / 25 for i in range(100)])
    port = int(closed_port().rpartition(":")[2])
    camera = f"http://ann:s3cr3t@127.0.0.1:{port}/clip"
    other = "test://?fps=25&size=64x64&seconds=8"
    session = LiveSession([bundle], CONFIG, "cpu", perceive=perceive)

    with ExitStack() as stack:
        timer = threading.Timer(1.0, lambda: stack.enter_context(http_server(clip, port=port)))
        timer.start()
        stack.callback(timer.join)
        run_headless(session, [camera, other], out=tmp_path / "out", duration_s=None)
    records = {str(record["source"]): record for record in runs(tmp_path / "out").values()}
    assert set(records) == {f"http://127.0.0.1:{port}/clip", other}
    assert records[f"http://127.0.0.1:{port}/clip"]["counts"]["predictions"] > 4  # type: ignore[index]
    assert "connection refused" in caplog.text
    assert "s3cr3t" not in caplog.text


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGINT for one process")
def test_ctrl_c_ends_a_run_whose_cameras_are_silent_while_they_are_opened() -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in "ab"]
        words = [f"--source=rtsp://127.0.0.1:{s.getsockname()[1]}/x" for s in servers]
        command = [sys.executable, "-m", "realtime", "live", "--headless", *words]
        run = stack.enter_context(
            subprocess.Popen(
                [*command, "--source-timeout-s=60"], cwd=PROJECT, stderr=subprocess.PIPE, text=True
            )
        )
        stack.callback(run.kill)
        for server in servers:
            server.settimeout(60)
            stack.enter_context(server.accept()[0])
        run.send_signal(signal.SIGINT)
        assert run.communicate(timeout=15)[1] == "Stopped.\n"
    assert run.returncode == 130


def opened(uri: str) -> Source:
    return open_source(uri, timeout_s=1)


def test_of_several_sources_only_network_cameras_may_be_absent(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", [i / 25 for i in range(5)])
    away = f"rtsp://ann:s3cr3t@{closed_port()}/live"
    first, second = open_sources([str(clip), away], opened)
    assert isinstance(first, FileSource)
    assert isinstance(second, AbsentSource)
    assert "s3cr3t" not in second.id + second.reason
    first.close()
    with pytest.raises(SourceError, match="There is no file"):
        open_sources([str(clip), str(tmp_path / "none.mp4")], opened)
    for nobody in ([away], [away, away]):
        with pytest.raises(SourceError, match="connection refused"):
            open_sources(nobody, opened)


def test_while_one_of_several_sources_is_waited_for_it_is_said_which(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with mute_server() as address:
        uris = [f"rtsp://ann:s3cr3t@{address}/x", f"http://ann:s3cr3t@{address}/x", A]
        patient = functools.partial(open_source, timeout_s=4)
        for source in open_sources(uris, patient, {uris[0]: "door"}):
            source.close()
    assert [record.getMessage() for record in caplog.records] == [
        f"still waiting for door, http://{address}/x"
    ]


@pytest.mark.parametrize(
    ("cameras", "names"),
    [
        (["rtsp://10.0.0.5:554/Streaming/Channels/101?a=1"], [""]),
        (["rtsp://10.0.0.5:554/S/101?a=1", "webcam:0"], ["10.0.0.5-554-S-101-a-1", "webcam-0"]),
        (["/clips/../a b.mp4", "C:\\clips\\Büro.mp4"], ["a-b.mp4", "Büro.mp4"]),
        (["rtsp://h/a", "rtsp://h/a (2)", "rtsp://h-a"], ["h-a", "h-a-2", "h-a-3"]),
        (
            ["rtsp://h/A", "rtsp://h/a", "stra\u00dfe", "STRASSE"],
            ["h-A", "h-a-2", "stra\u00dfe", "STRASSE-2"],
        ),
        (
            ["Bu\u0308ro", "B\u00fcro", "nul", "aux.mp4"],
            ["B\u00fcro", "B\u00fcro-2", "camera-nul", "camera-aux.mp4"],
        ),
        (["rtsp://h/" + "x" * 400, "rtsp://../.."], ["h-" + "x" * 78, "camera"]),
    ],
)
def test_each_camera_has_a_folder_of_its_own_name(cameras: list[str], names: list[str]) -> None:
    assert camera_folders(Path("out"), cameras) == [Path("out") / name for name in names]


@contextmanager
def watched(session: LiveSession, uris: list[str]) -> Iterator[None]:
    for uri in uris:
        session.add_camera(open_source(uri, realtime=True))
    end = time.monotonic() + 2.5
    yield
    while time.monotonic() < end:
        time.sleep(0.05)


def test_beside_the_page_every_camera_that_it_was_started_with_is_recorded(
    session: LiveSession, tmp_path: Path
) -> None:
    guest = "test://?fps=10&size=64x64"
    recorded = recording_beside(session, tmp_path / "out", 2)
    with session, recorded as summaries, watched(session, [A, B, guest]):
        pass
    assert [r["source"] for r in runs(tmp_path / "out").values()] == [B, A]
    assert len(summaries) == 1
    assert summaries[0].count("timeline.png") == 2
    assert not session.recorded
    again = recording_beside(session, tmp_path / "out", 2)
    with pytest.raises(OutputError, match="holds an earlier run"):
        again.__enter__()


def test_a_recording_that_fails_does_not_end_the_other(
    session: LiveSession,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def write(self: Recording, snapshot: Snapshot) -> None:
        if snapshot.frame.source == A and snapshot.frame.t > 0.5:
            raise OutputError("Cannot write: no space left")
        whole(self, snapshot)

    whole = Recording.write
    monkeypatch.setattr(Recording, "write", write)
    recorded = recording_beside(session, tmp_path / "out", 2)
    with session, recorded as summaries, watched(session, [A, B]):
        pass
    outcomes = {str(r["source"]): r["outcome"] for r in runs(tmp_path / "out").values()}
    assert outcomes == {A: "failed", B: "finished"}
    assert summaries[0].count("timeline.png") == 1
    assert "no space left; the other cameras go on" in caplog.text


def test_whose_recording_has_failed_may_be_exchanged(
    session: LiveSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self: Recording, snapshot: Snapshot) -> None:
        if snapshot.frame.source == A:
            raise OutputError("Cannot write: no space left")

    monkeypatch.setattr(Recording, "write", write)
    with session, recording_beside(session, tmp_path / "out", 2), watched(session, [A, B]):
        until(lambda: session.recorded == {B})

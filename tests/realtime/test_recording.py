import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from realtime.config import Config
from realtime.errors import OutputError
from realtime.lineup import load_lineup
from realtime.recording import Recording
from realtime.records import Estimate, Status
from tests.engines.tiny_bundle import write_tiny_bundle
from tests.realtime.scene import event, predictions_at, snapshot
from tests.realtime.test_sinks import decode, top_level_boxes


def record_in(folder: Path, command: str, *, has_video: bool = False) -> Recording:
    """A recording into `folder` / "out", to be entered."""
    lineup = load_lineup([write_tiny_bundle(folder / "tiny")], Config())
    return Recording(
        folder / "out", command=command, source="clip.mp4", lineup=lineup, device="cpu",
        runtime="x", stage_ms=dict, has_video=has_video,
    )  # fmt: skip


def record(folder: Path, command: str, *, is_predicted: bool, has_video: bool = True) -> str:
    """Record two seconds into `folder` / "out"; the summary."""
    with record_in(folder, command, has_video=has_video) as recording:
        for i in range(60):
            seen = predictions_at(i / 30)[:1] if is_predicted else ()
            recording.write(snapshot(i / 30, predictions=seen))
    return recording.summary()


@pytest.mark.parametrize(("command", "stays_in_fragments"), [("analyze", False), ("live", True)])
def test_only_a_clips_video_gets_an_index_that_grows_with_it(
    tmp_path: Path, command: str, stays_in_fragments: bool
) -> None:
    record(tmp_path, command, is_predicted=False)
    path = tmp_path / "out" / "annotated.mp4"
    assert (b"moof" in top_level_boxes(path)) is stays_in_fragments
    times, _ = decode(path)
    assert times == pytest.approx([i / 30 for i in range(60)], abs=1e-3)


def test_without_the_video_everything_else_is_kept(tmp_path: Path) -> None:
    summary = record(tmp_path, "live", is_predicted=True, has_video=False)
    kept = {path.name for path in (tmp_path / "out").iterdir()}
    assert kept == {"events.csv", "events.eaf", "predictions.jsonl", "timeline.png", "run.json"}
    assert "annotated.mp4" not in summary
    assert json.loads((tmp_path / "out" / "run.json").read_text())["counts"]["frames"] == 60


@pytest.mark.parametrize("is_predicted", [True, False])
def test_the_summary_says_what_a_prediction_takes_where_there_was_none(
    tmp_path: Path, is_predicted: bool
) -> None:
    summary = record(tmp_path, "analyze", is_predicted=is_predicted)
    assert ("it takes 1.0 s of one person without a pause of 0.5 s" in summary) is not is_predicted


@pytest.mark.parametrize("num_seen", [0, 3, 4])
def test_the_summary_says_where_mostly_nobody_was_seen(tmp_path: Path, num_seen: int) -> None:
    with record_in(tmp_path, "analyze") as recording:
        for i in range(7):
            recording.write(snapshot(i / 10, face=i < num_seen))
    said = f"Nobody was seen in {7 - num_seen} of 7 frames."
    assert (said in recording.summary()) is (num_seen < 4)


@pytest.mark.parametrize(("command", "is_said"), [("live", True), ("analyze", False)])
def test_the_summary_of_a_camera_says_what_was_dropped(
    tmp_path: Path, command: str, is_said: bool
) -> None:
    with record_in(tmp_path, command) as recording:
        recording.write(snapshot(1.0))
        assert "dropped" not in recording.summary()
        status = Status(frames_dropped=6, windows_dropped=2)
        recording.write(snapshot(2.0, predictions=predictions_at(2.0), status=status))
    said = "To stay live, 6 of 8 frames and 2 windows were dropped."
    assert (said in recording.summary()) is is_said
    timings = json.loads((tmp_path / "out" / "run.json").read_text())["timings"]
    assert timings["latency_p95_s"] == 0.1235


def test_the_record_says_when_the_first_frame_arrived(tmp_path: Path) -> None:
    record(tmp_path, "live", is_predicted=False)
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    arrived = datetime.fromisoformat(run["first_frame"])
    expected = datetime.now(UTC) - timedelta(seconds=time.monotonic())  # the scene's arrived at 0
    assert abs(expected - arrived) < timedelta(seconds=1)


def test_shown_emotion_is_kept_beside_the_events_but_is_none(tmp_path: Path) -> None:
    glad = Estimate("emotion", "positive", 0.8, 1.0, None, (("positive", 0.8),), at=1.5)
    with record_in(tmp_path, "live") as recording:
        recording.write(snapshot(3.0, estimates=(glad,), new_events=(event(),)))
    rows = (tmp_path / "out" / "events.csv").read_text().splitlines()
    assert rows[2] == "emotion,positive,1.000,1.500,1.750,0.800"
    assert "events.csv (1 events, 1 intervals of emotion)" in recording.summary()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["counts"]["events"] == 1


def test_of_a_camera_that_never_came_no_video_is_promised(tmp_path: Path) -> None:
    with record_in(tmp_path, "live", has_video=True) as recording:
        pass
    assert "No picture came." in recording.summary()
    assert "annotated.mp4" not in recording.summary()
    assert not (tmp_path / "out" / "annotated.mp4").exists()
    assert "annotated.mp4" not in (tmp_path / "out" / "events.eaf").read_text()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["first_frame"] is None


def test_what_cannot_be_finished_takes_nothing_else_with_it(tmp_path: Path) -> None:
    recording = record_in(tmp_path, "live").__enter__()
    recording.write(snapshot(1.0))
    (tmp_path / "out" / "events.csv").unlink()
    with pytest.raises(OutputError, match=r"events\.csv"):
        recording.__exit__(None, None, None)
    assert (tmp_path / "out" / "timeline.png").stat().st_size > 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["outcome"] == "failed"

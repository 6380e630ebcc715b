import json
import math
import platform
from dataclasses import replace
from importlib.metadata import distributions, version
from pathlib import Path

import pytest

from realtime.errors import OutputError
from realtime.records import Status
from realtime.run_record import Outage, RunRecord, Tally, versions, write_run_json
from tests.engines.tiny_bundle import tiny_manifest
from tests.realtime.scene import event, pose_in, predictions_at, snapshot

RECORD = RunRecord(
    command="analyze",
    source="rtsp://camera/door",
    bundles=(tiny_manifest(),),
    device="auto",
    runtime="OpenVINO CPU bf16",
    started="2025-01-01T00:00:00+00:00",
)


def test_a_tally_counts_what_was_seen_predicted_and_lost() -> None:
    tally = Tally()
    assert tally.stream_s == 0
    tally.write(snapshot(3.0, pose=pose_in(360, 640), face=True))
    tally.write(snapshot(3.5, predictions=predictions_at(3.5), status=Status(frames_dropped=4)))
    tally.write(snapshot(5.0, new_events=(event(),), pose=pose_in(360, 640)))
    counts = tally.counts
    assert (counts.frames, counts.frames_with_pose, counts.frames_with_face) == (3, 2, 1)
    assert counts.frames_with_nobody == 1
    assert (counts.predictions, counts.events, counts.frames_dropped) == (2, 1, 4)
    assert tally.stream_s == 2.0


def test_a_tally_knows_when_the_camera_was_lost_and_for_how_long() -> None:
    tally, lost = Tally(), Status(connected=False)
    tally.write(snapshot(1.0))
    tally.write(snapshot(2.0, status=lost))  # was in the slot when the camera went
    tally.write(snapshot(2.0, status=lost), is_new_frame=False)
    tally.write(snapshot(2.0), is_new_frame=False)  # is there again, but has sent nothing
    tally.write(snapshot(9.5))
    assert list(tally.outages) == [Outage(2.0, 7.5)]
    tally.write(snapshot(9.5, status=lost), is_new_frame=False)
    assert list(tally.outages) == [Outage(2.0, 7.5), Outage(9.5, None)]


def test_latency_and_outages_reach_run_json(tmp_path: Path) -> None:
    tally = Tally()
    assert math.isnan(tally.latency_s(50))
    for latency_s in (0.1, 0.2, 0.9):
        late = replace(predictions_at(3.0)[0], latency_s=latency_s)
        tally.write(snapshot(3.0, predictions=(late,)))
    outages = (Outage(2.0, 7.5), Outage(9.5, None))
    write_run_json(tmp_path, replace(RECORD, latency_p50_s=tally.latency_s(50), outages=outages))
    said = json.loads((tmp_path / "run.json").read_text())
    assert (said["timings"]["latency_p50_s"], said["timings"]["latency_p95_s"]) == (0.2, None)
    assert said["outages"] == [{"at_s": 2.0, "lasted_s": 7.5}, {"at_s": 9.5, "lasted_s": None}]


def test_run_json_says_what_ran_and_is_rewritten_when_it_ends(tmp_path: Path) -> None:
    write_run_json(tmp_path, RECORD)
    begun = json.loads((tmp_path / "run.json").read_text())
    assert (begun["outcome"], begun["ended"]) == ("running", None)
    assert begun["timings"]["real_time_factor"] is None
    ended = replace(
        RECORD, outcome="finished", wall_s=5.0, stream_s=12.5,
        stage_ms={"perception": 12.3456, "never": float("nan")},
    )  # fmt: skip
    write_run_json(tmp_path, ended)
    said = json.loads((tmp_path / "run.json").read_text())
    assert said["outcome"] == "finished"
    assert said["source"] == "rtsp://camera/door"
    manifest = tiny_manifest()
    assert said["bundles"][0]["id"] == manifest.id
    assert said["bundles"][0]["untrained"] is manifest.source.is_untrained
    assert said["timings"]["real_time_factor"] == 0.4
    assert said["timings"]["stage_ms"] == {"perception": 12.346}
    assert said["versions"]["python"] == platform.python_version()
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_run_json_names_the_numbers_of_the_predictions(tmp_path: Path) -> None:
    write_run_json(tmp_path, RECORD)
    bundle = json.loads((tmp_path / "run.json").read_text())["bundles"][0]
    gestures, emotion = tiny_manifest().outputs
    said = bundle["outputs"]["micro_gesture"]
    assert said["class_names"] == list(gestures.class_names)
    assert gestures.background is not None
    assert said["background"] == gestures.class_names[gestures.background]
    assert bundle["outputs"]["emotion"] == {
        "kind": "state", "class_names": list(emotion.class_names), "background": None,
        "thresholds": {"on": emotion.thresholds.on, "off": emotion.thresholds.off},
    }  # fmt: skip
    assert bundle["min_coverage"] == tiny_manifest().window.min_coverage


def test_the_versions_of_what_computes_are_known() -> None:
    found = versions()
    needed = {"tells", "openvino", "mediapipe", "opencv-python", "av", "numpy"}
    assert needed <= set(found)
    for package in set(found) - {"python", "platform"}:
        assert found[package] == version(package)
    for package in ("onnxruntime", "onnxruntime-gpu", "tensorrt", "pycuda"):  # where they are
        assert (package in found) == is_installed(package)


def is_installed(package: str) -> bool:
    return any(distributions(name=package))


def test_a_password_never_reaches_the_record() -> None:
    with pytest.raises(ValueError, match="without credentials") as told:
        replace(RECORD, source="rtsp://me:secret@camera/door")
    assert "secret" not in str(told.value)


def test_a_folder_that_is_gone_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"Cannot write .*run\.json: No such file"):
        write_run_json(tmp_path / "gone", RECORD)

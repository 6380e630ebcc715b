"""The commands as a user types them: what they leave, and one clear line for each mistake."""

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

from realtime.__main__ import main
from realtime.output_folder import OUTPUT_FILES
from realtime.perception.models import FACE_MODEL, POSE_MODEL, PerceptionModels
from tests.clips import make_clip, make_sound
from tests.conftest import PROJECT
from tests.engines.tiny_bundle import DROP, write_tiny_bundle
from tests.rtsp import RtspServers

MODELS = {
    "pose_model": {"name": POSE_MODEL.name, "sha256": POSE_MODEL.sha256},
    "face_model": {"name": FACE_MODEL.name, "sha256": FACE_MODEL.sha256},
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, perception_models: PerceptionModels) -> Path:
    """A tiny bundle that was `trained` with the real perception models."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", perception=MODELS)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(
        tmp_path_factory.mktemp("clips") / "clip.mp4", [i / 12 for i in range(36)], size=(320, 240)
    )


def one_line(capfd: pytest.CaptureFixture[str]) -> str:
    """What the user saw on stderr, which must be one line by us."""
    text = capfd.readouterr().err
    lines = [line for line in text.splitlines() if line.startswith("tells: ")]
    assert len(lines) == 1, text
    assert "Traceback" not in text
    return lines[0]


def test_analyze_leaves_a_whole_folder(
    bundle: Path, shared: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clip = shared / "media" / "pyfeat_single_face_neutral_smile.mp4"
    out = tmp_path / "new" / "out"
    assert main(["analyze", str(clip), "--out", str(out), "--bundle", str(bundle)]) == 0
    assert {p.name for p in out.iterdir()} == set(OUTPUT_FILES)
    run = json.loads((out / "run.json").read_text())
    assert run["outcome"] == "finished"
    assert run["bundles"][0]["untrained"] is True
    with av.open(str(out / "annotated.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == run["counts"]["frames"]
    with (out / "events.csv").open() as file:
        assert csv.DictReader(file).fieldnames == [
            "task", "label", "start_s", "apex_s", "end_s", "peak",
        ]  # fmt: skip
    lines = (out / "predictions.jsonl").read_text().splitlines()
    assert len(lines) == run["counts"]["predictions"] > 0
    assert sum(json.loads(lines[0])["probs"]) == pytest.approx(1, abs=1e-3)
    assert "untrained" in capfd.readouterr().out


def test_live_headless_records_an_rtsp_camera_and_never_shows_its_password(
    bundle: Path, shared: Path, tmp_path: Path, rtsp_server: RtspServers
) -> None:
    clip = shared / "media" / "intel_head_turn_smile.mp4"
    url = rtsp_server(clip, user_pass=("viewer", "sec/r@t"))
    out = tmp_path / "out"
    run = subprocess.run(
        [sys.executable, "-m", "realtime", "--verbose", "live", "--headless", "--source", url,
         "--duration", "5", "--out", str(out), "--bundle", str(bundle)],
        cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "/s  perception " not in run.stderr, "the line of status is for terminals"
    record = json.loads((out / "run.json").read_text())
    assert record["counts"]["frames_with_pose"] > 0
    assert record["counts"]["predictions"] > 0
    written = "".join(p.read_text() for p in out.iterdir() if p.suffix in (".json", ".jsonl"))
    for text in (run.stdout, run.stderr, written):
        assert "sec/r@t" not in text
        assert "sec%2Fr%40t" not in text


def test_ctrl_c_ends_within_two_seconds_and_leaves_playable_files(
    bundle: Path, shared: Path, tmp_path: Path
) -> None:
    clip, out = shared / "media" / "intel_asl_hand_to_face.mp4", tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "realtime", "live", "--headless", "--source", str(clip),
         "--out", str(out), "--bundle", str(bundle)],
        cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    predictions = out / "predictions.jsonl"
    end = time.monotonic() + 60
    while not (predictions.exists() and predictions.stat().st_size) and time.monotonic() < end:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    output, _ = process.communicate(timeout=30)
    took = time.monotonic() - started
    assert process.returncode == 0, output
    assert took < 2 + _load(), output
    assert {p.name for p in out.iterdir()} == set(OUTPUT_FILES)
    record = json.loads((out / "run.json").read_text())
    with av.open(str(out / "annotated.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == record["counts"]["frames"] > 0


def test_ctrl_c_in_analyze_leaves_a_finished_folder_and_says_so(
    bundle: Path, shared: Path, tmp_path: Path
) -> None:
    clip, out = shared / "media" / "intel_asl_torso_hands.mp4", tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "realtime", "analyze", str(clip), "--out", str(out),
         "--bundle", str(bundle)],
        cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    predictions = out / "predictions.jsonl"
    end = time.monotonic() + 60
    while not (predictions.exists() and predictions.stat().st_size) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert {p.name for p in out.iterdir()} == set(OUTPUT_FILES)
    record = json.loads((out / "run.json").read_text())
    assert record["outcome"] == "interrupted"
    with av.open(str(out / "annotated.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == record["counts"]["frames"] > 0


def test_the_page_records_its_source_beside_it(
    bundle: Path, shared: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clip, out = shared / "media" / "intel_head_turn_smile.mp4", tmp_path / "out"
    run = subprocess.run(
        [sys.executable, "-m", "realtime", "live", "--source", str(clip), "--no-browser",
         "--port", "0", "--duration", "6", "--out", str(out), "--bundle", str(bundle)],
        cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert {p.name for p in out.iterdir()} == set(OUTPUT_FILES)
    record = json.loads((out / "run.json").read_text())
    assert record["counts"]["frames"] > 0
    with (out / "events.csv").open() as file:
        tasks = [row["task"] for row in csv.DictReader(file)]
    assert tasks.count("micro_gesture") == record["counts"]["events"]
    assert f"predictions of {record['counts']['frames']} frames" in run.stdout


def _load() -> float:
    """Seconds of grace on a machine that others use too."""
    return os.getloadavg()[0] / 2


def test_a_disk_that_is_full_is_one_line_and_what_was_written_stays(
    bundle: Path, clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "small"
    out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(out)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a small disk here")
    try:
        assert main(["analyze", str(clip), "--out", str(out), "--bundle", str(bundle)]) == 2
        assert os.strerror(errno.ENOSPC) in one_line(capfd)
        assert (out / "events.csv").read_text().startswith("task,label")
    finally:
        subprocess.run(["umount", str(out)], check=True)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("missing.mp4", "missing.mp4"),
        (".", "folder"),
        ("ftp://host/video", "expected"),
        ("http://127.0.0.1:9/video.mp4", "refused"),
        ("rtsp://user:hidden@127.0.0.1:9/x", "refused"),
        ("99", "camera"),
    ],
)
def test_a_source_that_cannot_be_opened(
    bundle: Path, source: str, says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["live", "--headless", "--source", source, "--bundle", str(bundle)]
    assert main(command) == 2
    line = one_line(capfd)
    assert says in line
    assert "hidden" not in line


def test_files_that_are_no_videos(
    bundle: Path, tmp_path: Path, clip: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("not a video\n" * 50)
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:400])
    make_sound(tmp_path / "sound.mp4")
    for name in ("empty.mp4", "text.mp4", "cut.mp4", "sound.mp4"):
        out = tmp_path / f"out-{name}"
        command = ["analyze", str(tmp_path / name), "--out", str(out), "--bundle", str(bundle)]
        assert main(command) == 2
        assert name in one_line(capfd)
        assert not out.exists(), "nothing was analyzed, so nothing is left"


def test_bundles_that_cannot_be_used(
    clip: Path, tmp_path: Path, perception_models: PerceptionModels,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    other = {**MODELS, "pose_model": {"name": "somebody-else", "sha256": "0" * 64}}
    cases: dict[str, tuple[dict[str, object], str]] = {
        "unknown": ({"colour": "red"}, "colour"),
        "absent": ({"window": DROP}, "window"),
        "mistyped": ({"version": 3}, "version"),
        "pose": ({"perception": other}, "somebody-else"),
    }
    for name, (changes, says) in cases.items():
        folder = write_tiny_bundle(tmp_path / name, **changes)
        out = tmp_path / f"out-{name}"
        assert main(["analyze", str(clip), "--out", str(out), "--bundle", str(folder)]) == 2
        assert says in one_line(capfd)
        assert not out.exists()
    command = ["analyze", str(clip), "--out", str(tmp_path / "o"), "--bundle", str(tmp_path / "no")]
    assert main(command) == 2
    assert "bundle" in one_line(capfd)
    damaged = write_tiny_bundle(tmp_path / "damaged", perception=MODELS)
    with (damaged / "model.onnx").open("ab") as file:
        file.write(b"!")
    command = ["analyze", str(clip), "--out", str(tmp_path / "o"), "--bundle", str(damaged)]
    assert main(command) == 2
    assert "sha256" in one_line(capfd)


def test_an_output_folder_that_holds_an_earlier_run_is_left_alone(
    bundle: Path, clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "events.csv").write_text("mine\n")
    assert main(["analyze", str(clip), "--out", str(tmp_path), "--bundle", str(bundle)]) == 2
    assert "earlier run" in one_line(capfd)
    assert (tmp_path / "events.csv").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--hop-s", "0"], "hop_s"),
        (["--gap-s", "-1"], "gap_s"),
        (["--tau-s", "nan"], "tau_s"),
        (["--device", "toaster"], "toaster"),
        (["--config", "nowhere.toml"], "nowhere.toml"),
        (["--pose-model", "nowhere.task"], "nowhere.task"),
    ],
)
def test_impossible_settings(
    bundle: Path, clip: Path, tmp_path: Path, flags: list[str], says: str,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "out"
    command = ["analyze", str(clip), "--out", str(out), "--bundle", str(bundle), *flags]
    assert main(command) == 2
    assert says in one_line(capfd)
    assert not out.exists()


def test_headless_needs_a_source_and_a_positive_duration(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["live", "--headless"]) == 2
    assert "--source" in one_line(capfd)
    assert main(["demo", "--port", "80000"]) == 2
    assert "--port" in one_line(capfd)
    assert main(["live", "--out", "somewhere"]) == 2
    assert "--source" in one_line(capfd)
    assert main(["live", "--source", "0", "--no-video"]) == 2
    assert "--out" in one_line(capfd)
    assert main(["live", "--headless", "--source", "0", "--duration", "-1"]) == 2
    assert "--duration" in one_line(capfd)
    with pytest.raises(SystemExit) as caught:
        main(["dance"])
    assert caught.value.code == 2


def test_cameras_says_what_it_found(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["cameras"]) == 0
    assert capfd.readouterr().out.strip()

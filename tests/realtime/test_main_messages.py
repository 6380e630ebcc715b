"""What the commands say where something is unusual: to be understood, and without secrets."""

import json
import os
import sys
from pathlib import Path

import pytest

from realtime.__main__ import main, print_cameras
from realtime.perception.models import PerceptionModels
from realtime.sources import CameraInfo
from tests.clips import make_clip
from tests.engines.tiny_bundle import write_tiny_bundle
from tests.realtime.test_main import MODELS


def test_a_webcam_that_names_no_rate_is_listed_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    silent = CameraInfo("webcam:0", "Old camera", (640, 480), None)
    print_cameras([silent, CameraInfo("webcam:1", "New camera", (1280, 720), 30.0)])
    assert capsys.readouterr().out == (
        "webcam:0\t640x480\tunknown rate\tOld camera\nwebcam:1\t1280x720\t30 fps\tNew camera\n"
    )


@pytest.mark.parametrize(
    "command",
    [
        ["live", "rtsp://ann:s3cr3t@cam/1"],
        ["live", "rtsp:/ann:more s3cr3t@cam"],
        ["live", "http://cam/video?password=s3cr3t"],
        ["rtsp://ann:s3cr3t@cam/1"],
        ["rtsp://ann:it's s3cr3t@cam/1"],
        ["analyze", "--source=rtsp://ann:s3cr3t@cam/1", "x.mp4", "--out", "o"],
        ["live", "--sour", "rtsp://ann:s3cr3t@cam/1"],
        ["live", "--duration", "rtsp://ann:s3cr3t@cam/1"],
        ["live", "--headless=rtsp://ann:s3cr3t@cam/1"],
    ],
)
def test_an_address_in_the_wrong_place_is_repeated_without_its_password(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(command)
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert "s3cr3t" not in said
    assert "cam" in said.splitlines()[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere")
def test_a_clip_too_short_says_so_and_its_name_need_not_be_utf8(
    tmp_path: Path, perception_models: PerceptionModels, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_tiny_bundle(tmp_path / "tiny", perception=MODELS)
    short = make_clip(tmp_path / "short.mp4", [i / 12 for i in range(6)], size=(320, 240))
    clip, out = short.rename(tmp_path / os.fsdecode(b"caf\xe9.mp4")), tmp_path / "out"
    assert main(["analyze", str(clip), "--out", str(out), "--bundle", str(bundle)]) == 0
    assert json.loads((out / "run.json").read_text())["source"] == str(tmp_path / "caf?.mp4")
    said = capsys.readouterr().out
    assert "No prediction was made: it takes 1.0 s of one person without a pause of 0.5 s" in said
    assert "(0.4 s of 1.0 s seen so far)" in said


def test_live_watches_the_cameras_of_the_settings_where_none_is_named(
    tmp_path: Path, perception_models: PerceptionModels, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_tiny_bundle(tmp_path / "tiny", perception=MODELS)
    clip = make_clip(tmp_path / "clip.mp4", [i / 12 for i in range(12)], size=(320, 240))
    settings, out = tmp_path / "tells.toml", tmp_path / "out"
    settings.write_text(f"[sources]\ndoor = '{clip}'\ndesk = 'test://?seconds=1&size=64x64'\n")
    words = ["live", "--headless", "--config", str(settings), "--bundle", str(bundle)]
    assert main([*words, "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["desk", "door"]
    assert json.loads((out / "door" / "run.json").read_text())["source"] == "door"
    assert main([*words, "--source", str(clip), "--out", str(tmp_path / "one")]) == 0
    assert json.loads((tmp_path / "one" / "run.json").read_text())["counts"]["frames"] == 12
    settings.write_text("hop_s = 0.5\n")
    assert main(words) == 2
    assert "--headless needs --source: a webcam index" in capsys.readouterr().err


def test_of_several_clips_each_has_a_folder_and_what_is_finished_is_not_done_again(
    tmp_path: Path,
    perception_models: PerceptionModels,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    bundle = write_tiny_bundle(tmp_path / "tiny", perception=MODELS)
    times = [i / 12 for i in range(12)]
    clips = [make_clip(tmp_path / f"{name}.mp4", times, size=(320, 240)) for name in "ab"]
    broken, out = tmp_path / "broken.mp4", tmp_path / "out"
    broken.write_bytes(b"no video")
    words = ["analyze", *map(str, (clips[0], broken, clips[1])), "--out", str(out)]
    words += ["--bundle", str(bundle), "--no-video"]
    assert main(words) == 2
    said = capsys.readouterr()
    assert "tells: 1 of 3 clips were not analyzed, for the reasons above" in said.err
    assert "broken.mp4 cannot be read" in caplog.text
    assert said.out.count("predictions of 12 frames") == 2
    before = (out / "a.mp4" / "run.json").read_text()
    (out / "b.mp4" / "run.json").write_text(json.dumps({"outcome": "interrupted"}))
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == f"{out / 'a.mp4'}: analyzed before\n"
    assert "b.mp4 holds an earlier run" in caplog.text
    assert (out / "a.mp4" / "run.json").read_text() == before
    (tmp_path / "later").mkdir()
    namesake = clips[0].rename(tmp_path / "later" / "a.mp4")
    assert main(["analyze", str(namesake), str(clips[1]), *words[4:]]) == 2
    assert "a.mp4 holds an earlier run" in caplog.text
    assert "analyzed before" not in capsys.readouterr().out
    assert main([*words, "--truth", "truth.csv"]) == 2
    assert "--truth says what happens in one clip" in capsys.readouterr().err

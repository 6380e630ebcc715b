import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from realtime.errors import OutputError
from realtime.output_folder import OUTPUT_FILES, prepare_output
from realtime.records import Image, Snapshot
from realtime.text_sinks import CsvSink, JsonlSink
from realtime.video_sink import VideoSink
from tests.realtime.scene import event, predictions_at, snapshot

pytest.importorskip("resource", reason="needs the limits of a POSIX system")
PROJECT = Path(__file__).parents[2]


def coloured(shot: Snapshot) -> Image:
    """A picture whose left half tells the time in its grey, and whose right half is orange."""
    picture = np.full((96, 160, 3), int(shot.frame.t * 30) % 256, np.uint8)
    picture[:, 80:] = (240, 140, 40)
    return picture


def noisy(shot: Snapshot) -> Image:
    """A picture that does not compress."""
    return np.random.default_rng(shot.frame.index).integers(0, 255, (240, 320, 3), np.uint8)


def decode(path: Path) -> tuple[list[float], list[np.ndarray]]:
    times, pictures = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            assert frame.time is not None
            times.append(frame.time)
            pictures.append(frame.to_ndarray(format="rgb24"))
    return times, pictures


def fill_limited(sink: str, path: Path, size: int) -> tuple[int, str]:
    """Fill a sink in a process that may write no larger file.

    Not in this one: its own output may go to a file that is larger already.

    Returns:
        How many pictures were drawn, and the error's text.
    """
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from tests.realtime.test_sinks import *\n"
        "drawn = []\n"
        "def draw(shot):\n"
        "    drawn.append(shot.frame.t)\n"
        "    return noisy(shot)\n"
        "path = Path(sys.argv[1])\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, resource.RLIM_INFINITY))\n"
        "try:\n"
        f"    fill({sink})\n"
        "except OutputError as error:\n"
        "    print(len(drawn), error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    drawn, text = run.stdout.rstrip("\n").split(" ", 1)
    return int(drawn), text


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    try:
        made = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        made = False
    if not made:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_the_video_holds_every_frame_with_its_own_time_stamp_and_colours(tmp_path: Path) -> None:
    path = tmp_path / "annotated.mp4"
    times = [5.0, 5.033, 5.1, 5.4, 5.45, 6.7, 7.0]  # uneven, as cameras are
    with VideoSink(path, coloured) as sink:
        for t in times:
            sink.write(snapshot(t))
    shown, pictures = decode(path)
    assert shown == pytest.approx([t - 5.0 for t in times], abs=1e-4)
    for t, picture in zip(times, pictures, strict=True):
        assert picture.shape == (96, 160, 3)
        assert np.abs(picture[:, :76].astype(int) - int(t * 30)).mean() < 4
        assert np.abs(picture[:, 84:].astype(int) - (240, 140, 40)).mean() < 6


def test_a_closed_video_is_an_ordinary_h264_mp4_for_browsers(tmp_path: Path) -> None:
    path = tmp_path / "annotated.mp4"
    with VideoSink(path, coloured) as sink:
        for i in range(90):
            sink.write(snapshot(i / 30))
    probe = ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", str(path)]
    try:
        said = json.loads(subprocess.run(probe, capture_output=True, check=True).stdout)
    except FileNotFoundError:
        pytest.skip("there is no ffprobe")
    stream = said["streams"][0]
    assert (stream["codec_name"], stream["pix_fmt"]) == ("h264", "yuv420p")
    assert (stream["color_space"], stream["color_range"]) == ("smpte170m", "tv")
    assert stream["nb_frames"] == "90"
    assert float(said["format"]["duration"]) == pytest.approx(3.0, abs=0.1)
    assert b"moof" not in top_level_boxes(path)


def top_level_boxes(path: Path) -> list[bytes]:
    data, at, boxes = path.read_bytes(), 0, []
    while at < len(data):
        boxes.append(data[at + 4 : at + 8])
        at += int.from_bytes(data[at : at + 4], "big")
    return boxes


def test_a_video_without_frames_leaves_no_file(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "annotated.mp4", coloured):
        pass
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys
from pathlib import Path
from realtime.text_sinks import CsvSink, JsonlSink
from realtime.video_sink import VideoSink
from realtime.video_sink import VideoSink
from tests.realtime.scene import event, predictions_at, snapshot
from tests.realtime.test_sinks import coloured
folder = Path(sys.argv[1])
video, events = VideoSink(folder / "a.mp4", coloured), CsvSink(folder / "e.csv")
predictions = JsonlSink(folder / "p.jsonl")
for i in range(100_000):
    shot = snapshot(i / 30, predictions=predictions_at(i / 30), new_events=(event(i / 30),))
    for sink in (video, events, predictions):
        sink.write(shot)
    if i == 120:
        print("go", flush=True)
"""


def test_after_kill_9_the_video_plays_and_the_texts_hold_whole_lines(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    times, _ = decode(tmp_path / "a.mp4")
    assert len(times) >= 90  # of at least 121: at most the last second is lost
    lines = (tmp_path / "p.jsonl").read_text().splitlines()
    assert len([json.loads(line) for line in lines]) >= 2 * 121
    rows = list(csv.DictReader((tmp_path / "e.csv").read_text().splitlines()))
    assert len(rows) >= 121
    assert all(row["peak"] for row in rows)


def test_predictions_are_one_json_object_a_line(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    with JsonlSink(path) as sink:
        sink.write(snapshot(3.0))
        sink.write(snapshot(3.1, predictions=predictions_at(3.1)))
        sink.write(snapshot(3.35, predictions=predictions_at(3.35)))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["task"] for line in lines] == ["micro-gesture", "emotion"] * 2
    assert lines[0] == {
        "source": "clip.mp4", "task": "micro-gesture", "start": 1.1, "end": 3.1, "at": 2.1,
        "probs": [0.8, 0.15, 0.04, 0.01], "coverage": 0.9, "latency_s": 0.1235,
        "bundle": "demo 1.0",
    }  # fmt: skip


def test_events_are_rows_with_three_decimals_under_the_agreed_header(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    with CsvSink(path) as sink:
        sink.write(snapshot(new_events=(event(1.0), event(4.0, "Bulging face, deep breath"))))
    assert path.read_text() == (
        "task,label,start_s,apex_s,end_s,peak\n"
        "micro-gesture,Touching jaw,1.000,1.500,2.250,0.876\n"
        'micro-gesture,"Bulging face, deep breath",4.000,4.500,5.250,0.876\n'
    )


def fill(sink: VideoSink | CsvSink) -> None:
    with sink:
        for i in range(2000):
            t = i / 30
            sink.write(snapshot(t, predictions=predictions_at(t), new_events=(event(t),)))


@pytest.mark.parametrize(
    ("name", "sink"), [("predictions.jsonl", "JsonlSink(path)"), ("events.csv", "CsvSink(path)")]
)
def test_a_text_that_finds_no_room_ends_after_its_last_whole_line(
    tmp_path: Path, name: str, sink: str
) -> None:
    path = tmp_path / name
    _, told = fill_limited(sink, path, 10_000)
    assert re.search(r"too large; .*can be read.* --out", told)
    assert "\n" not in told
    text = path.read_text()
    assert 9_000 < len(text) <= 10_000
    assert text.endswith("\n")
    if name.endswith("jsonl"):
        assert all(json.loads(line) for line in text.splitlines())


@pytest.mark.parametrize("limit", [2_000_000, 3_500_000])
def test_a_video_that_finds_no_room_plays_up_to_there(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "annotated.mp4"
    drawn, told = fill_limited("VideoSink(path, draw)", path, limit)
    assert re.search(r"annotated\.mp4: File too large; .*can be read", told)
    times, _ = decode(path)
    assert len(times) >= drawn - 60  # the fragment that failed, and the one being gathered
    assert len(times) >= 30


def test_a_full_disk_stops_every_sink_with_one_line_and_readable_files(tiny_disk: Path) -> None:
    video = tiny_disk / "annotated.mp4"
    with pytest.raises(OutputError, match=r"No space left on device; .*free some space"):
        fill(VideoSink(video, noisy))
    assert len(decode(video)[0]) >= 1
    (tiny_disk / "filler").write_bytes(bytes(os.statvfs(tiny_disk).f_bavail * 4096 - 8192))
    with pytest.raises(OutputError, match=r"events\.csv: No space left on device"):
        fill(CsvSink(tiny_disk / "events.csv"))
    assert (tiny_disk / "events.csv").read_text().endswith("0.876\n")


def test_no_sink_overwrites_a_file(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_text("earlier")
    for make in (lambda: CsvSink(path), lambda: JsonlSink(path), lambda: VideoSink(path, noisy)):
        with pytest.raises(OutputError, match="exists already"):
            make()
    assert path.read_text() == "earlier"


def test_an_output_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert prepare_output(folder) == folder
    (folder / "notes.txt").write_text("of someone else")
    prepare_output(folder)
    assert [p.name for p in folder.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", OUTPUT_FILES)
def test_a_folder_with_an_earlier_run_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(OutputError, match=rf"earlier run \({name}\): name another folder"):
        prepare_output(tmp_path)


def test_what_is_no_folder_or_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "below"):
        with pytest.raises(OutputError, match="not a folder"):
            prepare_output(path)
    with pytest.raises(OutputError, match=r"Cannot write /proc/\S+: .*; name a folder"):
        prepare_output(Path("/proc/out"))  # refuses root as well
    if os.geteuid() != 0:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        with pytest.raises(OutputError, match="Permission denied; name a folder"):
            prepare_output(closed)

"""`train prepare` with the real perception: what it stores is what serving sees, and it resumes."""

import hashlib
import os
import resource
import shutil
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.stream import VideoStream

from engines.errors import WindowError
from engines.preprocess import preprocess
from engines.window import Window
from realtime.buffer import ObservationBuffer
from realtime.perception import Perceiver
from realtime.perception.models import PerceptionModels
from realtime.sources import FileSource
from tests.clips import make_clip
from tests.train.test_imigue import PICTURES, add_a
from tests.train.tiny_recipe import tiny
from train.__main__ import main
from train.annotations import DataError
from train.corpora import open_corpus
from train.dataset import manifest_of
from train.perception import perception_of
from train.prepare import Prepared, Tally, begin_store, prepare
from train.recipes import demo
from train.store import open_store
from train.store_files import read_info, read_video
from train.track import jpeg

FRAMES = 72
LABELS = "5,10,40\n99,50,400\n3,500,600\n"
SPEC = perception_of(demo())


def shorten(clip: Path, path: Path, frames: int) -> None:
    """The first frames of a clip."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        video = source.streams.video[0]
        stream = target.add_stream("libx264", rate=video.average_rate)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        stream.options = {"preset": "ultrafast"}
        for index, frame in enumerate(source.decode(video)):
            if index == frames:
                break
            frame.pict_type = av.video.frame.PictureType.NONE
            target.mux(stream.encode(frame.reformat(format="yuv420p")))
        target.mux(stream.encode(None))


@pytest.fixture(scope="module")
def data(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person; a file that is no video; one that was cut off, in which nobody is."""
    root = tmp_path_factory.mktemp("data")
    for name in ("0001", "0002", "0003"):
        add_a(root, name, LABELS if name == "0001" else "7,0,5\n")
    videos = root / PICTURES
    shorten(shared / "media/intel_asl_hand_to_face.mp4", videos / "0001" / "0001.mp4", FRAMES)
    (videos / "0002" / "0002.mp4").write_bytes(b"not a video" * 1000)
    whole = make_clip(root / "whole.mkv", [k / 20 for k in range(120)], options={"live": "0"})
    content = whole.read_bytes()
    (videos / "0003" / "0003.mp4").write_bytes(content[: len(content) // 2])
    whole.unlink()
    return root


def run(data: Path, out: Path) -> tuple[Tally, list[Prepared]]:
    reports: list[Prepared] = []
    tally = prepare(
        open_corpus(data, "A"), SPEC, out, is_trimmed=False, workers=1, report=reports.append
    )
    return tally, reports


@pytest.fixture(scope="module")
def prepared(
    data: Path, perception_models: PerceptionModels, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Tally, list[Prepared]]:
    out = tmp_path_factory.mktemp("prepared") / "store"
    return out, *run(data, out)


def live_windows(clip: Path, models: PerceptionModels, ends: Sequence[int]) -> list[Window]:
    """What a camera's buffer gives at these frames."""
    span_s = demo().window.span_s
    buffer = ObservationBuffer(SPEC, span_s=span_s, max_gap_s=demo().window.max_gap_s)
    windows = []
    with FileSource(clip) as source, Perceiver(SPEC, models) as perceiver:
        for frame in source:
            buffer.append(perceiver(frame))
            if frame.index in ends:
                windows.append(buffer.window(frame.t, span_s, 0.5))
            elif frame.t < 0.9 * span_s:
                with pytest.raises(WindowError):
                    buffer.window(frame.t, span_s, 0.5)
    return windows


def after_jpeg(image: np.ndarray) -> np.ndarray:
    decoded = cv2.imdecode(np.frombuffer(jpeg(image), np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded[..., ::-1]


def test_the_stored_windows_are_those_of_the_live_buffer(
    data: Path, prepared: tuple[Path, Tally, list[Prepared]], perception_models: PerceptionModels
) -> None:
    """To the bit: times, poses, and the pictures but for the JPEG; so are the pose's tensors."""
    store, manifest = open_store(prepared[0]), manifest_of(demo())
    clip = data / PICTURES / "0001" / "0001.mp4"
    windows = live_windows(clip, perception_models, (65, 68, FRAMES - 1))
    assert len(windows) == 3
    assert store.video("0001").cuts == pytest.approx([1.57], abs=0.02)  # after which all is held
    for live in windows:
        span_s = demo().window.span_s
        assert store.is_whole("0001", live.end - span_s, live.end, 0.5)
        stored = store.window("0001", live.end - span_s, live.end, anchor=0.5)
        assert stored is not None
        assert len(stored) == len(live) > 60
        for name in ("t", "xy", "xyz", "conf", "has_face"):
            same = np.array_equal(getattr(stored, name), getattr(live, name), equal_nan=True)
            assert same, name
        assert live.has_pose.all()
        assert live.has_face.all()
        for k in range(0, len(live), 9):
            assert np.array_equal(stored.rgb[k], after_jpeg(live.rgb[k]))
            assert np.array_equal(stored.faces[k], after_jpeg(live.faces[k]))
            assert np.abs(stored.rgb[k].astype(int) - live.rgb[k]).mean() < 4
        fed, served = preprocess([stored], manifest), preprocess([live], manifest)
        for name in ("pose", "pose_mask", "face_mask"):
            assert np.array_equal(fed[name], served[name]), name
        assert np.abs(fed["rgb"].astype(int) - served["rgb"]).mean() < 0.1 * 0.225 * 255


def test_what_was_wrong_is_counted_and_kept(prepared: tuple[Path, Tally, list[Prepared]]) -> None:
    out, tally, reports = prepared
    assert (tally.videos, tally.resumed) == (2, 0)
    problems = {report.id: dict(report.problems) for report in reports}
    assert problems == {
        "0001": {
            "label cut at the video's end": 1, "label beyond the video's end, left out": 1,
        },
        "0002": {"video broken": 1},
        "0003": {"video cut off, kept as far as it goes": 1},
    }  # fmt: skip
    (broken,) = (report for report in reports if report.id == "0002")
    assert broken.video is None
    assert "0002.mp4 cannot be read: it is not a video" in broken.why
    assert sum(tally.skipped.values()) == 4
    assert read_info(out).skipped == tally.skipped
    assert dict(read_video(out, "0001").problems) == problems["0001"]
    store = open_store(out)
    first, cut = store.videos()
    assert (first.frames, first.poses, first.faces) == (FRAMES, FRAMES, FRAMES)
    assert [span.label for span in first.spans] == [4, 31]
    t = store.times("0001")
    assert (first.spans[0].start, first.spans[0].end) == (t[10], t[40])
    assert first.spans[1].end == first.end == t[-1]
    assert 30 < cut.frames < 120
    assert not list(out.rglob("*.partial"))


def digests(store: Path) -> dict[str, str]:
    """Of every file but the sums."""
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*.*"))
        if path.name != "store.json"
    }


def interrupt_when(path: Path) -> threading.Thread:
    """Press Ctrl-C as soon as a file is there."""

    def wait() -> None:
        for _ in range(6000):
            if path.exists():
                os.kill(os.getpid(), signal.SIGINT)
                return
            threading.Event().wait(0.02)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_full_disk_and_an_interrupt_lose_nothing(
    data: Path, prepared: tuple[Path, Tally, list[Prepared]], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The store that is made in three attempts is the one that was made in one."""
    out = tmp_path / "store"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))  # the workers inherit it
    try:
        with pytest.raises(DataError, match=r"cannot be written \(File too large\); make room"):
            run(data, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with pytest.raises(DataError, match="holds no finished video: run `train prepare` again"):
        open_store(out)

    thread = interrupt_when(out / "videos" / "0001.json")
    command = ["prepare", "--data", str(data), "--out", str(out), "--workers", "1"]
    assert main(command) == 130
    thread.join()
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].endswith("of 3 videos are finished, the same command goes on from there")
    finished = {video.id for video in open_store(out).videos()}
    assert "0001" in finished

    times = {name: (out / "videos" / f"{name}.npy").stat().st_mtime_ns for name in finished}
    tally, reports = run(data, out)
    assert tally.resumed == len(finished)
    assert {report.id for report in reports if report.is_resumed} == finished
    assert {n: (out / "videos" / f"{n}.npy").stat().st_mtime_ns for n in finished} == times
    assert tally.skipped == prepared[1].skipped == read_info(out).skipped
    assert digests(out) == digests(prepared[0])


def test_a_store_is_not_mixed_with_another(
    data: Path, prepared: tuple[Path, Tally, list[Prepared]], tmp_path: Path
) -> None:
    out = tmp_path / "store"
    shutil.copytree(prepared[0], out)
    corpus = open_corpus(data, "A")
    for other, is_trimmed, changed, cure in (
        (SPEC, True, "--trimmed", r" \(--seen .* perceives nothing again\)$"),
        (perception_of(tiny()), False, "perception", "$"),
    ):
        said = f"was begun with another {changed}; repeat those options or name a new folder{cure}"
        with pytest.raises(DataError, match=said):
            begin_store(out, corpus, other, is_trimmed=is_trimmed)
    shifted = open_corpus(data, "A", frame_shift=1)
    with pytest.raises(DataError, match="was begun with another corpus; repeat"):
        begin_store(out, shifted, SPEC, is_trimmed=False)
    relabelled = tmp_path / "data"
    add_a(relabelled, "0001", LABELS.replace("5,10,40", "5,10,41"))
    with pytest.raises(DataError, match=r"its video 0001 has other labels, .* videos/0001\.json"):
        run(relabelled, out)
    (out / "store.json").write_text("{")
    with pytest.raises(DataError, match=r"expected what `train prepare` writes \(store.json: "):
        begin_store(out, corpus, SPEC, is_trimmed=False)


def test_a_folder_that_cannot_be_written_is_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["prepare", "--data", str(data), "--out", str(tmp_path / "file" / "store")]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("train: ")
    assert "cannot be written (Not a directory); make room or name another folder" in line

import logging
import threading
import time
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from realtime.errors import SourceError
from realtime.records import Frame
from realtime.sources import FileSource, open_source
from realtime.sources.picture import fit
from tests.clips import make_clip, picture

FASTSTART = {"movflags": "faststart"}
STAMPS = [i / 30 for i in range(30)]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mp4", STAMPS)


def frames_of(path: Path) -> list[Frame]:
    with open_source(str(path)) as source:
        frames = list(source)
    assert all(b.t > a.t for a, b in pairwise(frames))
    assert [frame.index for frame in frames] == list(range(len(frames)))
    return frames


def difference(image: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(image.astype(int) - expected).mean())


def test_every_frame_of_a_file_comes_with_its_time_and_its_colours(clip: Path) -> None:
    with open_source(str(clip)) as source:
        assert (source.id, source.is_live, source.size) == (str(clip), False, (160, 120))
        assert source.num_frames == 30
        assert source.duration_s == pytest.approx(1.0, abs=0.05)
        assert source.fps == pytest.approx(30, rel=0.05)
        begin = time.monotonic()
        frames = list(source)
    assert [frame.t for frame in frames] == pytest.approx(STAMPS, abs=2e-3)
    for frame in frames:
        assert difference(frame.image, picture(frame.index)) < 4
        assert begin <= frame.arrived <= time.monotonic()
        assert frame.source == str(clip)
        assert frame.image.flags.c_contiguous
        assert not frame.image.flags.writeable


def test_a_file_url_with_escapes_is_a_file(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a clip: 1.mp4", STAMPS[:3])
    with open_source(path.as_uri()) as source:
        assert len(list(source)) == 3


def test_a_variable_frame_rate_keeps_its_time_stamps(tmp_path: Path) -> None:
    stamps = [0.0, 0.033, 0.1, 0.11, 0.5, 2.0, 2.04]
    frames = frames_of(make_clip(tmp_path / "vfr.mkv", stamps))
    assert [frame.t for frame in frames] == pytest.approx(stamps, abs=2e-3)


@pytest.mark.parametrize(
    ("rotation", "mirrored", "red"),
    [
        (90, False, "bottom left"),
        (-90, False, "top right"),
        (180, False, "bottom right"),
        (0, True, "top right"),
        (90, True, "bottom right"),
    ],
)
def test_pictures_of_a_turned_phone_stand_upright(
    tmp_path: Path, rotation: int, mirrored: bool, red: str
) -> None:
    path = make_clip(tmp_path / "p.mp4", STAMPS[:3], rotation=rotation, mirrored=mirrored)
    with open_source(str(path)) as source:
        assert source.size == ((120, 160) if abs(rotation) == 90 else (160, 120))
        image = next(source).image
    corners = {
        "top left": image[8, 8],
        "top right": image[8, -8],
        "bottom left": image[-4, 8],
        "bottom right": image[-4, -8],
    }
    assert max(corners, key=lambda name: int(corners[name][0]) - int(corners[name][1])) == red


@pytest.mark.parametrize(
    ("aspect", "rotation", "size"),
    [
        (Fraction(16, 11), 0, (233, 120)),  # PAL, wide
        (Fraction(8, 9), 0, (142, 120)),  # NTSC
        (Fraction(16, 11), 90, (120, 233)),
        (Fraction(200, 1), 0, (160, 120)),  # nonsense
    ],
)
def test_pixels_that_are_not_square_become_square(
    tmp_path: Path, aspect: Fraction, rotation: int, size: tuple[int, int]
) -> None:
    path = tmp_path / "narrow.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        for index in range(3):
            shown = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            container.mux(stream.encode(shown))
        container.mux(stream.encode(None))
    with open_source(str(path)) as source:
        assert source.size == size
    expected = cv2.resize(picture(1), (max(size), 120))
    turned = np.rot90(expected) if rotation else expected
    assert difference(frames_of(path)[1].image, turned) < 6


@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt"),
    [
        ("mkv", "ffv1", "gray"),
        ("mkv", "ffv1", "yuv444p"),
        ("avi", "mjpeg", "yuvj422p"),
        ("mov", "png", "rgba"),
    ],
)
def test_odd_pixel_formats_become_rgb(
    tmp_path: Path, suffix: str, codec: str, pix_fmt: str
) -> None:
    frames = frames_of(
        make_clip(tmp_path / f"a.{suffix}", STAMPS[:4], codec=codec, pix_fmt=pix_fmt)
    )
    assert len(frames) == 4
    expected = picture(1)
    if pix_fmt == "gray":
        expected = cv2.cvtColor(cv2.cvtColor(expected, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    assert difference(frames[1].image, expected) < 8


def test_frames_that_change_size_are_fitted_into_the_first_size(tmp_path: Path) -> None:
    small = make_clip(tmp_path / "small.ts", STAMPS[:10])
    big = make_clip(tmp_path / "big.ts", STAMPS[:10], size=(320, 400))
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + big.read_bytes())
    frames = frames_of(both)
    assert {frame.image.shape for frame in frames} == {(120, 160, 3)}
    assert len(frames) > 15
    assert (frames[-1].image[:, :30] == 0).all()  # bars: nothing is stretched


def test_a_fitted_picture_keeps_its_proportions() -> None:
    fitted = fit(np.full((100, 100, 3), 200, np.uint8), (320, 160))
    assert (fitted[:, 80:240] == 200).all()
    assert not fitted[:, :80].any()
    assert not fitted[:, 240:].any()


def test_corrupt_bytes_in_the_middle_are_left_out_and_counted(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "noise.ts", [i / 30 for i in range(90)])
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(1).bytes(3000)
    path.write_bytes(data)
    with open_source(str(path)) as source:
        assert isinstance(source, FileSource)
        frames = list(source)
        assert source.corrupt_frames > 0
    assert all(b.t > a.t for a, b in pairwise(frames))
    assert 45 < len(frames) < 90
    assert frames[-1].t == pytest.approx(89 / 30, abs=0.01)
    assert difference(frames[-1].image, picture(89)) < 4


@pytest.mark.parametrize("name", ["whole.ts", "whole.mkv", "whole.mp4"])
def test_whatever_is_damaged_the_times_increase_or_one_line_says_why(
    tmp_path: Path, name: str
) -> None:
    whole = make_clip(tmp_path / name, STAMPS, options={} if "mp4" not in name else FASTSTART)
    data, rng = whole.read_bytes(), np.random.default_rng(11)
    for _ in range(25):
        damaged = np.frombuffer(data, np.uint8).copy()
        damaged[rng.integers(0, len(data), 30)] = rng.integers(0, 256, 30)
        whole.write_bytes(damaged.tobytes())
        with suppress(SourceError):  # and nothing else
            frames_of(whole)


@pytest.mark.parametrize("suffix", ["mkv", "ts", "mp4"])
def test_a_file_that_is_cut_off_gives_what_it_has_and_says_so(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    options = FASTSTART if suffix == "mp4" else {}
    path = make_clip(tmp_path / f"cut.{suffix}", [i / 30 for i in range(90)], options=options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    assert 20 < len(frames_of(path)) < 80
    if suffix != "ts":  # a transport stream does not say how long it should be
        assert "cut off?" in caplog.text


def test_a_real_clip_decodes_as_opencv_decodes_it(shared: Path) -> None:
    path = shared / "media" / "pyfeat_single_face_neutral_smile.mp4"
    frames = frames_of(path)
    assert len(frames) == 72
    capture = cv2.VideoCapture(str(path))
    for frame in frames[:10]:
        assert difference(frame.image[..., ::-1], np.asarray(capture.read()[1])) < 1.5
    capture.release()


def test_realtime_lets_frames_out_when_they_are_due(clip: Path) -> None:
    with open_source(str(clip), realtime=True) as source:
        frames = list(source)
    delays = [frame.arrived - frames[0].arrived - frame.t for frame in frames]
    assert len(frames) == 30
    assert min(delays) > -0.005
    assert np.median(delays) < 0.03


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_a_loop_goes_on_over_the_seam_by_one_interval(tmp_path: Path, suffix: str) -> None:
    codec, pix_fmt = ("mjpeg", "yuvj420p") if suffix == "avi" else ("libx264", "yuv420p")
    path = make_clip(tmp_path / f"clip.{suffix}", STAMPS, codec=codec, pix_fmt=pix_fmt)
    with open_source(str(path), loop=True) as source:
        assert source.num_frames is None
        assert source.duration_s is None
        assert source.round_s is None
        frames = [next(source) for _ in range(75)]
        rounds = [frames[30 * i].t / i for i in (1, 2)]
        assert rounds == pytest.approx([source.round_s] * 2)
    steps = [b.t - a.t for a, b in pairwise(frames)]
    assert steps == pytest.approx([1 / 30] * 74, abs=0.01)
    assert [frame.index for frame in frames] == list(range(75))
    assert all((frames[i].image == frames[i - 30].image).all() for i in range(30, 75))


def test_a_loop_of_a_real_clip_with_b_frames_repeats_every_frame(shared: Path) -> None:
    path = shared / "media" / "pyfeat_single_face_neutral_smile.mp4"
    with open_source(str(path), loop=True) as source:
        means = [float(next(source).image.mean()) for _ in range(150)]
    assert means[72:144] == means[:72]
    assert means[144:] == means[:6]


def test_close_from_another_thread_ends_a_paced_iteration(tmp_path: Path) -> None:
    source = open_source(str(make_clip(tmp_path / "slow.mp4", [0, 30, 60])), realtime=True)
    next(source)
    threading.Timer(0.2, source.close).start()
    begin = time.monotonic()
    assert list(source) == []
    assert time.monotonic() - begin < 1
    source.close()


def test_the_end_of_a_whole_file_is_silent(clip: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        frames_of(clip)
    assert [r for r in caplog.records if r.name.startswith("realtime")] == []
    assert av.logging.get_level() is None

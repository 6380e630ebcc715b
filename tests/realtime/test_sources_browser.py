import threading
import time
from itertools import pairwise

import cv2
import numpy as np
import pytest

from realtime.errors import SourceError, SourceLost
from realtime.sources import BrowserSource
from tests.clips import picture


def jpeg(index: int = 0, size: tuple[int, int] = (160, 120)) -> bytes:
    return cv2.imencode(".jpg", picture(index, size)[..., ::-1])[1].tobytes()


def test_a_pushed_jpeg_comes_out_as_an_rgb_frame() -> None:
    source = BrowserSource()
    begin = time.monotonic()
    source.push(jpeg(), 1234.5)
    frame = next(source)
    assert (frame.source, frame.index, frame.t, source.size) == ("browser", 0, 0.0, (160, 120))
    assert begin <= frame.arrived <= time.monotonic()
    assert np.abs(frame.image.astype(int) - picture(0)).mean() < 6


def test_the_newest_wins_and_times_increase_whatever_the_page_says() -> None:
    source = BrowserSource()
    frames = []
    for index, t in enumerate([5.0, 5.03, 5.03, 5.01, 5.2, 0.0, 0.1]):
        source.push(jpeg(index), t)
        frames.append(next(source))
    assert all(b.t > a.t for a, b in pairwise(frames))
    for index in range(3):
        source.push(jpeg(index), 1.0 + index)
    assert next(source).index == 9
    assert source.num_dropped == 2


def test_a_viewer_who_turns_the_phone_keeps_the_first_size() -> None:
    source = BrowserSource()
    for size in ((160, 120), (120, 160)):
        source.push(jpeg(size=size), 0.0)
        assert next(source).image.shape == (120, 160, 3)


HUGE = bytearray(jpeg())
_SIZE_AT = HUGE.index(b"\xff\xc0") + 5
HUGE[_SIZE_AT : _SIZE_AT + 4] = b"\xff\xff\xff\xff"


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (b"", "expected a whole JPEG"),
        (b"\x89PNG and no JPEG", "expected a whole JPEG"),
        (b"\xff\xd8\xff", "expected a whole JPEG"),
        (jpeg()[:-200], "expected a whole JPEG"),
        (jpeg()[:300] + b"\xff\xd9", "JPEG"),
        (bytes(HUGE), "65535x65535 px is not accepted"),
        (jpeg(size=(2400, 1400)), "2400x1400 px is not accepted"),
        (jpeg() + bytes(5 * 2**20), "too big"),
        (jpeg(size=(8, 8)), "8x8 px is not accepted"),
    ],
)
def test_a_bad_picture_is_refused_to_who_pushes_it(picture: bytes, reason: str) -> None:
    source = BrowserSource(timeout_s=0.05)
    with pytest.raises(SourceError, match=reason) as caught:
        source.push(picture, 0.0)
    assert "\n" not in str(caught.value)
    source.push(jpeg(), 0.1)
    assert next(source).index == 0


@pytest.mark.parametrize("t", [float("nan"), float("inf")])
def test_a_time_that_is_no_number_is_refused(t: float) -> None:
    with pytest.raises(SourceError, match="finite"):
        BrowserSource().push(jpeg(), t)


def test_silence_is_a_lost_source_and_a_later_picture_brings_it_back() -> None:
    source = BrowserSource(timeout_s=0.05)
    with pytest.raises(SourceLost, match=r"no picture for 0\.05 s: .* Start on that page"):
        next(source)
    source.push(jpeg(), 0.0)
    assert next(source).index == 0


def test_close_ends_a_waiting_iteration_and_later_pictures_are_ignored() -> None:
    source = BrowserSource(timeout_s=20)
    threading.Timer(0.1, source.close).start()
    begin = time.monotonic()
    assert list(source) == []
    assert time.monotonic() - begin < 1
    source.push(jpeg(), 0.0)
    assert list(source) == []

import itertools
import math
import sys
import threading
import time
from itertools import islice, pairwise

import cv2
import numpy as np
import pytest

from realtime.errors import SourceError, SourceLost
from realtime.sources import WebcamSource, list_cameras, open_source


class FakeCapture:
    """Acts as `cv2.VideoCapture` at 100 Hz; remembers which thread called it."""

    def __init__(
        self, num: int = 10**6, *, opens: bool = True, fps: float = 30.0, hangs: bool = False
    ) -> None:
        self._left, self._opens, self._fps, self._hangs = num, opens, fps, hangs
        self._count = itertools.count()
        self.threads: set[str] = set()
        self.is_released = False

    def isOpened(self) -> bool:  # noqa: N802 -- OpenCV's name
        return self._opens

    def grab(self) -> bool:
        self.threads.add(threading.current_thread().name)
        time.sleep(0.01)
        if self._left == 0 and self._hangs:
            time.sleep(2)
        self._left -= 1
        return self._left >= 0

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        image = np.zeros((48, 64, 3), np.uint8)
        image[..., 0], image[..., 2] = 200, next(self._count) % 256
        return True, image

    def get(self, prop: int, /) -> float:
        return self._fps if prop == cv2.CAP_PROP_FPS else 0.0

    def release(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.is_released = True


def test_a_webcam_delivers_rgb_stamped_on_arrival() -> None:
    capture = FakeCapture()
    with WebcamSource(3, open_capture=lambda index: capture) as source:
        assert (source.id, source.is_live, source.size, source.fps) == (
            "webcam:3", True, (64, 48), 30.0,
        )  # fmt: skip
        frames = list(islice(source, 10))
    assert frames[0].image[0, 0, 2] == 200  # blue
    assert all(frame.image[0, 0, 0] == frame.index for frame in frames)
    assert all(b.t > a.t for a, b in pairwise(frames))
    assert all(
        frame.t - frames[0].t == pytest.approx(frame.arrived - frames[0].arrived, abs=1e-6)
        for frame in frames
    )
    assert capture.is_released
    assert capture.threads == {"read webcam:3"}


def test_a_slow_reader_gets_the_newest_picture() -> None:
    with WebcamSource(0, open_capture=lambda index: FakeCapture()) as source:
        first = next(source)
        time.sleep(0.3)
        assert next(source).index > first.index + 5
        assert source.num_dropped > 5


@pytest.mark.parametrize("hangs", [False, True])
def test_a_webcam_that_is_unplugged_or_hangs_is_lost(hangs: bool) -> None:
    capture = FakeCapture(5, hangs=hangs)
    source = WebcamSource(0, timeout_s=0.5, open_capture=lambda index: capture)
    with source, pytest.raises(SourceLost, match=r"webcam:0 (has sent no|sends no) picture"):
        list(source)


@pytest.mark.parametrize("fps", [0.0, math.nan, 90000.0])
def test_a_nonsensical_rate_is_no_rate(fps: float) -> None:
    with WebcamSource(0, open_capture=lambda index: FakeCapture(fps=fps)) as source:
        assert source.fps is None


def test_a_webcam_that_does_not_open_or_sends_nothing_is_refused_and_released() -> None:
    captures = [FakeCapture(opens=False), FakeCapture(0)]
    for capture, reason in zip(captures, ("cannot be opened", "sends no picture"), strict=True):
        with pytest.raises(SourceError, match=f"webcam:7 .*{reason}.*python -m realtime cameras"):
            WebcamSource(7, open_capture=lambda index, c=capture: c)  # type: ignore[misc]
        assert capture.is_released


@pytest.mark.parametrize("uri", ["63", "webcam:63", "/dev/video63"])
def test_a_webcam_that_is_not_there_is_one_quiet_line(
    uri: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SourceError, match="webcam:63 cannot be opened: there is no such camera"):
        open_source(uri)
    assert capfd.readouterr().err == ""


def test_cameras_that_open_are_listed_and_the_others_are_not() -> None:
    def open_capture(index: int) -> FakeCapture:
        return FakeCapture(opens=index != 1, fps=25.0)

    cameras = list_cameras(indices=(61, 1, 62), open_capture=open_capture)
    assert [(c.uri, c.size, c.fps) for c in cameras] == [
        ("webcam:61", (64, 48), 25.0),
        ("webcam:62", (64, 48), 25.0),
    ]
    assert cameras[0].name


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere this opens the user's cameras")
def test_listing_the_cameras_of_this_machine_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    assert all(camera.uri.startswith("webcam:") for camera in list_cameras())
    assert capfd.readouterr().err == ""

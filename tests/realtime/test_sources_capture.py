import threading
import time
from collections.abc import Callable, Iterator

import pytest

from realtime.errors import SourceError, SourceLost
from realtime.slot import SlotClosed
from realtime.sources import capture
from realtime.sources.capture import CaptureThread


class Camera:
    """Delivers numbers, then hangs until it is let go, as a driver can."""

    def __init__(self, num: int, *, hangs_on_opening: bool = False) -> None:
        self.num, self.let_go, self.closed_by = num, threading.Event(), ""
        self.hangs_on_opening = hangs_on_opening

    def opened(self) -> "Camera":
        if self.hangs_on_opening:
            self.let_go.wait(20)
        return self

    def numbers(self) -> Iterator[int]:
        yield from range(self.num)
        self.let_go.wait(20)

    def close(self) -> None:
        self.closed_by = threading.current_thread().name


def thread_for(camera: Camera, timeout_s: float = 0.4) -> CaptureThread[Camera, int]:
    return CaptureThread(camera.opened, Camera.numbers, source="cam", timeout_s=timeout_s)


def test_a_device_that_hangs_is_lost_within_the_time_out_and_closed_by_its_own_thread() -> None:
    camera = Camera(1)
    thread = thread_for(camera)
    assert thread.open() is camera
    assert thread.get() == 0
    begin = time.monotonic()
    with pytest.raises(SourceLost, match=r"cam has sent no picture for 0\.4 s"):
        thread.get()
    assert time.monotonic() - begin < 1
    thread.close()
    assert camera.closed_by == ""
    camera.let_go.set()
    wait_until(lambda: camera.closed_by == "read cam")


def test_a_device_that_hangs_while_it_opens_is_an_error_in_time() -> None:
    camera = Camera(1, hangs_on_opening=True)
    begin = time.monotonic()
    with pytest.raises(SourceError, match=r"no answer within 0\.4 s"):
        thread_for(camera).open()
    assert time.monotonic() - begin < 2
    camera.let_go.set()
    wait_until(lambda: camera.closed_by == "read cam")


def test_close_from_another_thread_ends_a_wait_at_once() -> None:
    camera = Camera(0)
    thread = thread_for(camera, timeout_s=30)
    thread.open()
    threading.Timer(0.2, thread.close).start()
    begin = time.monotonic()
    with pytest.raises(SlotClosed):
        thread.get()
    assert time.monotonic() - begin < 1
    camera.let_go.set()


def test_the_newest_wins_and_the_others_are_counted() -> None:
    camera = Camera(5)
    thread = thread_for(camera)
    thread.open()
    wait_until(lambda: thread.num_dropped == 4)
    assert thread.get() == 4
    camera.let_go.set()
    thread.close()


def test_a_clip_waits_for_its_reader() -> None:
    camera = Camera(5)
    camera.let_go.set()
    thread = thread_for(camera)
    thread.keeps_all = True
    thread.open()
    for number in range(5):
        time.sleep(0.02)
        assert thread.get() == number
    with pytest.raises(SlotClosed):
        thread.get()
    thread.close()


def test_a_clip_that_hangs_is_an_error_in_time() -> None:
    camera = Camera(1)
    thread = thread_for(camera)
    thread.keeps_all = True
    thread.open()
    assert thread.get() == 0
    with pytest.raises(SourceError, match=r"cam has sent no picture for 0\.4 s"):
        thread.get()
    camera.let_go.set()
    thread.close()


def test_so_many_threads_may_hang_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "MAX_LEFT_BEHIND", 2)
    cameras = [Camera(1, hangs_on_opening=True) for _ in range(2)]
    for camera in cameras:
        with pytest.raises(SourceError, match="no answer"):
            thread_for(camera, timeout_s=0).open()
    with pytest.raises(SourceError, match="earlier connections hang; restart"):
        thread_for(Camera(1)).open()
    for camera in cameras:
        camera.let_go.set()
    wait_until(lambda: all(camera.closed_by for camera in cameras))
    last = Camera(1)
    last.let_go.set()
    thread_for(last).open()


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)

"""How far a build is."""

import signal
import threading
import time

import pytest

from engines.build_progress import BuildProgress, ticking


def test_nested_phases_become_one_share_that_only_grows() -> None:
    shares: list[float] = []
    progress = BuildProgress(shares.append)
    progress.start("build", None, 2)
    progress.start("tactics", "build", 4)
    for step in range(4):
        assert progress.step("tactics", step)
    progress.finish("tactics")
    progress.step("build", 0)
    progress.start("more", "build", 10)
    progress.step("more", 0)
    progress.step("never begun", 5)
    progress.finish("build")
    assert shares == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.55, 1.0])


def test_the_clock_of_a_build_goes_on_while_nothing_is_reported() -> None:
    ticks, enough = [], threading.Event()

    def refresh() -> None:
        ticks.append(threading.current_thread().name)
        if len(ticks) == 3:
            enough.set()

    with ticking(refresh, every_s=0.01):
        assert enough.wait(10)
    seen = len(ticks)
    assert set(ticks) == {"ticking"}
    time.sleep(0.05)
    assert len(ticks) == seen  # it has ended with the build


def test_ctrl_c_cancels_a_build_and_nothing_is_raised_into_it() -> None:
    before = signal.getsignal(signal.SIGINT)
    progress = BuildProgress(lambda share: None)
    progress.start("build", None, 2)
    with progress.cancelled_by_ctrl_c():
        assert progress.step("build", 0)
        signal.raise_signal(signal.SIGINT)
        assert progress.is_cancelled
        assert not progress.step("build", 1)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL  # once more ends the process
    assert signal.getsignal(signal.SIGINT) is before


def test_a_build_in_another_thread_leaves_ctrl_c_alone() -> None:
    seen = []

    def build() -> None:
        with BuildProgress(lambda share: None).cancelled_by_ctrl_c():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=build)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]

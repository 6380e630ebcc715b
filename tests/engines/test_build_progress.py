"""How far a build is."""

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

    class Clock:
        def refresh(self) -> None:
            ticks.append(threading.current_thread().name)
            if len(ticks) == 3:
                enough.set()

    with ticking(Clock(), every_s=0.01):
        assert enough.wait(10)
    seen = len(ticks)
    assert set(ticks) == {"ticking"}
    time.sleep(0.05)
    assert len(ticks) == seen  # it has ended with the build

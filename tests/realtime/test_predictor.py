"""Which windows are due, and which count as lost."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

from realtime.buffer import ObservationBuffer
from realtime.config import Config
from realtime.lineup import Lineup, load_lineup
from realtime.predictor import Predictor
from tests.engines.tiny_bundle import write_tiny_bundle
from tests.fakes import ScriptedPerceiver, frame_at

HOP_S = 0.25


@pytest.fixture(scope="module")
def lineup(tmp_path_factory: pytest.TempPathFactory) -> Lineup:
    folder = write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")
    return load_lineup([folder], Config(hop_s=HOP_S))


@pytest.fixture
def predictor(lineup: Lineup) -> Iterator[Predictor]:
    with ExitStack() as stack:
        yield lineup.predictor(lineup.open_engines(stack, "cpu"))


def watch(
    lineup: Lineup, predictor: Predictor, buffer: ObservationBuffer, times: np.ndarray,
    *, is_new_subject: bool = False, every: int = 1,
) -> int:  # fmt: skip
    """Append what is seen at these times, predict after every so many; how many windows ran."""
    perceiver, ran = ScriptedPerceiver(lineup.perception), 0
    for i, t in enumerate(times):
        seen = perceiver(frame_at(float(t)))
        buffer.append(replace(seen, is_new_subject=is_new_subject and i == 0))
        if i % every == 0:
            ran += len({p.end for p in predictor.step({"c": buffer})})
    return ran


def seconds(start: float, end: float) -> np.ndarray:
    return np.arange(start, end, 1 / 30)


def test_a_slow_engine_loses_windows_and_they_count(lineup: Lineup, predictor: Predictor) -> None:
    ran = watch(lineup, predictor, lineup.buffer(), seconds(0, 5), every=30)
    assert ran == 4  # at 1, 2, 3 and 4 s, of 17 that were due
    assert predictor.num_dropped["c"] == pytest.approx(9, abs=1)


def test_no_window_was_due_in_a_pause_nor_before_another_person_fills_one(
    lineup: Lineup, predictor: Predictor
) -> None:
    buffer = lineup.buffer()
    for start, is_new in ((0, False), (3600, False), (3603, True)):
        ran = watch(lineup, predictor, buffer, seconds(start, start + 3), is_new_subject=is_new)
        assert ran == pytest.approx(8, abs=1)
    assert predictor.num_dropped.get("c", 0) == 0

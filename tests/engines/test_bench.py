import json
from pathlib import Path

import numpy as np
import pytest

from engines.bench import bench, peak_rss_mb, stand_in_window
from engines.engine import STAGES, open_engine
from tests.engines.tiny_bundle import tiny_manifest


def test_measures_every_stage_of_every_batch_size(tiny: Path) -> None:
    with open_engine(tiny, "ort") as engine:
        report = bench(engine, repeats=5, seconds=10, batches=(1, 3))
    assert [(x.batch, x.stage) for x in report.latencies] == [
        (b, stage) for b in (1, 3) for stage in (*STAGES, "total")
    ]
    for x in report.latencies:
        assert 0 < x.p50_ms <= x.p95_ms <= x.p99_ms < 1e4
    assert [(x.batch, x.calls) for x in report.throughputs] == [(1, 5), (3, 5)]
    for rate, total in zip(report.throughputs, report.latencies[3::4], strict=True):
        mean_ms = 1e3 * rate.batch / rate.windows_per_s
        # Of any five times: three are not below the median, none is above p99 / 0.96.
        assert 0.59 * total.p50_ms < mean_ms < 1.05 * total.p99_ms
    assert report.runtime == "ONNX Runtime CPU fp32"
    assert report.first_call_ms > 0
    assert json.loads(report.to_json())["throughputs"][1]["batch"] == 3
    table = report.to_table()
    assert "tiny 0.1 on ONNX Runtime CPU fp32" in table
    assert all(stage in table for stage in STAGES)


def test_stops_after_the_given_time(tiny: Path) -> None:
    with open_engine(tiny, "ort") as engine:
        report = bench(engine, seconds=1e-6, batches=(1,))
    assert report.throughputs[0].calls == 1


def test_peak_memory_grows_with_what_is_held() -> None:
    before = peak_rss_mb()
    held = np.ones(60_000_000, np.uint8)
    assert held[-1] == 1
    assert 20 < before <= peak_rss_mb() < 1e5


def test_stand_in_windows_are_dense_and_repeatable() -> None:
    manifest = tiny_manifest()
    window, same = (stand_in_window(manifest, seed=4) for _ in range(2))
    np.testing.assert_array_equal(window.rgb, same.rgb)
    np.testing.assert_array_equal(window.xyz, same.xyz)
    assert not np.array_equal(window.rgb, stand_in_window(manifest, seed=5).rgb)
    assert len(window) == 31
    assert window.end - window.start == pytest.approx(manifest.window.span_s)
    assert len(stand_in_window(manifest, fps=12)) == 13

"""How long an engine takes, stage by stage, and how much memory the process needed."""

import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from engines.engine import STAGES, Engine
from engines.manifest import Manifest
from engines.skeleton import LAYOUTS
from engines.window import Window

_FPS = 30.0


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one stage for one batch size."""

    batch: int
    """Windows in one call."""
    stage: str
    """One of `engines.engine.STAGES`, or `total`."""
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Throughput:
    """Windows per second for one batch size, all stages one after the other."""

    batch: int
    calls: int
    windows_per_s: float


@dataclass(frozen=True)
class BenchReport:
    """What `bench` measured, on which machine and how."""

    bundle: str
    runtime: str
    processor: str
    cores: int
    first_call_ms: float
    """Of the very first call, which no figure below contains."""
    latencies: tuple[Latency, ...]
    throughputs: tuple[Throughput, ...]
    peak_rss_mb: float
    """Most memory the process ever held, MB of 10^6 bytes; NaN if the system is silent."""

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(asdict(self), indent=2)

    def to_table(self) -> str:
        """Lines for people."""
        lines = [
            f"{self.bundle} on {self.runtime}, {self.processor}, {self.cores} cores",
            f"first call {self.first_call_ms:.1f} ms, peak memory {self.peak_rss_mb:.0f} MB",
            "",
            f"{'batch':>5}  {'stage':<12}{'p50 ms':>10}{'p95 ms':>10}{'p99 ms':>10}",
        ]
        lines += [
            f"{x.batch:>5}  {x.stage:<12}{x.p50_ms:>10.2f}{x.p95_ms:>10.2f}{x.p99_ms:>10.2f}"
            for x in self.latencies
        ]
        lines += ["", f"{'batch':>5}  {'calls':>5}{'windows/s':>12}"]
        lines += [f"{x.batch:>5}  {x.calls:>5}{x.windows_per_s:>12.2f}" for x in self.throughputs]
        return "\n".join(lines)


def bench(
    engine: Engine, *, seconds: float = 5.0, repeats: int = 1000, batches: Sequence[int] = (1, 2, 4)
) -> BenchReport:
    """Call the engine with stand-in windows and take the time of each stage.

    Args:
        engine: an opened engine.
        seconds: measuring stops after so long for each batch size (after one call at least).
        repeats: or after so many calls.
        batches: windows per call; each size is called once unmeasured first, for warming up.
    """
    window = stand_in_window(engine.manifest)
    started = time.perf_counter()
    engine([window])
    first_call_ms = (time.perf_counter() - started) * 1e3
    latencies: list[Latency] = []
    throughputs: list[Throughput] = []
    for batch in batches:
        times = _measure(engine, [window] * batch, seconds, repeats)  # [calls, stages] s
        total = times.sum(axis=1, keepdims=True)
        for stage, column in zip((*STAGES, "total"), np.hstack([times, total]).T, strict=True):
            p50, p95, p99 = (float(p) * 1e3 for p in np.percentile(column, [50, 95, 99]))
            latencies.append(Latency(batch, stage, p50, p95, p99))
        rate = batch * len(times) / float(total.sum())
        throughputs.append(Throughput(batch, len(times), rate))
    return BenchReport(
        bundle=engine.manifest.id,
        runtime=engine.runtime.description,
        processor=processor_name(),
        cores=available_cores(),
        first_call_ms=first_call_ms,
        latencies=tuple(latencies),
        throughputs=tuple(throughputs),
        peak_rss_mb=peak_rss_mb(),
    )


def _measure(
    engine: Engine, windows: Sequence[Window], seconds: float, repeats: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    engine(windows)
    rows: list[tuple[float, ...]] = []
    stop = time.perf_counter() + seconds
    while not rows or (len(rows) < repeats and time.perf_counter() < stop):
        engine(windows)
        rows.append(engine.stage_times_s)
    return np.array(rows, np.float64).reshape(len(rows), len(STAGES))


def stand_in_window(manifest: Manifest, *, fps: float = _FPS, seed: int = 0) -> Window:
    """A made-up window of full rate and size: a person who sways, in smooth noise.

    It stands for a real one where only shapes and times matter; it shows no gesture.

    Args:
        manifest: says the span and all the sizes.
        fps: samples per second.
        seed: equal seeds give equal windows.
    """
    rng = np.random.default_rng(seed)
    n = round(manifest.window.span_s * fps) + 1
    t = np.arange(n) / fps + rng.uniform(0, 100)
    h, w = manifest.perception.storage
    side = manifest.perception.face_size
    v = LAYOUTS[manifest.perception.layout].num_joints
    body = rng.normal(0, 0.25, (1, v, 3)) + rng.normal(0, 0.01, (n, v, 3)).cumsum(axis=0)
    xyz = body.astype(np.float32)
    conf = rng.uniform(0.5, 1, (n, v)).astype(np.float32)
    return Window(
        t=t,
        rgb=_smooth_noise(rng, (n, h, w)),
        xy=(xyz[..., :2] * np.float32(0.5 * min(h, w)) + np.array([w / 2, h / 2], np.float32)),
        xyz=xyz,
        conf=conf,
        faces=_smooth_noise(rng, (n, side, side)),
        has_face=np.ones(n, np.bool_),
        layout=manifest.perception.layout,
    )


def _smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int, int]
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Uint8 [N, h, w, 3]: coloured blocks with a sway, so that it compresses to little."""
    n, h, w = shape
    blocks = rng.integers(40, 216, (h // 16 + 2, w // 16 + 2, 3), np.uint8)
    still = blocks.repeat(16, axis=0).repeat(16, axis=1)
    shifts = rng.integers(0, 16, (n, 2))
    return np.stack([still[y : y + h, x : x + w] for y, x in shifts])


def available_cores() -> int:
    """Cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name() -> str:
    """The processor as the system calls it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def peak_rss_mb() -> float:
    """Most memory that this process ever held, MB of 10^6 bytes; NaN if the system is silent."""
    if sys.platform == "win32":
        return _peak_working_set_mb()
    try:
        # Before `getrusage`, whose figure begins with what the parent process held.
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass  # not Linux
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _peak_working_set_mb() -> float:
    """`PeakWorkingSetSize` of Windows' PROCESS_MEMORY_COUNTERS."""
    import ctypes

    if sys.platform != "win32":
        return float("nan")

    class Counters(ctypes.Structure):
        _fields_ = (
            ("cb", ctypes.c_uint32),
            ("page_faults", ctypes.c_uint32),
            ("peak_working_set", ctypes.c_size_t),
            ("rest", ctypes.c_size_t * 8),
        )

    counters = Counters()
    counters.cb = ctypes.sizeof(counters)
    process = ctypes.windll.kernel32.GetCurrentProcess()
    ok = ctypes.windll.psapi.GetProcessMemoryInfo(
        ctypes.c_void_p(process), ctypes.byref(counters), counters.cb
    )
    return counters.peak_working_set / 1e6 if ok else float("nan")

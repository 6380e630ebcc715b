"""ONNX -> TensorRT plan, into the plan cache of this user, for the GPU of this machine."""

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.build_progress import BuildProgress
from engines.bundle import Bundle
from engines.errors import BundleError, CompileError, DigestError, PlanMissing, PlanTampered
from engines.gpu import Gpu, dotted, find_gpu
from engines.load_trt import load_tensorrt
from engines.plan_cache import PlanCache, PlanKey, user_plan_cache
from engines.runtimes.cuda import Cuda
from engines.trt_versions import Build, TensorRt

_LOG = logging.getLogger(__name__)
BATCHES = (1, 4, 16)
"""Of how many windows the plans are, unless told otherwise."""
_MOST = 1024


@dataclass(frozen=True)
class Compiled:
    """What `compile_plan` did."""

    key: PlanKey
    path: Path
    was_cached: bool
    seconds: float
    size_mb: float
    """Of the plan, MB of 10^6 bytes."""


def compile_plan(
    bundle: Bundle,
    index: int = 0,
    *,
    precision: str | None = None,
    batches: Sequence[int] = BATCHES,
    report: Callable[[float], None] = lambda share: None,
) -> Compiled:
    """Build the plan for one GPU, unless the cache has it already.

    Args:
        bundle: its graphs.
        index: of the GPU.
        precision: None takes the fastest that the bundle and this TensorRT have.
        batches: windows in one call, each a size that the plan is tuned for.
        report: told the share that is done, 0..1: at the beginning, at the end, and between them
            where this TensorRT tells it. Not called for what is in the cache.

    Raises:
        RuntimeUnavailable: no GPU, driver, TensorRT or pycuda.
        GraphMismatch: TensorRT does not read the graph.
        CompileError: it does not build it, or the cache cannot be written.
        PlanTampered: the user's key cannot be used.
        GpuError: something happened to the GPU.
        KeyboardInterrupt: after Ctrl-C, once TensorRT has ended.
    """
    gpu, cache = find_gpu(index), user_plan_cache()
    trt = load_tensorrt(gpu.capability)
    sizes = tuple(sorted(set(batches)))
    if not sizes or sizes[0] < 1 or sizes[-1] > _MOST:
        raise CompileError(f"Batches of {list(batches)}: expected sizes from 1 to {_MOST}")
    if precision is None:
        precision = next(p for p in trt.precisions if not trt.is_typed or p in available(bundle))
    key = plan_key(bundle, gpu, trt, precision, sizes)
    started = time.perf_counter()
    with cache.lock(key):
        cache.check_key()  # before minutes of building
        was_cached, size = True, 0
        try:
            size = len(cache.load(key))
        except (PlanMissing, PlanTampered):
            was_cached = False
            path = bundle.graph_path(trt.graph_precision(precision, available(bundle)))
            graph = _read_graph(path, key.graph)
            machine = _machine(trt, gpu)
            build = Build(graph, str(path), precision, sizes, cache.load_timings(machine))
            plan = _built(trt, build, index, cache, machine, report)
            cache.store(key, plan)
            size = len(plan)
    seconds = time.perf_counter() - started
    return Compiled(key, cache.path(key), was_cached, seconds, size / 1e6)


def _built(
    trt: TensorRt,
    build: Build,
    index: int,
    cache: PlanCache,
    machine: str,
    report: Callable[[float], None],
) -> bytes:
    """The plan; what was measured for it is kept, also where Ctrl-C ends it: it goes on there."""
    progress = BuildProgress(report)
    with Cuda(index).active(), progress.cancelled_by_ctrl_c():
        report(0.0)
        plan, timings = trt.build(build, progress)
        if plan is not None:
            report(1.0)
    if timings:
        cache.store_timings(machine, timings)
    if plan is None:
        raise KeyboardInterrupt
    return plan


def find_plan(
    bundle: Bundle, gpu: Gpu, trt: TensorRt, precision: str | None, cache: PlanCache
) -> tuple[PlanKey, bytes]:
    """The plan to open: in the fastest precision that was compiled, of the most batch sizes.

    Raises:
        PlanMissing: nothing was compiled for this bundle, GPU, driver and TensorRT.
        PlanTampered: what was is not what this user wrote; beside a good plan it is only logged.
    """
    stored, tampered = cache.keys(), None
    for wanted in [precision] if precision else trt.precisions:
        if wanted not in trt.precisions or (trt.is_typed and wanted not in available(bundle)):
            continue
        fitting = [k for k in stored if k == plan_key(bundle, gpu, trt, wanted, k.batches)]
        for key in sorted(fitting, key=lambda k: (len(k.batches), k.batches), reverse=True):
            try:
                return key, cache.load(key)
            except PlanTampered as error:
                _LOG.warning("%s", error)
                tampered = tampered or error
    if tampered is not None:
        raise tampered
    asked = f" --precision {precision}" if precision else ""
    raise PlanMissing(
        f"Nothing was compiled for {bundle.manifest.id} on {gpu.name} with TensorRT "
        f"{trt.version}{' in ' + precision if precision else ''}: run `python -m engines compile "
        f"{bundle.folder} --device cuda:{gpu.index}{asked}`"
    )


def plan_key(
    bundle: Bundle, gpu: Gpu, trt: TensorRt, precision: str, batches: tuple[int, ...]
) -> PlanKey:
    """The key of the plan for these."""
    source = trt.graph_precision(precision, available(bundle))
    return PlanKey(
        graph=next(g.sha256 for g in bundle.manifest.graphs if g.precision == source),
        precision=precision,
        batches=batches,
        tensorrt=trt.version,
        gpu=gpu.name,
        capability=dotted(gpu.capability),
        driver=gpu.driver_text,
    )


def available(bundle: Bundle) -> tuple[str, ...]:
    """The precisions of a bundle's graphs."""
    return tuple(graph.precision for graph in bundle.manifest.graphs)


def _read_graph(path: Path, sha256: str) -> bytes:
    """The file, compared once more: the plan will be found by this digest."""
    try:
        graph = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror or error}") from None
    if hashlib.sha256(graph).hexdigest() != sha256:
        raise DigestError(f"{path}: was changed since the bundle was loaded, copy it again")
    return graph


def _machine(trt: TensorRt, gpu: Gpu) -> str:
    return f"TensorRT {trt.version}, {gpu.name} {dotted(gpu.capability)}, {gpu.driver_text}"

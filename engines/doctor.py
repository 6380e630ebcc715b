"""What this machine can run bundles on: each part by itself, each with a cure."""

import importlib
import importlib.metadata
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from engines.build_log import BuildLog, logger_into
from engines.bundle import load_bundle
from engines.engine import open_engine
from engines.errors import LibraryMissing, NoGpu, PlanMissing, TellsError
from engines.gpu import find_gpus
from engines.load_trt import load_tensorrt
from engines.plan_cache import user_plan_cache
from engines.runtimes.cuda import Cuda
from engines.side_by_side import EVERY_DEVICE
from engines.verify import verify

State = Literal["ok", "missing", "failed"]


@dataclass(frozen=True)
class Check:
    """One part of the machine."""

    name: str
    state: State
    """`missing`: optional and not there. `failed`: there and not in order, or needed."""
    text: str
    """What was found, or what is wrong and how to cure it."""
    is_needed: bool = False
    """True for what the processor alone needs."""

    @property
    def is_ok(self) -> bool:
        """False where something that is needed, or is there, does not work."""
        return self.state != "failed"


def examine(folder: str | os.PathLike[str] | None = None) -> Iterator[Check]:
    """Look at one part after the other.

    Args:
        folder: a bundle whose golden vectors are replayed on each device; None leaves that out.

    Raises:
        BundleError: the bundle cannot be read, which is no fault of this machine.
    """
    if folder is not None:
        load_bundle(folder)
    yield _look("OpenVINO", _openvino, is_needed=True)
    yield _look("ONNX Runtime", _onnxruntime)
    gpu = _look("GPU, driver", lambda: "; ".join(map(str, find_gpus())))
    yield gpu
    yield _look("TensorRT", lambda: _tensorrt(starts=gpu.state == "ok"))
    yield _look("pycuda", lambda: _pycuda(opens=gpu.state == "ok"))
    yield _look("CUDA graphs", _bindings)
    yield _look("plan cache", _plan_cache)
    if folder is None:
        yield Check("parity", "missing", "not looked at: `python -m engines doctor BUNDLE` does")
        return
    for device in EVERY_DEVICE:
        if device in ("cpu", "ort") or gpu.state == "ok":
            yield _parity(folder, device)


def table(checks: list[Check]) -> str:
    """Lines for people."""
    lines = [f"{c.state:<8}{c.name:<18}{c.text}" for c in checks]
    bad = [c.name for c in checks if not c.is_ok and c.is_needed]
    other = [c.name for c in checks if not c.is_ok and not c.is_needed]
    if other:
        lines.append(f"Not in order: see {', '.join(other)}")
    lines.append(
        f"The processor cannot be used: see {', '.join(bad)}"
        if bad
        else "The processor can be used"
    )
    return "\n".join(lines)


def _look(name: str, look: Callable[[], str], *, is_needed: bool = False) -> Check:
    try:
        return Check(name, "ok", look(), is_needed)
    except ModuleNotFoundError as error:
        module = str(error.name).partition(".")[0]
        package = {"cuda": "cuda-bindings"}.get(module, module)
        text = f"not installed: run `python -m pip install {package}`"
        return Check(name, "failed" if is_needed else "missing", text, is_needed)
    except TellsError as error:
        return Check(name, _state(error, is_needed=is_needed), str(error), is_needed)
    except Exception as error:  # a broken library may raise anything: that is what is asked here
        first = " ".join(str(error).split())[:160] or type(error).__name__
        return Check(name, "failed", f"does not load ({first}): install it again", is_needed)


def _state(error: TellsError, *, is_needed: bool) -> State:
    is_absent = isinstance(error, LibraryMissing | NoGpu | PlanMissing)
    return "missing" if is_absent and not is_needed else "failed"


def _openvino() -> str:
    importlib.import_module("engines.runtimes.openvino")
    return importlib.metadata.version("openvino")


def _onnxruntime() -> str:
    library = importlib.import_module("onnxruntime")
    on = (
        "processor and CUDA"
        if "CUDAExecutionProvider" in library.get_available_providers()
        else ("processor only: `python -m pip install onnxruntime-gpu` in its place brings CUDA")
    )
    return f"{library.__version__}, {on}"


def _tensorrt(*, starts: bool) -> str:
    trt = load_tensorrt(find_gpus()[0].capability if starts else None)
    if starts:
        log = BuildLog()
        logger = logger_into(log, trt.module)
        try:
            trt.module.Builder(logger)
        except TypeError:
            raise trt.does_not_start(log) from None
    return f"{trt.version}, {', '.join(trt.precisions)}"


def _pycuda(*, opens: bool) -> str:
    if opens:
        with Cuda(0).active():
            pass
    else:
        importlib.import_module("pycuda")
    return importlib.metadata.version("pycuda")


def _bindings() -> str:
    importlib.import_module("cuda.bindings.driver")
    return f"cuda-bindings {importlib.metadata.version('cuda-bindings')}"


def _plan_cache() -> str:
    cache = user_plan_cache()
    keys = cache.keys()
    for key in keys:
        cache.load(key)
    return f"{len(keys)} plan{'' if len(keys) == 1 else 's'} with the right seal in {cache.folder}"


def _parity(folder: str | os.PathLike[str], device: str) -> Check:
    name, is_needed = f"parity {device}", device == "cpu"
    try:
        with open_engine(folder, device) as engine:
            parity = verify(engine)
            parity.check()
    except TellsError as error:
        return Check(name, _state(error, is_needed=is_needed), str(error), is_needed)
    worst = max(d.error for d in parity.outputs)
    text = f"{parity.runtime}: within {worst:.1e} of torch, top-1 agrees on {parity.agreement:.0%}"
    return Check(name, "ok", text, is_needed)

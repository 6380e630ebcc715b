"""What executes a bundle's graph.

A runtime belongs to the thread that opened it: no other may call it. Names, shapes and dtypes are
checked at `run`; behind it the arrays go straight to the library.
"""

import importlib.util
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from engines.bundle import Bundle
from engines.errors import (
    GpuError,
    GraphMismatch,
    LibraryMissing,
    NoGpu,
    RuntimeUnavailable,
    first_line,
)
from engines.gpu import find_gpus
from engines.tensor_specs import Feeds

_LOG = logging.getLogger(__name__)
Floats = NDArray[np.float32]
Precision = Literal["fp32", "fp16", "bf16"]


@dataclass(frozen=True)
class TensorSpec:
    """Shape and dtype of one input or output of a graph."""

    shape: tuple[int | None, ...]
    """None where any size will do: the batch."""
    dtype: str
    """numpy's name, `float32` or `uint8`."""

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join('*' if s is None else str(s) for s in self.shape)}]"


class Runtime(Protocol):
    """An opened graph. Called by the thread that opened it, and by no other."""

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """What `run` takes."""

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        """What `run` returns."""

    @property
    def precision(self) -> Precision:
        """In which numbers it computes; feeds and outputs are the same for all."""

    description: str
    """For people: library, device and precision."""
    max_batch: int
    """So many windows the live loop puts into one call; `run` takes any number."""

    def run(self, feeds: Feeds) -> dict[str, Floats]:
        """All outputs for a batch: new arrays, C-contiguous.

        Raises:
            ValueError: names, dtypes or shapes other than `inputs`, or values that are not finite.
            RuntimeError: called by another thread than the one that opened it, or after closing.
        """

    def close(self) -> None:
        """Release the library's memory."""

    def __enter__(self) -> Self:
        """The runtime itself."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""


def open_runtime(
    bundle: Bundle, device: str = "auto", *, precision: Precision | None = None
) -> Runtime:
    """Open the bundle's graph.

    Args:
        bundle: a loaded bundle.
        device: `cpu` (OpenVINO), `ort` (ONNX Runtime on the processor), `cuda:0` (TensorRT, after
            `python -m engines compile`), `ort-cuda:0` (ONNX Runtime on the GPU), or `auto`: a GPU
            if one is there and usable, else the processor; if one is there and not usable, the
            description says so and a warning says why.
        precision: None takes what is fastest there; OpenVINO computes in bf16 where the processor
            has instructions for it, a GPU in what was compiled or in the bundle's fastest graph.

    Raises:
        RuntimeUnavailable: the device or its library is not there.
        GraphMismatch: the library cannot read the graph.
        GpuError: something happened to the GPU.
    """
    if device == "auto":
        return _open_best(bundle, precision)
    kind, index = split_device(device)
    library = _LIBRARIES[kind]
    # TensorRT and pycuda say themselves how they are installed.
    if library is not None and not _is_installed(library):
        package = "onnxruntime-gpu" if kind == "ort-cuda" else library
        raise LibraryMissing(
            f"Device {device!r} needs the library {package}, which is not installed: "
            f"run `python -m pip install {package}`"
        )
    try:
        return _open(bundle, kind, index, precision)
    except ImportError as error:
        raise LibraryMissing(
            f"Device {device!r}: the library {library} is installed but does not load "
            f"({first_line(error)})"
        ) from None


def split_device(device: str) -> tuple[str, int]:
    """Kind and number: (`cuda`, 0) of `cuda:0` or `cuda`.

    Raises:
        RuntimeUnavailable: there is no such kind.
    """
    kind, _, number = device.partition(":")
    numbered = kind in ("cuda", "ort-cuda") and (device == kind or number.isdecimal())
    if not numbered and device not in ("cpu", "ort"):
        shown = device.partition("://")[0]  # a URL may hold a password
        raise RuntimeUnavailable(
            f"Device {shown!r}: expected auto, cpu (OpenVINO), ort (ONNX Runtime), cuda:0 "
            f"(TensorRT) or ort-cuda:0 (ONNX Runtime on the GPU)"
        )
    return kind, int(number or 0)


def _open_best(bundle: Bundle, precision: Precision | None) -> Runtime:
    """A GPU before the processor; why a GPU that is there is not used is said aloud."""
    unused = ""
    try:
        find_gpus()
    except NoGpu:
        pass  # nothing is amiss: most machines have none
    except RuntimeUnavailable as error:
        unused = error.short
        _LOG.warning("the GPU is not used: %s", error)
    else:
        for device in ("cuda:0", "ort-cuda:0"):
            try:
                return open_runtime(bundle, device, precision=precision)
            except (RuntimeUnavailable, GpuError, GraphMismatch) as error:
                unused = unused or getattr(error, "short", "graph not read")
                _LOG.warning("%s is not used: %s", device, error)
    device = next((d for d in ("cpu", "ort") if _is_installed(_LIBRARIES[d] or "")), "cpu")
    runtime = open_runtime(bundle, device, precision=precision)
    if unused:
        runtime.description += f" (GPU not used: {unused})"
    return runtime


def _open(bundle: Bundle, kind: str, index: int, precision: Precision | None) -> Runtime:
    # Imported here: each library takes a moment and need not be installed.
    if kind == "cuda":
        from engines.runtimes.trt import TrtRuntime

        return TrtRuntime(bundle, index, precision=precision)
    if kind == "cpu":
        from engines.runtimes.openvino import OpenVinoRuntime

        return OpenVinoRuntime(bundle, precision=precision)
    from engines.runtimes.ort import OrtRuntime

    return OrtRuntime(bundle, gpu=index if kind == "ort-cuda" else None, precision=precision)


_LIBRARIES = {"cpu": "openvino", "ort": "onnxruntime", "ort-cuda": "onnxruntime", "cuda": None}


def _is_installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


class Owner:
    """Remembers the thread that opened a runtime, and that it is open."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = threading.current_thread()

    def check(self) -> None:
        """Raise RuntimeError in another thread, or after `close`."""
        if self._thread is None:
            raise RuntimeError("This runtime is closed")
        if self._thread is not threading.current_thread():
            raise RuntimeError(
                f"A runtime is called by the thread that opened it, {self._thread.name}; "
                f"this is {threading.current_thread().name}"
            )

    def close(self) -> None:
        """From now on `check` refuses."""
        self._thread = None


def check_feeds(feeds: Feeds, inputs: Mapping[str, TensorSpec]) -> None:
    """Compare feeds with what a runtime takes, values included.

    Raises:
        ValueError: other names, dtypes or shapes, unequal batches, or values that are not finite.
    """
    check_shapes(feeds, inputs)
    check_finite(feeds)


def check_shapes(feeds: Feeds, inputs: Mapping[str, TensorSpec]) -> None:
    """Compare feeds with what a runtime takes, but for their values.

    Raises:
        ValueError: other names, dtypes or shapes, or unequal batches.
    """
    if set(feeds) != set(inputs):
        raise ValueError(f"Feeds: expected {', '.join(inputs)}; got {', '.join(feeds) or 'none'}")
    batches = set()
    for name, spec in inputs.items():
        array = feeds[name]
        fits = len(array.shape) == len(spec.shape) and all(
            want in (None, have) for want, have in zip(spec.shape, array.shape, strict=True)
        )
        if str(array.dtype) != spec.dtype or not fits:
            raise ValueError(f"Feed {name}: expected {spec}, got {array.dtype} {list(array.shape)}")
        batches.add(array.shape[0])
    if len(batches) != 1 or 0 in batches:
        raise ValueError(f"Feeds: expected one batch size of 1 or more, got {sorted(batches)}")


def check_finite(feeds: Feeds) -> None:
    """Look at every float; bytes are finite, and pictures are most of what is fed.

    Raises:
        ValueError: values that are not finite.
    """
    for name, array in feeds.items():
        if array.dtype.kind != "f":
            continue
        with np.errstate(invalid="ignore", over="ignore"):
            total = array.sum()  # NaN and infinity survive a sum: no array of booleans is needed
        if not np.isfinite(total):
            raise ValueError(f"Feed {name}: holds values that are not finite numbers")

"""One GPU's primary context through pycuda: memory, streams, events, errors with their cure.

- The *primary* context, because TensorRT, ONNX Runtime and torch live in it: `make_context` and
  `pycuda.autoinit` make another one, where their handles mean nothing (inducer/pycuda#242).
- Pushed before a call and popped after it: pycuda aborts a process that ends with a context on its
  stack (NVIDIA/TensorRT#1107).
- Retained once for each thread, until the process ends, as in every program of CUDA's runtime
  library: a release leaves the driver's stack of this thread with a context that is gone.
"""

import atexit
import importlib
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import GpuError, GpuLost, GpuOutOfMemory, LibraryMissing, NoGpu

_LOG = logging.getLogger(__name__)
_NON_BLOCKING = 1
"""`CU_STREAM_NON_BLOCKING`: such a stream does not wait for the legacy default stream."""
_NO_TIMING = 2
"""`CU_EVENT_DISABLE_TIMING`."""
_LOST = (
    "launch failed",
    "illegal",
    "misaligned",
    "assert",
    "ecc",
    "hardware stack",
    "not permitted",
    "nvlink",
    "unknown error",
    "launch timed out",
    "device unavailable",
    "context is destroyed",
    "lost",
)
_contexts: dict[tuple[int, int], Any] = {}
"""(thread, GPU) -> its retained primary context."""


class Cuda:
    """A GPU, for the thread that opened it.

    Raises:
        LibraryMissing: pycuda is not installed, or does not load.
        NoGpu: there is no such GPU.
    """

    def __init__(self, index: int) -> None:
        self._driver = _load_pycuda()
        self._index = index
        key = (threading.get_ident(), index)
        try:
            if key not in _contexts:
                self._driver.init()
                _contexts[key] = self._driver.Device(index).retain_primary_context()
        except self._driver.Error as error:
            raise self._translate(error, opening=True) from None
        self._context = _contexts[key]

    @contextmanager
    def active(self) -> Iterator[None]:
        """The context is current inside; what pycuda raises becomes one of our errors.

        Raises:
            GpuOutOfMemory: of memory on the GPU, or of pinned memory.
            GpuLost: the GPU is gone, or its context is broken for good.
            GpuError: anything else that the driver refuses.
        """
        try:
            self._context.push()
            try:
                yield
            finally:
                self._driver.Context.pop()
        except self._driver.Error as error:
            raise self._translate(error) from None

    def stream(self) -> Any:
        """A new stream."""
        return self._driver.Stream(_NON_BLOCKING)

    def event(self) -> Any:
        """A new event, without a clock."""
        return self._driver.Event(_NO_TIMING)

    def pinned(self, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """Zeros in page-locked memory, from which the GPU copies by itself."""
        array: NDArray[Any] = self._driver.pagelocked_empty(shape, np.dtype(dtype))
        array[...] = 0
        return array

    def allocate(self, num_bytes: int) -> Any:
        """Memory on the GPU; `int(...)` is its address, `free()` gives it back."""
        return self._driver.mem_alloc(num_bytes)

    def upload(self, source: NDArray[Any], target: Any, stream: Any) -> None:
        """Begin to copy pinned memory to the GPU."""
        self._driver.memcpy_htod_async(target, source, stream)

    def download(self, source: Any, target: NDArray[Any], stream: Any) -> None:
        """Begin to copy from the GPU into pinned memory."""
        self._driver.memcpy_dtoh_async(target, source, stream)

    def _translate(self, error: Exception, *, opening: bool = False) -> Exception:
        text = " ".join(str(error).split())[:200]
        device = f"cuda:{self._index}"
        if isinstance(error, self._driver.MemoryError) or "out of memory" in text:
            return out_of_memory(device, text)
        if opening:
            return NoGpu(f"Device '{device}' cannot be opened ({text}): look at `nvidia-smi`")
        broken = isinstance(error, self._driver.LaunchError)
        if broken or any(word in text.lower() for word in _LOST):
            return lost(device, text)
        return GpuError(f"{device}: the driver refuses ({text}); start again, or use --device cpu")


def out_of_memory(device: str, reason: str) -> GpuOutOfMemory:
    """The error, with its cure."""
    return GpuOutOfMemory(
        f"{device}: the GPU has not enough free memory ({reason}); end other programs on it "
        f"(`nvidia-smi` lists them), compile with a smaller --batch, or use --device cpu"
    )


def lost(device: str, reason: str) -> GpuLost:
    """The error, with its cure."""
    return GpuLost(
        f"{device}: the GPU stopped working for this process ({reason}); start again, and if it "
        f"happens again look at `nvidia-smi` and the system's log (Xid errors)"
    )


def _load_pycuda() -> Any:
    try:
        return importlib.import_module("pycuda.driver")
    except ModuleNotFoundError:
        raise LibraryMissing(
            "pycuda is not installed: run `python -m pip install pycuda` (it needs a compiler and "
            "the CUDA toolkit), or use --device ort-cuda:0"
        ) from None
    except (ImportError, OSError) as error:
        first = " ".join(str(error).split())[:160]
        raise LibraryMissing(
            f"pycuda is installed but does not load ({first}): install it again against this "
            f"machine's CUDA, or use --device ort-cuda:0"
        ) from None


@atexit.register
def _release() -> None:
    """pycuda's destructor would detach them as if they were not primary, and complain."""
    while _contexts:
        _, context = _contexts.popitem()
        try:
            context.detach()
        except Exception as error:  # the interpreter ends: nobody is left to care
            _LOG.debug("a context is not released: %s", error)

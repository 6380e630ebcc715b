"""CUDA graphs through `cuda-bindings`: one launch in place of hundreds. pycuda has no capture."""

import importlib
import logging
from collections.abc import Callable
from typing import Any

from engines.errors import GpuError
from engines.runtimes.cuda import lost, out_of_memory

_LOG = logging.getLogger(__name__)
_OUT_OF_MEMORY = 2
_LOST = range(700, 720)
"""Illegal address, launch failed and their like: the context is of no use any more."""


class CudaGraph:
    """Captured kernels; the context that they were captured in is current at each use."""

    def __init__(self, driver: Any, executable: Any) -> None:
        self._driver = driver
        self._executable = executable

    def launch(self, stream: int) -> None:
        """Put it on a stream, given as a handle.

        Raises:
            GpuError: the driver refuses.
        """
        _checked(self._driver.cuGraphLaunch(self._executable, self._driver.CUstream(stream)))

    def close(self) -> None:
        """Give it back."""
        if self._executable is not None:
            _checked(self._driver.cuGraphExecDestroy(self._executable))
            self._executable = None


class CudaGraphs:
    """Captures what is put on a stream."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def capture(self, stream: int, enqueue: Callable[[], None]) -> CudaGraph:
        """What `enqueue` puts on the stream, which is not executed.

        Raises:
            GpuError: something in it cannot be captured; the stream is usable all the same.
        """
        driver = self._driver
        handle = driver.CUstream(stream)
        # Of this thread alone: other threads may allocate meanwhile.
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        _checked(driver.cuStreamBeginCapture(handle, mode))
        try:
            enqueue()
        except BaseException:
            driver.cuStreamEndCapture(handle)  # fails as well, and ends the capture
            raise
        graph = _checked(driver.cuStreamEndCapture(handle))
        try:
            return CudaGraph(driver, _checked(driver.cuGraphInstantiate(graph, 0)))
        finally:
            _checked(driver.cuGraphDestroy(graph))


def load_graphs() -> CudaGraphs | None:
    """CUDA graphs, or None where `cuda-bindings` is not installed: then it works without them."""
    try:
        return CudaGraphs(importlib.import_module("cuda.bindings.driver"))
    except (ImportError, OSError, RuntimeError) as error:
        _LOG.info("no CUDA graphs: cuda-bindings does not load (%s)", error)
        return None


def _checked(result: tuple[Any, ...]) -> Any:
    """The value that follows the status, if any."""
    status, *values = result
    if int(status) == _OUT_OF_MEMORY:
        raise out_of_memory("CUDA graphs", str(status))
    if int(status) in _LOST:
        raise lost("CUDA graphs", str(status))
    if int(status) != 0:
        raise GpuError(f"CUDA graphs: the driver answers {status}; uninstall cuda-bindings")
    return values[0] if values else None

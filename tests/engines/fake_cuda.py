"""A GPU made of numpy: pycuda's driver, cuda-bindings and libcuda, as far as they are called.

Streams are lazy on purpose: nothing is executed before somebody waits for it, so a runtime that
fills memory too early, forgets an event or reads too soon computes something wrong.
"""

import ctypes
import itertools
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Work = Callable[[], None]
_NEVER_WRITTEN = 0xFF
"""Every byte: a NaN as float32, white as a pixel."""


class Error(Exception):
    """`pycuda.driver.Error`."""


class MemoryError(Error):  # noqa: A001  # so it is called there
    """`pycuda.driver.MemoryError`."""


class LaunchError(Error):
    """`pycuda.driver.LaunchError`."""


class FakeGpu:
    """All state of the GPU: its memory by address, its streams, the stack of contexts."""

    def __init__(self) -> None:
        self.memory: dict[int, NDArray[np.uint8]] = {}
        """Bytes: who reads them says of which dtype they are."""
        self.streams: dict[int, Stream] = {}
        self.stack: list[Context] = []
        self.addresses = itertools.count(0x1000, 0x1000)
        self.num_graphs = self.num_launches = 0
        self.launch_status = 0
        self.fail_allocation = self.fail_capture = self.is_lost = False

    def check(self) -> None:
        assert self.stack, "no context is current"
        if self.is_lost:
            raise LaunchError("cuEventSynchronize failed: unspecified launch failure")


class Context:
    gpu: ClassVar[FakeGpu]

    def push(self) -> None:
        self.gpu.stack.append(self)

    @staticmethod
    def pop() -> None:
        Context.gpu.stack.pop()

    def detach(self) -> None:
        assert self not in self.gpu.stack


class Stream:
    def __init__(self, flags: int = 0) -> None:
        Context.gpu.check()
        self.handle = next(Context.gpu.addresses)
        self.queue: list[Work] = []
        self.captured: list[Work] | None = None
        Context.gpu.streams[self.handle] = self

    def put(self, work: Work) -> None:
        Context.gpu.check()
        (self.queue if self.captured is None else self.captured).append(work)

    def wait_for_event(self, event: "Event") -> None:
        self.put(event.run)

    def synchronize(self) -> None:
        Context.gpu.check()
        while self.queue:
            self.queue.pop(0)()


class Event:
    def __init__(self, flags: int = 0) -> None:
        self.before: list[Work] = []

    def record(self, stream: Stream) -> None:
        """All that is on the stream now has to be done; later work has not."""
        reached = SimpleNamespace(is_done=False)

        def mark() -> None:
            reached.is_done = True

        def run() -> None:
            while not reached.is_done:
                stream.queue.pop(0)()

        stream.put(mark)
        self.before = [run]

    def run(self) -> None:
        for work in self.before:
            work()

    def synchronize(self) -> None:
        Context.gpu.check()
        self.run()


class Allocation:
    def __init__(self, num_bytes: int) -> None:
        gpu = Context.gpu
        gpu.check()
        if gpu.fail_allocation:
            raise MemoryError("cuMemAlloc failed: out of memory")
        self.address = next(gpu.addresses)
        gpu.memory[self.address] = np.full(num_bytes, _NEVER_WRITTEN, np.uint8)

    def __int__(self) -> int:
        return self.address


def _upload(target: Allocation, source: NDArray[Any], stream: Stream) -> None:
    assert source.flags.c_contiguous

    def work() -> None:
        Context.gpu.memory[int(target)][: source.nbytes] = source.ravel().view(np.uint8)

    stream.put(work)


def _download(target: NDArray[Any], source: Allocation, stream: Stream) -> None:
    assert target.flags.c_contiguous

    def work() -> None:
        found = Context.gpu.memory[int(source)][: target.nbytes]
        target[...] = found.view(target.dtype).reshape(target.shape)

    stream.put(work)


def _pinned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    Context.gpu.check()
    num_bytes = int(np.prod(shape)) * dtype.itemsize
    return np.full(num_bytes, _NEVER_WRITTEN, np.uint8).view(dtype).reshape(shape)


def fake_pycuda(gpu: FakeGpu) -> ModuleType:
    """`pycuda.driver`, with one GPU."""
    Context.gpu = gpu
    module = ModuleType("pycuda.driver")
    names = {"Context": Context, "Stream": Stream, "Event": Event, "mem_alloc": Allocation}
    errors = {"Error": Error, "MemoryError": MemoryError, "LaunchError": LaunchError}
    vars(module).update(names | errors)
    vars(module).update(
        init=lambda: None,
        Device=lambda index: SimpleNamespace(retain_primary_context=Context),
        pagelocked_empty=_pinned,
        memcpy_htod_async=_upload,
        memcpy_dtoh_async=_download,
    )
    return module


def fake_bindings(gpu: FakeGpu) -> ModuleType:
    """`cuda.bindings.driver`, as far as graphs go."""
    graphs: dict[int, list[Work]] = {}

    def begin(stream: int, mode: str) -> tuple[int]:
        gpu.check()
        gpu.streams[stream].captured = []
        return (0,)

    def end(stream: int) -> tuple[int, int | None]:
        captured, gpu.streams[stream].captured = gpu.streams[stream].captured, None
        if gpu.fail_capture or captured is None:
            return (901, None)
        gpu.num_graphs += 1
        graphs[gpu.num_graphs] = captured
        return (0, gpu.num_graphs)

    def launch(graph: int, stream: int) -> tuple[int]:
        gpu.num_launches += 1
        if gpu.launch_status:
            return (gpu.launch_status,)
        for work in graphs[graph]:
            gpu.streams[stream].put(work)
        return (0,)

    module = ModuleType("cuda.bindings.driver")
    vars(module).update(
        CUstream=int,
        CUstreamCaptureMode=SimpleNamespace(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL="thread"),
        cuStreamBeginCapture=begin,
        cuStreamEndCapture=end,
        cuGraphInstantiate=lambda graph, flags: (0, graph),
        cuGraphDestroy=lambda graph: (0,),
        cuGraphLaunch=launch,
        cuGraphExecDestroy=lambda graph: (0,) if graphs.pop(graph) else (1,),
    )
    return module


class FakeNvml:
    """NVIDIA's management library, called as through ctypes."""

    def __init__(self, release: str) -> None:
        self._release = release
        self.is_open = False

    def nvmlInit_v2(self) -> int:  # noqa: N802
        self.is_open = True
        return 0

    def nvmlSystemGetDriverVersion(self, out: Any, size: int) -> int:  # noqa: N802
        assert self.is_open
        assert size > len(self._release)
        out.value = self._release.encode()
        return 0

    def nvmlShutdown(self) -> int:  # noqa: N802
        self.is_open = False
        return 0


class FakeLibcuda:
    """The driver's library with one GPU, called as through ctypes."""

    def __init__(
        self,
        *,
        init: int = 0,
        count: int = 1,
        version: int = 13000,
        capability: tuple[int, int] = (9, 0),
    ) -> None:
        self.init, self.count, self.version = init, count, version
        self.capability = capability

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self.init

    def cuDriverGetVersion(self, out: Any) -> int:  # noqa: N802
        out._obj.value = self.version
        return 0

    def cuDeviceGetCount(self, out: Any) -> int:  # noqa: N802
        out._obj.value = self.count
        return 0

    def cuDeviceGet(self, out: Any, index: int) -> int:  # noqa: N802
        out._obj.value = index
        return 0

    def cuDeviceGetName(self, out: Any, size: int, device: ctypes.c_int) -> int:  # noqa: N802
        out.value = f"Fake GPU {device.value}".encode()
        return 0

    def cuDeviceTotalMem_v2(self, out: Any, device: ctypes.c_int) -> int:  # noqa: N802
        out._obj.value = 80_000_000_000
        return 0

    def cuDeviceGetAttribute(self, out: Any, attribute: int, device: Any) -> int:  # noqa: N802
        out._obj.value = self.capability[attribute - 75]
        return 0

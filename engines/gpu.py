"""Which NVIDIA GPUs there are: asked of the driver itself, so that no library need be installed."""

import ctypes
import os
import sys
from dataclasses import dataclass, replace
from typing import Any

from engines.errors import DriverBroken, DriverTooOld, NoGpu, RuntimeUnavailable

_NAMES = ("nvcuda.dll",) if sys.platform == "win32" else ("libcuda.so.1", "libcuda.so")
_NVML = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
_MAJOR, _MINOR = 75, 76
"""`CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_...`"""
_TOO_OLD = {35, 803, 804}
"""Insufficient driver, system driver mismatch, compatibility not supported on this device."""
_NO_DEVICE = {34, 100}
"""CUDA's stub library in the driver's place; no device."""
_CURE = (
    "install NVIDIA's driver and look whether `nvidia-smi` lists the GPU; --device cpu does "
    "without, and needs no compiling"
)


@dataclass(frozen=True)
class Gpu:
    """One GPU, as the driver describes it."""

    index: int
    """As in `cuda:0`."""
    name: str
    capability: tuple[int, int]
    """Its compute capability."""
    driver: tuple[int, int]
    """The newest CUDA version that the driver serves."""
    memory_mb: int
    """All of it, MB of 10^6 bytes."""
    release: str = ""
    """The driver's own version, `580.65.06`; empty where nobody tells it, as on Jetsons."""

    def __str__(self) -> str:
        return (
            f"{self.name} (cuda:{self.index}, compute capability {dotted(self.capability)}, "
            f"{self.memory_mb} MB, {self.driver_text})"
        )

    @property
    def driver_text(self) -> str:
        """The driver and what it serves, in words."""
        return " ".join(filter(None, ("driver", self.release, "for CUDA", dotted(self.driver))))


def dotted(version: tuple[int, ...]) -> str:
    """`9.0` of (9, 0)."""
    return ".".join(map(str, version))


def open_driver() -> Any:
    """The driver's library, which loads kernels as they are called for unless told otherwise.

    From CUDA 12.2 on it does so by itself. Before, TensorRT 8.5 has the driver load all of its
    kernels whenever it starts, and asks for this variable in its log; torch sets it, too.

    Raises:
        NoGpu: there is none.
    """
    os.environ.setdefault("CUDA_MODULE_LOADING", "LAZY")  # read by the driver's first call
    for name in _NAMES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise NoGpu(f"This machine has no NVIDIA driver ({_NAMES[0]} does not load): {_CURE}")


def open_nvml() -> Any:
    """NVIDIA's management library, which comes with the driver; None where it is missing."""
    try:
        return ctypes.CDLL(_NVML)
    except OSError:
        return None


def driver_release() -> str:
    """The driver's own version, `580.65.06`; empty where it cannot be asked."""
    library, text = open_nvml(), ctypes.create_string_buffer(96)
    if library is None or library.nvmlInit_v2() != 0:
        return ""
    status = library.nvmlSystemGetDriverVersion(text, len(text))
    library.nvmlShutdown()
    return text.value.decode(errors="replace") if status == 0 else ""


def find_gpus() -> list[Gpu]:
    """All GPUs, at least one.

    Raises:
        NoGpu: there is no driver, or it sees no GPU.
        DriverBroken: it refuses.
        DriverTooOld: the driver does not serve this GPU, or its own kernel module.
    """
    library = open_driver()
    _check(library.cuInit(0), "cuInit")
    count, version = ctypes.c_int(), ctypes.c_int()
    _check(library.cuDriverGetVersion(ctypes.byref(version)), "cuDriverGetVersion")
    _check(library.cuDeviceGetCount(ctypes.byref(count)), "cuDeviceGetCount")
    if count.value < 1:
        raise NoGpu(f"The NVIDIA driver sees no GPU: {_CURE}")
    served = (version.value // 1000, version.value % 1000 // 10)
    release = driver_release()
    return [
        replace(_describe(library, index, served), release=release) for index in range(count.value)
    ]


def find_gpu(index: int) -> Gpu:
    """The GPU of that number.

    Raises:
        NoGpu: there is none of that number.
        DriverTooOld: see `find_gpus`.
    """
    gpus = find_gpus()
    if index >= len(gpus):
        have = ", ".join(f"cuda:{gpu.index} ({gpu.name})" for gpu in gpus)
        raise NoGpu(f"Device 'cuda:{index}': there is no such GPU, this machine has {have}")
    return gpus[index]


def _describe(library: Any, index: int, served: tuple[int, int]) -> Gpu:
    device, memory = ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(256)
    _check(library.cuDeviceGet(ctypes.byref(device), index), "cuDeviceGet")
    _check(library.cuDeviceGetName(name, len(name), device), "cuDeviceGetName")
    _check(library.cuDeviceTotalMem_v2(ctypes.byref(memory), device), "cuDeviceTotalMem")
    capability = []
    for attribute in (_MAJOR, _MINOR):
        value = ctypes.c_int()
        status = library.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        _check(status, "cuDeviceGetAttribute")
        capability.append(value.value)
    major, minor = capability
    text = name.value.decode(errors="replace")
    return Gpu(index, text, (major, minor), served, memory.value // 10**6)


def _check(status: int, call: str) -> None:
    if status == 0:
        return
    error: type[RuntimeUnavailable] = DriverBroken
    if status in _NO_DEVICE:
        error = NoGpu
    elif status in _TOO_OLD:
        error = DriverTooOld
    why = {
        34: "this is CUDA's stub library, not a driver",
        35: "the driver is too old",
        100: "there is no GPU, or CUDA_VISIBLE_DEVICES hides it",
        803: "the driver and its kernel module have different versions: restart the machine",
        804: "this GPU does not work with a newer CUDA than its driver's",
        999: "the driver is not in order",
    }.get(status, "see CUDA's table of errors")
    raise error(f"The NVIDIA driver refuses {call} with error {status} ({why}): {_CURE}")

"""Which TensorRT is installed, and whether it is for the GPU."""

import importlib

from engines.errors import LibraryMissing
from engines.gpu import dotted
from engines.trt_versions import RTX, TensorRt

_OF_RTX, _RTX_SINCE = ((7, 5), (8, 6), (8, 9)), (12, 0)
"""What TensorRT for RTX serves, by NVIDIA's support matrix of 1.7: no GPU of a data centre."""


def load_tensorrt(capability: tuple[int, int] | None = None) -> TensorRt:
    """The installed TensorRT, else the TensorRT for RTX.

    Args:
        capability: of the GPU that it is for; None where it is for none yet.

    Raises:
        LibraryMissing: neither is installed; it does not load, is too old, or not for such a GPU.
    """
    try:
        try:
            return TensorRt(importlib.import_module("tensorrt"))
        except ModuleNotFoundError:
            trt = TensorRt(importlib.import_module(RTX))
            if capability is None or capability in _OF_RTX or capability >= _RTX_SINCE:
                return trt
            raise LibraryMissing(
                f"TensorRT {trt.version} does not serve GPUs of compute capability "
                f"{dotted(capability)}: run `python -m pip install tensorrt` (it needs NVIDIA's "
                f"package index), or use --device ort-cuda:0"
            ) from None
    except ModuleNotFoundError:
        raise LibraryMissing(
            "TensorRT is not installed: run `python -m pip install tensorrt` (it needs NVIDIA's "
            "package index; `tensorrt-rtx`, for GeForce RTX and RTX PRO, does not), or use "
            "--device ort-cuda:0"
        ) from None
    except (ImportError, OSError, AttributeError, RuntimeError) as error:
        first = " ".join(str(error).split())[:160]
        raise LibraryMissing(
            f"TensorRT is installed but does not load ({first}): install the build that fits "
            f"this machine's CUDA, or use --device ort-cuda:0"
        ) from None

"""ONNX Runtime: fp32 on the processor, the reference for exports; or on an NVIDIA GPU.

On the GPU it is the second runtime, for machines without TensorRT. It falls back to the processor
by itself where CUDA does not load, so the opened session is asked what it really uses.
"""

from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from engines.bundle import Bundle
from engines.closing import Closing
from engines.errors import GpuError, GraphMismatch, LibraryMissing, RuntimeUnavailable, first_line
from engines.gpu import find_gpu
from engines.runtimes import Floats, Owner, Precision, TensorSpec, check_feeds
from engines.runtimes.cuda import out_of_memory
from engines.tensor_specs import Feeds

_FATAL_ONLY, _ERRORS_ONLY = 4, 3
_CUDA = "CUDAExecutionProvider"
_UNREADABLE = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


class OrtRuntime(Closing):
    """A graph of the bundle in ONNX Runtime.

    Raises:
        GraphMismatch: ONNX Runtime cannot read the graph.
        RuntimeUnavailable: no such GPU, or this build of ONNX Runtime cannot use it.
        GpuOutOfMemory: the GPU has not enough of it.
    """

    def __init__(
        self, bundle: Bundle, *, gpu: int | None = None, precision: Precision | None = None
    ) -> None:
        onnxruntime.disable_telemetry_events()  # of a library that was imported before ours
        self._device = "the processor" if gpu is None else f"cuda:{gpu}"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY if gpu is None else _FATAL_ONLY
        self.precision = _precision(bundle, gpu, precision)
        where = "CPU" if gpu is None else f"CUDA on {find_gpu(gpu).name}"
        self.description = f"ONNX Runtime {where} {self.precision}"
        self.max_batch = 1 if gpu is None else 16
        providers = _providers(gpu, self.precision)
        path = bundle.graph_path(self.precision)
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except _UNREADABLE as error:
            if gpu is not None and (trouble := self._gpu_trouble(error)):
                raise trouble from None
            raise GraphMismatch(
                f"{path}: ONNX Runtime cannot read this graph ({first_line(error)})"
            ) from None
        if gpu is not None and _CUDA not in session.get_providers():
            raise LibraryMissing(
                "ONNX Runtime's CUDA provider does not load: install the CUDA and cuDNN libraries "
                'that it names, `python -m pip install "onnxruntime-gpu[cuda,cudnn]"`'
            )
        self._session: Any = session
        self._owner = Owner()
        self.inputs = {i.name: _spec(i) for i in session.get_inputs()}
        self.outputs = {o.name: _spec(o) for o in session.get_outputs()}

    def run(self, feeds: Feeds) -> dict[str, Floats]:
        """See `Runtime.run`.

        Raises:
            GpuError: something happened to the GPU.
        """
        self._owner.check()
        check_feeds(feeds, self.inputs)
        names, arrays = list(self.outputs), {n: np.ascontiguousarray(a) for n, a in feeds.items()}
        try:
            results = self._session.run(names, arrays)
        except _UNREADABLE as error:
            raise self._gpu_trouble(error) or error from None
        return dict(zip(names, results, strict=True))

    def close(self) -> None:
        """See `Runtime.close`."""
        self._owner.close()
        self._session = None

    def _gpu_trouble(self, error: Exception) -> GpuError | None:
        """What a library's error says of the GPU, if anything."""
        text = str(error)
        if "Failed to allocate memory" in text or "out of memory" in text:
            return out_of_memory(self._device, first_line(error))
        if "CUDA" in text or "CUDNN" in text or "CUBLAS" in text:
            return GpuError(
                f"{self._device}: CUDA refuses ({first_line(error)}); start again, look at "
                f"`nvidia-smi`, or use --device cpu"
            )
        return None


def _precision(bundle: Bundle, gpu: int | None, wanted: Precision | None) -> Precision:
    if gpu is None:
        if wanted not in (None, "fp32"):
            raise RuntimeUnavailable(
                f"Device 'ort' computes in fp32 only, got precision {wanted!r}: use --device cpu"
            )
        return "fp32"
    if wanted == "bf16":
        raise RuntimeUnavailable(
            "ONNX Runtime lacks bf16 for some operations of these graphs: take --precision fp16 or "
            "fp32, or compile for TensorRT (`python -m engines compile`)"
        )
    if wanted is not None:
        return wanted
    has = {graph.precision for graph in bundle.manifest.graphs}
    return "fp16" if "fp16" in has else "fp32"


def _providers(gpu: int | None, precision: Precision) -> list[Any]:
    if gpu is None:
        return ["CPUExecutionProvider"]
    if _CUDA not in onnxruntime.get_available_providers():
        raise LibraryMissing(
            "This ONNX Runtime is the build without CUDA: run `python -m pip uninstall "
            "onnxruntime` and `python -m pip install onnxruntime-gpu`"
        )
    if hasattr(onnxruntime, "preload_dlls"):  # since 1.21: those of the nvidia-* packages
        onnxruntime.preload_dlls()
    # 10 bits of mantissa are not fp32; in a typed graph the fp32 parts are no products.
    settings = {"device_id": str(gpu), "use_tf32": "0" if precision == "fp32" else "1"}
    return [(_CUDA, settings), "CPUExecutionProvider"]


def _spec(argument: Any) -> TensorSpec:
    names = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}
    dtype = names.get(argument.type, argument.type)
    return TensorSpec(tuple(s if isinstance(s, int) else None for s in argument.shape), dtype)

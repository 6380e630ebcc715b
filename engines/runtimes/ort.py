"""ONNX Runtime on the processor, fp32: the reference for exports, and the second CPU runtime."""

from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from engines.bundle import Bundle
from engines.closing import Closing
from engines.errors import GraphMismatch
from engines.runtimes import Feeds, Floats, Owner, Precision, TensorSpec, check_feeds, first_line

_ERRORS_ONLY = 3
_UNREADABLE = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


class OrtRuntime(Closing):
    """The fp32 graph in ONNX Runtime's CPUExecutionProvider.

    Raises:
        GraphMismatch: ONNX Runtime cannot read the graph.
    """

    precision: Precision = "fp32"
    description = "ONNX Runtime CPU fp32"

    def __init__(self, bundle: Bundle) -> None:
        onnxruntime.disable_telemetry_events()  # some builds for Windows have them
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        path = bundle.graph_path("fp32")
        try:
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except _UNREADABLE as error:
            raise GraphMismatch(
                f"{path}: ONNX Runtime cannot read this graph ({first_line(error)})"
            ) from None
        self._session: Any = session
        self._owner = Owner()
        self.inputs = {i.name: _spec(i) for i in session.get_inputs()}
        self.outputs = {o.name: _spec(o) for o in session.get_outputs()}

    def run(self, feeds: Feeds) -> dict[str, Floats]:
        """See `Runtime.run`."""
        self._owner.check()
        check_feeds(feeds, self.inputs)
        names = list(self.outputs)
        results = self._session.run(names, {n: np.ascontiguousarray(a) for n, a in feeds.items()})
        return dict(zip(names, results, strict=True))

    def close(self) -> None:
        """See `Runtime.close`."""
        self._owner.close()
        self._session = None


def _spec(argument: Any) -> TensorSpec:
    dtype = {"tensor(float)": "float32"}.get(argument.type, argument.type)
    return TensorSpec(tuple(s if isinstance(s, int) else None for s in argument.shape), dtype)

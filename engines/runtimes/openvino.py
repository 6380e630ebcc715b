"""OpenVINO on the processor: bf16 where the processor is faster in it, fp32 elsewhere.

`import openvino` on its own reports to Google Analytics: its package imports its conversion tools,
and these send an event from a forked process (seen with strace in 2026.4.1). It goes on without the
tools where they cannot be imported, so they are shut out first. Nobody else may import openvino.
"""

import functools
import logging
import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from engines.bundle import Bundle
from engines.closing import Closing
from engines.errors import GraphMismatch, RuntimeUnavailable, first_line
from engines.runtimes import Floats, Owner, Precision, TensorSpec, check_feeds
from engines.tensor_specs import Feeds

for _sender in ("openvino.tools.ovc", "openvino_telemetry"):
    sys.modules.setdefault(_sender, None)  # type: ignore[arg-type]  # None: `import` refuses
import openvino  # noqa: E402
from openvino import opset13 as opset  # noqa: E402

_LOG = logging.getLogger(__name__)
_SMALL_GRAPH = 32 * 2**20
"""Bytes. A graph below this gets one thread: with a second one the demo's took 45 ms instead of
62 ms, but 90 ms of processor time instead of 65 ms, and perception needs that.
"""


class OpenVinoRuntime(Closing):
    """The fp32 graph compiled by OpenVINO for this processor.

    Raises:
        RuntimeUnavailable: bf16 was asked for and the processor does not compute in it.
        GraphMismatch: OpenVINO cannot read the graph.
    """

    def __init__(self, bundle: Bundle, *, precision: Precision | None = None) -> None:
        core = _core()
        self.precision = _precision(core, precision)
        path = bundle.graph_path("fp32")
        manifest = bundle.manifest
        try:
            model = core.read_model(path)
            inputs = {_name(port, manifest.feeds): port for port in model.inputs}
            outputs = {
                _name(port, [o.name for o in manifest.outputs]): port for port in model.outputs
            }
            self.inputs = {name: _spec(port) for name, port in inputs.items()}
            self.outputs = {name: _spec(port) for name, port in outputs.items()}
            # One window at a time: with all shapes known the demo's takes 21 ms in place of 25 in
            # bf16, 30 in place of 34 in fp32; four one after another as long as four together.
            model.reshape({port: [1, *self.inputs[n].shape[1:]] for n, port in inputs.items()})
            self._compiled: Any = core.compile_model(
                model,
                "CPU",
                {
                    "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[self.precision],
                    "INFERENCE_NUM_THREADS": 1 if path.stat().st_size < _SMALL_GRAPH else 0,
                },
            )
        except RuntimeError as error:
            raise GraphMismatch(
                f"{path}: OpenVINO cannot read this graph ({_reason(error)})"
            ) from None
        self._request: Any = self._compiled.create_infer_request()
        self._owner = Owner()
        self.description = f"OpenVINO CPU {self.precision}"
        self.max_batch = 1
        _LOG.info("%s opened for %s", self.description, manifest.id)

    def run(self, feeds: Feeds) -> dict[str, Floats]:
        """See `Runtime.run`."""
        self._owner.check()
        check_feeds(feeds, self.inputs)
        arrays = [np.ascontiguousarray(feeds[name]) for name in self.inputs]
        rows: dict[str, list[Floats]] = {name: [] for name in self.outputs}
        for i in range(len(arrays[0])):
            results = self._request.infer([a[i : i + 1] for a in arrays], share_inputs=True)
            for k, row in enumerate(rows.values()):
                row.append(np.array(results[k]))  # its own memory is overwritten by the next one
        return {name: np.concatenate(row) for name, row in rows.items()}

    def close(self) -> None:
        """See `Runtime.close`."""
        self._owner.close()
        self._request = None
        self._compiled = None


@functools.cache
def _core() -> Any:
    """One for the whole process, which keeps the processor's plugin loaded.

    Each plugin gives its thread a signal stack of its own and restores the one before it when it
    goes. Of two that do not go in reverse order the second restores what the first has freed, and
    the next signal, Ctrl-C say, ends the process (seen in 2026.4.1).
    """
    return openvino.Core()


def _precision(core: Any, wanted: Precision | None) -> Precision:
    if wanted == "fp16":
        raise RuntimeUnavailable("Precision fp16: processors compute in fp32 or bf16, use one")
    has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if wanted == "bf16" and not has_bf16:
        raise RuntimeUnavailable(
            "Precision bf16: this processor has no instructions for it, use fp32"
        )
    if wanted is None:
        return "bf16" if has_bf16 and _bf16_is_faster() else "fp32"
    return wanted


@functools.cache
def _bf16_is_faster() -> bool:
    """Measured, because having the instructions does not mean that they are fast.

    With matrix tiles (AMX) bf16 takes two thirds of fp32's time, with AVX-512's instructions alone
    half as much again (9.3 ms against 15 ms for this product on two such cores).
    """
    times = {precision: _time_product(precision) for precision in ("f32", "bf16")}
    _LOG.info("a product takes %s s", times)
    return times["bf16"] < times["f32"]


def _time_product(precision: str) -> float:
    """Seconds of the fastest of five matrix products of a transformer's size."""
    rows, width = 392, 768
    x = opset.parameter([rows, width], np.float32)
    weights = opset.constant(np.full((width, 4 * width), 0.01, np.float32))
    product = openvino.Model([opset.matmul(x, weights, False, False)], [x], "product")
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
    request = _core().compile_model(product, "CPU", config).create_infer_request()
    ones = np.ones((rows, width), np.float32)
    request.infer([ones])
    times = []
    for _ in range(5):
        started = time.perf_counter()
        request.infer([ones])
        times.append(time.perf_counter() - started)
    return min(times)


def _name(port: Any, wanted: Iterable[str]) -> str:
    """A port may have several names, those of inner tensors among them: prefer the manifest's."""
    names: set[str] = port.get_names()
    return min(names & set(wanted) or names or {"unnamed"})


def _spec(port: Any) -> TensorSpec:
    shape = tuple(d.get_length() if d.is_static else None for d in port.get_partial_shape())
    return TensorSpec(shape, str(np.dtype(port.get_element_type().to_dtype())))


def _reason(error: Exception) -> str:
    """The most telling line of OpenVINO's many: the last that is not a source location."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [x for x in lines if x and not x.startswith(("Check '", "Exception from"))]
    return telling[-1][:160] if telling else first_line(error)

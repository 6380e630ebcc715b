"""TensorRT on one GPU: a plan from the cache, run in batches of the sizes that it was compiled for.

- Two slots of pinned and of GPU memory: while the GPU works on one, the processor fills the other
  and the copy engine uploads it, on a stream of its own. Events put them in order.
- Each batch size has an execution context, and with each slot a CUDA graph, where `cuda-bindings`
  is installed; else its kernels are launched one by one.
- A batch is cut into the compiled sizes; what is left over runs in a larger one with idle rows.
"""

import contextlib
import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.build_log import BuildLog, logger_into
from engines.bundle import Bundle
from engines.closing import Closing
from engines.compile import find_plan
from engines.errors import GpuError, PlanTampered
from engines.gpu import find_gpu
from engines.load_trt import load_tensorrt
from engines.plan_cache import user_plan_cache
from engines.runtimes import (
    Floats,
    Owner,
    Precision,
    TensorSpec,
    check_finite,
    check_shapes,
)
from engines.runtimes.batches import cut
from engines.runtimes.cuda import Cuda, out_of_memory
from engines.runtimes.cuda_graphs import CudaGraph, load_graphs
from engines.tensor_specs import Feeds

_LOG = logging.getLogger(__name__)
_SLOTS = 2


@dataclass
class _Slot:
    """Memory for one batch on its way."""

    staged: dict[str, NDArray[Any]]
    """Pinned, by input, in its dtype, as long as the largest batch."""
    fetched: dict[str, NDArray[Any]]
    """The same by output."""
    memory: dict[str, Any]
    """On the GPU, by input and output."""
    uploaded: Any
    done: Any
    """Events."""
    rows: range | None = None
    """Which of the call's windows are in it; None where nothing is on its way."""
    graphs: dict[int, CudaGraph] = field(default_factory=dict)
    """By batch size."""


class TrtRuntime(Closing):
    """A compiled plan on a GPU. Called by the thread that opened it, and by no other.

    Raises:
        RuntimeUnavailable: no GPU, driver, TensorRT, pycuda or plan.
        GpuOutOfMemory: the plan does not fit beside what else is on the GPU.
    """

    def __init__(
        self, bundle: Bundle, index: int = 0, *, precision: Precision | None = None
    ) -> None:
        gpu, cache = find_gpu(index), user_plan_cache()
        trt = load_tensorrt(gpu.capability)
        key, plan = find_plan(bundle, gpu, trt, precision, cache)
        self.precision: Precision = key.precision  # type: ignore[assignment]  # `find_plan` asked
        self.description = f"TensorRT {trt.version} {self.precision} on {gpu.name}"
        self._device = f"cuda:{index}"
        self._batches = key.batches
        # Two of the largest: one is copied while the other is computed.
        self.max_batch = _SLOTS * key.batches[-1]
        self._trt = trt
        self._log = BuildLog()
        self._cuda = Cuda(index)
        self._owner = Owner()
        self._contexts: dict[int, Any] = {}
        self._slots: list[_Slot] = []
        self._engine: Any = None
        self._runtime: Any = None
        self._uploads: Any = None
        self._compute: Any = None
        try:
            with self._cuda.active():
                self._open(plan, logger_into(self._log, trt.module))
        except BaseException as error:
            self.close()
            if isinstance(error, PlanTampered):
                cache.remove(key)  # its seal is right: `compile` would take it for good
            raise
        _LOG.info("%s opened for %s, batches %s", self.description, key.graph[:12], key.batches)

    def run(self, feeds: Feeds) -> dict[str, Floats]:
        """See `Runtime.run`.

        Raises:
            GpuError: something happened to the GPU.
        """
        self._owner.check()
        check_shapes(feeds, self.inputs)
        num_windows = len(next(iter(feeds.values())))
        outputs = {
            name: np.empty((num_windows, *_row(spec)), np.float32)
            for name, spec in self.outputs.items()
        }
        with self._cuda.active():
            try:
                for turn, (rows, batch) in enumerate(cut(num_windows, self._batches)):
                    slot = self._slots[turn % _SLOTS]
                    self._collect(slot, outputs)
                    self._begin(slot, rows, batch, feeds)
                    # While the GPU computes: what it makes of bad values is not looked at.
                    check_finite({n: a[rows.start : rows.stop] for n, a in feeds.items()})
                for slot in sorted(self._slots, key=lambda s: s.rows.start if s.rows else -1):
                    self._collect(slot, outputs)
            finally:
                self._settle()
        return outputs

    def close(self) -> None:
        """See `Runtime.close`."""
        if self._engine is None:
            self._owner.close()
            return
        self._owner.check()
        try:
            with self._cuda.active():
                self._settle()
                for slot in self._slots:
                    for graph in slot.graphs.values():
                        graph.close()
                self._drop()
        except GpuError as error:  # what broke the GPU was raised where it happened
            _LOG.warning("closing %s: %s", self.description, error)
        finally:
            self._drop()
            self._owner.close()

    def _drop(self) -> None:
        """In this order: TensorRT's objects must go before those that they were made of."""
        self._contexts.clear()
        self._slots.clear()
        self._engine = None
        self._runtime = None
        self._uploads = self._compute = None

    def _open(self, plan: bytes, logger: Any) -> None:
        try:
            self._runtime = self._trt.module.Runtime(logger)
        except TypeError:  # "factory function returned nullptr"
            raise self._trt.does_not_start(self._log) from None
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            if self._log.is_of_memory:
                raise out_of_memory(self._device, self._log.reason)
            raise PlanTampered(
                f"TensorRT does not load the compiled plan, which is deleted ({self._log.reason}): "
                f"run `python -m engines compile` again"
            )
        self.inputs, self.outputs = self._specs("INPUT"), self._specs("OUTPUT")
        self._uploads, self._compute = self._cuda.stream(), self._cuda.stream()
        self._slots += [self._slot() for _ in range(_SLOTS)]
        for profile, batch in enumerate(self._batches):
            self._contexts[batch] = self._context(profile, batch)
        self._warm_up()

    def _specs(self, mode: str) -> dict[str, TensorSpec]:
        engine, wanted = self._engine, getattr(self._trt.module.TensorIOMode, mode)
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        return {
            # Any number of windows may come: they are cut into what was compiled.
            name: TensorSpec(
                (None, *map(int, tuple(engine.get_tensor_shape(name))[1:])),
                self._trt.type_name(engine.get_tensor_dtype(name)),
            )
            for name in names
            if engine.get_tensor_mode(name) == wanted
        }

    def _slot(self) -> _Slot:
        most = self._batches[-1]

        def pinned(specs: dict[str, TensorSpec]) -> dict[str, NDArray[Any]]:
            return {n: self._cuda.pinned((most, *_row(s)), s.dtype) for n, s in specs.items()}

        staged, fetched = pinned(self.inputs), pinned(self.outputs)
        return _Slot(
            staged=staged,
            fetched=fetched,
            memory={n: self._cuda.allocate(a.nbytes) for n, a in (staged | fetched).items()},
            uploaded=self._cuda.event(),
            done=self._cuda.event(),
        )

    def _context(self, profile: int, batch: int) -> Any:
        context = self._trt.context(self._engine)
        if context is None:
            raise self._failure()
        if not context.set_optimization_profile_async(profile, self._compute.handle):
            raise self._failure()
        self._compute.synchronize()
        for name, spec in self.inputs.items():
            if not context.set_input_shape(name, (batch, *_row(spec))):
                raise self._failure()
        return context

    def _warm_up(self) -> None:
        """Once through everything: kernels are loaded, and then captured."""
        graphs = load_graphs()
        for batch in self._batches:
            for slot in self._slots:
                self._enqueue(slot, batch)
                self._compute.synchronize()
                if graphs is not None:
                    graphs = self._capture(graphs, slot, batch)

    def _capture(self, graphs: Any, slot: _Slot, batch: int) -> Any:
        try:
            slot.graphs[batch] = graphs.capture(
                self._compute.handle, lambda: self._enqueue(slot, batch)
            )
        except GpuError as error:
            _LOG.warning("%s: without CUDA graphs (%s)", self.description, error)
            self._log.errors.clear()
            return None
        return graphs

    def _begin(self, slot: _Slot, rows: range, batch: int, feeds: Feeds) -> None:
        slot.rows = rows
        for name, array in feeds.items():
            slot.staged[name][: len(rows)] = array[rows.start : rows.stop]
            self._cuda.upload(slot.staged[name][:batch], slot.memory[name], self._uploads)
        slot.uploaded.record(self._uploads)
        self._compute.wait_for_event(slot.uploaded)
        if batch in slot.graphs:
            slot.graphs[batch].launch(self._compute.handle)
        else:
            self._enqueue(slot, batch)
        for name, array in slot.fetched.items():
            self._cuda.download(slot.memory[name], array[:batch], self._compute)
        slot.done.record(self._compute)

    def _collect(self, slot: _Slot, outputs: dict[str, Floats]) -> None:
        if slot.rows is None:
            return
        slot.done.synchronize()
        for name, array in slot.fetched.items():
            outputs[name][slot.rows.start : slot.rows.stop] = array[: len(slot.rows)]
        slot.rows = None

    def _enqueue(self, slot: _Slot, batch: int) -> None:
        context = self._contexts[batch]
        for name, memory in slot.memory.items():
            context.set_tensor_address(name, int(memory))
        if not context.execute_async_v3(self._compute.handle):
            raise self._failure()

    def _settle(self) -> None:
        """After an error: nothing may still read the pinned memory when the next call fills it."""
        if any(slot.rows is not None for slot in self._slots):
            for slot in self._slots:
                slot.rows = None
            with contextlib.suppress(Exception):  # the first error is on its way
                self._uploads.synchronize()
                self._compute.synchronize()

    def _failure(self) -> GpuError:
        reason = self._log.reason
        if self._log.is_of_memory:
            return out_of_memory(self._device, reason)
        return GpuError(
            f"{self._device}: TensorRT cannot run the plan ({reason}); start again, or use "
            f"--device ort-cuda:{self._device.partition(':')[2]}"
        )


def _row(spec: TensorSpec) -> tuple[int, ...]:
    """The shape without the batch."""
    return tuple(size for size in spec.shape[1:] if size is not None)

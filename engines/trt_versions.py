"""What differs between TensorRT 8.5, 10, 11 and TensorRT for RTX, and nothing else.

|                     | 8.5 (CUDA 11, JetPack 5) | 10                    | 11, RTX     |
|---------------------|--------------------------|-----------------------|-------------|
| explicit batch      | flag                     | always                | always      |
| strong typing       | not there                | flag                  | always      |
| fp16                | builder flag, by layer   | the graph's own types | as in 10    |
| bf16                | not there                | the graph's own types | as in 10    |
| progress monitor    | not there                | `config.progress_...` | as in 10    |
| opset               | up to 16 (`--opset 16`)  | up to 22              | as in 10    |

TensorRT for RTX is NVIDIA's own TensorRT for GeForce and RTX GPUs, with versions of its own and
kernels that are made when a plan is opened. It builds without a GPU, and is on PyPI as a whole.

Alike in all: `execute_async_v3`, tensors by name, profiles, memory pools, timing caches (but for
RTX); uint8 for a network's inputs alone, where a Cast to a float follows.
"""

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engines.build_log import BuildLog, logger_into
from engines.build_progress import BuildProgress
from engines.errors import (
    CompileError,
    DriverTooOld,
    GraphMismatch,
    LibraryMissing,
    RuntimeUnavailable,
)

OLDEST = (8, 5)
_TYPED_SINCE = (10, 0)
_ALWAYS_TYPED_SINCE = (11, 0)
_FP32_LAYERS = ("SOFTMAX", "REDUCE", "UNARY")
_FP32_MARK = "_fp32"
"""Kinds and names of an 8.5 network's layers that overflow or lose too much in fp16; an export with
`--opset 16` marks the parts of norms so."""


RTX = "tensorrt_rtx"


@dataclass(frozen=True)
class Build:
    """What is asked of one build."""

    graph: bytes
    """An ONNX file's content."""
    name: str
    """Its path, for messages."""
    precision: str
    batches: tuple[int, ...]
    """An optimisation profile each: least, best and most at once, so that kernels fit exactly.
    A single one is fixed in the network itself, whose shapes are then all known."""
    timings: bytes
    """An earlier build's timing cache, or nothing."""


class TensorRt:
    """The installed TensorRT, of whatever version.

    Raises:
        LibraryMissing: it is older than `OLDEST`.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        self.version: str = module.__version__
        self._parts = tuple(int(p) for p in self.version.split(".")[:3] if p.isdigit())
        self.is_rtx: bool = module.__name__ == RTX
        if self.is_rtx:
            self.version, self._parts = f"for RTX {self.version}", _ALWAYS_TYPED_SINCE
        if self._parts < OLDEST:
            raise LibraryMissing(
                f"TensorRT {self.version} is too old, 8.5 or newer is needed: "
                f'run `python -m pip install "tensorrt>=10.13,<12"`'
            )

    @property
    def is_typed(self) -> bool:
        """True where the graph's own types are the precision; else a builder flag is."""
        return self._parts >= _TYPED_SINCE

    @property
    def has_progress(self) -> bool:
        """True where a build reports how far it is."""
        return hasattr(self.module, "IProgressMonitor")

    @property
    def precisions(self) -> tuple[str, ...]:
        """What it computes in, the fastest first."""
        return ("fp16", "bf16", "fp32") if self.is_typed else ("fp16", "fp32")

    def graph_precision(self, precision: str, available: tuple[str, ...]) -> str:
        """Which of a bundle's graphs a plan of that precision is made of.

        Raises:
            CompileError: this version cannot compute so, or the bundle lacks the graph.
        """
        if precision not in self.precisions:
            raise CompileError(
                f"TensorRT {self.version} does not compute in {precision}, "
                f"use one of {', '.join(self.precisions)}"
            )
        if not self.is_typed:
            return "fp32"  # its builder chooses types; it would see Casts as work
        if precision not in available:
            raise CompileError(
                f"TensorRT {self.version} takes the precision from the graph, and this bundle has "
                f"none in {precision} (it has {', '.join(available)}): "
                f"run `python -m train export ... --precision {precision}`"
            )
        return precision

    def context(self, engine: Any) -> Any:
        """A new execution context, with no more memory than its profile needs where that is known.

        Without a word about it each context takes what the largest profile needs.
        """
        strategies = getattr(self.module, "ExecutionContextAllocationStrategy", None)
        if strategies is None:
            return engine.create_execution_context()
        return engine.create_execution_context(strategies.ON_PROFILE_CHANGE)

    def type_name(self, data_type: Any) -> str:
        """Numpy's name of what a bundle may be fed, TensorRT's own of anything else.

        Its `nptype` of 8.5 asks numpy for what numpy no longer has.
        """
        types = self.module.DataType
        return {types.FLOAT: "float32", types.UINT8: "uint8"}.get(data_type, str(data_type))

    def does_not_start(self, log: BuildLog) -> RuntimeUnavailable:
        """The error for a builder or runtime that TensorRT refuses to make."""
        reason = log.reason
        if "driver" in reason.lower() or "error: 35" in reason or "error code: 35" in reason:
            return DriverTooOld(
                f"TensorRT {self.version} does not start ({reason}): install a newer NVIDIA "
                f"driver, or a TensorRT for an older CUDA; or use --device cpu"
            )
        return RuntimeUnavailable(
            f"TensorRT {self.version} does not start ({reason}): look at `nvidia-smi` and run "
            f"`python -m engines doctor`"
        )

    def build(self, wanted: Build, progress: BuildProgress) -> tuple[bytes | None, bytes]:
        """Compile a graph.

        Returns:
            The plan, None where `progress` was cancelled; and the timing cache as it is afterwards,
            empty where this TensorRT has none.

        Raises:
            GraphMismatch: the parser does not read the graph.
            CompileError: the builder finds no way, or the GPU's memory does not suffice.
        """
        try:
            return self._build(wanted, progress)
        except BaseException as error:
            # The traceback's frames hold TensorRT's objects. Collected later as garbage, perhaps
            # while TensorRT logs, they wait for a lock that it holds: seen with TensorRT for RTX.
            traceback.clear_frames(error.__traceback__)
            raise

    def _build(self, wanted: Build, progress: BuildProgress) -> tuple[bytes | None, bytes]:
        log = BuildLog()
        logger = logger_into(log, self.module)
        try:
            builder = self.module.Builder(logger)
        except TypeError:  # "factory function returned nullptr": the reason is in the log
            raise self.does_not_start(log) from None
        network = builder.create_network(self._network_flags())
        # Its weights lie in the parser, which therefore lives until the plan is made.
        parser = self._parse(network, logger, wanted)
        config = builder.create_builder_config()
        self._set_precision(config, network, wanted.precision)
        if len(wanted.batches) == 1:
            _fix_batch(network, wanted.batches[0])
        else:
            for batch in wanted.batches:
                self._add_profile(builder, config, network, batch)
        timings = None if self.is_rtx else _timing_cache(config, wanted.timings)
        monitor = self._monitor(progress) if self.has_progress else None
        if monitor is not None:
            config.progress_monitor = monitor
        plan = builder.build_serialized_network(network, config)
        del parser, monitor
        measured = b"" if timings is None else bytes(timings.serialize())
        if progress.is_cancelled:
            return None, measured
        if plan is None:
            raise CompileError(
                f"{wanted.name}: TensorRT {self.version} makes no plan in {wanted.precision} for "
                f"batches of {', '.join(map(str, wanted.batches))}: {log.reason}"
            )
        return bytes(plan), measured

    def _network_flags(self) -> int:
        flags = self.module.NetworkDefinitionCreationFlag
        if self._parts >= _ALWAYS_TYPED_SINCE:
            return 0
        chosen = flags.STRONGLY_TYPED if self.is_typed else flags.EXPLICIT_BATCH
        return 1 << int(chosen)

    def _parse(self, network: Any, logger: Any, wanted: Build) -> Any:
        parser = self.module.OnnxParser(network, logger)
        if parser.parse(wanted.graph):
            return parser
        first = _first_refusal(parser)
        cure = (
            ""
            if self.is_typed
            else "; TensorRT 10 reads it, 8.5 what `train export --opset 16` writes"
        )
        raise GraphMismatch(
            f"{wanted.name}: TensorRT {self.version} cannot read this graph ({first}){cure}"
        )

    def _set_precision(self, config: Any, network: Any, precision: str) -> None:
        flags = self.module.BuilderFlag
        if precision == "fp32":
            config.clear_flag(flags.TF32)  # 10 bits of mantissa are not fp32
        elif not self.is_typed:
            config.set_flag(flags.FP16)
            config.set_flag(flags.OBEY_PRECISION_CONSTRAINTS)
            for layer in self._delicate_layers(network):
                layer.precision = self.module.DataType.FLOAT

    def _delicate_layers(self, network: Any) -> Iterator[Any]:
        kinds = [getattr(self.module.LayerType, name, None) for name in _FP32_LAYERS]
        for index in range(network.num_layers):
            layer = network.get_layer(index)
            is_delicate = layer.type in kinds or _FP32_MARK in layer.name
            # A shape computed by a reduction has no precision to choose.
            if is_delicate and layer.get_output(0).dtype == self.module.DataType.FLOAT:
                yield layer

    def _add_profile(self, builder: Any, config: Any, network: Any, batch: int) -> None:
        profile = builder.create_optimization_profile()
        for index in range(network.num_inputs):
            tensor = network.get_input(index)
            shape = (batch, *tuple(tensor.shape)[1:])
            profile.set_shape(tensor.name, shape, shape, shape)
        if config.add_optimization_profile(profile) < 0:
            raise CompileError(f"TensorRT {self.version} refuses batches of {batch}")

    def _monitor(self, progress: BuildProgress) -> Any:
        methods = {
            "phase_start": lambda _, name, parent, num_steps: progress.start(
                name, parent, num_steps
            ),
            "step_complete": lambda _, name, step: progress.step(name, step),
            "phase_finish": lambda _, name: progress.finish(name),
        }
        return type("Monitor", (self.module.IProgressMonitor,), methods)()


def _first_refusal(parser: Any) -> str:
    """Why, and of which operator where this version tells it."""
    if not parser.num_errors:
        return "no reason given"
    error = parser.get_error(0)
    operator = str(error.node_operator()) if hasattr(error, "node_operator") else ""
    return " ".join(f"{operator and f'{operator}: '}{error.desc()}".split())[:240]


def _timing_cache(config: Any, timings: bytes) -> Any:
    """The build's; a new one where what an earlier one measured does not fit after all."""
    cache = config.create_timing_cache(timings)
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def _fix_batch(network: Any, batch: int) -> None:
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        tensor.shape = (batch, *tuple(tensor.shape)[1:])

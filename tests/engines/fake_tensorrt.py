"""TensorRT of three generations, as far as the project calls them; ONNX Runtime computes.

What a generation lacks is really absent here, and what it refuses is refused, so the version layer
cannot get away with one way for all.
"""

import json
from collections.abc import Callable
from enum import IntEnum
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime

from tests.engines.fake_cuda import FakeGpu

Log = Callable[[int, str], None]
_NUMPY = {"float": np.float32, "uint8": np.uint8}


class Severity(IntEnum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class ILogger:
    INTERNAL_ERROR, ERROR = Severity.INTERNAL_ERROR, Severity.ERROR

    def log(self, severity: Severity, message: str) -> None:
        raise AssertionError("a logger must say how it logs")


class Network:
    """Made with the flags that the generation wants."""

    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.graph = b""
        self.layers: list[Any] = []
        self.inputs: list[Any] = []

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    def get_layer(self, index: int) -> Any:
        return self.layers[index]

    def get_input(self, index: int) -> Any:
        return self.inputs[index]


class OnnxParser:
    def __init__(self, network: Network, logger: ILogger) -> None:
        self.network, self.errors = network, [""]

    @property
    def num_errors(self) -> int:
        return len(self.errors)

    def get_error(self, index: int) -> Any:
        return SimpleNamespace(desc=lambda: self.errors[index])

    def parse(self, graph: bytes) -> bool:
        try:
            model = onnx.load_from_string(graph)
            onnx.checker.check_model(model)
        except Exception as error:
            self.errors = [f"ModelImporter.cpp:1\n{error}"]
            return False
        self.network.graph = graph
        for value in model.graph.input:
            readers = {node.op_type for node in model.graph.node if value.name in node.input}
            kind = value.type.tensor_type.elem_type
            if kind == onnx.TensorProto.UINT8 and readers != {"Cast"}:
                self.errors = [f"{value.name}: UINT8 must be cast before {sorted(readers)}"]
                return False
            dims = [d.dim_value or -1 for d in value.type.tensor_type.shape.dim]
            self.network.inputs.append(SimpleNamespace(name=value.name, shape=dims))
        for node in model.graph.node:
            layer_type = {"ReduceMean": LayerType.REDUCE}.get(node.op_type, LayerType.OTHER)
            output = SimpleNamespace(dtype="float")
            layer = SimpleNamespace(type=layer_type, precision=None, name=node.name)
            layer.get_output = lambda _, o=output: o
            self.network.layers.append(layer)
        return True


class LayerType(IntEnum):
    OTHER, SOFTMAX, REDUCE, UNARY = range(4)


class Config:
    """Its `progress_monitor` is set where the generation has one, else refused."""

    def __init__(self, generation: "Generation") -> None:
        self._generation = generation
        self.flags = {"TF32"}
        self.profiles: list[dict[str, tuple[int, ...]]] = []
        self.timings = b""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "progress_monitor":
            assert self._generation.has_progress
        super().__setattr__(name, value)

    def set_flag(self, flag: str) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: str) -> None:
        self.flags.discard(flag)

    def add_optimization_profile(self, profile: Any) -> int:
        self.profiles.append(profile.shapes)
        return len(self.profiles) - 1

    def create_timing_cache(self, data: bytes) -> Any:
        return SimpleNamespace(serialize=lambda: data + b"+")

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return self.cache


class Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}

    def set_shape(self, name: str, low: Any, best: Any, high: Any) -> None:
        assert low == best == high
        self.shapes[name] = high


class Builder:
    generation: "Generation"

    def __init__(self, logger: ILogger) -> None:
        self._logger = logger
        if self.generation.start_error:
            # The real 8.5.3 only warns of a CUDA that does not start.
            is_cuda = "CUDA initialization" in self.generation.start_error
            severity = Severity.WARNING if is_cuda else Severity.ERROR
            self._logger.log(severity, self.generation.start_error)
            raise TypeError("pybind11::init(): factory function returned nullptr")

    def create_network(self, flags: int) -> Network:
        return Network(flags)

    def create_builder_config(self) -> Config:
        return Config(self.generation)

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
        generation = self.generation
        generation.builds.append((network, config))
        assert generation.gpu.stack, "no context is current"
        if generation.has_progress:
            monitor: Any = config.progress_monitor  # type: ignore[attr-defined]
            monitor.phase_start("build", None, 4)
            for step in range(4):
                if not monitor.step_complete("build", step):
                    return None
            monitor.phase_finish("build")
        if generation.build_error:
            self._logger.log(Severity.WARNING, "slow")
            self._logger.log(Severity.ERROR, generation.build_error)
            return None
        # A network whose shapes are all known needs no profile, and has one all the same.
        profiles = config.profiles or [{i.name: tuple(i.shape) for i in network.inputs}]
        if any(size < 1 for shapes in profiles for shape in shapes.values() for size in shape):
            self._logger.log(Severity.ERROR, "dynamic inputs, but no optimization profile")
            return None
        batch = None if config.profiles else network.inputs[0].shape[0]
        head = {"version": generation.version, "profiles": profiles, "batch": batch}
        return json.dumps(head).encode() + b"\n" + network.graph


class ExecutionContext:
    def __init__(self, engine: "Engine") -> None:
        self.engine = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.profile: dict[str, Any] = {}

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        self.profile = self.engine.profiles[index]
        return stream in self.engine.gpu.streams

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return bool(list(shape) == self.profile[name])

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        memory, addresses, shapes = self.engine.gpu.memory, dict(self.addresses), dict(self.shapes)

        def work() -> None:
            feeds = {}
            for name, shape in shapes.items():
                dtype = np.dtype(_NUMPY[self.engine.get_tensor_dtype(name)])
                num_bytes = int(np.prod(shape)) * dtype.itemsize
                assert num_bytes <= memory[addresses[name]].size, "read beyond what was allocated"
                feeds[name] = memory[addresses[name]][:num_bytes].view(dtype).reshape(shape)
            results = self.engine.session.run(None, feeds)
            for output, result in zip(self.engine.session.get_outputs(), results, strict=True):
                memory[addresses[output.name]][: result.nbytes] = result.ravel().view(np.uint8)

        self.engine.gpu.streams[stream].put(work)
        return True


class Engine:
    def __init__(self, head: dict[str, Any], graph: bytes, gpu: FakeGpu) -> None:
        self.gpu, self.profiles, self.batch = gpu, head["profiles"], head["batch"]
        options = onnxruntime.SessionOptions()
        self.session = onnxruntime.InferenceSession(graph, options, ["CPUExecutionProvider"])
        self._inputs = {i.name: i for i in self.session.get_inputs()}
        self._all = self._inputs | {o.name: o for o in self.session.get_outputs()}
        self.num_io_tensors = len(self._all)

    def get_tensor_name(self, index: int) -> str:
        return str(list(self._all)[index])

    def get_tensor_shape(self, name: str) -> list[int]:
        rows = self.batch or -1
        return [s if isinstance(s, int) else rows for s in self._all[name].shape]

    def get_tensor_dtype(self, name: str) -> str:
        types = {"tensor(float)": "float", "tensor(uint8)": "uint8"}
        return types.get(self._all[name].type, "other")

    def get_tensor_mode(self, name: str) -> str:
        return "input" if name in self._inputs else "output"

    def create_execution_context(self, strategy: str | None = None) -> ExecutionContext:
        return ExecutionContext(self)


class Generation:
    """One release: `module` is what `import tensorrt` gives; the rest is for tests to look at."""

    def __init__(self, version: str, gpu: FakeGpu) -> None:
        self.version, self.gpu = version, gpu
        self.major = int(version.split(".")[0])
        self.has_progress = self.major >= 10
        self.build_error = self.start_error = ""
        self.builds: list[tuple[Network, Config]] = []
        self.module = self._module()

    def _module(self) -> Any:
        module: Any = ModuleType("tensorrt")
        module.__version__ = self.version
        module.ILogger, module.OnnxParser, module.LayerType = ILogger, OnnxParser, LayerType
        module.Builder = type("Builder", (Builder,), {"generation": self})
        module.DataType = SimpleNamespace(FLOAT="float", UINT8="uint8")
        flags = {8: "TF32 FP16 OBEY_PRECISION_CONSTRAINTS", 10: "TF32 FP16", 11: "TF32"}[self.major]
        module.BuilderFlag = SimpleNamespace(**{name: name for name in flags.split()})
        network = {8: {"EXPLICIT_BATCH": 0}, 10: {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1}, 11: {}}
        module.NetworkDefinitionCreationFlag = SimpleNamespace(**network[self.major])
        module.TensorIOMode = SimpleNamespace(INPUT="input", OUTPUT="output")
        module.Runtime = self._runtime
        if self.has_progress:
            module.IProgressMonitor = type("IProgressMonitor", (), {})
            module.ExecutionContextAllocationStrategy = SimpleNamespace(ON_PROFILE_CHANGE="change")
        return module

    def _runtime(self, logger: Any) -> Any:
        def deserialize(plan: bytes) -> Engine | None:
            head, _, graph = plan.partition(b"\n")
            if (values := json.loads(head))["version"] != self.version:
                logger.log(Severity.ERROR, f"plan of {values['version']}")
                return None
            return Engine(values, graph, self.gpu)

        return SimpleNamespace(deserialize_cuda_engine=deserialize)

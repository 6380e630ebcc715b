"""Graphs in fp16 and bf16: products in few bits, what is delicate in fp32.

- Matrix products and convolutions, their biases, and what only moves values between them compute
  and travel in the low precision; their weights are stored in it.
- Softmax, norms, activations, means, residual sums, attention's sum with the relative positions
  and the normalisation of pixels stay in fp32, and inputs and outputs are as in the fp32 graph: a
  runtime feeds every graph alike.
- Where what is normed comes in few bits, the norm takes it so, and has its statistics in fp32
  (`stash_type`, ONNX's default); a sum of two such values that only products read is the same
  in few bits as in fp32 and rounded. Both save a pass through the GPU's memory.
- Types are written into the graph (Cast nodes), since TensorRT 10 and later take them from there.
- bf16 needs opset 22: earlier ones have no convolution in it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper, version_converter

from engines.tensor_specs import Feeds
from engines.verify import output_std
from train.graph import OPSET, ExportError

Floats = NDArray[np.float32]
LowPrecision = Literal["fp16", "bf16"]
LOW: dict[str, int] = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
OPSETS: dict[str, int] = {"fp16": OPSET, "bf16": 22}
_NUMPY: dict[str, np.dtype[np.generic]] = {
    "fp16": np.dtype(np.float16),
    "bf16": np.dtype(ml_dtypes.bfloat16),
}
_PRODUCTS = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose"})
_MOVES = frozenset(
    {"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Concat", "Split"}
    | {"Expand", "Gather", "GatherND", "Identity", "Pad", "Relu", "MaxPool"}
)
"""What rounds nothing: in low precision it halves what is carried through the GPU's memory."""


@dataclass(frozen=True)
class Accuracy:
    """A low-precision graph against torch in fp32, over the golden windows."""

    max_error: float
    """Largest |difference|, in units of the output's standard deviation."""
    agreement: float
    """Share, 0..1, of windows and outputs whose likeliest class is torch's."""


@dataclass
class _Lowering:
    """The new graph while it grows; every value has a home type, and is cast where needed."""

    precision: LowPrecision
    constants: dict[str, TensorProto]
    is_float: set[str]
    """Names of the fp32 values of the old graph."""
    readers: Mapping[str, list[NodeProto]]
    """Of each value of the old graph."""
    low: set[str] = field(default_factory=set)
    """Names whose home is the low precision."""
    products: set[str] = field(default_factory=set)
    """Names that come straight out of a product with weights."""
    nodes: list[NodeProto] = field(default_factory=list)
    made: set[str] = field(default_factory=set)

    def add(self, node: NodeProto) -> None:
        """Take over a node of the old graph."""
        names = [n for n in node.input if n in self.is_float]
        carried = [n for n in names if n not in self.constants]
        is_low = node.op_type in _PRODUCTS or (
            bool(carried)
            and self.low.issuperset(carried)
            and (
                node.op_type in _MOVES
                or node.op_type == "LayerNormalization"
                or self._is_bias(node, carried)
                or (node.op_type == "Add" and self._is_rounded(node.output[0]))
            )
        )
        new = NodeProto()
        new.CopyFrom(node)
        for index, name in enumerate(node.input):
            if name in self.is_float:
                new.input[index] = self._lowered(name) if is_low else self._full(name)
        self.nodes.append(new)
        if is_low:
            self.low.update(n for n in node.output if n in self.is_float)
        if node.op_type in _PRODUCTS and len(carried) < len(names):
            self.products.update(node.output)

    def finish(self, outputs: Iterable[str]) -> None:
        """Give graph outputs, which stay fp32, a Cast where their home is low."""
        for name in outputs:
            if name not in self.low:
                continue
            inner = f"{name}.{self.precision}"
            for node in self.nodes:
                node.input[:] = [inner if n == name else n for n in node.input]
                node.output[:] = [inner if n == name else n for n in node.output]
            self.nodes.append(helper.make_node("Cast", [inner], [name], to=TensorProto.FLOAT))

    def _is_bias(self, node: NodeProto, carried: list[str]) -> bool:
        """One value a channel, added to a product with weights; a table of positions is none."""
        if node.op_type != "Add" or not self.products.issuperset(carried):
            return False
        return all(len(self.constants[n].dims) == 1 for n in node.input if n in self.constants)

    def _is_rounded(self, name: str) -> bool:
        """Whether all that becomes of a value is an operand of products."""
        readers = self.readers.get(name, [])
        return bool(readers) and all(
            reader.op_type in _PRODUCTS
            or (reader.op_type in _MOVES and all(map(self._is_rounded, reader.output)))
            for reader in readers
        )

    def _lowered(self, name: str) -> str:
        if name in self.low:
            return name
        low = f"{name}.{self.precision}"
        if low not in self.made:
            self.made.add(low)
            if name in self.constants:
                array = numpy_helper.to_array(self.constants[name])
                self._check_range(name, array)
                low_array = array.astype(_NUMPY[self.precision])
                self.constants[low] = _tensor(low_array, low, self.precision)
            else:
                to = LOW[self.precision]
                self.nodes.append(helper.make_node("Cast", [name], [low], to=to))
        return low

    def _full(self, name: str) -> str:
        if name not in self.low:
            return name
        full = f"{name}.fp32"
        if full not in self.made:
            self.made.add(full)
            self.nodes.append(helper.make_node("Cast", [name], [full], to=TensorProto.FLOAT))
        return full

    def _check_range(self, name: str, array: NDArray[np.generic]) -> None:
        largest = float(np.abs(array).max(initial=0))
        if self.precision == "fp16" and largest > float(np.finfo(np.float16).max):
            raise ExportError(
                f"The weights {name} hold {largest:.3g}, which fp16 cannot: use --precision bf16"
            )


def lower(model: onnx.ModelProto, precision: LowPrecision) -> onnx.ModelProto:
    """The same network in a low precision.

    Args:
        model: an fp32 graph with weights inside, as `write_graph` makes it.
        precision: `fp16` or `bf16`.

    Raises:
        ExportError: weights that fp16 cannot hold.
    """
    if OPSETS[precision] != OPSET:
        model = version_converter.convert_version(model, OPSETS[precision])
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = [*graph.value_info, *graph.input, *graph.output]
    floats = {v.name for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    constants = {t.name: t for t in graph.initializer}
    floats |= {name for name, t in constants.items() if t.data_type == TensorProto.FLOAT}
    readers: dict[str, list[NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    lowering = _Lowering(precision, constants, floats, readers)
    for node in graph.node:
        lowering.add(node)
    lowering.finish([output.name for output in graph.output])
    used = {name for node in lowering.nodes for name in node.input}
    lowered = helper.make_graph(
        lowering.nodes,
        graph.name,
        graph.input,
        graph.output,
        [tensor for name, tensor in lowering.constants.items() if name in used],
    )
    result = helper.make_model(
        lowered, opset_imports=model.opset_import, ir_version=model.ir_version
    )
    onnx.checker.check_model(result, full_check=True)
    return result


def measure(model: onnx.ModelProto, feeds: Feeds, expected: Mapping[str, Floats]) -> Accuracy:
    """A low-precision graph on this processor, against torch's fp32 outputs.

    Processors lack kernels for these types, so each operation computes in fp32 and its operands and
    results are rounded: what a GPU does, whose products add up in fp32 as well.

    Args:
        model: what `lower` made.
        feeds: the golden feeds.
        expected: torch's outputs for them.
    """
    options = onnxruntime.SessionOptions()
    # Else it takes two Casts, there and back, for nothing.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        rounded(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = list(expected)
    rows = [
        session.run(names, {n: a[i : i + 1] for n, a in feeds.items()})
        for i in range(len(next(iter(feeds.values()))))
    ]
    errors, same = [], []
    for name, parts in zip(names, zip(*rows, strict=True), strict=True):
        got, want = np.concatenate(parts), expected[name]
        errors.append(np.abs(got.astype(np.float64) - want).max() / output_std(want))
        same.append(got.argmax(axis=1) == want.argmax(axis=1))
    return Accuracy(float(np.max(errors)), float(np.mean(same)))


def rounded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with every low-precision operation in fp32 between Casts that round."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = [*inferred.value_info, *inferred.output, *inferred.input]
    types = {v.name: v.type.tensor_type.elem_type for v in values}
    types |= {t.name: t.data_type for t in inferred.initializer}
    lows = set(LOW.values())
    nodes: list[NodeProto] = []
    for index, node in enumerate(inferred.node):
        if node.op_type == "Cast":
            nodes.append(node)
            continue
        new = NodeProto()
        new.CopyFrom(node)
        rounded_in = [name for name in dict.fromkeys(node.input) if types.get(name) in lows]
        for name in rounded_in:
            nodes.append(
                helper.make_node("Cast", [name], [f"{name}.in{index}"], to=TensorProto.FLOAT)
            )
        new.input[:] = [f"{n}.in{index}" if n in rounded_in else n for n in node.input]
        rounded_out = [name for name in node.output if types.get(name) in lows]
        new.output[:] = [f"{n}.out" if n in rounded_out else n for n in node.output]
        nodes.append(new)
        nodes += [helper.make_node("Cast", [f"{n}.out"], [n], to=types[n]) for n in rounded_out]
    graph = helper.make_graph(
        nodes, inferred.name, inferred.input, inferred.output, inferred.initializer
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def write_lower(fp32: Path, precision: LowPrecision, path: Path) -> onnx.ModelProto:
    """Write the low-precision graph of an fp32 file; returns it."""
    model = lower(onnx.load(fp32), precision)
    onnx.save_model(model, path)
    return model


def _tensor(array: NDArray[np.generic], name: str, precision: LowPrecision) -> TensorProto:
    """Its bytes as they are: numpy itself has no bf16."""
    raw = np.ascontiguousarray(array).tobytes()
    return helper.make_tensor(name, LOW[precision], array.shape, raw, raw=True)

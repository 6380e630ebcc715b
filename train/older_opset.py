"""The same graph in ONNX opset 16, for TensorRT 8.5 (JetPack 5), which reads no later one.

Norms become the operations that they consist of, with `_fp32` in their names, as have those that
normalise pixels: TensorRT 8.5 chooses types by layer, and `engines.trt_versions` keeps those layers
in fp32.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from train.graph import ExportError

OLD_OPSET = 16
FP32_MARK = "_fp32"
_PIXEL_WISE = frozenset({"Cast", "Add", "Sub", "Mul", "Div"})
_REDUCTIONS = frozenset({"ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2"})


@dataclass
class _Rewriter:
    constants: dict[str, TensorProto]
    shapes: dict[str, list[int]]
    """Of the old graph's values; -1 where a size is not fixed."""
    pixels: set[str]
    """Names of what is fed as bytes, and of what is made of it by `_PIXEL_WISE` and constants."""
    nodes: list[NodeProto] = field(default_factory=list)
    num_made: int = 0

    def add(self, node: NodeProto) -> None:
        """Take over a node, written in older operations where it has to be."""
        how: dict[str, Callable[[NodeProto], None]] = {
            "LayerNormalization": self._norm,
            "Split": self._split,
            "Shape": self._shape,
            **dict.fromkeys(_REDUCTIONS, self._reduction),
        }
        carried = {name for name in node.input if name not in self.constants}
        if node.op_type in _PIXEL_WISE and carried and carried <= self.pixels:
            self._normalisation(node)
        else:
            how.get(node.op_type, self.nodes.append)(node)

    def _normalisation(self, node: NodeProto) -> None:
        """The same operation; marked, but for the Cast, which is exact in any type."""
        self.pixels.update(node.output)
        new = NodeProto()
        new.CopyFrom(node)
        if node.op_type != "Cast":
            new.name = f"{node.name or node.output[0]}{FP32_MARK}"
        self.nodes.append(new)

    def _norm(self, node: NodeProto) -> None:
        settings = _settings(node)
        rank = len(self.shapes[node.input[0]])
        first = settings.get("axis", -1) % rank
        axes = list(range(first - rank, 0))
        x, scale, bias = node.input
        mean = self._make(node, "ReduceMean", [x], axes=axes, keepdims=1)
        centred = self._make(node, "Sub", [x, mean])
        square = self._make(node, "Mul", [centred, centred])
        variance = self._make(node, "ReduceMean", [square], axes=axes, keepdims=1)
        epsilon = self._constant(np.array(settings.get("epsilon", 1e-5), np.float32))
        shifted = self._make(node, "Add", [variance, epsilon])
        deviation = self._make(node, "Sqrt", [shifted])
        normal = self._make(node, "Div", [centred, deviation])
        scaled = self._make(node, "Mul", [normal, scale])
        self._make(node, "Add", [scaled, bias], output=node.output[0])

    def _split(self, node: NodeProto) -> None:
        """Equal parts by number become parts by size."""
        settings = _settings(node)
        if len(node.input) > 1:
            self.nodes.append(node)
            return
        axis, parts = settings.get("axis", 0), settings["num_outputs"]
        size = self.shapes[node.input[0]][axis]
        if size < 0:
            raise ExportError(f"{node.name}: splits an axis whose size is not fixed")
        each = -(-size // parts)
        sizes = [min(each, size - i * each) for i in range(parts)]
        names = [node.input[0], self._constant(np.array(sizes, np.int64))]
        self.nodes.append(helper.make_node("Split", names, node.output, name=node.name, axis=axis))

    def _shape(self, node: NodeProto) -> None:
        """A part of a shape is cut out of the whole: 8.5 takes no notice of `start` and `end`."""
        settings = _settings(node)
        if not settings:
            self.nodes.append(node)
            return
        ends = [settings.get("start", 0), settings.get("end", np.iinfo(np.int64).max)]
        bounds = [self._constant(np.array([end], np.int64)) for end in ends]
        whole = f"{node.output[0]}_whole"
        self.nodes += [
            helper.make_node("Shape", node.input, [whole], name=f"{node.name}_whole"),
            helper.make_node("Slice", [whole, *bounds], node.output, name=node.name),
        ]

    def _reduction(self, node: NodeProto) -> None:
        """Axes from an input become an attribute."""
        settings = _settings(node)
        settings.pop("noop_with_empty_axes", None)
        if len(node.input) > 1:
            if node.input[1] not in self.constants:
                raise ExportError(f"{node.name}: reduces over axes that are computed")
            axes = numpy_helper.to_array(self.constants[node.input[1]])
            settings["axes"] = [int(a) for a in axes]
        self.nodes.append(
            helper.make_node(node.op_type, node.input[:1], node.output, name=node.name, **settings)
        )

    def _make(
        self,
        node: NodeProto,
        kind: str,
        inputs: list[str],
        *,
        output: str | None = None,
        **settings: object,
    ) -> str:
        name = f"{node.name or node.output[0]}{FP32_MARK}_{self.num_made}"
        self.num_made += 1
        result = output or name
        self.nodes.append(helper.make_node(kind, inputs, [result], name=name, **settings))
        return result

    def _constant(self, array: NDArray[np.generic]) -> str:
        name = f"older_opset_{self.num_made}"
        self.num_made += 1
        self.constants[name] = numpy_helper.from_array(array, name)
        return name


def to_old_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph in `OLD_OPSET`.

    Args:
        model: an fp32 graph as `write_graph` makes it.

    Raises:
        ExportError: it has an operation that opset has not.
    """
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    values = [*graph.value_info, *graph.input, *graph.output]
    shapes = {v.name: [d.dim_value or -1 for d in v.type.tensor_type.shape.dim] for v in values}
    pixels = {i.name for i in graph.input if i.type.tensor_type.elem_type == TensorProto.UINT8}
    rewriter = _Rewriter({t.name: t for t in graph.initializer}, shapes, pixels)
    for node in graph.node:
        rewriter.add(node)
    used = {name for node in rewriter.nodes for name in node.input}
    older = helper.make_graph(
        rewriter.nodes,
        graph.name,
        graph.input,
        graph.output,
        [tensor for name, tensor in rewriter.constants.items() if name in used],
    )
    result = helper.make_model(
        older, opset_imports=[helper.make_opsetid("", OLD_OPSET)], ir_version=8
    )
    try:
        onnx.checker.check_model(result, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        first = " ".join(str(error).split())[:200]
        raise ExportError(f"The graph has no form in opset {OLD_OPSET} ({first})") from None
    return result


def rewrite_older(path: Path) -> None:
    """Write a graph's file anew, in `OLD_OPSET`.

    Raises:
        ExportError: it has an operation that opset has not.
    """
    onnx.save_model(to_old_opset(onnx.load(path)), path)


def _settings(node: NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}

"""Graphs for TensorRT 8.5: older operations, the same numbers."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from train.graph import OPSET, ExportError
from train.older_opset import FP32_MARK, OLD_OPSET, rewrite_older, to_old_opset

RNG = np.random.default_rng(0)
ADDS = {"w": RNG.normal(size=(8,)), "b": RNG.normal(size=(8,))}


def newer(*, split_by: int | str = 8) -> onnx.ModelProto:
    """A norm over one axis and over two, reductions by input, splits by number and by size."""
    constants = {name: value.astype(np.float32) for name, value in ADDS.items()}
    constants |= {"w2": np.ones((4, 8), np.float32), "b2": np.zeros((4, 8), np.float32)}
    integers = {"last": [-1], "sizes": [5, 3]}
    node = helper.make_node
    nodes = [
        node("LayerNormalization", ["x", "w", "b"], ["n1"], name="one", axis=-1, epsilon=1e-3),
        node("LayerNormalization", ["n1", "w2", "b2"], ["n2"], name="two", axis=1),
        node("Split", ["n2"], ["s1", "s2", "s3"], axis=2, num_outputs=3),
        node("Split", ["n2", "sizes"], ["t1", "t2"], axis=2),
        node("ReduceMax", ["s3", "last"], ["m"], keepdims=1, noop_with_empty_axes=0),
        node("ReduceMean", ["t1", "last"], ["r"], keepdims=0),
        node("Mul", ["s1", "m"], ["p"]),
        node("ReduceMean", ["p", "last"], ["q"], keepdims=0),
        node("Add", ["q", "r"], ["y"]),
    ]
    tensors = [numpy_helper.from_array(a, n) for n, a in constants.items()]
    tensors += [numpy_helper.from_array(np.array(a, np.int64), n) for n, a in integers.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, split_by])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph(nodes, "g", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(["y"], {"x": x})[0])


def test_older_operations_compute_the_same(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save_model(newer(), path)
    rewrite_older(path)
    older = onnx.load(path)
    assert [o.version for o in older.opset_import] == [OLD_OPSET]
    assert "LayerNormalization" not in {n.op_type for n in older.graph.node}
    for batch in (1, 3):
        x = RNG.normal(2, 3, (batch, 4, 8)).astype(np.float32)
        np.testing.assert_allclose(run(older, x), run(newer(), x), atol=1e-5)


def test_the_parts_of_a_norm_are_marked() -> None:
    """`engines.trt_versions` knows them by it."""
    nodes = to_old_opset(newer()).graph.node
    marked = [n.op_type for n in nodes if FP32_MARK in n.name]
    once = ["ReduceMean", "Sub", "Mul", "ReduceMean", "Add", "Sqrt", "Div", "Mul", "Add"]
    assert marked == once * 2


def test_the_normalisation_of_bytes_is_marked_and_the_cast_is_not() -> None:
    node = helper.make_node
    nodes = [
        node("Cast", ["x"], ["f"], name="cast", to=TensorProto.FLOAT),
        node("Div", ["f", "by"], ["n"], name="share"),
        node("Sub", ["n", "by"], ["m"], name="centre"),
        node("Relu", ["m"], ["r"], name="net"),
        node("Sub", ["r", "by"], ["y"], name="later"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.UINT8, ["batch", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    by = numpy_helper.from_array(np.array(2.0, np.float32), "by")
    graph = helper.make_graph(nodes, "g", [x], [y], [by])
    opsets = [helper.make_opsetid("", OPSET)]
    older = to_old_opset(helper.make_model(graph, opset_imports=opsets, ir_version=10))
    names = [n.name for n in older.graph.node]
    assert names == ["cast", f"share{FP32_MARK}", f"centre{FP32_MARK}", "net", "later"]
    pixels = np.arange(8, dtype=np.uint8).reshape(2, 4)
    np.testing.assert_allclose(run(older, pixels), np.maximum(pixels / 2.0 - 2, 0) - 2)


def test_a_part_of_a_shape_is_cut_out_of_the_whole() -> None:
    """TensorRT 8.5 takes no notice of a Shape's `start` and `end`."""
    node = helper.make_node
    nodes = [
        node("Shape", ["x"], ["first"], name="first", start=0, end=1),
        node("Shape", ["x"], ["rest"], name="rest", start=-2),
        node("Concat", ["first", "rest"], ["sizes"], axis=0),
        node("Cast", ["sizes"], ["y"], to=TensorProto.FLOAT),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])
    graph = helper.make_graph(nodes, "g", [x], [y])
    opsets = [helper.make_opsetid("", OPSET)]
    older = to_old_opset(helper.make_model(graph, opset_imports=opsets, ir_version=10))
    assert not any(n.attribute for n in older.graph.node if n.op_type == "Shape")
    assert run(older, np.zeros((5, 4, 8), np.float32)).tolist() == [5, 4, 8]


def test_what_has_no_older_form_is_refused() -> None:
    with pytest.raises(ExportError, match="splits an axis whose size is not fixed"):
        to_old_opset(newer(split_by="free"))
    model = newer()
    model.graph.node[-1].CopyFrom(helper.make_node("Mish", ["q"], ["y"]))  # since opset 18
    with pytest.raises(ExportError, match=r"no form in opset 16 .*Mish") as caught:
        to_old_opset(model)
    assert "\n" not in str(caught.value)

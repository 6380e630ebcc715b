"""Low-precision graphs: what stays in fp32, what does not, and that the loss is really measured."""

from collections.abc import Iterable

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from train.graph import OPSET, ExportError
from train.precision import LOW, OPSETS, LowPrecision, lower, measure, rounded

PRECISIONS: tuple[LowPrecision, ...] = ("fp16", "bf16")
NUMPY = {"fp16": np.dtype(np.float16), "bf16": np.dtype(ml_dtypes.bfloat16)}
RNG = np.random.default_rng(0)
WIDTH = 8


def attention(scale: float = 1.0) -> onnx.ModelProto:
    """One head with a relative-position sum, a residual sum, a norm and a classifier."""
    weights = {n: RNG.normal(0, 0.4, (WIDTH, WIDTH)) * scale for n in ("wq", "wk", "wv", "wo")}
    weights |= {"b": RNG.normal(size=WIDTH), "rel": RNG.normal(size=(5, 5))}
    weights |= {"gamma": np.ones(WIDTH), "beta": np.zeros(WIDTH)}
    node = helper.make_node
    nodes = [
        node("MatMul", ["x", "wq"], ["q0"]),
        node("Add", ["q0", "b"], ["q"], name="bias"),
        node("MatMul", ["x", "wk"], ["k"]),
        node("Transpose", ["k"], ["kt"], perm=[0, 2, 1], name="turn"),
        node("MatMul", ["q", "kt"], ["scores"]),
        node("Add", ["scores", "rel"], ["placed"], name="relative"),
        node("Softmax", ["placed"], ["weights"], axis=-1, name="softmax"),
        node("MatMul", ["x", "wv"], ["v"]),
        node("MatMul", ["weights", "v"], ["mixed"]),
        node("Add", ["x", "mixed"], ["sum"], name="residual"),
        node("LayerNormalization", ["sum", "gamma", "beta"], ["normed"], axis=-1, name="norm"),
        node("MatMul", ["normed", "wo"], ["logits"], name="classifier"),
    ]
    constants = [numpy_helper.from_array(w.astype(np.float32), n) for n, w in weights.items()]
    return _model(nodes, constants, ["batch", 5, WIDTH], ["batch", 5, WIDTH])


def _model(
    nodes: Iterable[onnx.NodeProto],
    constants: Iterable[onnx.TensorProto],
    takes: list[int | str],
    gives: list[int | str],
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", kind, takes)
    y = helper.make_tensor_value_info("logits", TensorProto.FLOAT, gives)
    graph = helper.make_graph(list(nodes), "g", [x], [y], list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = [*graph.value_info, *graph.input, *graph.output]
    types = {v.name: v.type.tensor_type.elem_type for v in values}
    return types | {t.name: t.data_type for t in graph.initializer}


def run(model: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(["logits"], {"x": x})[0], np.float32)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_delicate_stays_in_fp32(precision: LowPrecision) -> None:
    model = lower(attention(), precision)
    types = types_of(model)
    low = {n.name or n.op_type: {types[i] for i in n.input} for n in model.graph.node}
    for name in ("relative", "softmax", "residual", "norm"):
        assert low[name] == {TensorProto.FLOAT}, name
    for name in ("MatMul", "bias", "turn", "classifier"):
        assert low[name] == {LOW[precision]}, name
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT
    stored = {t.name: t.data_type for t in model.graph.initializer}
    assert stored == {
        **{f"{n}.{precision}": LOW[precision] for n in ("wq", "wk", "wv", "wo", "b")},
        **dict.fromkeys(("rel", "gamma", "beta"), TensorProto.FLOAT),
    }
    assert [o.version for o in model.opset_import] == [OPSETS[precision]]
    # The same value is cast once, however many need it.
    casts = [n.input[0] for n in model.graph.node if n.op_type == "Cast"]
    assert len(casts) == len(set(casts))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_bytes_are_normalised_in_fp32_and_only_then_cast(precision: LowPrecision) -> None:
    node, rng = helper.make_node, np.random.default_rng(1)
    nodes = [
        node("Cast", ["x"], ["floats"], to=TensorProto.FLOAT),
        node("Div", ["floats", "by"], ["share"], name="share"),
        node("Sub", ["share", "mean"], ["normal"], name="centre"),
        node("MatMul", ["normal", "w"], ["logits"]),
    ]
    values = {"by": np.array(255.0), "mean": np.full(4, 0.45), "w": rng.normal(size=(4, 2))}
    constants = [numpy_helper.from_array(v.astype(np.float32), n) for n, v in values.items()]
    model = _model(nodes, constants, ["batch", 4], ["batch", 2], kind=TensorProto.UINT8)
    low = lower(model, precision)
    types = types_of(low)
    assert types["x"] == TensorProto.UINT8
    for value in ("floats", "share", "normal", "by", "mean"):
        assert types[value] == TensorProto.FLOAT, value
    (product,) = (n for n in low.graph.node if n.op_type == "MatMul")
    assert [types[name] for name in product.input] == [LOW[precision]] * 2
    x = rng.integers(0, 256, (6, 4), np.uint8)
    want = (x / 255 - 0.45) @ values["w"]
    assert measure(low, {"x": x}, {"logits": want.astype(np.float32)}).max_error < 0.03


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_are_rounded_to_the_nearest(precision: LowPrecision) -> None:
    old = attention()
    model = lower(old, precision)
    (weights,) = (numpy_helper.to_array(t) for t in old.graph.initializer if t.name == "wq")
    (stored,) = (t for t in model.graph.initializer if t.name == f"wq.{precision}")
    np.testing.assert_array_equal(
        np.frombuffer(stored.raw_data, NUMPY[precision]).reshape(weights.shape),
        weights.astype(NUMPY[precision]),
    )


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_measured_loss_is_that_of_rounding(precision: LowPrecision) -> None:
    """A product that numpy can follow: operands and result rounded, summed in fp32."""
    w = RNG.normal(size=(WIDTH, 4)).astype(np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["logits"])
    model = _model([node], [numpy_helper.from_array(w, "w")], ["batch", WIDTH], ["batch", 4])
    x = RNG.normal(size=(6, WIDTH)).astype(np.float32)

    def once(a: NDArray[np.float32]) -> NDArray[np.float32]:
        return a.astype(NUMPY[precision]).astype(np.float32)

    want = once(once(x) @ once(w))
    np.testing.assert_allclose(run(rounded(lower(model, precision)), x), want, rtol=1e-6)
    accuracy = measure(lower(model, precision), {"x": x}, {"logits": x @ w})
    assert accuracy.max_error == pytest.approx(np.abs(want - x @ w).max() / (x @ w).std(), rel=1e-3)
    assert accuracy.max_error > 1e-4
    assert accuracy.agreement == np.mean(want.argmax(axis=1) == (x @ w).argmax(axis=1))


def test_fp16_graphs_compute_alike_where_the_processor_has_kernels_for_them() -> None:
    """ONNX Runtime's processor kernels take the real fp16 graph."""
    x = RNG.normal(size=(3, 5, WIDTH)).astype(np.float32)
    model = lower(attention(), "fp16")
    np.testing.assert_allclose(run(model, x), run(rounded(model), x), atol=5e-3)
    np.testing.assert_allclose(run(model, x), run(attention_of(model), x), atol=2e-2)


def attention_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """The fp32 graph with the low-precision graph's weights."""
    old = attention()
    stored = {t.name.partition(".")[0]: t for t in model.graph.initializer}
    for tensor in old.graph.initializer:
        array = numpy_helper.to_array(stored[tensor.name]).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return old


def test_a_value_that_is_both_operands_and_an_output_in_low_precision() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["logits"]),
        helper.make_node("MatMul", ["logits", "logits"], ["square"]),
        helper.make_node("Relu", ["square"], ["unused"]),
    ]
    w = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    model = _model(nodes, [w], [4, 4], [4, 4])
    x = RNG.normal(size=(4, 4)).astype(np.float32)
    got = run(rounded(lower(model, "fp16")), x)
    np.testing.assert_array_equal(got, x.astype(np.float16).astype(np.float32))


def test_weights_beyond_fp16_are_refused_and_bf16_takes_them() -> None:
    model = attention(scale=1e6)
    with pytest.raises(ExportError, match=r"which fp16 cannot: use --precision bf16"):
        lower(model, "fp16")
    lower(model, "bf16")

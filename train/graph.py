"""The ONNX graph of a network: `torch.export`-based, with a dynamic batch, in one file."""

import warnings
from pathlib import Path
from typing import Any

import onnx
import onnx_ir
import torch
from onnx_ir.passes import common as passes
from onnxscript import optimizer

from engines.errors import TellsError
from engines.manifest import Manifest
from engines.tensor_specs import Feeds
from train.models.heads import Net

OPSET = 18
REFUSED_NODES = frozenset({"Loop", "Scan", "If", "ScatterND", "Einsum"})
"""What TensorRT and OpenVINO execute slowly or not at all; our models are written without."""
_MAX_BATCH = 1024


class ExportError(TellsError):
    """A network that does not become a bundle."""


def write_graph(net: Net, manifest: Manifest, feeds: Feeds, path: Path) -> None:
    """Write the network as one ONNX file; the inputs and outputs bear the manifest's names.

    Args:
        net: in eval mode.
        manifest: names the feeds and outputs.
        feeds: at least two windows' worth, for tracing.
        path: where.

    Raises:
        ExportError: the graph has nodes of `REFUSED_NODES`.
    """
    # Two windows: torch.export takes a batch of one for a constant.
    example = {name: torch.from_numpy(feeds[name][:2]) for name in manifest.feeds}
    batch = torch.export.Dim("batch", min=1, max=_MAX_BATCH)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # deprecations of the exporter's own calls
        program = torch.onnx.export(
            net,
            kwargs=example,
            dynamo=True,
            dynamic_shapes={name: {0: batch} for name in example},
            input_names=list(example),
            output_names=[output.name for output in manifest.outputs],
            opset_version=OPSET,
            external_data=False,
            optimize=False,
            verbose=False,
        )
        assert program is not None
        simplify(program.model)
    onnx_ir.save(program.model, path)
    check_graph(onnx.load(path))


def simplify(model: Any) -> None:
    """Fold constants, drop doubles, fuse; take out names of files and lines of this machine.

    The optimizer's pattern search takes time with the square of the number of nodes, so the cheap
    passes go first: of the demo network's 4935 nodes they leave 1621 (0.6 s), the search 1330
    (5 s; 30 s without the cheap passes).

    Args:
        model: an `onnx_ir.Model`, changed in place.
    """
    optimizer.fold_constants(model)
    for simple in (
        passes.RemoveUnusedNodesPass(),
        passes.CommonSubexpressionEliminationPass(),
        passes.RemoveUnusedNodesPass(),
    ):
        simple(model)
    optimizer.optimize_ir(model)
    _cast_bytes_first(model.graph)
    passes.ClearMetadataAndDocStringPass()(model)


def _cast_bytes_first(graph: Any) -> None:
    """Ask the Cast for the shape of an input of bytes: TensorRT allows it no other reader."""
    for value in graph.inputs:
        if value.dtype != onnx_ir.DataType.UINT8:
            continue
        uses = tuple(value.uses())
        cast = next((use.node for use in uses if use.node.op_type == "Cast"), None)
        for node, index in uses:
            if cast is not None and node.op_type == "Shape":
                node.replace_input_with(index, cast.outputs[0])
    graph.sort()


def check_graph(model: onnx.ModelProto) -> None:
    """Refuse a graph that runtimes treat badly.

    Raises:
        ExportError: it has nodes of `REFUSED_NODES`, another opset than `OPSET`, functions, or
            weights in other files; or something else than one Cast reads an input of bytes.
    """
    found = {node.op_type for node in model.graph.node} & REFUSED_NODES
    opsets = {opset.version for opset in model.opset_import if opset.domain == ""}
    is_split = any(tensor.external_data for tensor in model.graph.initializer)
    if found or opsets != {OPSET} or is_split or model.functions:
        raise ExportError(
            f"The exported graph must be one file of opset {OPSET} without "
            f"{', '.join(sorted(REFUSED_NODES))}, got opset {sorted(opsets)} with "
            f"{', '.join(sorted(found)) or 'none of them'}; install the versions of torch, onnx "
            f"and onnxscript that pyproject.toml names"
        )
    for value in model.graph.input:
        readers = [node.op_type for node in model.graph.node if value.name in node.input]
        if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8 and readers != ["Cast"]:
            raise ExportError(
                f"The exported graph must read the bytes of {value.name} by one Cast, which is all "
                f"that TensorRT allows, got {', '.join(readers) or 'nothing'}"
            )

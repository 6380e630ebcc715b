"""What every exported model has to show: a clean graph that computes what torch does."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

UNWANTED = {"Loop", "If", "Scan", "ScatterND", "ScatterElements", "Einsum", "Range", "Resize"}
TOLERANCE = 1e-4


def check_export(model: nn.Module, example: Tensor, folder: Path) -> None:
    """Exports with a dynamic batch and compares batches of 1, 2, 3 with torch.

    Every output within 1e-4 of its standard deviation, and another one for another input.
    """
    path = folder / "model.onnx"
    model.eval()
    shapes = ({0: torch.export.Dim("batch", min=1, max=8)},)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's deprecations concern its own code
        program = torch.onnx.export(
            model, (example,), dynamo=True, dynamic_shapes=shapes, input_names=["x"], verbose=False
        )
    assert program is not None
    program.save(path)
    nodes = {node.op_type for node in onnx.load(path).graph.node}
    assert not nodes & UNWANTED, nodes & UNWANTED
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    for batch in (1, 2, 3):
        x = torch.randn((batch, *example.shape[1:]), generator=generator)
        got = session.run(None, {"x": x.numpy()})
        with torch.no_grad():
            wanted = model(x)
        wanted = list(wanted.values()) if isinstance(wanted, dict) else [wanted]
        for one, other in zip(got, wanted, strict=True):
            assert one.shape == other.shape
            scale = float(other.std()) if other.numel() > 1 else float(other.abs())
            assert np.abs(one - other.numpy()).max() < TOLERANCE * scale
        again = session.run(None, {"x": -x.numpy()})
        assert all(np.abs(one - other).max() > 0 for one, other in zip(got, again, strict=True))

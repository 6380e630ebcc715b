"""How torch runs a network: eager and compiled, what that costs, and what the GPU could do."""

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from engines.tensor_specs import FeedArray, Feeds
from train.models.heads import Net


def torch_ways(net: Net, where: torch.device) -> list[tuple[str, Callable[[Feeds], object]]]:
    """Eager in fp32 and bf16; and on a GPU compiled, which is what torch does best.

    Pictures and poses go up from pinned memory, as TensorRT's do.
    """
    staged: dict[tuple[str, int], Tensor] = {}

    def uploaded(name: str, array: FeedArray) -> Tensor:
        given = torch.from_numpy(array)
        if where.type == "cpu":
            return given
        key = (name, len(array))
        if key not in staged:  # once: pinning takes longer than copying
            staged[key] = torch.empty_like(given, pin_memory=True)
        return staged[key].copy_(given).to(where, non_blocking=True)

    def way(module: Callable[..., object], dtype: torch.dtype) -> Callable[[Feeds], object]:
        def run(feeds: Feeds) -> list[NDArray[np.float32]]:
            given = {name: uploaded(name, array) for name, array in feeds.items()}
            is_low = dtype != torch.float32
            with torch.inference_mode(), torch.autocast(where.type, dtype, enabled=is_low):
                outputs = module(**given)
            assert isinstance(outputs, tuple)
            return [output.float().cpu().numpy() for output in outputs]

        return run

    device = "GPU" if where.type == "cuda" else "CPU"
    ways = [
        (f"torch eager fp32 {device}", way(net, torch.float32)),
        (f"torch eager bf16 {device}", way(net, torch.bfloat16)),
    ]
    if where.type == "cuda":
        # One graph for all batch sizes would be slower: each size is compiled for itself.
        compiled = torch.compile(net, mode="max-autotune", dynamic=False)
        ways.append((f"torch.compile bf16 {device}", way(compiled, torch.bfloat16)))
    return ways


def gflop_of(net: Net, feeds: Feeds) -> float:
    """Of one window: two for each multiplication with its addition."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(**{name: torch.from_numpy(array[:1]) for name, array in feeds.items()})
    return counter.get_total_flops() / 1e9


def matmul_tflops() -> float:
    """What a plain bf16 product of 8192 x 8192 reaches on the GPU."""
    size = 8192
    a = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
    torch.cuda.synchronize()
    best = float("inf")
    for _ in range(20):
        started = time.perf_counter()
        a @ a
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best / 1e12

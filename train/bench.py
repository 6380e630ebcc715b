"""A bundle's runtimes beside torch: the same feeds, the same machine, one run, a table and a plot.

What is timed is the network alone, from feeds in the processor's memory to logits in it: the copies
to a GPU and back are in it, preprocessing is not.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from engines.bench import processor_name, stand_in_window
from engines.bundle import Bundle, load_bundle
from engines.engine import Engine
from engines.errors import RuntimeUnavailable, first_line
from engines.preprocess import preprocess
from engines.side_by_side import Absent, on_each
from engines.tensor_specs import Feeds
from engines.verify import verify
from train.checkpoint import load_checkpoint, load_weights
from train.models.heads import Net, build_net
from train.recipes import RECIPES, fed_floats
from train.torch_ways import gflop_of, matmul_tflops, torch_ways

_WARM_UP = 3


@dataclass(frozen=True)
class Row:
    """One way of computing, at one batch size."""

    way: str
    batch: int
    calls: int
    p50_ms: float
    p95_ms: float
    windows_per_s: float
    """From the median."""


@dataclass(frozen=True)
class Agreement:
    """One runtime against torch in fp32, on the golden windows."""

    way: str
    max_error: float
    """In standard deviations of the output."""
    allowed: float
    agreement: float
    """Share, 0..1, of equal likeliest classes."""


@dataclass(frozen=True)
class Comparison:
    """What one run found."""

    bundle: str
    processor: str
    gpu: str | None
    """As torch names it."""
    weights: str
    """Torch's: the time does not depend on them, the agreement does not come from them."""
    rows: tuple[Row, ...]
    agreements: tuple[Agreement, ...]
    absent: tuple[Absent, ...]
    gflop: float
    """Of one window, counted by torch: two for each multiplication with its addition."""
    matmul_tflops: float | None
    """What a plain bf16 product of 8192 x 8192 reaches on the GPU."""

    def share_of_peak(self, row: Row) -> float | None:
        """A row's throughput over what the plain product reaches; None without a GPU."""
        if self.matmul_tflops is None:
            return None
        return row.windows_per_s * self.gflop / 1e3 / self.matmul_tflops

    def to_json(self) -> str:
        """One JSON object."""
        rows = [asdict(row) | {"share_of_peak": self.share_of_peak(row)} for row in self.rows]
        return json.dumps(asdict(self) | {"rows": rows}, indent=2) + "\n"

    def to_table(self) -> str:
        """Lines for people."""
        width = max((len(r.way) for r in self.rows), default=10)
        lines = [
            f"{self.bundle}; {self.gpu or 'no GPU'}; {self.processor}",
            f"{'':<{width}}{'batch':>6}{'p50 ms':>10}{'p95 ms':>10}{'windows/s':>12}"
            + ("" if self.matmul_tflops is None else f"{'of peak':>9}"),
        ]
        lines += [
            f"{r.way:<{width}}{r.batch:>6}{r.p50_ms:>10.2f}{r.p95_ms:>10.2f}"
            f"{r.windows_per_s:>12.1f}" + ("" if share is None else f"{share:>9.1%}")
            for r, share in ((r, self.share_of_peak(r)) for r in self.rows)
        ]
        lines += [
            f"{a.way}: error/std {a.max_error:.2g} ({a.allowed:.2g} allowed), "
            f"top-1 agrees with torch on {a.agreement:.0%}"
            for a in self.agreements
        ]
        lines += [f"not there: {a.device}: {a.why}" for a in self.absent]
        lines.append(f"a window is {self.gflop:.1f} GFLOP")
        if self.matmul_tflops is not None:
            lines.append(
                f"the peak is what a bf16 product of 8192 x 8192 reaches: "
                f"{self.matmul_tflops:.0f} TFLOP/s"
            )
        return "\n".join(lines)


def compare(
    folder: Path,
    devices: Sequence[str],
    *,
    batches: Sequence[int],
    seconds: float,
    checkpoint: Path | None = None,
    report: Callable[[str], None] = lambda step: None,
    keep: Callable[[Comparison], None] = lambda found: None,
) -> Comparison:
    """Time the bundle on each device, and its recipe's network in torch, eager and compiled.

    Args:
        folder: the bundle.
        devices: as in `open_runtime`, or `all`.
        batches: windows in one call.
        seconds: for each way and batch size.
        checkpoint: torch's weights; None takes random ones, which are as fast.
        report: told each step before it starts, and each figure when it is known.
        keep: given what was found so far, after each figure: what follows may be broken off.

    Raises:
        BundleError: the bundle cannot be used.
        RuntimeUnavailable: the bundle's recipe is not, or no longer, one of ours.
        CheckpointError: the weights are not the recipe's.
    """
    bundle = load_bundle(folder)
    net = _net(bundle, checkpoint)
    feeds = _feeds(bundle, max(batches))
    where = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = _nothing_yet(bundle, net, feeds, where, checkpoint)

    def add(**more: tuple[Row | Agreement | Absent, ...]) -> None:
        nonlocal found
        found = replace(found, **{name: getattr(found, name) + new for name, new in more.items()})
        keep(found)

    def timed(way: str, run: Callable[[Feeds], object]) -> None:
        report(f"timing {way}")
        for batch in batches:
            row = _row(way, run, feeds, batch, seconds)
            report(f"  batch {batch}: {row.p50_ms:.2f} ms, {row.windows_per_s:.1f} windows/s")
            add(rows=(row,))

    def measure(engine: Engine) -> None:
        add(agreements=(_agreement(engine),))
        timed(engine.runtime.description, engine.runtime.run)

    add(absent=on_each(folder, devices, measure, can_be_none=True).absent)
    for way, run in torch_ways(net.to(where), where):
        try:
            timed(way, run)
        except RuntimeError as error:  # out of memory, or torch.compile finds no way
            add(absent=(Absent(way, first_line(error)),))
    return found


def _nothing_yet(
    bundle: Bundle, net: Net, feeds: Feeds, where: torch.device, checkpoint: Path | None
) -> Comparison:
    is_gpu = where.type == "cuda"
    return Comparison(
        bundle=bundle.manifest.id,
        processor=processor_name(),
        gpu=torch.cuda.get_device_name() if is_gpu else None,
        weights="random" if checkpoint is None else checkpoint.name,
        rows=(),
        agreements=(),
        absent=(),
        gflop=gflop_of(net, feeds),
        matmul_tflops=matmul_tflops() if is_gpu else None,
    )


def plot(comparison: Comparison, path: Path) -> None:
    """Latency and throughput over the batch size, a line for each way, as a PNG."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for way in dict.fromkeys(row.way for row in comparison.rows):
        rows = [row for row in comparison.rows if row.way == way]
        style = "--" if way.startswith("torch") else "-"
        batches = [row.batch for row in rows]
        left.plot(batches, [row.p50_ms for row in rows], style, marker="o", label=way)
        right.plot(batches, [row.windows_per_s for row in rows], style, marker="o", label=way)
    for axes, title in ((left, "ms a call, median"), (right, "windows per second")):
        axes.set(title=title, xlabel="windows in a call", yscale="log")
        axes.grid(alpha=0.3, which="both")
    left.legend(fontsize="small")
    figure.suptitle(f"{comparison.bundle} on {comparison.gpu or comparison.processor}")
    figure.savefig(path, dpi=120)


def _feeds(bundle: Bundle, most: int) -> Feeds:
    windows = [stand_in_window(bundle.manifest, seed=seed) for seed in range(min(most, 4))]
    few = preprocess(windows, bundle.manifest)
    return {n: np.resize(array, (most, *array.shape[1:])) for n, array in few.items()}


def _row(way: str, run: Callable[[Feeds], object], feeds: Feeds, batch: int, seconds: float) -> Row:
    some = {name: np.ascontiguousarray(array[:batch]) for name, array in feeds.items()}
    for _ in range(_WARM_UP):
        run(some)
    times: list[float] = []
    stop = time.perf_counter() + seconds
    while not times or time.perf_counter() < stop:
        started = time.perf_counter()
        run(some)
        times.append(time.perf_counter() - started)
    p50, p95 = (float(p) for p in np.percentile(times, [50, 95]))
    return Row(way, batch, len(times), p50 * 1e3, p95 * 1e3, batch / p50)


def _agreement(engine: Engine) -> Agreement:
    parity = verify(engine)
    worst = max(parity.outputs, key=lambda d: d.error)
    return Agreement(parity.runtime, worst.error, worst.allowed, parity.agreement)


def _net(bundle: Bundle, checkpoint: Path | None) -> Net:
    name = bundle.manifest.source.recipe
    ours = RECIPES[name]() if name in RECIPES else None
    known = () if ours is None else (ours, fed_floats(ours))
    recipe = next((r for r in known if r.inputs == bundle.manifest.inputs), None)
    if recipe is None:
        raise RuntimeUnavailable(
            f"{bundle.folder}: was exported from a recipe {name!r} that this version of the code "
            f"has not, so torch has no network to compare with: export it again"
        )
    net = build_net(recipe.net).eval()
    if checkpoint is not None:
        load_weights(net, load_checkpoint(checkpoint, recipe), str(checkpoint))
    return net

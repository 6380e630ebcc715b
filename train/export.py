"""Export: a recipe and weights become a bundle that the runtime can open.

- The fp32 graph is the reference, and enough for processors: OpenVINO makes bf16 of it in memory.
  fp16 and bf16 graphs, for GPUs, are made of it on request, and what they lose is measured.
- Random weights come with scaled classifiers: over the golden windows each task's logits have mean
  0 and standard deviation 1, so that a bundle without training shows something that moves.
- Nothing appears in the target folder before ONNX Runtime has reproduced torch there.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from engines.bundle import Bundle, load_bundle, save_bundle, save_golden, sha256_of
from engines.engine import open_engine
from engines.errors import BundleError
from engines.manifest import (
    Golden,
    Graph,
    Manifest,
    Notes,
    Source,
)
from engines.preprocess import preprocess
from engines.tensor_specs import Feeds
from engines.verify import verify
from train.checkpoint import WEIGHTS_NAME, load_checkpoint, load_weights, save_half
from train.golden import golden_windows, spread_logits
from train.graph import OPSET, ExportError, write_graph
from train.models.heads import Net, build_net
from train.older_opset import OLD_OPSET, rewrite_older
from train.perception import perception_of
from train.precision import OPSETS, LowPrecision, measure, write_lower
from train.recipes import Recipe

MAX_ERROR = 1e-4
"""An fp32 runtime against torch, in units of the output's standard deviation."""
BF16_ERROR = 0.2
"""The same in bf16; measured with random weights: 0.08 (demo), 0.14 (joint)."""

_PROJECT = Path(__file__).parents[1]
_GRAPH, _GOLDEN = "model.onnx", "golden.npz"
_UNHASHED = "0" * 64
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What the recipe does not say."""

    out: Path
    """The bundle's folder: new or empty."""
    checkpoint: Path | None = None
    """Weights; None for random ones."""
    keeps_weights: bool = False
    """Whether the bundle holds the checkpoint, too, in float16, for others to train on."""
    seed: int = 0
    """Of random weights."""
    name: str | None = None
    """The bundle's name; None takes the recipe's."""
    version: str = "0.1.0"
    data: str = "not stated"
    """What the checkpoint was fitted on: data sets and split."""
    data_licence: str = "not stated"
    """Of that data."""
    limits: str = ""
    """What this checkpoint must not be taken for, beside what the recipe says."""
    precisions: tuple[LowPrecision, ...] = ()
    """Of further graphs, for GPUs."""
    opset: int = OPSET
    """Of the fp32 graph: `OPSET`, or `OLD_OPSET` for TensorRT 8.5."""


def export(recipe: Recipe, options: ExportOptions, report: Callable[[str], None]) -> Bundle:
    """Write a bundle and replay its golden vectors through ONNX Runtime.

    Args:
        recipe: what to build.
        options: weights, folder, name.
        report: told each step before it starts, in a few words.

    Raises:
        BundleError: the folder is not empty or cannot be written.
        CheckpointError: the weights are not this recipe's.
        ExportError: the graph has nodes that runtimes refuse, or a low precision loses too much.
        ParityError: ONNX Runtime differs from torch by more than `MAX_ERROR`.
    """
    out = options.out
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise BundleError(f"{out}: expected a new or an empty folder, name another one")
    report("building the network")
    weights = load_checkpoint(options.checkpoint, recipe) if options.checkpoint else None
    torch.manual_seed(options.seed)
    net = build_net(recipe.net).eval()
    if weights is not None:
        load_weights(net, weights, str(options.checkpoint))
    manifest = draft_manifest(recipe, options)
    windows = golden_windows(manifest)
    feeds = preprocess(windows, manifest)
    report("computing the golden vectors")
    if weights is None:
        spread_logits(net, list(run_torch(net, manifest, feeds).values()))
    outputs = run_torch(net, manifest, feeds)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
            staging = Path(folder)
            report("exporting to ONNX")
            write_graph(net, manifest, feeds, staging / _GRAPH)
            save_golden(staging / _GOLDEN, windows, feeds, outputs)
            low = [_low_graph(p, staging, feeds, outputs, report) for p in options.precisions]
            manifest = replace(manifest, graphs=(*manifest.graphs, *low))
            if options.opset == OLD_OPSET:
                rewrite_older(staging / _GRAPH)
            manifest = _with_digests(manifest, staging)
            files = {g.file: staging / g.file for g in manifest.graphs}
            files[_GOLDEN] = staging / _GOLDEN
            save_bundle(staging / "bundle", manifest, files)
            report("comparing ONNX Runtime with torch")
            with open_engine(staging / "bundle", "ort") as engine:
                verify(engine).check()
            if options.keeps_weights:
                save_half(staging / "bundle" / WEIGHTS_NAME, recipe, net.state_dict())
            if out.exists():
                out.rmdir()
            shutil.move(staging / "bundle", out)
    except OSError as error:
        raise BundleError(f"{out}: cannot be written ({error.strerror or error})") from None
    return load_bundle(out)


def draft_manifest(recipe: Recipe, options: ExportOptions) -> Manifest:
    """The bundle's manifest, but for the digests of files that are not written yet."""
    is_untrained = options.checkpoint is None
    warning = "UNTRAINED: the weights are random, the outputs mean nothing." if is_untrained else ""
    limits = (warning, recipe.limits, options.limits.strip())
    return Manifest(
        schema_version=1,
        name=options.name or recipe.name,
        version=options.version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        source=Source(
            revision=git_revision(),
            recipe=recipe.name,
            data="untrained" if is_untrained else options.data,
        ),
        graphs=(Graph(file=_GRAPH, sha256=_UNHASHED, precision="fp32", opset=options.opset),),
        window=recipe.window,
        perception=perception_of(recipe),
        inputs=recipe.inputs,
        outputs=recipe.outputs,
        metrics=(),
        golden=Golden(
            file=_GOLDEN, sha256=_UNHASHED, atol=MAX_ERROR, rtol=0.0, low_precision_atol=BF16_ERROR
        ),
        notes=Notes(
            intended_use=recipe.intended_use,
            limits=" ".join(part for part in limits if part),
            data_licence="none: no data were used" if is_untrained else options.data_licence,
        ),
    )


def _low_graph(
    precision: LowPrecision,
    staging: Path,
    feeds: Feeds,
    outputs: dict[str, Floats],
    report: Callable[[str], None],
) -> Graph:
    report(f"writing the {precision} graph and measuring it")
    file = f"model.{precision}.onnx"
    model = write_lower(staging / _GRAPH, precision, staging / file)
    accuracy = measure(model, feeds, outputs)
    found = (
        f"{precision} is within {accuracy.max_error:.2g} standard deviations of torch, "
        f"top-1 agrees on {accuracy.agreement:.0%}"
    )
    if not accuracy.max_error <= BF16_ERROR:  # NaN, too
        raise ExportError(
            f"{found}: {BF16_ERROR} are allowed, export without --precision {precision}"
        )
    report(found)
    return Graph(
        file=file,
        sha256=_UNHASHED,
        precision=precision,
        opset=OPSETS[precision],
        max_error=accuracy.max_error,
    )


def run_torch(net: Net, manifest: Manifest, feeds: Feeds) -> dict[str, Floats]:
    """Logits by output name; one window at a time, which keeps memory flat."""
    rows = []
    with torch.inference_mode():
        for i in range(len(next(iter(feeds.values())))):
            rows.append(net(**{n: torch.from_numpy(a[i : i + 1]) for n, a in feeds.items()}))
    names = [output.name for output in manifest.outputs]
    return {n: torch.cat(c).numpy() for n, c in zip(names, zip(*rows, strict=True), strict=True)}


def git_revision() -> str:
    """The commit of this source tree, `-dirty` if its code has changed since; or `unknown`."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(_PROJECT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != _PROJECT.resolve():
            return "unknown"  # installed somewhere inside another project's tree
        changed = git("status", "--porcelain", "--", "engines", "train")
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _with_digests(manifest: Manifest, folder: Path) -> Manifest:
    graphs = tuple(replace(g, sha256=sha256_of(folder / g.file)) for g in manifest.graphs)
    golden = replace(manifest.golden, sha256=sha256_of(folder / manifest.golden.file))
    return replace(manifest, graphs=graphs, golden=golden)

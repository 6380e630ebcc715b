"""`python -m engines info | compile | verify | bench | doctor BUNDLE`.

Exit codes: 0 done; 1 a bundle that fails `verify`, a part that fails `doctor`, or a device that was
named beside others and did not do the work; 2 anything that the user can cure (one line).
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from tqdm import tqdm

from engines.bench import BenchReport, bench
from engines.build_progress import ticking
from engines.bundle import load_bundle
from engines.compile import BATCHES, compile_plan
from engines.doctor import examine, table
from engines.engine import Engine
from engines.errors import RuntimeUnavailable, TellsError
from engines.manifest import Graph, Manifest, OutputSpec, PoseInput
from engines.runtimes import split_device
from engines.side_by_side import SideBySide, bench_json, bench_table, on_each, verify_table
from engines.verify import Deviation, Parity, verify

UNTRAINED = "UNTRAINED: the weights are random, the outputs mean nothing"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments)
    except TellsError as error:
        print(f"engines: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace) -> int:
    commands = {
        "info": _info,
        "compile": _compile,
        "verify": _verify,
        "bench": _bench,
        "doctor": _doctor,
    }
    return commands[arguments.command](arguments)


def _info(arguments: argparse.Namespace) -> int:
    print(describe(load_bundle(arguments.bundle).manifest))
    return 0


def _compile(arguments: argparse.Namespace) -> int:
    kind, index = split_device(arguments.device)
    if kind != "cuda":
        raise RuntimeUnavailable(
            f"Device {arguments.device!r}: plans are compiled for cuda:0 (or another GPU's number)"
        )
    bundle = load_bundle(arguments.bundle)
    with ExitStack() as stack:
        bars: list[tqdm[None]] = []

        def report(share: float) -> None:
            if not bars:
                bars.append(stack.enter_context(_progress_bar(bundle.manifest.id)))
                stack.enter_context(ticking(bars[0]))
            bars[0].update(share - bars[0].n)

        done = compile_plan(
            bundle,
            index,
            precision=arguments.precision,
            batches=arguments.batch,
            report=report,
        )
    how = "was compiled before" if done.was_cached else f"compiled in {done.seconds:.1f} s"
    batches = ", ".join(map(str, done.key.batches))
    print(
        f"{bundle.manifest.id} for {done.key.gpu}, TensorRT {done.key.tensorrt}, "
        f"{done.key.precision}, batches {batches}: {how}, {done.size_mb:.1f} MB\n{done.path}"
    )
    return 0


def _progress_bar(bundle: str) -> "tqdm[None]":
    return tqdm(
        total=1.0,
        desc=f"compiling {bundle}, which takes minutes",
        bar_format="{desc}: {percentage:3.0f} % |{bar}| {elapsed} so far, {remaining} to go",
    )


def _verify(arguments: argparse.Namespace) -> int:
    found = on_each(arguments.bundle, arguments.device, verify, precision=arguments.precision)
    for parity in found.results:
        print(_parity_table(parity))
    if len(found.results) > 1 or found.absent:
        print("\n" + verify_table(found))
    return 0 if all(parity.is_ok for parity in found.results) and _did_all(arguments, found) else 1


def _did_all(arguments: argparse.Namespace, found: SideBySide[Any]) -> bool:
    """Every device that was asked for did the work; `all` asks for what there is."""
    return not found.absent or "all" in arguments.device


def _bench(arguments: argparse.Namespace) -> int:
    def measure(engine: Engine) -> BenchReport:
        return bench(
            engine,
            seconds=arguments.seconds,
            repeats=arguments.repeats,
            batches=arguments.batches,
        )

    found = on_each(arguments.bundle, arguments.device, measure, precision=arguments.precision)
    print(bench_json(found) if arguments.json else bench_table(found))
    return 0 if _did_all(arguments, found) else 1


def _doctor(arguments: argparse.Namespace) -> int:
    checks = list(examine(arguments.bundle))
    print(table(checks))
    return 0 if all(check.is_ok for check in checks) else 1


def describe(manifest: Manifest) -> str:
    """What a person wants to know of a bundle, several lines."""
    window, perception = manifest.window, manifest.perception
    lines = [f"{manifest.id}, made {manifest.created} by {manifest.source.recipe}"]
    if manifest.source.is_untrained:
        lines.append(UNTRAINED)
    else:
        lines.append(f"fitted on {manifest.source.data}")
    lines += [
        f"graphs      {', '.join(map(_graph_text, manifest.graphs))}",
        f"window      {window.span_s:g} s, coverage >= {window.min_coverage:.0%}, "
        f"gaps <= {window.max_gap_s:g} s",
        f"perception  {perception.pose_model.name} ({perception.layout}), "
        f"{perception.face_model.name}; frames {perception.storage[1]}x{perception.storage[0]}, "
        f"faces {perception.face_size}x{perception.face_size} px",
        "",
    ]
    for spec in manifest.inputs:
        shape = "x".join(str(s) for s in spec.shape)
        extra = f", {spec.coordinates} {spec.layout}" if isinstance(spec, PoseInput) else ""
        lines.append(
            f"input   {spec.name}: {spec.modality} {shape} {spec.dtype}, "
            f"{spec.sampling.frames} samples over {spec.sampling.span_s:g} s{extra}"
        )
    for output in manifest.outputs:
        lines += ["", *_task_lines(output, manifest)]
    notes = manifest.notes
    lines += [
        "",
        f"for     {notes.intended_use}",
        f"limits  {notes.limits}",
        f"data    {notes.data_licence}",
    ]
    return "\n".join(lines)


def _graph_text(graph: Graph) -> str:
    lost = f", error/std {graph.max_error:.2g}" if graph.max_error is not None else ""
    return f"{graph.file} ({graph.precision}{lost})"


def _task_lines(output: OutputSpec, manifest: Manifest) -> list[str]:
    lines = [f"task    {output.task} ({output.kind}), {len(output.class_names)} classes"]
    for index, name in enumerate(output.class_names):
        nothing = "  (nothing to report)" if index == output.background else ""
        lines.append(f"  {index:>3}  {name}{nothing}")
    for m in manifest.metrics:
        if m.task == output.task:
            figures = [("top-1", m.top1), ("macro F1", m.macro_f1), ("ECE", m.ece)]
            figures.append(("always the same class", m.majority))
            measured = [f"{name} {value:.3f}" for name, value in figures if value is not None]
            lines.append(f"  measured on {m.split}, n = {m.n}: {', '.join(measured) or 'nothing'}")
    if not any(m.task == output.task for m in manifest.metrics):
        lines.append("  quality not measured")
    return lines


def _parity_table(parity: Parity) -> str:
    def line(what: str, deviation: Deviation) -> str:
        verdict = "ok" if deviation.is_ok else "FAILED"
        return (
            f"{what:<8}{deviation.name:<24}{deviation.error:>10.2e}{deviation.allowed:>10.1e}"
            f"  {verdict}"
        )

    lines = [
        f"{parity.bundle} on {parity.runtime}: {parity.num_windows} golden windows, "
        f"top-1 agrees on {parity.agreement:.0%}",
        f"{'':<8}{'':<24}{'error/std':>10}{'allowed':>10}",
        *(line("feed", d) for d in parity.feeds),
        *(line("output", d) for d in parity.outputs),
        "ok: the runtime reproduces torch"
        if parity.is_ok
        else "FAILED: do not use this bundle here",
    ]
    return "\n".join(lines)


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return value


def _positive_seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text}")
    return value


def _batches(text: str) -> list[int]:
    return [_positive_int(part) for part in text.split(",")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engines", description="Look into bundles.")
    commands = parser.add_subparsers(dest="command", required=True)
    info = commands.add_parser("info", help="what a bundle is")
    plan = commands.add_parser("compile", help="make a TensorRT plan of it for this GPU")
    check = commands.add_parser("verify", help="replay its golden vectors on this machine")
    speed = commands.add_parser("bench", help="how long a window takes here, stage by stage")
    doctor = commands.add_parser("doctor", help="what this machine can run bundles on")
    for command in (info, plan, check, speed):
        command.add_argument("bundle", metavar="BUNDLE", help="a bundle's folder")
    doctor.add_argument("bundle", metavar="BUNDLE", nargs="?", help="replays its golden vectors")
    for command in (check, speed):
        command.add_argument(
            "--device",
            nargs="+",
            default=["auto"],
            help="one or more of auto, all, cpu (OpenVINO), ort (ONNX Runtime), cuda:0 "
            "(TensorRT), ort-cuda:0 (ONNX Runtime on the GPU); default: auto",
        )
    for command in (plan, check, speed):
        command.add_argument(
            "--precision",
            choices=["fp32", "fp16", "bf16"],
            help="default: the fastest on this device",
        )
    plan.add_argument("--device", default="cuda:0", help="default: cuda:0")
    plan.add_argument(
        "--batch",
        type=_batches,
        default=list(BATCHES),
        metavar="N,N,...",
        help=f"windows in one call; default: {','.join(map(str, BATCHES))}",
    )
    speed.add_argument("--json", action="store_true", help="one JSON object, no table")
    speed.add_argument(
        "--seconds", type=_positive_seconds, default=5.0, help="for each batch size; default: 5"
    )
    speed.add_argument(
        "--repeats", type=_positive_int, default=1000, help="calls at most; default: 1000"
    )
    speed.add_argument(
        "--batches", type=_positive_int, nargs="+", default=[1, 2, 4], help="default: 1 2 4"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

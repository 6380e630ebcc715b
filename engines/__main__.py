"""`python -m engines info | compile | verify | bench | doctor BUNDLE`.

Exit codes: 0 done; 1 a bundle that fails `verify`, a part that fails `doctor`, a device that was
named beside others and did not do the work, or nobody reads what is printed; 2 anything that the
user can cure (one line); 130 Ctrl-C.

What takes time to import is imported by the functions, where Ctrl-C is caught.
"""

import argparse
import math
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from engines.errors import RuntimeUnavailable, TellsError
from engines.unread import open_streams, to_nowhere

if TYPE_CHECKING:
    from tqdm import tqdm

    from engines.manifest import Graph, Manifest, OutputSpec
    from engines.side_by_side import SideBySide

UNTRAINED = "UNTRAINED: the weights are random, the outputs mean nothing"
_MOST = 1024
"""Windows in one call, as for `compile`."""
_SECRET = re.compile(r"\S*:\S.*(?=@)|(?<=\?)\S*=\S*[^\s:,'\"]", re.DOTALL)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    open_streams()
    try:
        arguments = _parser().parse_args(argv)
        return int(arguments.run(arguments))
    except TellsError as error:
        print(f"engines: {_without_secrets(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read has gone: nothing is left for the end, which would fail
        to_nowhere(1)
        return 1


def _without_secrets(text: str) -> str:
    """As it may be shown: a camera's address that stands where a path belongs has a password."""
    return _SECRET.sub("***", text)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say on stderr what is wrong, and exit with code 2."""
        if "required: BUNDLE" in message and self.prog.endswith(("verify", "bench")):
            message += ": put it before --device and --batches, which take all that follows"
        super().error(_without_secrets(message))


def _info(arguments: argparse.Namespace) -> int:
    from engines.bundle import load_bundle

    print(describe(load_bundle(arguments.bundle).manifest))
    return 0


def _compile(arguments: argparse.Namespace) -> int:
    from engines.build_progress import ticking
    from engines.bundle import load_bundle
    from engines.compile import BATCHES, compile_plan
    from engines.runtimes import split_device

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
                stack.enter_context(ticking(bars[0].refresh))
            bars[0].update(share - bars[0].n)

        done = compile_plan(
            bundle,
            index,
            precision=arguments.precision,
            batches=arguments.batch or BATCHES,
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
    from tqdm import tqdm

    return tqdm(
        total=1.0,
        desc=f"compiling {bundle}, which takes minutes",
        bar_format="{desc}: {percentage:3.0f} % |{bar}| {elapsed} so far, {remaining} to go",
    )


def _verify(arguments: argparse.Namespace) -> int:
    from engines.side_by_side import on_each, parity_table, verify_table
    from engines.verify import verify

    devices = arguments.device or ["auto"]
    found = on_each(arguments.bundle, devices, verify, precision=arguments.precision)
    for parity in found.results:
        print(parity_table(parity))
    if len(found.results) > 1 or found.absent:
        print("\n" + verify_table(found))
    return 0 if all(parity.is_ok for parity in found.results) and _did_all(devices, found) else 1


def _did_all(devices: Sequence[str], found: "SideBySide[Any]") -> bool:
    """Every device that was asked for did the work; `all` asks for what there is."""
    return not found.absent or "all" in devices


def _bench(arguments: argparse.Namespace) -> int:
    from engines.bench import bench
    from engines.side_by_side import bench_json, bench_table, on_each

    batches = arguments.batches or [1, 2, 4]
    measure = partial(bench, seconds=arguments.seconds, repeats=arguments.repeats, batches=batches)
    devices = arguments.device or ["auto"]
    found = on_each(arguments.bundle, devices, measure, precision=arguments.precision)
    print(bench_json(found) if arguments.json else bench_table(found))
    return 0 if _did_all(devices, found) else 1


def _doctor(arguments: argparse.Namespace) -> int:
    from engines.doctor import examine, table

    checks = list(examine(arguments.bundle))
    print(table(checks))
    return 0 if all(check.is_ok for check in checks) else 1


def describe(manifest: "Manifest") -> str:
    """What a person wants to know of a bundle, several lines."""
    from engines.manifest import PoseInput

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


def _graph_text(graph: "Graph") -> str:
    lost = f", error/std {graph.max_error:.2g}" if graph.max_error is not None else ""
    return f"{graph.file} ({graph.precision}{lost})"


def _task_lines(output: "OutputSpec", manifest: "Manifest") -> list[str]:
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


def _above_0(text: str, kind: Callable[[str], float], most: float, what: str) -> float:
    try:
        value = kind(text)
    except ValueError:
        value = 0
    if not 0 < value <= most:
        raise argparse.ArgumentTypeError(f"expected {what}, got {text!r}")
    return value


def _whole(text: str) -> float:
    return _above_0(text, int, math.inf, "a whole number of 1 or more")


def _seconds(text: str) -> float:
    return _above_0(text, float, sys.float_info.max, "seconds above 0")


def _batch(text: str) -> float:
    return _above_0(text, int, _MOST, f"a whole number from 1 to {_MOST}")


def _batches(text: str) -> list[float]:
    what = f"whole numbers from 1 to {_MOST} with commas between them, such as 1,4,16"
    try:
        return [_batch(part) for part in text.split(",")]
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"expected {what}, got {text!r}") from None


def _parser() -> argparse.ArgumentParser:
    from engines.compile import BATCHES

    parser = _Parser(prog="python -m engines", description="Look into bundles.")
    commands = parser.add_subparsers(dest="command", required=True)
    info = commands.add_parser("info", help="what a bundle is")
    plan = commands.add_parser("compile", help="make a TensorRT plan of it for this GPU")
    check = commands.add_parser("verify", help="replay its golden vectors on this machine")
    speed = commands.add_parser("bench", help="how long a window takes here, stage by stage")
    doctor = commands.add_parser("doctor", help="what this machine can run bundles on")
    runs = (_info, _compile, _verify, _bench)
    for command, run in zip((info, plan, check, speed), runs, strict=True):
        command.add_argument("bundle", metavar="BUNDLE", help="a bundle's folder")
        command.set_defaults(run=run)
    doctor.add_argument("bundle", metavar="BUNDLE", nargs="?", help="replays its golden vectors")
    doctor.set_defaults(run=_doctor)
    for command in (check, speed):
        command.add_argument(
            "--device",
            nargs="+",
            action="extend",
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
        action="extend",
        metavar="N,N,...",
        help=f"windows in one call; default: {','.join(map(str, BATCHES))}",
    )
    speed.add_argument("--json", action="store_true", help="one JSON object, no table")
    speed.add_argument(
        "--seconds", type=_seconds, default=5.0, help="for each batch size; default: 5"
    )
    speed.add_argument("--repeats", type=_whole, default=1000, help="calls at most; default: 1000")
    speed.add_argument("--batches", type=_batch, nargs="+", action="extend", help="default: 1 2 4")
    return parser


if __name__ == "__main__":
    sys.exit(main())

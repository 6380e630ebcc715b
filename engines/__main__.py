"""`python -m engines info | verify | bench BUNDLE`.

Exit codes: 0 done, 1 a bundle that fails `verify`, 2 anything that the user can cure (one line).
"""

import argparse
import sys
from collections.abc import Sequence

from engines.bench import bench
from engines.bundle import load_bundle
from engines.engine import open_engine
from engines.errors import TellsError
from engines.manifest import Manifest, OutputSpec, PoseInput
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
    if arguments.command == "info":
        print(describe(load_bundle(arguments.bundle).manifest))
        return 0
    with open_engine(arguments.bundle, arguments.device, precision=arguments.precision) as engine:
        if arguments.command == "verify":
            parity = verify(engine)
            print(_parity_table(parity))
            return 0 if parity.is_ok else 1
        report = bench(
            engine,
            seconds=arguments.seconds,
            repeats=arguments.repeats,
            batches=arguments.batches,
        )
        print(report.to_json() if arguments.json else report.to_table())
        return 0


def describe(manifest: Manifest) -> str:
    """What a person wants to know of a bundle, several lines."""
    window, perception = manifest.window, manifest.perception
    lines = [f"{manifest.id}, made {manifest.created} by {manifest.source.recipe}"]
    if manifest.source.is_untrained:
        lines.append(UNTRAINED)
    else:
        lines.append(f"fitted on {manifest.source.data}")
    lines += [
        f"graphs      {', '.join(f'{g.file} ({g.precision})' for g in manifest.graphs)}",
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
            f"input   {spec.name}: {spec.modality} {shape}, {spec.sampling.frames} samples over "
            f"{spec.sampling.span_s:g} s{extra}"
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


def _task_lines(output: OutputSpec, manifest: Manifest) -> list[str]:
    lines = [f"task    {output.task} ({output.kind}), {len(output.class_names)} classes"]
    for index, name in enumerate(output.class_names):
        nothing = "  (nothing to report)" if index == output.background else ""
        lines.append(f"  {index:>3}  {name}{nothing}")
    for m in manifest.metrics:
        if m.task == output.task:
            figures = [("top-1", m.top1), ("macro F1", m.macro_f1), ("ECE", m.ece)]
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
        f"{parity.bundle} on {parity.runtime}: {parity.num_windows} golden windows",
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engines", description="Look into bundles.")
    commands = parser.add_subparsers(dest="command", required=True)
    info = commands.add_parser("info", help="what a bundle is")
    check = commands.add_parser("verify", help="replay its golden vectors on this machine")
    speed = commands.add_parser("bench", help="how long a window takes here, stage by stage")
    for command in (info, check, speed):
        command.add_argument("bundle", metavar="BUNDLE", help="a bundle's folder")
    for command in (check, speed):
        command.add_argument(
            "--device", default="auto", help="cpu (OpenVINO), ort (ONNX Runtime); default: auto"
        )
        command.add_argument(
            "--precision", choices=["fp32", "bf16"], help="default: the fastest on this device"
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

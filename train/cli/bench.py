"""`python -m train bench`: a bundle's runtimes beside torch, eager and compiled."""

import argparse
import sys
import time
from pathlib import Path

from train.cli import Subparsers
from train.cli.needs import require


def add(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser("bench", help="time a bundle's runtimes beside torch")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--device", nargs="+", default=["all"], help="default: all that are there")
    parser.add_argument(
        "--batches", nargs="+", type=int, default=[1, 4, 16], help="default: 1 4 16"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="for each figure; default: 5")
    parser.add_argument("--init", type=Path, metavar="CHECKPOINT", help="torch's weights")
    parser.add_argument("--out", type=Path, metavar="DIR", help="bench.json and bench.png go there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the table; write it, and the plot, where asked."""
    require("bench", ("torch",))
    from engines.errors import RuntimeUnavailable
    from train.bench import compare, plot

    if min(arguments.batches) < 1 or not arguments.seconds > 0:
        raise RuntimeUnavailable("--batches and --seconds must be above 0")
    started = time.monotonic()

    def report(step: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {step}", file=sys.stderr, flush=True)

    comparison = compare(
        arguments.bundle,
        arguments.device,
        batches=arguments.batches,
        seconds=arguments.seconds,
        checkpoint=arguments.init,
        report=report,
    )
    print(comparison.to_table())
    if arguments.out is not None:
        try:
            arguments.out.mkdir(parents=True, exist_ok=True)
            (arguments.out / "bench.json").write_text(comparison.to_json(), encoding="utf-8")
            plot(comparison, arguments.out / "bench.png")
        except OSError as error:
            why = error.strerror or error
            raise RuntimeUnavailable(f"{arguments.out}: cannot be written ({why})") from None

"""`python -m train bench`: a bundle's runtimes beside torch, eager and compiled."""

import argparse
import math
import sys
import time
from pathlib import Path

from engines.errors import TellsError
from train.cli import Subparsers
from train.cli.bounds import check_number
from train.cli.needs import require

_BATCHES, _MOST = (1, 4, 16), 1024


def add(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser("bench", help="time a bundle's runtimes beside torch")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--device", nargs="+", action="extend", help="default: all that are there")
    parser.add_argument("--batches", nargs="+", action="extend", type=int, help="default: 1 4 16")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each figure; default: 5")
    parser.add_argument("--init", type=Path, metavar="CHECKPOINT", help="torch's weights")
    parser.add_argument("--out", type=Path, metavar="DIR", help="bench.json and bench.png go there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the table; write it, and the plot, where asked."""
    batches = arguments.batches or _BATCHES
    for batch in batches:
        check_number("--batches", batch, 1, _MOST)
    if not (arguments.seconds > 0 and math.isfinite(arguments.seconds)):
        raise TellsError(f"--seconds: expected seconds above 0, got {arguments.seconds}")
    require("bench", ("torch",))
    from engines.bundle import load_bundle
    from engines.errors import RuntimeUnavailable
    from train.bench import Comparison, compare, plot
    from train.out_paths import check_file, check_folder

    if arguments.out is not None:  # not after the last figure
        load_bundle(arguments.bundle)
        check_folder(arguments.out)
        for name in ("bench.json", "bench.png"):
            check_file(arguments.out / name)
    started = time.monotonic()

    def report(step: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {step}", file=sys.stderr, flush=True)

    def keep(found: Comparison) -> None:
        if arguments.out is not None:
            (arguments.out / "bench.json").write_text(found.to_json(), encoding="utf-8")

    try:
        comparison = compare(
            arguments.bundle,
            arguments.device or ["all"],
            batches=batches,
            seconds=arguments.seconds,
            checkpoint=arguments.init,
            report=report,
            keep=keep,
        )
        if arguments.out is not None:
            plot(comparison, arguments.out / "bench.png")
    except OSError as error:
        why = error.strerror or error
        raise RuntimeUnavailable(f"{arguments.out}: cannot be written ({why})") from None
    print(comparison.to_table())

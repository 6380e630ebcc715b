"""`python -m train estimator`: what the pose estimator's errors are, for poses made on the spot."""

import argparse
from pathlib import Path

from engines.errors import TellsError
from train.cli import Subparsers
from train.cli.bounds import check_seed
from train.cli.needs import require


def add(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "estimator", help="measure how the pose estimator errs on rendered people"
    )
    parser.add_argument(
        "--rendered", required=True, type=Path, nargs="+", action="extend", metavar="DIR",
        help="what `synth` has rendered",
    )  # fmt: skip
    parser.add_argument(
        "--data", required=True, type=Path, nargs="+", action="extend", metavar="STORE",
        help="what `prepare` made of each",
    )  # fmt: skip
    parser.add_argument("--avatars", required=True, type=Path, metavar="DIR")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.npz")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Measure and write."""
    if arguments.out.suffix != ".npz" or not arguments.out.parent.is_dir():
        raise TellsError(f"--out: expected FILE.npz in a folder that exists: {arguments.out}")
    if len(arguments.rendered) != len(arguments.data):
        raise TellsError(
            f"--data: expected a store for each folder of --rendered, {len(arguments.rendered)}, "
            f"got {len(arguments.data)}"
        )
    check_seed(arguments.seed)
    require("estimator", ("torch", "moderngl", "tqdm"))
    from train.out_paths import writing
    from train.store import open_store
    from train.synth.estimator import save_estimator
    from train.synth.measure import measure_estimator

    stores = [open_store(folder) for folder in arguments.data]
    sources = list(zip(arguments.rendered, stores, strict=True))
    estimator = measure_estimator(sources, arguments.avatars, arguments.seed)
    with writing(arguments.out):
        save_estimator(arguments.out, estimator)
    print(f"{arguments.out}: errors of {len(estimator.keys)} moments")

"""`python -m train evaluate`: all figures of a bundle or a checkpoint on prepared data."""

import argparse
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from engines.errors import TellsError
from train.cli import Subparsers
from train.cli.needs import RECIPE_NAMES, require

if TYPE_CHECKING:
    from train.scoring import Scorer

NEEDED = ("torch", "torchmetrics", "sklearn", "scipy")


def add(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser("evaluate", help="measure a bundle or a checkpoint")
    add_model(parser)
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--out", type=Path, metavar="DIR", help="for the report and its pictures")
    parser.add_argument(
        "--write", action="store_true", help="the figures into the bundle's manifest"
    )
    parser.set_defaults(run=run)


def add_model(parser: argparse.ArgumentParser) -> None:
    """The arguments of every command that scores prepared data."""
    parser.add_argument("--bundle", type=Path, metavar="DIR")
    parser.add_argument("--device", default="auto", help="of the bundle: auto, cpu, ort, cuda:0")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="instead of a bundle")
    parser.add_argument("--recipe", default="demo", choices=RECIPE_NAMES, help="of the checkpoint")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="prepared")
    parser.add_argument("--hop-s", type=float, default=0.25, help="between windows; default: 0.25")


def open_scorer(arguments: argparse.Namespace) -> "AbstractContextManager[Scorer]":
    """What `--bundle` or `--checkpoint` names.

    Raises:
        TellsError: both or none are given, or the hop is not positive.
    """
    from train.recipes import RECIPES
    from train.scoring import bundle_scorer, checkpoint_scorer

    if (arguments.bundle is None) == (arguments.checkpoint is None):
        raise TellsError("expected either --bundle DIR or --checkpoint FILE")
    if not arguments.hop_s > 0:
        raise TellsError(f"--hop-s: expected seconds above 0, got {arguments.hop_s}")
    if arguments.bundle is not None:
        return bundle_scorer(arguments.bundle, arguments.device)
    return checkpoint_scorer(arguments.checkpoint, RECIPES[arguments.recipe]())


def run(arguments: argparse.Namespace) -> None:
    """Score, measure, print, draw."""
    require("evaluate", NEEDED)
    from realtime.config import Config
    from train import report
    from train.calibrate import with_metrics, write_manifest
    from train.evaluate import evaluate, manifest_metrics
    from train.scoring import score_videos
    from train.store import open_store

    store = open_store(arguments.data)
    with open_scorer(arguments) as scorer:
        scored = score_videos(scorer, store, arguments.split, arguments.hop_s)
        manifest = scorer.manifest
    found = evaluate(scored, manifest, Config(hop_s=arguments.hop_s))
    print(report.text(found, manifest))
    if arguments.out is not None:
        report.write(found, manifest, arguments.out)
        print(f"report in {arguments.out}")
    if arguments.write:
        if arguments.bundle is None:
            raise TellsError("--write: expected --bundle, a checkpoint has no manifest")
        metrics = manifest_metrics(found, f"{store.info.corpus}, {arguments.split}")
        write_manifest(arguments.bundle, with_metrics(manifest, metrics))

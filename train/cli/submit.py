"""`python -m train submit`: files for the MiGA challenge."""

import argparse
from pathlib import Path

from train.cli import Subparsers
from train.cli.evaluate import NEEDED, add_model, open_scorer
from train.cli.needs import require


def add(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser("submit", help="write a challenge's submission")
    add_model(parser)
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument(
        "--track", required=True, type=int, choices=(1, 2, 3),
        help="1 classification, 2 online recognition, 3 emotion",
    )  # fmt: skip
    parser.add_argument("--year", type=int, default=2025, help="of track 1's format")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help="a folder for track 2"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Score and write."""
    require("submit", NEEDED)
    from realtime.config import Config
    from train import submission
    from train.scoring import score_videos
    from train.store import open_store

    store = open_store(arguments.data)
    with open_scorer(arguments) as scorer:
        scored = score_videos(scorer, store, arguments.split, arguments.hop_s)
        manifest = scorer.manifest
    if arguments.track == 1:
        rows = submission.classification(scored, arguments.out, year=arguments.year)
    elif arguments.track == 2:
        config = Config(hop_s=arguments.hop_s)
        rows = submission.recognition(scored, store, manifest, config, arguments.out)
    else:
        rows = submission.emotion(scored, arguments.out)
    print(f"{rows} rows in {arguments.out}")

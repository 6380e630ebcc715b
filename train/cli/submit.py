"""`python -m train submit`: files for the MiGA challenge."""

import argparse
import sys
from pathlib import Path

from engines.errors import TellsError
from train.cli import Subparsers
from train.cli.evaluate import NEEDED, add_model, open_scorer
from train.cli.needs import require


def add(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser("submit", help="write a challenge's submission")
    add_model(parser)
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="prepared")
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
    from realtime.config import load_config
    from train import submission
    from train.out_paths import check_file, check_folder
    from train.scoring import score_videos
    from train.store import open_store

    config = load_config(hop_s=arguments.hop_s)
    store = open_store(arguments.data)
    task = "emotion" if arguments.track == 3 else "micro_gesture"
    with open_scorer(arguments) as scorer:
        manifest = scorer.manifest
        if task not in manifest.tasks:
            raise TellsError(
                f"track {arguments.track} needs the task {task}, {manifest.id} serves "
                f"{', '.join(manifest.tasks)}"
            )
        if arguments.track == 2:  # not after hours of scoring
            check_folder(arguments.out)
        else:
            check_file(arguments.out)
        scored = score_videos(scorer, store, arguments.split, arguments.hop_s)
    if arguments.track == 1:
        rows = submission.classification(scored, arguments.out, year=arguments.year)
        if lost := submission.unanswered(scored):
            print(f"no answer for {len(lost)} Ids: {' '.join(lost)}", file=sys.stderr)
        if any(span.row is None for item in scored for span in item.video.spans):
            why = "the store is an earlier version's; if any were left out, prepare it again"
            print(f"Ids count the labels that `train prepare` kept: {why}", file=sys.stderr)
    elif arguments.track == 2:
        rows = submission.recognition(scored, store, manifest, config, arguments.out)
    else:
        rows = submission.emotion(scored, arguments.out)
    for reason in ("video missing", "video broken"):
        if count := store.info.skipped[reason]:
            why = f"{count} x {reason}, over all splits; `train prepare` names them"
            print(f"no answer for videos that the store lacks: {why}", file=sys.stderr)
    print(f"{rows} rows in {arguments.out}")

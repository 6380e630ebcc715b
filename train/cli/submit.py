"""`python -m train submit`: files for the MiGA challenge."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engines.errors import TellsError
from train.cli import Subparsers
from train.cli.evaluate import NEEDED, add_model, open_scorer
from train.cli.needs import require

if TYPE_CHECKING:
    from train.scoring import ScoredVideo
    from train.store import Store


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
        _name_clips_without_answer(scored)
    elif arguments.track == 2:
        rows = submission.recognition(scored, store, manifest, config, arguments.out)
    else:
        rows = submission.emotion(scored, arguments.out)
    _name_videos_without_answer(store)
    print(f"{rows} rows in {arguments.out}")


def _name_clips_without_answer(scored: "Sequence[ScoredVideo]") -> None:
    from train import submission

    if lost := submission.unanswered(scored):
        print(f"no answer for {len(lost)} Ids: {' '.join(lost)}", file=sys.stderr)
    if lost := submission.without_clips(scored):
        what = "videos without label file, which would say what their clips are"
        print(f"no answer for {len(lost)} {what}: {' '.join(lost)}", file=sys.stderr)
    if any(span.row is None for item in scored for span in item.video.spans):
        why = "the store is an earlier version's; if any were left out, prepare it again"
        print(f"Ids count the labels that `train prepare` kept: {why}", file=sys.stderr)


def _name_videos_without_answer(store: "Store") -> None:
    again = "; of the split test it takes them if the same command is given again"
    for reason, cure in (
        ("video missing", ""), ("video broken", ""), ("video without label file", again),
    ):  # fmt: skip
        if count := store.info.skipped[reason]:
            why = f"{count} x {reason}, over all splits; `train prepare` names them{cure}"
            print(f"no answer for videos that the store lacks: {why}", file=sys.stderr)

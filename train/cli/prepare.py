"""`python -m train prepare`: a data set through the runtime's perception, into a store."""

import argparse
import os
from pathlib import Path

from train.cli import Subparsers
from train.cli.needs import RECIPE_NAMES, require


def add(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser("prepare", help="perceive the videos of a data set")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="the data set")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="the store")
    parser.add_argument("--recipe", default="demo", choices=RECIPE_NAMES, help="default: demo")
    parser.add_argument(
        "--layout", default="auto", choices=("auto", "A", "B", "smg"),
        help="iMiGUE's A or B, or SMG; default: what the folder looks like",
    )  # fmt: skip
    parser.add_argument(
        "--split", default="original", choices=("original", "emotion", "miga"),
        help="of layout B; default: original",
    )  # fmt: skip
    parser.add_argument(
        "--frame-shift", type=int, default=0, choices=(0, 1), help="added to frame numbers"
    )
    parser.add_argument(
        "--trimmed", action="store_true", help="every video is one gesture, nothing is background"
    )
    parser.add_argument("--skip-bad", action="store_true", help="leave malformed label rows out")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N videos")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes; default: one a core"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prepare with a progress bar, then say what was found."""
    require("prepare", ("torch", "webdataset"))
    from dataclasses import replace

    from tqdm import tqdm

    from train.corpora import open_corpus
    from train.perception import perception_of
    from train.prepare import Prepared, prepare
    from train.recipes import RECIPES

    corpus = open_corpus(
        arguments.data, arguments.layout, frame_shift=arguments.frame_shift,
        split=arguments.split, skip_bad=arguments.skip_bad,
    )  # fmt: skip
    corpus = replace(corpus, videos=corpus.videos[: arguments.limit])
    with tqdm(total=len(corpus.videos), unit="video", desc="prepare", mininterval=1.0) as bar:
        frames = 0

        def report(result: Prepared) -> None:
            nonlocal frames
            frames += result.video.frames if result.video else 0
            rate = frames / max(bar.format_dict["elapsed"], 1e-3)
            bar.set_postfix_str(f"{rate:.1f} frames/s", refresh=False)
            bar.update()

        tally = prepare(
            corpus, perception_of(RECIPES[arguments.recipe]()), arguments.out,
            is_trimmed=arguments.trimmed, workers=max(arguments.workers, 1), report=report,
        )  # fmt: skip
    frames = max(tally.frames, 1)
    print(
        f"{tally.videos} videos, {tally.frames} frames in {tally.seconds:.1f} s "
        f"({tally.frames / tally.seconds:.1f} frames/s): person in {tally.poses / frames:.1%}, "
        f"face in {tally.faces / frames:.1%}; {tally.resumed} videos were there already"
    )
    for reason, count in tally.skipped.items():
        print(f"{count} x {reason}")

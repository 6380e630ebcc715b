"""`python -m train prepare`: a data set through the runtime's perception, into a store."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.cli import Subparsers
from train.cli.bounds import check_number
from train.cli.needs import require
from train.cli.recipe import add_recipe

if TYPE_CHECKING:
    from train.prepare import Prepared

_MOST_NOTES = 20


def add(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser("prepare", help="perceive the videos of a data set")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="the data set")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="the store")
    add_recipe(parser)
    parser.add_argument(
        "--layout", default="auto", choices=("auto", "A", "B", "smg"),
        help="iMiGUE's A or B, or SMG; default: what the folder looks like",
    )  # fmt: skip
    parser.add_argument(
        "--split", choices=("original", "emotion", "miga"),
        help="of layout B alone; default: original",
    )  # fmt: skip
    parser.add_argument(
        "--hold-out", type=float, default=0.0, metavar="SHARE",
        help="of the training people into the split val; with --split emotion of the training "
        "videos of each result; default: 0, as published",
    )  # fmt: skip
    parser.add_argument(
        "--fold", type=int, default=1, metavar="N",
        help="which such share, from 1: of 0.2 there are five; default: 1",
    )  # fmt: skip
    parser.add_argument(
        "--seen",
        type=Path,
        metavar="STORE",
        help="take from there what was perceived of the same videos: for another fold, split, "
        "shift or other labels; nothing is copied on one disk",
    )
    parser.add_argument(
        "--frame-shift", type=int, default=0, choices=(-1, 0, 1),
        help="added to the frame numbers of labels; default: 0",
    )  # fmt: skip
    parser.add_argument(
        "--trimmed",
        action="store_true",
        help="every video is one gesture, nothing is background; of a long video only one window "
        "at each gesture is learnt from, and the rest not at all",
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
    from train.hold_out import hold_out, known_people
    from train.perception import perception_of
    from train.prepare import prepare
    from train.recipe_file import recipe_named

    for name, value in (("--limit", arguments.limit), ("--workers", arguments.workers)):
        if value is not None:
            check_number(name, value, 1)
    recipe = recipe_named(arguments.recipe)
    corpus = open_corpus(
        arguments.data, arguments.layout, frame_shift=arguments.frame_shift,
        split=arguments.split, skip_bad=arguments.skip_bad,
    )  # fmt: skip
    corpus = hold_out(
        corpus, arguments.hold_out, by_result=arguments.split == "emotion", fold=arguments.fold
    )
    for line in known_people(corpus):
        print(line, file=sys.stderr)
    for note in corpus.notes[:_MOST_NOTES]:
        print(note, file=sys.stderr)
    if (more := len(corpus.notes) - _MOST_NOTES) > 0:
        print(f"and {more} more; the sums are below", file=sys.stderr)
    corpus = replace(corpus, videos=corpus.videos[: arguments.limit])
    with tqdm(total=len(corpus.videos), unit="video", desc="prepare", mininterval=1.0) as bar:
        progress = _Progress(bar)
        try:
            tally = prepare(
                corpus, perception_of(recipe), arguments.out,
                is_trimmed=arguments.trimmed, workers=arguments.workers, report=progress,
                seen=arguments.seen,
            )  # fmt: skip
        except KeyboardInterrupt:
            bar.close()
            raise KeyboardInterrupt(
                f"interrupted: {progress.done} of {len(corpus.videos)} videos are finished, the "
                "same command goes on from there"
            ) from None
    if tally.frames:
        print(
            f"{tally.videos} videos, {tally.frames} frames in {tally.seconds:.1f} s "
            f"({tally.frames / tally.seconds:.1f} frames/s): "
            f"person in {tally.poses / tally.frames:.1%}, face in {tally.faces / tally.frames:.1%}"
        )
    print(
        f"{tally.resumed} videos were there already"
        + (" or had been seen" if arguments.seen else "")
    )
    for reason, count in tally.skipped.items():
        print(f"{count} x {reason}")


class _Progress:
    """Moves the bar on, and says above it what is wrong with a video."""

    def __init__(self, bar: Any) -> None:
        self._bar, self._frames = bar, 0
        self.done = 0
        """Videos that are in the store."""

    def __call__(self, result: "Prepared") -> None:
        self.done += result.video is not None
        if result.is_resumed:
            self._bar.initial += 1  # so that they do not count as fast
        elif result.video is not None:
            self._frames += result.video.frames
        for reason in () if result.is_resumed else result.problems:
            why = f" ({result.why})" if result.why else ""
            self._bar.write(f"{result.id}: {reason}{why}", file=sys.stderr)
        rate = self._frames / max(self._bar.format_dict["elapsed"], 1e-3)
        self._bar.set_postfix_str(f"{rate:.1f} frames/s", refresh=False)
        self._bar.update()

"""`python -m train evaluate`: all figures of a bundle or a checkpoint on prepared data."""

import argparse
from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engines.errors import TellsError
from train.cli import Subparsers
from train.cli.needs import require
from train.cli.recipe import add_recipe

if TYPE_CHECKING:
    from train.scoring import Scorer

NEEDED = ("torch", "sklearn", "scipy")


def add(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser("evaluate", help="measure a bundle or a checkpoint")
    add_model(parser)
    parser.add_argument(
        "--data", type=Path, nargs="+", action="extend", metavar="DIR", help="prepared"
    )
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument(
        "--clips", type=Path, metavar="DIR",
        help="of real people (see train/real_people.py), with --data or without",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="for report, pictures and predictions"
    )
    parser.add_argument(
        "--without", nargs="+", action="extend", default=[], metavar="MODALITY",
        help="what the model tells in the same windows if it is told that this was not seen: of "
        "pose, face and hand those that it looks at; pictures of hands go with the pose",
    )  # fmt: skip
    parser.add_argument(
        "--write", action="store_true", help="the figures into the bundle's manifest"
    )
    parser.set_defaults(run=run)


def add_model(parser: argparse.ArgumentParser) -> None:
    """What scores, and how often: the arguments of every command that measures a model."""
    parser.add_argument("--bundle", type=Path, metavar="DIR")
    parser.add_argument("--device", default="auto", help="of the bundle: auto, cpu, ort, cuda:0")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="instead of a bundle")
    add_recipe(parser, default=None, more="the checkpoint's own")
    parser.add_argument("--hop-s", type=float, default=0.25, help="between windows; default: 0.25")


def open_scorer(
    arguments: argparse.Namespace, *, asked_away: Collection[str] = ()
) -> "AbstractContextManager[Scorer]":
    """What `--bundle` or `--checkpoint` names, without some modalities.

    Raises:
        TellsError: both or none are given.
    """
    from train.recipe_file import recipe_for
    from train.scoring import bundle_scorer, checkpoint_scorer

    if (arguments.bundle is None) == (arguments.checkpoint is None):
        raise TellsError("expected either --bundle DIR or --checkpoint FILE")
    if arguments.bundle is not None:
        return bundle_scorer(arguments.bundle, arguments.device, asked_away=asked_away)
    recipe = recipe_for(arguments.recipe, arguments.checkpoint)
    return checkpoint_scorer(arguments.checkpoint, recipe, asked_away=asked_away)


def run(arguments: argparse.Namespace) -> None:
    """Score, measure, print, draw."""
    require("evaluate", NEEDED)
    from realtime.config import load_config
    from train import real_people, report
    from train.calibrate import with_metrics, write_manifest
    from train.evaluate import Report, evaluate, manifest_metrics
    from train.predictions import write_predictions
    from train.scoring import ScoredVideo, score_stores
    from train.store import open_store

    _check(arguments)
    found, config = Report(), load_config(hop_s=arguments.hop_s)
    scored: list[ScoredVideo] = []
    stores = [open_store(folder) for folder in arguments.data or ()]
    with open_scorer(arguments, asked_away=arguments.without) as scorer:
        manifest, measured = scorer.manifest, _measured(scorer, arguments)
        if stores:
            scored = score_stores(scorer, stores, arguments.split, arguments.hop_s)
            found = evaluate(scored, manifest, config)
    found = replace(found, without=scorer.without)
    if arguments.clips is not None:
        people = real_people.measure(arguments.bundle, arguments.clips, config, arguments.device)
        found = replace(found, people=people)
    print(report.text(found, manifest))
    if arguments.out is not None:
        report.write(found, manifest, arguments.out, measured)
        if scored:
            write_predictions(scored, manifest, arguments.out)
        print(f"report in {arguments.out}")
    if arguments.write:
        corpora = sorted({store.info.corpus for store in stores})
        metrics = manifest_metrics(found, ", ".join([*corpora, arguments.split]))
        write_manifest(arguments.bundle, with_metrics(manifest, metrics))


def _measured(scorer: "Scorer", arguments: argparse.Namespace) -> dict[str, object]:
    """For the head of `report.json`."""
    data = [str(folder) for folder in arguments.data or ()]
    clips = None if arguments.clips is None else str(arguments.clips)
    split = arguments.split if data else None
    return {
        **scorer.about, "without": list(scorer.without), "data": data, "split": split,
        "hop_s": arguments.hop_s, "clips": clips,
    }  # fmt: skip


def _check(arguments: argparse.Namespace) -> None:
    """What could only fail after minutes fails at once."""
    from train.calibrate import check_writable
    from train.out_paths import check_folder
    from train.real_people import check_clips

    if arguments.data is None and arguments.clips is None:
        raise TellsError("expected --data DIR (prepared videos), --clips DIR (real people) or both")
    for option in ("write", "clips"):
        if getattr(arguments, option) and arguments.bundle is None:
            raise TellsError(f"--{option}: expected --bundle DIR, a checkpoint cannot do that")
        if getattr(arguments, option) and arguments.without:
            raise TellsError(f"--{option}: shows the whole model; leave --without out, or this")
    if arguments.write and arguments.data is None:
        raise TellsError("--write: expected --data DIR, the manifest holds figures of data alone")
    if arguments.write:
        check_writable(arguments.bundle)
    if arguments.clips is not None:
        check_clips(arguments.clips)
    if arguments.out is not None:
        check_folder(arguments.out)

"""`python -m train show`: a contact sheet of prepared windows."""

import argparse
from pathlib import Path

from engines.errors import TellsError
from train.cli import Subparsers
from train.cli.bounds import check_number
from train.cli.needs import require
from train.cli.recipe import add_recipe

_SUFFIXES = (".png", ".jpg", ".jpeg")


def add(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser("show", help="draw prepared windows with pose, face and label")
    parser.add_argument("--data", required=True, type=Path, metavar="STORE", help="prepared")
    parser.add_argument("--video", metavar="ID", help="of this video only")
    parser.add_argument("--split", choices=("train", "val", "test"), help="of this split only")
    parser.add_argument(
        "--at", type=float, metavar="SECONDS",
        help="with --video: the window whose label is about this instant",
    )  # fmt: skip
    parser.add_argument(
        "--number", type=int, default=12, metavar="N",
        help="windows, spread over classes and videos; default: 12",
    )  # fmt: skip
    add_recipe(parser, default=None, more="what fits")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.png")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Draw and write."""
    if arguments.out.suffix.lower() not in _SUFFIXES:
        raise TellsError(f"--out: expected a name with {' or '.join(_SUFFIXES)}: {arguments.out}")
    check_number("--number", arguments.number, 1, 100)
    if arguments.at is not None and arguments.video is None:
        raise TellsError("--at: expected --video ID beside it")
    require("show", ("torch",))
    import cv2

    from train.contact_sheet import draw_sheet
    from train.out_paths import writing
    from train.recipe_file import recipe_named
    from train.shown_samples import fitting_recipe, sample_at, spread_samples
    from train.store import open_store

    store = open_store(arguments.data)
    names = (arguments.recipe,) if arguments.recipe else ("demo", "joint", "smg")
    recipe = fitting_recipe(store, [recipe_named(name) for name in names])
    if arguments.at is not None:
        samples = [sample_at(store, arguments.video, arguments.at, recipe)]
    else:
        samples = spread_samples(
            store, recipe, arguments.number, name=arguments.video, split=arguments.split
        )
    sheet = draw_sheet(samples, recipe.inputs)
    ok, blob = cv2.imencode(arguments.out.suffix, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    assert ok
    with writing(arguments.out):
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_bytes(bytes(blob))
    print(f"{len(samples)} windows of {store.info.corpus} in {arguments.out}")

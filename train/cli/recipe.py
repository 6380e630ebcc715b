"""`--recipe` of several commands, and `python -m train recipe`: what a recipe consists of."""

import argparse

from train.cli import Subparsers
from train.cli.needs import RECIPE_NAMES, require


def add_recipe(
    parser: argparse.ArgumentParser, *, default: str | None = "demo", more: str = ""
) -> None:
    """Declare the option: a built-in recipe, or a file of one's own."""
    told = "a file of one's own, see `train recipe`"
    parser.add_argument(
        "--recipe", default=default, type=_recipe, metavar="NAME|FILE.json",
        help=f"{', '.join(RECIPE_NAMES)}, or {told}; default: {default or more}",
    )  # fmt: skip


def _recipe(text: str) -> str:
    if text in RECIPE_NAMES or text.endswith(".json"):
        return text
    raise argparse.ArgumentTypeError(
        f"expected {', '.join(RECIPE_NAMES)} or a .json file, got {text!r}"
    )


def add(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "recipe", help="print a recipe as JSON, to be changed and given to --recipe"
    )
    parser.add_argument("name", choices=RECIPE_NAMES)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print it."""
    require("recipe", ("torch",))
    from train.recipes import RECIPES, dump_recipe

    print(dump_recipe(RECIPES[arguments.name]()), end="")

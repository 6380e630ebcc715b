"""`python -m train download`: fetch a public checkpoint, or list them all."""

import argparse
from pathlib import Path

from train.cli import Subparsers
from train.models.download import Checkpoint, CheckpointError, download


def add(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser("download", help="fetch a public checkpoint, or list them all")
    parser.add_argument("name", nargs="?", metavar="NAME", help="default: show what there is")
    parser.add_argument("--out", type=Path, metavar="DIR", help="made if it is not there")
    parser.add_argument(
        "--accept-licence", action="store_true", help="needed where it is non-commercial"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Fetch one, or show what there is."""
    checkpoints = arguments.checkpoints
    if arguments.name is None:
        print("\n".join(describe(checkpoint) for checkpoint in checkpoints.values()))
        return
    if arguments.name not in checkpoints:
        raise CheckpointError(
            f"expected one of {', '.join(checkpoints)}, got {arguments.name!r}; "
            "`python -m train download` shows them"
        )
    if arguments.out is None:
        raise CheckpointError("expected --out DIR, got none; say where the file shall go")
    result = download(
        checkpoints[arguments.name], arguments.out, accept_licence=arguments.accept_licence
    )
    print(f"{result.path}: {result.verdict}")


def describe(checkpoint: Checkpoint) -> str:
    """A public checkpoint in three lines: name, size and model; licence; where it is from."""
    size = f"{checkpoint.size_mb:.1f} MB" if checkpoint.size_mb else "size unknown"
    consent = " [--accept-licence]" if checkpoint.must_accept else ""
    by_hand = f" [by hand: {checkpoint.by_hand}]" if checkpoint.by_hand else ""
    return (
        f"{checkpoint.name:22}{size:14}{checkpoint.model}\n"
        f"  licence  {checkpoint.licence}{consent}\n"
        f"  from     {checkpoint.url}{by_hand}"
    )

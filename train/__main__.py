"""`python -m train`: data sets in, bundles out; one command a step, declared in `train.cli`.

Exit codes: 0 done, 2 anything that the user can cure (one line), 130 interrupted.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence

from engines.errors import TellsError
from train.cli import (
    bench,
    calibrate,
    download,
    estimator,
    evaluate,
    export,
    fit,
    prepare,
    show,
    submit,
    synth,
)
from train.models.download import CHECKPOINTS, Checkpoint

_COMMANDS = (
    synth, prepare, estimator, show, fit, export, bench, calibrate, evaluate, submit, download,
)  # fmt: skip


def main(
    argv: Sequence[str] | None = None, checkpoints: Mapping[str, Checkpoint] = CHECKPOINTS
) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m train", description="Data sets in, trained bundles out."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for command in _COMMANDS:
        command.add(commands)
    arguments = parser.parse_args(argv, argparse.Namespace(checkpoints=checkpoints))
    try:
        arguments.run(arguments)
    except TellsError as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

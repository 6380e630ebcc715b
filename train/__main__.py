"""`python -m train`: data sets in, bundles out; one command a step, declared in `train.cli`.

Exit codes: 0 done, 1 nobody reads what is said, 2 anything that the user can cure (one line),
130 interrupted.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence

from engines.errors import TellsError
from engines.unread import open_streams, to_nowhere
from train.cli import (
    bench,
    calibrate,
    download,
    estimator,
    evaluate,
    export,
    fit,
    people,
    prepare,
    recipe,
    show,
    submit,
    synth,
)
from train.models.download import CHECKPOINTS, Checkpoint

_COMMANDS = (
    people, synth, recipe, prepare, estimator, show, fit, export, bench, calibrate, evaluate,
    submit, download,
)  # fmt: skip

_STOPPED = dict.fromkeys(("fit", "people"), "Stopped: the same command goes on from there")
"""What Ctrl-C is answered by, where a command does not know better."""


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
    open_streams()
    try:
        arguments.run(arguments)
    except TellsError as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        told = str(stop) or _STOPPED.get(arguments.command, "Stopped.")
        print(told, file=sys.stderr)
        return 130
    except BrokenPipeError:  # as of `| head`: whatever is left would be said at exit
        to_nowhere(sys.stdout.fileno())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

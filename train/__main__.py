"""`python -m train export | download`: a recipe and weights become a bundle; public weights.

Exit codes: 0 done, 2 anything that the user can cure (one line).
"""

import argparse
import importlib.util
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from engines.errors import RuntimeUnavailable, TellsError
from train.models.download import CHECKPOINTS, Checkpoint, CheckpointError, download

_NEEDED = ("torch", "onnx", "onnxscript", "onnxruntime")
_RECIPES = ("micro_gesture", "emotion", "joint", "demo")


def main(
    argv: Sequence[str] | None = None, checkpoints: Mapping[str, Checkpoint] = CHECKPOINTS
) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.command == "download":
            _download(arguments, checkpoints)
        else:
            _export(arguments)
    except TellsError as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _export(arguments: argparse.Namespace) -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeUnavailable(
            f"export needs {', '.join(missing)}, not installed here: "
            f'run `python -m pip install -e ".[train]"`'
        )
    # Imported here: torch takes seconds, and need not be there for the line above.
    from train.export import ExportOptions, export
    from train.recipes import RECIPES

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it names what is not installed
    started = time.monotonic()
    is_random = arguments.init == "random"
    options = ExportOptions(
        out=arguments.out,
        checkpoint=None if is_random else Path(arguments.init),
        seed=arguments.seed,
        name=arguments.name,
        version=arguments.version,
        data=arguments.data,
        data_licence=arguments.data_licence,
    )

    def report(step: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {step}", file=sys.stderr, flush=True)

    bundle = export(RECIPES[arguments.recipe](), options, report)
    report("done")
    kind = "untrained " if bundle.manifest.source.is_untrained else ""
    print(f"{kind}bundle {bundle.manifest.id} in {bundle.folder}")


def _download(arguments: argparse.Namespace, checkpoints: Mapping[str, Checkpoint]) -> None:
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m train", description="Make bundles; fetch weights."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    export = commands.add_parser("export", help="write a bundle")
    export.add_argument("--recipe", required=True, choices=_RECIPES)
    export.add_argument(
        "--init", required=True, metavar="random|CHECKPOINT", help="where the weights come from"
    )
    export.add_argument("--out", required=True, type=Path, metavar="DIR", help="new or empty")
    export.add_argument("--seed", type=int, default=0, help="of random weights; default: 0")
    export.add_argument("--name", help="default: the recipe's")
    export.add_argument("--version", default="0.1.0", help="default: 0.1.0")
    export.add_argument(
        "--data", default="not stated", help="what the checkpoint was fitted on, for the manifest"
    )
    export.add_argument(
        "--data-licence", default="not stated", help="of that data, for the manifest"
    )
    fetch = commands.add_parser("download", help="fetch a public checkpoint, or list them all")
    fetch.add_argument("name", nargs="?", metavar="NAME", help="default: show what there is")
    fetch.add_argument("--out", type=Path, metavar="DIR", help="made if it is not there")
    fetch.add_argument(
        "--accept-licence", action="store_true", help="needed where it is non-commercial"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

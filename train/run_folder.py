"""One folder a run: what was asked, where it stands, what came out.

RUN/config.json           options, recipe, git revision, versions
RUN/STAGE/best.pt         weights (EMA) of the best evaluation, as `export --init` takes them
RUN/STAGE/metrics.json    of that evaluation
RUN/STAGE/last.ckpt       to go on exactly where it stopped; written after what belongs to it
RUN/STAGE/events.*        curves for TensorBoard
RUN/STAGE/result.json     written when the stage is done
"""

import contextlib
import errno
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from train.annotations import DataError
from train.export import git_revision
from train.out_paths import write_whole
from train.recipes import Recipe, dump_recipe
from train.stages import StageConfig

_LIBRARIES = ("torch", "lightning-fabric", "numpy", "opencv-python", "mediapipe")
_CURE = "name a new folder, or remove the file to have it written again"


def claim(
    folder: Path, recipe: Recipe, stages: Mapping[str, StageConfig], options: Mapping[str, Any]
) -> None:
    """Begin a run, or make sure that it is the one that was begun here.

    Raises:
        DataError: the folder belongs to another run, or cannot be written to.
    """
    asked = {
        "recipe": json.loads(dump_recipe(recipe)),
        "stages": {name: asdict(config) for name, config in stages.items()},
        **json.loads(json.dumps(options)),
    }
    path = folder / "config.json"
    if path.exists():
        before = read_json(path).get("asked", {})
        changed = sorted(k for k in asked.keys() | before.keys() if asked.get(k) != before.get(k))
        if changed:
            raise DataError(
                f"{folder}: holds a run with another {', '.join(changed)}; repeat its options to "
                "go on, or name a new folder"
            )
        return
    about = {
        "asked": asked,
        "revision": git_revision(),
        "python": sys.version.split()[0],
        "libraries": {name: version(name) for name in _LIBRARIES},
        "command": sys.argv,
    }
    with cannot_be_written(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise DataError(
                f"{folder}: holds something else than a run; name a new or an empty folder"
            )
    write_json(path, about)


def write_json(path: Path, value: object) -> None:
    """The whole file or none.

    Raises:
        DataError: the disk is full, or the folder cannot be written to.
    """
    blob = (json.dumps(value, indent=2) + "\n").encode()
    with cannot_be_written(path.parent):
        write_whole(path, lambda file: file.write(blob))


@contextlib.contextmanager
def cannot_be_written(folder: Path) -> Iterator[None]:
    """What the disk has against writing, as one line.

    Raises:
        DataError: the disk is full, or the folder cannot be written to.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:  # torch says RuntimeError, and the reason behind it
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__context__
        reason = str(error).splitlines()[0] if cause is None else cause.strerror or str(cause)
        is_full = cause is None or cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        cure = "make room" if is_full else "make it writable or name another folder"
        raise DataError(
            f"{folder}: cannot be written ({reason}); {cure} and run the command again, it goes on "
            "from the last checkpoint"
        ) from None


def read_json(path: Path) -> dict[str, Any]:
    """An object that `write_json` has written.

    Raises:
        DataError: it is none.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({type(error).__name__}); {_CURE}") from None
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected an object, got a {type(value).__name__}; {_CURE}")
    return value


def result_of(folder: Path, stage: str) -> dict[str, Any] | None:
    """What a finished stage reported; None while it is not finished.

    Raises:
        DataError: the report is broken.
    """
    path = folder / stage / "result.json"
    return read_json(path) if path.exists() else None

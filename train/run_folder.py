"""One folder a run: what was asked, where it stands, what came out.

RUN/config.json           options, recipe, git revision, versions
RUN/STAGE/last.ckpt       to go on exactly where it stopped
RUN/STAGE/best.pt         weights (EMA) of the best evaluation, as `export --init` takes them
RUN/STAGE/events.*        curves for TensorBoard
RUN/STAGE/result.json     written when the stage is done
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from train.annotations import DataError
from train.export import git_revision
from train.recipes import Recipe, dump_recipe
from train.stages import StageConfig

_LIBRARIES = ("torch", "lightning-fabric", "numpy", "opencv-python", "mediapipe")


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
        **options,
    }
    path = folder / "config.json"
    try:
        if path.exists():
            before = json.loads(path.read_text(encoding="utf-8"))["asked"]
            changed = sorted(
                k for k in asked.keys() | before.keys() if asked.get(k) != before.get(k)
            )
            if changed:
                raise DataError(
                    f"{folder}: holds a run with another {', '.join(changed)}; repeat its options "
                    "to go on, or name a new folder"
                )
            return
        folder.mkdir(parents=True, exist_ok=True)
        about = {
            "asked": asked,
            "revision": git_revision(),
            "python": sys.version.split()[0],
            "libraries": {name: version(name) for name in _LIBRARIES},
            "command": sys.argv,
        }
        write_json(path, about)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror})") from None


def write_json(path: Path, value: object) -> None:
    """The whole file or none."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)


def result_of(folder: Path, stage: str) -> dict[str, Any] | None:
    """What a finished stage reported; None while it is not finished."""
    path = folder / stage / "result.json"
    if not path.exists():
        return None
    return dict(json.loads(path.read_text(encoding="utf-8")))

"""Crowd: many people written to a folder, each from the seed and a number alone."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from train.out_paths import write_whole
from train.synth.glb import write_avatar
from train.synth.makehuman.material import Material, MaterialError
from train.synth.makehuman.person import make_person
from train.synth.makehuman.skeleton import rigging

_RECORD = "people.json"
"""Whose seed is in it, so that nobody mixes two crowds."""


def make_people(folder: Path, material: Material, count: int, seed: int) -> Iterator[bool]:
    """Write `h0001` to `h<count>`; whoever is there already stays.

    Yields:
        For each of them, whether they are new.

    Raises:
        MaterialError: something is missing, cannot be read or written, or the folder is another
            seed's.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _claim(folder / _RECORD, seed)
        rigged = rigging(material)
        for number in range(1, count + 1):
            name = f"h{number:04}"
            is_new = not (folder / f"{name}.glb").is_file()
            if is_new:
                rng = np.random.default_rng([seed, number])
                write_avatar(folder, make_person(name, rng, material, rigged))
            yield is_new
    except OSError as error:
        raise MaterialError(f"{folder}: cannot be written to ({error})") from None


def _claim(path: Path, seed: int) -> None:
    record = {"seed": seed}
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if found != record:
            raise MaterialError(
                f"{path}: expected people of --seed {seed}, got {found}; name a new folder"
            )
        return
    write_whole(path, lambda file: file.write(json.dumps(record).encode()))

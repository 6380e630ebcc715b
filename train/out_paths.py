"""Where a command is to write: looked at before hours of work, not after them; whole files."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from train.annotations import DataError


def check_file(path: Path) -> None:
    """Make sure that a file can be written or replaced; makes the folder that it is in.

    Raises:
        DataError: it cannot.
    """
    if os.path.isdir(path):  # Path.is_dir raises at names that are too long
        raise DataError(f"{path}: expected a file to write, got a folder; name a file in it")
    if os.path.exists(path):
        if not os.access(path, os.W_OK):
            raise DataError(f"{path}: cannot be written (no permission); name another file")
        return
    check_folder(path.parent)
    with writing(path), contextlib.suppress(FileNotFoundError):
        path.stat()


def check_folder(folder: Path) -> None:
    """Make sure that files can be written into a folder; makes it.

    Raises:
        DataError: they cannot.
    """
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise DataError(
            f"{folder}: expected a folder to write to, got a file, which cannot be written into; "
            "name another"
        )
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # permissions alone do not tell
            pass


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """While a path is written.

    Raises:
        DataError: it cannot be.
    """
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise DataError(f"{path}: cannot be written ({why}); name another --out") from None


def write_whole(path: Path, save: Callable[[BinaryIO], object]) -> None:
    """The whole file, as `save` writes it, or what was there before.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            save(file)
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise

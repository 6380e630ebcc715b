"""The folder that a run writes to: which files, and whether they can be written."""

import errno
import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from realtime.errors import OutputError

VIDEO_FILE = "annotated.mp4"
EVENTS_FILE = "events.csv"
ELAN_FILE = "events.eaf"
PREDICTIONS_FILE = "predictions.jsonl"
TIMELINE_FILE = "timeline.png"
RUN_FILE = "run.json"
OUTPUT_FILES = (
    VIDEO_FILE, EVENTS_FILE, ELAN_FILE, PREDICTIONS_FILE, TIMELINE_FILE, RUN_FILE,
)  # fmt: skip
_ADDRESS = re.compile(r"[a-z]{2,}:/", re.IGNORECASE)
"""How a path begins that was made of an address; of a Windows drive it is one letter."""
_LONGEST_NAME = 80
_NO_NAMES = ("CON", "PRN", "AUX", "NUL", *(f"{d}{i}" for d in ("COM", "LPT") for i in range(10)))
"""Devices on Windows, whatever stands behind a dot: no folder can be called so."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def prepare_output(folder: Path) -> Path:
    """Make `folder` where it is not there yet, and return it.

    Raises:
        OutputError: it is not a folder, cannot be written to, or holds the files of an earlier run.
    """
    if _ADDRESS.match(str(folder)):
        raise OutputError(f"--out: expected a folder, got the address {folder}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise OutputError(f"{folder} is not a folder: name another one with --out") from None
    except OSError as error:
        raise unwritable(folder, error) from None
    earlier = [name for name in OUTPUT_FILES if os.path.lexists(folder / name)]
    if earlier:
        raise OutputError(
            f"{folder} holds an earlier run ({', '.join(earlier)}): name another folder with --out"
        )
    # Permission bits do not tell the truth for root, on network drives and on read-only mounts.
    trial = folder / f".tells-trial-{os.getpid()}"
    try:
        trial.write_bytes(b"")
        trial.unlink()
    except OSError as error:
        raise unwritable(folder, error) from None
    return folder


def camera_folders(out: Path, cameras: Sequence[str]) -> list[Path]:
    """Where each camera is recorded: a single one in `out` itself, else in folders named for them.

    Args:
        out: as the user named it.
        cameras: their ids, which are addresses or paths without credentials.
    """
    if len(cameras) == 1:
        return [out]
    folders: list[Path] = []
    taken: set[str] = set()
    for camera in cameras:
        name = camera.partition("://")[2] or re.split(r"[/\\]", camera)[-1]
        name = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", name))
        name = name[:_LONGEST_NAME].strip("-.") or "camera"
        if name.partition(".")[0].upper() in _NO_NAMES:
            name = f"camera-{name}"
        unique, n = name, 2
        while unique.casefold() in taken:  # for macOS and Windows `Door` and `door` are one
            unique, n = f"{name}-{n}", n + 1
        taken.add(unique.casefold())
        folders.append(out / unique)
    return folders


def unwritable(path: Path, error: OSError) -> OutputError:
    """The error whose one line says why `path` could not be written, and the cure."""
    why = (error.strerror or str(error) or type(error).__name__).strip()
    if error.errno in _NO_ROOM:
        cure = "what was written so far can be read; free some space or name another folder"
    else:
        cure = "name a folder that you may write to"
    return OutputError(f"Cannot write {path}: {why}; {cure} with --out")

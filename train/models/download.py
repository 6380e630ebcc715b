"""Public checkpoints: where they are, what may be done with them, and fetching them.

A download goes to a `.part` file beside its place and takes its name only once it is complete and
has the publisher's sha256; one that broke off is continued where it stopped.
"""

import hashlib
import http.client
import logging
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from engines.errors import TellsError

logger = logging.getLogger(__name__)

_TIMEOUT_S = 30.0
_BLOCK = 1 << 20


class CheckpointError(TellsError):
    """A checkpoint file that is not what it should be."""


@dataclass(frozen=True)
class Checkpoint:
    """A public checkpoint, as its publisher offers it."""

    name: str
    model: str
    """What it was trained as, on which data."""
    url: str
    licence: str
    sha256: str = ""
    """The first hex digits that the publisher gives; empty if there are none."""
    size_mb: float | None = None
    """10^6 bytes, where known."""
    must_accept: bool = False
    """The licence forbids uses that ours allows, so that it has to be accepted by hand."""
    by_hand: bool = False
    """No script can fetch it: `url` is a page for a person."""


_AGCN_LICENCE = "CC BY-NC 4.0: non-commercial use only, with attribution (Shi et al., CVPR 2019)"
_AGCN_RELEASE = "https://github.com/lshiwjx/2s-AGCN/releases/download/v0.0/"


def _agcn(split: str, stream: str, step: int) -> Checkpoint:
    return Checkpoint(
        name=f"agcn_ntu_{split}_{stream}",
        model=f"AGCN, NTU RGB+D 60, {split}, {stream} stream, 2 persons, 60 classes",
        url=f"{_AGCN_RELEASE}ntu_{split}_agcn_{stream}-49-{step}.pt",
        licence=_AGCN_LICENCE,
        must_accept=True,
    )


CHECKPOINTS = {
    checkpoint.name: checkpoint
    for checkpoint in (
        Checkpoint(
            name="mvit_v2_s",
            model="MViTv2-S 16x4, Kinetics-400 (torchvision)",
            url="https://download.pytorch.org/models/mvit_v2_s-ae3be167.pth",
            licence="BSD-3-Clause (torchvision); trained on Kinetics-400",
            sha256="ae3be167",
            size_mb=131.9,
        ),
        Checkpoint(
            name="mvit_v2_s_pyslowfast",
            model="MViTv2-S 16x4, Kinetics-400 (PySlowFast)",
            url="https://dl.fbaipublicfiles.com/pyslowfast/model_zoo/mvitv2/pysf_video_models/"
            "MViTv2_S_16x4_k400_f302660347.pyth",
            licence="Apache-2.0 (PySlowFast); trained on Kinetics-400",
        ),
        _agcn("cv", "joint", 29400),
        _agcn("cv", "bone", 29400),
        _agcn("cs", "joint", 31300),
        _agcn("cs", "bone", 31300),
        Checkpoint(
            name="swinface",
            model="SwinFace, 112x112: recognition, expression, age and 40 attributes",
            url="https://drive.google.com/drive/folders/1NjVN3Kp_Tmwt17hWCIWgHpuWzkHYaman",
            licence="MIT (SwinFace's repository); trained on MS1MV2, RAF-DB, CelebA and others",
            by_hand=True,
        ),
    )
}


def download(checkpoint: Checkpoint, folder: Path, *, accept_licence: bool = False) -> Path:
    """Fetches a public checkpoint, showing its licence first and a progress bar meanwhile.

    Args:
        checkpoint: an entry of `CHECKPOINTS`.
        folder: where the file goes, under its published name; made if it is not there.
        accept_licence: needed where `checkpoint.must_accept`.

    Returns:
        The complete file. One that is already there is only checked.

    Raises:
        CheckpointError: the licence is not accepted, the file is for hands only, there is no
            connection, the server refuses or breaks off, the disk is full, or the file is another.
    """
    path = folder / Path(urlsplit(checkpoint.url).path).name
    tqdm.write(
        f"{checkpoint.name}: {checkpoint.model}. Licence: {checkpoint.licence}", file=sys.stderr
    )
    if checkpoint.by_hand:
        raise CheckpointError(
            f"{checkpoint.name} cannot be fetched by a script: open {checkpoint.url} in a browser, "
            "save the file, and give its path"
        )
    if checkpoint.must_accept and not accept_licence:
        raise CheckpointError(
            f"{checkpoint.name} is under {checkpoint.licence}; accept the licence to download it"
        )
    if path.exists():
        check_digest(path, checkpoint)
        return path
    part = path.with_name(path.name + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(checkpoint, part)
        _check_part(part, checkpoint)
        part.replace(path)
    except OSError as error:
        raise CheckpointError(
            f"{folder}: cannot be written ({error.strerror or error}); make room, "
            "or choose another folder"
        ) from error
    return path


def _fetch(checkpoint: Checkpoint, part: Path) -> None:
    """Completes `part`, from where an earlier attempt left it."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(checkpoint.url)
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        with error:
            if have and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # nothing is left to fetch; the digest decides
            raise CheckpointError(
                f"{checkpoint.url}: the server answered {error.code} {error.reason}; "
                f"find {checkpoint.name} elsewhere and give its path"
            ) from error
    except OSError as error:  # URLError, time-outs, resets
        reason = getattr(error, "reason", error)
        raise CheckpointError(
            f"{checkpoint.url}: no connection ({reason}); fetch the file by other means, "
            "and give its path"
        ) from error
    with response:
        _receive(checkpoint, response, part, have)


def _receive(
    checkpoint: Checkpoint, response: http.client.HTTPResponse, part: Path, have: int
) -> None:
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        have = 0  # the server sends it all again
    length = response.headers["Content-Length"]
    total = have + int(length) if length else None
    bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=checkpoint.name)
    with bar, part.open("ab" if have else "wb") as file:
        while block := _read_block(checkpoint, response):
            file.write(block)
            bar.update(len(block))
        size = file.tell()
    if total is not None and size < total:
        raise _broken_off(checkpoint, f"{size} of {total} bytes came")


def _read_block(checkpoint: Checkpoint, response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _broken_off(checkpoint, str(error)) from error


def _broken_off(checkpoint: Checkpoint, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{checkpoint.url}: the connection broke off ({reason}); run it again to continue"
    )


def _check_part(part: Path, checkpoint: Checkpoint) -> None:
    digest = sha256_of(part)
    if not digest.startswith(checkpoint.sha256):
        part.unlink()
        raise CheckpointError(
            f"{checkpoint.url}: what came has sha256 {digest[:16]}... instead of "
            f"{checkpoint.sha256}... and was deleted; run it again"
        )
    logger.info("%s: sha256 %s", checkpoint.name, digest)


def check_digest(path: Path, checkpoint: Checkpoint) -> None:
    """Compares a file with what its publisher says of it.

    Raises:
        CheckpointError: the file is not there, or is another.
    """
    digest = sha256_of(path)
    if not digest.startswith(checkpoint.sha256):
        raise CheckpointError(
            f"{path}: expected sha256 {checkpoint.sha256}..., got {digest[:16]}...; "
            f"delete the file and fetch {checkpoint.name} again"
        )


def sha256_of(path: Path) -> str:
    """Hex digest of a file.

    Raises:
        CheckpointError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); give the path of a checkpoint file"
        ) from error

"""Public checkpoints: where they are, what may be done with them, and fetching them.

A download goes to a `.part` file beside its place and takes its name only once it is complete and
has the publisher's sha256; one that broke off is continued where it stopped. Most publishers give
no sha256, or only its beginning: that of the first complete download is then kept beside the file,
in `NAME.sha256` (as `sha256sum --check` reads it), and whatever comes or is loaded later must
have it too. That proves that the file has not changed since, not that it was the right one: the
result says "sha256 unverified".
"""

import http.client
import logging
import re
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from engines.bundle import sha256_of
from engines.errors import TellsError

logger = logging.getLogger(__name__)

_TIMEOUT_S = 30.0
_BLOCK = 1 << 20
_DIGITS = 64
_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18}|\*)")
_Response = http.client.HTTPResponse | urllib.error.HTTPError


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
    by_hand: str = ""
    """No script can fetch it: the file that a person saves from the page `url`."""


@dataclass(frozen=True)
class Download:
    """A complete file, and how far it is known to be the right one."""

    path: Path
    sha256: str
    """64 hex digits."""
    published: str
    """What the publisher gives of it, and the file has; empty if nothing."""

    @property
    def is_verified(self) -> bool:
        """It is what the publisher published, as far as its digits say."""
        return bool(self.published)

    @property
    def verdict(self) -> str:
        """One line for a person."""
        if self.is_verified:
            return f"sha256 {self.sha256}, of which {self.published} is published"
        return (
            f"sha256 unverified: its publisher gives none; {_note(self.path).name} keeps "
            f"{self.sha256[:16]}... to compare with later"
        )


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
            by_hand="checkpoint_step_79999_gpu_0.pt",
        ),
    )
}


def download(checkpoint: Checkpoint, folder: Path, *, accept_licence: bool = False) -> Download:
    """Fetches a public checkpoint, showing its licence first and a progress bar meanwhile.

    Args:
        checkpoint: an entry of `CHECKPOINTS`.
        folder: where the file goes, under its published name; made if it is not there.
        accept_licence: needed where `checkpoint.must_accept`.

    Returns:
        The complete file, and what its sha256 proves. One that is already there is only checked.

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
            f"save {checkpoint.by_hand}, and give its path to train.models.pretrained.load_public"
        )
    if checkpoint.must_accept and not accept_licence:
        raise CheckpointError(
            f"{checkpoint.name} is under {checkpoint.licence}; accept the licence with "
            "--accept-licence (accept_licence=True) to download it"
        )
    try:
        if path.exists():
            digest = _check(path, checkpoint)
            _remember(path, checkpoint, digest)
        else:
            digest = _complete(checkpoint, path)
    except OSError as error:
        raise CheckpointError(
            f"{folder}: cannot be written ({error.strerror or error}); make room, "
            "or choose another folder"
        ) from error
    result = Download(path, digest, checkpoint.sha256)
    logger.info("%s: %s", checkpoint.name, result.verdict)
    return result


def check_digest(path: Path, checkpoint: Checkpoint) -> None:
    """Compares a file with what its publisher says of it, and with its first download.

    Logs a warning if there is neither.

    Raises:
        CheckpointError: the file is not there, or is another.
    """
    digest = _check(path, checkpoint)
    if not checkpoint.sha256 and not _note(path).exists():
        logger.warning("%s: sha256 unverified: nothing to compare %s with", path, digest)


def _check(path: Path, checkpoint: Checkpoint) -> str:
    digest, fault = _compare(path, path, checkpoint)
    if fault:
        raise CheckpointError(f"{path}: {fault}; delete the file and fetch {checkpoint.name} again")
    return digest


def _complete(checkpoint: Checkpoint, path: Path) -> str:
    """Fetches what is not there, or not all of it; returns its sha256."""
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    _fetch(checkpoint, part)
    digest, fault = _compare(part, path, checkpoint)
    if fault:
        part.unlink()
        raise CheckpointError(f"{checkpoint.url}: {fault}; it was deleted, run it again")
    _remember(path, checkpoint, digest)  # first, so that no file is ever without
    part.replace(path)
    return digest


def _compare(file: Path, path: Path, checkpoint: Checkpoint) -> tuple[str, str]:
    """The sha256 of `file`, which is or becomes `path`; and what is wrong with it, or nothing."""
    try:
        digest = sha256_of(file)
    except OSError as error:
        raise CheckpointError(
            f"{file}: cannot be read ({error.strerror or error}); "
            "give the path of a checkpoint file"
        ) from error
    got = f"got {digest[:16]}..."
    if not digest.startswith(checkpoint.sha256):  # empty, and true, where none is published
        return digest, f"expected sha256 {checkpoint.sha256[:16]}..., {got}"
    first = _remembered(path)
    if first and digest != first:
        return digest, (
            f"expected sha256 {first[:16]}... as at the first download, {got} (if its publisher "
            f"has replaced it, delete {_note(path).name} too)"
        )
    return digest, ""


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _remember(path: Path, checkpoint: Checkpoint, digest: str) -> None:
    if len(checkpoint.sha256) < _DIGITS and not _note(path).exists():
        _note(path).write_text(f"{digest}  {path.name}\n", encoding="utf-8")


def _remembered(path: Path) -> str:
    """The sha256 of the first complete download; empty if there was none."""
    try:
        with _note(path).open("rb") as file:
            digits = file.read(_DIGITS)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise CheckpointError(
            f"{_note(path)}: cannot be read ({error.strerror or error}); delete it"
        ) from error
    if not re.fullmatch(rb"[0-9a-f]{64}", digits):
        raise CheckpointError(
            f"{_note(path)}: expected the sha256 of {path.name}, got something else; delete it"
        )
    return digits.decode("ascii")


def _fetch(checkpoint: Checkpoint, part: Path) -> None:
    """Completes `part`, from where an earlier attempt left it, or anew if that does not work."""
    size = part.stat().st_size if part.exists() else 0
    for have in (size, 0) if size else (0,):
        with _request(checkpoint, have) as response:
            start, total = _content_range(response)
            if response.status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                if total == have:
                    return  # an earlier attempt got all of it
                continue
            if response.status != http.HTTPStatus.PARTIAL_CONTENT:
                _receive(checkpoint, response, part, 0)  # the server sends it all
                return
            if start == have:
                _receive(checkpoint, response, part, have)
                return
    raise CheckpointError(
        f"{checkpoint.url}: the server sends another part than it was asked for; "
        f"find {checkpoint.name} elsewhere and give its path"
    )


def _request(checkpoint: Checkpoint, have: int) -> _Response:
    """The server's answer: all from byte `have` on, or that it has nothing there (416)."""
    try:
        request = urllib.request.Request(checkpoint.url)
        if have:
            request.add_header("Range", f"bytes={have}-")
        response: _Response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if have and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return error
        with error:
            raise CheckpointError(
                f"{checkpoint.url}: the server answered {error.code} {error.reason}; "
                f"find {checkpoint.name} elsewhere and give its path"
            ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        # URLError, time-outs, resets; answers that are no HTTP; ways on to what is no address
        reason = getattr(error, "reason", error)
        raise CheckpointError(
            f"{checkpoint.url}: no connection ({str(reason).strip() or type(error).__name__}); "
            "fetch the file by other means, and give its path"
        ) from error
    return response


def _content_range(response: _Response) -> tuple[int | None, int | None]:
    """First byte sent and size of the whole file, as far as the server says so."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if match is None:
        return None, None
    start, total = match.groups()
    return int(start) if start else None, int(total) if total != "*" else None


def _receive(checkpoint: Checkpoint, response: _Response, part: Path, have: int) -> None:
    """Appends the answer to the first `have` bytes of `part`."""
    total = _content_range(response)[1] or _end(response, have)
    if total is None and not response.headers.get("Transfer-Encoding") and not checkpoint.sha256:
        raise CheckpointError(
            f"{checkpoint.url}: the server says neither size nor sha256, so that nothing shows "
            f"whether the file is complete; find {checkpoint.name} elsewhere and give its path"
        )
    bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=checkpoint.name)
    with bar, part.open("ab" if have else "wb") as file:
        while block := _read_block(checkpoint, response):
            file.write(block)
            bar.update(len(block))
        size = file.tell()
    if total is not None and size != total:
        raise _broken_off(checkpoint, f"{size} of {total} bytes came")


def _end(response: _Response, have: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return have + int(length) if re.fullmatch("[0-9]{1,18}", length) else None


def _read_block(checkpoint: Checkpoint, response: _Response) -> bytes:
    try:
        return response.read(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _broken_off(checkpoint, str(error) or type(error).__name__) from error


def _broken_off(checkpoint: Checkpoint, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{checkpoint.url}: the connection broke off ({reason}); run it again to continue"
    )

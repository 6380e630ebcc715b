"""The plan cache: what was compiled here, sealed with a key that only this user has.

A plan is code for the GPU, and what deserialises it trusts it. So nothing is handed out of the
cache before its seal (HMAC-SHA256) has been compared, and no plan ever comes from a bundle or a
download. The key lies in the user's configuration, apart from the cache: whoever can write into the
cache alone cannot forge a seal.
"""

import hashlib
import hmac
import json
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path, user_config_path

from engines.errors import CompileError, PlanMissing, PlanTampered

_MAGIC = b"tells plan 1\n"
_KEY_BYTES = 32
_LONGEST_LABEL = 4096
_SEAL_BYTES = hashlib.sha256().digest_size
RECIPE = 2
"""Raised whenever `compile` builds plans in another way."""


@dataclass(frozen=True, kw_only=True)
class PlanKey:
    """All that a plan depends on: a plan with another key is another plan."""

    graph: str
    """Sha256 of the ONNX file."""
    precision: str
    batches: tuple[int, ...]
    """One optimisation profile each, in this order."""
    tensorrt: str
    gpu: str
    """Its name."""
    capability: str
    """Its compute capability, `9.0`."""
    driver: str
    """Its version and the CUDA that it serves, as `Gpu.driver_text` has them."""
    recipe: int = RECIPE

    def text(self) -> str:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def digest(self) -> str:
        """The file's name."""
        return hashlib.sha256(self.text().encode()).hexdigest()[:40]


class PlanCache:
    """A folder of sealed files; any number of processes may use it at once."""

    def __init__(self, folder: Path, key_file: Path) -> None:
        self.folder = folder
        self.key_file = key_file

    def load(self, key: PlanKey) -> bytes:
        """The plan.

        Raises:
            PlanMissing: there is none.
            PlanTampered: the file is not what this user wrote for that key.
        """
        path = self.path(key)
        try:
            sealed = path.read_bytes()
        except FileNotFoundError:
            raise PlanMissing(f"{path.name}: no such plan in {self.folder}") from None
        except OSError as error:
            raise PlanTampered(f"{path}: cannot be read ({error.strerror or error})") from None
        return self._open(sealed, key.text(), path)

    def store(self, key: PlanKey, plan: bytes) -> Path:
        """Write a plan, which appears complete or not at all.

        Raises:
            CompileError: the folder cannot be written.
            PlanTampered: the user's key cannot be used.
        """
        return self._write(self.path(key), key.text(), plan)

    def load_timings(self, machine: str) -> bytes:
        """What TensorRT measured on this machine before; empty where there is nothing to trust."""
        path = self._timings_path(machine)
        try:
            return self._open(path.read_bytes(), _timings_text(machine), path)
        except (OSError, PlanTampered):
            return b""  # they only save time: measured again

    def store_timings(self, machine: str, timings: bytes) -> None:
        """Keep what TensorRT measured.

        Args:
            machine: TensorRT's version and the GPU; the timings of another one mean nothing.
            timings: its serialised timing cache.
        """
        self._write(self._timings_path(machine), _timings_text(machine), timings)

    @contextmanager
    def lock(self, key: PlanKey) -> Iterator[None]:
        """While it is held no other process builds the same plan.

        Raises:
            CompileError: the folder cannot be written.
        """
        self._make_folder(self.folder)
        lock = FileLock(self.folder / f"{key.digest}.lock")
        try:
            lock.acquire()
        except OSError as error:
            reason = error.strerror or error
            raise CompileError(f"{self.folder}: cannot be written ({reason})") from None
        try:
            yield
        finally:
            lock.release()

    def check_key(self) -> None:
        """Look whether a plan could be sealed.

        Raises:
            PlanTampered: the user's key cannot be used.
        """
        self._secret()

    def remove(self, key: PlanKey) -> None:
        """Delete a plan, if there is one and it can be deleted."""
        with suppress(OSError):
            self.path(key).unlink()

    def path(self, key: PlanKey) -> Path:
        """Where the plan lies, or would lie."""
        return self.folder / f"{key.digest}.plan"

    def keys(self) -> list[PlanKey]:
        """What the files in the cache say of themselves: only `load` looks at their seals."""
        found = []
        for path in sorted(self.folder.glob("*.plan")):
            try:
                with path.open("rb") as file:
                    values = json.loads(_label(file.read(_LONGEST_LABEL), path))
                key = PlanKey(**{**values, "batches": tuple(values["batches"])})
            except (OSError, PlanTampered, ValueError, TypeError, KeyError):
                continue
            if key.digest == path.stem:
                found.append(key)
        return found

    def _write(self, path: Path, text: str, payload: bytes) -> Path:
        label = text.encode()
        seal = _seal(self._secret(), label, payload)
        part = path.with_name(f"{path.name}.part{secrets.token_hex(4)}")
        self._make_folder(path.parent)
        try:
            with part.open("wb") as file:
                file.write(_MAGIC + len(label).to_bytes(4, "big") + label + seal)
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            raise CompileError(f"{path}: cannot be written ({error.strerror or error})") from None
        finally:
            part.unlink(missing_ok=True)
        return path

    def _open(self, sealed: bytes, text: str, path: Path) -> bytes:
        label = _label(sealed, path).encode()
        start = len(_MAGIC) + 4 + len(label)
        seal, payload = sealed[start : start + _SEAL_BYTES], sealed[start + _SEAL_BYTES :]
        expected = _seal(self._secret(), label, payload)
        if label != text.encode() or not hmac.compare_digest(seal, expected):
            raise PlanTampered(_tampered(path))
        return payload

    def _secret(self) -> bytes:
        """The user's key, made at the first use.

        Raises:
            PlanTampered: it is damaged, or others can read it.
        """
        path = self.key_file
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with FileLock(path.with_name(f"{path.name}.lock")):
                if not path.exists():
                    _create_key(path)
            key, mode = path.read_bytes(), path.stat().st_mode
        except OSError as error:
            raise PlanTampered(f"{path}: cannot be read ({error.strerror or error})") from None
        if len(key) != _KEY_BYTES:
            raise PlanTampered(
                f"{path}: expected a key of {_KEY_BYTES} bytes, got {len(key)}; delete it and run "
                f"`python -m engines compile` again"
            )
        if sys.platform != "win32" and stat.S_IMODE(mode) & 0o077:
            raise PlanTampered(
                f"{path}: others can read or write this key (mode {stat.S_IMODE(mode):o}); delete "
                f"it and run `python -m engines compile` again"
            )
        return key

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise CompileError(f"{folder}: cannot be made ({error.strerror or error})") from None

    def _timings_path(self, machine: str) -> Path:
        return self.folder / f"{hashlib.sha256(machine.encode()).hexdigest()[:40]}.timings"


def user_plan_cache() -> PlanCache:
    """The user's: plans below `TELLS_CACHE` or the cache folder, the key below `TELLS_CONFIG`."""
    cache, config = os.environ.get("TELLS_CACHE"), os.environ.get("TELLS_CONFIG")
    folder = Path(cache).expanduser() if cache else user_cache_path("tells", appauthor=False)
    keys = Path(config).expanduser() if config else user_config_path("tells", appauthor=False)
    return PlanCache(folder / "plans", keys / "plan.key")


def _create_key(path: Path) -> None:
    part = path.with_name(f"{path.name}.part{secrets.token_hex(4)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(_KEY_BYTES))
    part.replace(path)


def _seal(secret: bytes, label: bytes, payload: bytes) -> bytes:
    seal = hmac.new(secret, _MAGIC + len(label).to_bytes(4, "big") + label, hashlib.sha256)
    seal.update(payload)
    return seal.digest()


def _label(sealed: bytes, path: Path) -> str:
    start = len(_MAGIC) + 4
    size = int.from_bytes(sealed[len(_MAGIC) : start], "big")
    label = sealed[start : start + size]
    if not sealed.startswith(_MAGIC) or len(label) != size:
        raise PlanTampered(_tampered(path))
    try:
        return label.decode()
    except UnicodeDecodeError:
        raise PlanTampered(_tampered(path)) from None


def _timings_text(machine: str) -> str:
    return json.dumps({"timings": machine})


def _tampered(path: Path) -> str:
    return (
        f"{path}: this plan was changed, damaged or written by somebody else, and is not run; "
        f"`python -m engines compile` makes it anew"
    )

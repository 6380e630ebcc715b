"""Bundle: the folder that training hands over - manifest, graphs and golden vectors.

Nothing in it is executed but the ONNX graphs, and nothing is read before its sha256 has been
compared.
"""

import hashlib
import os
import secrets
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import BundleError, DigestError, WindowError
from engines.manifest import Manifest, dump_manifest, parse_manifest
from engines.tensor_specs import Feeds
from engines.window import Window

MANIFEST_NAME = "manifest.json"
Logits = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class GoldenVectors:
    """What torch computed for a few windows: every runtime must reproduce it."""

    windows: tuple[Window, ...]
    """B windows."""
    feeds: Feeds
    """Name -> [B, ...] of the manifest's dtype: what `preprocess` made of the windows."""
    outputs: Logits
    """Name -> float32 [B, K]: the logits that torch computed from the feeds."""


@dataclass(frozen=True)
class Bundle:
    """A bundle's folder whose files have the digests that its manifest names."""

    folder: Path
    manifest: Manifest

    def graph_path(self, precision: str = "fp32") -> Path:
        """The ONNX file of that precision.

        Raises:
            BundleError: the bundle has none.
        """
        files = {graph.precision: graph.file for graph in self.manifest.graphs}
        if precision not in files:
            raise BundleError(
                f"{self.folder}: expected a graph of precision {precision}, "
                f"this bundle has {', '.join(sorted(files))}"
            )
        return self.folder / files[precision]

    def golden(self) -> GoldenVectors:
        """The golden vectors.

        Raises:
            BundleError: the file does not hold what the manifest promises.
        """
        vectors = load_golden(self.folder / self.manifest.golden.file)
        wanted = (set(self.manifest.feeds), {o.name for o in self.manifest.outputs})
        if (set(vectors.feeds), set(vectors.outputs)) != wanted:
            raise BundleError(
                f"{self.folder / self.manifest.golden.file}: expected the manifest's inputs and "
                f"outputs, got {', '.join([*vectors.feeds, *vectors.outputs])}"
            )
        for name, dtype in self.manifest.feed_dtypes.items():
            if vectors.feeds[name].dtype != dtype:
                raise BundleError(
                    f"{self.folder / self.manifest.golden.file}: expected {name} in {dtype}, as "
                    f"the manifest says, got {vectors.feeds[name].dtype}; export the bundle again"
                )
        return vectors


def load_bundle(folder: str | os.PathLike[str]) -> Bundle:
    """The bundle in that folder, after comparing the sha256 of every file that its manifest names.

    Raises:
        BundleError: there is no such folder, manifest or file, or it cannot be read.
        ManifestError: the manifest is not what its schema says.
        DigestError: a file differs from what the manifest names.
    """
    folder = Path(folder)
    try:
        if not folder.is_dir():
            what = "a file" if folder.exists() else "nothing"
            raise BundleError(f"{folder}: expected a bundle's folder, found {what} there")
    except OSError as error:  # a name that is too long, a folder above that may not be searched
        raise BundleError(
            f"{folder}: expected a bundle's folder, cannot look there ({error.strerror or error}); "
            f"name one that this user may read"
        ) from None
    try:
        text = (folder / MANIFEST_NAME).read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{folder}: this is no bundle, it has no {MANIFEST_NAME}") from None
    except OSError as error:
        raise BundleError(f"{folder / MANIFEST_NAME}: {error.strerror or error}") from None
    manifest = parse_manifest(text, origin=str(folder / MANIFEST_NAME))
    check_digests(folder, manifest)
    return Bundle(folder, manifest)


def save_bundle(
    folder: str | os.PathLike[str], manifest: Manifest, files: Mapping[str, Path]
) -> Bundle:
    """Write a bundle; the folder appears complete or not at all.

    Args:
        folder: where it will lie; nothing or an empty folder is there now.
        manifest: names every file with its sha256 (see `sha256_of`).
        files: name in the bundle -> file to copy, exactly those that the manifest names.

    Raises:
        BundleError: the folder is not empty or cannot be written, or `files` are others than the
            manifest's.
        DigestError: a file differs from what the manifest names.
    """
    folder = Path(folder)
    try:
        is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    except OSError as error:
        raise BundleError(f"{folder}: cannot be written ({error.strerror or error})") from None
    if not is_free:
        raise BundleError(f"{folder}: expected a new or an empty folder, name another one")
    if set(files) != set(_digests(manifest)):
        raise BundleError(
            f"{folder}: the manifest names {', '.join(sorted(_digests(manifest)))}, "
            f"got {', '.join(sorted(files))}"
        )
    staging = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        staging.mkdir(parents=True)
        for name, path in files.items():
            shutil.copyfile(path, staging / name)
        (staging / MANIFEST_NAME).write_text(dump_manifest(manifest), encoding="utf-8")
        check_digests(staging, manifest)
        if folder.exists():
            folder.rmdir()  # empty; Windows does not replace a folder
        staging.rename(folder)
    except OSError as error:
        raise BundleError(f"{folder}: cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Bundle(folder, manifest)


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_digests(folder: Path, manifest: Manifest) -> None:
    """Compare every file with the sha256 that the manifest names.

    Raises:
        BundleError: a file is missing or cannot be read.
        DigestError: a file is another one.
    """
    for name, expected in _digests(manifest).items():
        try:
            got = sha256_of(folder / name)
        except FileNotFoundError:
            raise BundleError(
                f"{folder}: {name} is missing, although {MANIFEST_NAME} names it"
            ) from None
        except OSError as error:
            raise BundleError(f"{folder / name}: {error.strerror or error}") from None
        if got != expected:
            raise DigestError(
                f"{folder / name}: expected sha256 {expected[:12]}..., got {got[:12]}...; "
                f"the file was changed or damaged, copy the bundle again"
            )


def save_golden(path: Path, windows: Sequence[Window], feeds: Feeds, outputs: Logits) -> None:
    """Write golden vectors as a compressed `.npz` without pickles.

    Args:
        path: file to write; equal contents give equal bytes.
        windows: B windows.
        feeds: name -> [B, ...], made by `preprocess` from the windows.
        outputs: name -> float32 [B, K], made by torch from the feeds.
    """
    arrays: dict[str, NDArray[np.generic]] = {}
    for index, window in enumerate(windows):
        for field in fields(window):
            arrays[f"window{index}/{field.name}"] = np.asarray(getattr(window, field.name))
    arrays |= {f"feed/{name}": array for name, array in feeds.items()}
    arrays |= {f"output/{name}": array for name, array in outputs.items()}
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load_golden(path: Path) -> GoldenVectors:
    """Read what `save_golden` wrote.

    Raises:
        BundleError: the file is not a golden file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(f"{path}: cannot be read as golden vectors ({error})") from None
    num_windows = sum(name.startswith("window") and name.endswith("/t") for name in arrays)
    try:
        windows = tuple(_golden_window(arrays, index) for index in range(num_windows))
    except (KeyError, WindowError) as error:
        raise BundleError(f"{path}: holds a window that is none ({error})") from None
    outputs = {n: np.asarray(a, np.float32) for n, a in _under("output/", arrays).items()}
    vectors = GoldenVectors(windows, _under("feed/", arrays), outputs)
    sizes = {len(a) for a in (*vectors.feeds.values(), *vectors.outputs.values())}
    if not windows or sizes != {num_windows}:
        raise BundleError(f"{path}: windows, feeds and outputs differ in number")
    return vectors


def _golden_window(arrays: Mapping[str, NDArray[np.generic]], index: int) -> Window:
    values = {f.name: arrays[f"window{index}/{f.name}"] for f in fields(Window)}
    return Window(**{**values, "layout": str(values["layout"])})  # type: ignore[arg-type]


def _under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def _digests(manifest: Manifest) -> dict[str, str]:
    digests = {graph.file: graph.sha256 for graph in manifest.graphs}
    return digests | {manifest.golden.file: manifest.golden.sha256}

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.bench import stand_in_window
from engines.bundle import load_bundle, load_golden, save_bundle, save_golden, sha256_of
from engines.errors import BundleError, DigestError, ManifestError
from tests.engines.tiny_bundle import DROP, tiny_manifest, write_tiny_bundle

FILES = ("model.onnx", "golden.npz")


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


def test_loads_what_was_written(tiny: Path) -> None:
    bundle = load_bundle(tiny)
    assert bundle.manifest.id == "tiny 0.1"
    assert bundle.graph_path() == tiny / "model.onnx"
    assert len(bundle.golden().windows) == 3


def test_a_missing_folder_and_a_file_are_no_bundle(tiny: Path) -> None:
    with pytest.raises(BundleError, match="found nothing there"):
        load_bundle(tiny / "nowhere")
    with pytest.raises(BundleError, match="found a file there"):
        load_bundle(tiny / "manifest.json")


@pytest.mark.parametrize("name", ["manifest.json", *FILES])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match=name):
        load_bundle(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_found(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(DigestError, match=rf"{name}: expected sha256 \w+\.\.\., got"):
        load_bundle(copy)


def test_a_bad_manifest_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"b/manifest.json: window.anchor: is missing"):
        load_bundle(write_tiny_bundle(tmp_path / "b", window={"anchor": DROP}))


def test_a_precision_that_is_not_there_is_refused(tiny: Path) -> None:
    with pytest.raises(BundleError, match=r"expected a graph of precision int8, .* has fp32"):
        load_bundle(tiny).graph_path("int8")


@pytest.mark.parametrize("exists", [False, True], ids=["new", "empty"])
def test_saves_into_a_new_or_empty_folder(tiny: Path, tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "deep" / "saved"
    if exists:
        folder.mkdir(parents=True)
    source = load_bundle(tiny)
    saved = save_bundle(folder, source.manifest, {name: tiny / name for name in FILES})
    assert saved.folder == folder
    assert load_bundle(folder).manifest == source.manifest
    assert [p.name for p in folder.parent.iterdir()] == ["saved"]


def test_never_writes_over_anything(tiny: Path, copy: Path) -> None:
    manifest = load_bundle(tiny).manifest
    with pytest.raises(BundleError, match="expected a new or an empty folder"):
        save_bundle(copy, manifest, {name: tiny / name for name in FILES})
    load_bundle(copy)


def test_a_failed_save_leaves_nothing_behind(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    files = {name: tiny / name for name in FILES}
    with pytest.raises(DigestError):
        save_bundle(folder, tiny_manifest(), files)
    with pytest.raises(BundleError, match=r"the manifest names golden.npz, model.onnx, got"):
        save_bundle(folder, load_bundle(tiny).manifest, {"model.onnx": tiny / "model.onnx"})
    files["golden.npz"] = tiny / "nothing.npz"
    with pytest.raises(BundleError, match="cannot be written"):
        save_bundle(folder, load_bundle(tiny).manifest, files)
    assert list(tmp_path.iterdir()) == []


def test_golden_vectors_survive_the_disk_and_equal_ones_give_equal_bytes(tmp_path: Path) -> None:
    manifest = tiny_manifest()
    windows = [stand_in_window(manifest, seed=seed) for seed in range(2)]
    feeds = {"x": np.arange(6, dtype=np.float32).reshape(2, 3)}
    outputs = {"y": np.ones((2, 4), np.float32)}
    for name in ("a.npz", "b.npz"):
        save_golden(tmp_path / name, windows, feeds, outputs)
    assert sha256_of(tmp_path / "a.npz") == sha256_of(tmp_path / "b.npz")
    golden = load_golden(tmp_path / "a.npz")
    np.testing.assert_array_equal(golden.feeds["x"], feeds["x"])
    np.testing.assert_array_equal(golden.outputs["y"], outputs["y"])
    for got, want in zip(golden.windows, windows, strict=True):
        assert got.layout == want.layout
        for field in ("t", "rgb", "xy", "xyz", "conf", "faces", "has_face"):
            np.testing.assert_array_equal(getattr(got, field), getattr(want, field))


def write(path: Path, arrays: dict[str, Any]) -> None:
    np.savez(path, **arrays)


def test_what_is_no_golden_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    path.write_bytes(b"junk")
    with pytest.raises(BundleError, match="cannot be read as golden vectors"):
        load_golden(path)
    write(path, {"window0/t": np.zeros(1)})
    with pytest.raises(BundleError, match="holds a window that is none"):
        load_golden(path)
    write(path, {"feed/x": np.zeros((2, 1)), "output/y": np.zeros((2, 1))})
    with pytest.raises(BundleError, match="differ in number"):
        load_golden(path)
    write(path, {"feed/x": np.array([{}], dtype=object)})
    with pytest.raises(BundleError, match="cannot be read as golden vectors"):
        load_golden(path)

"""The store: windows by time, what is decoded of them, and damage that is said in one line."""

import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.preprocess import preprocess
from tests.train.tiny_recipe import tiny
from tests.train.tiny_store import RATE_HZ, TinyVideo, rewrite_frames, write_tiny_store
from train.annotations import DataError
from train.dataset import manifest_of
from train.store import Store, open_store, thinned_indices
from train.store_files import read_info

VIDEOS = (
    TinyVideo("a", "train", ((4, 0.5, 2.5),), emotion=1),
    TinyVideo("b", "test", (), seconds=1.0),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("tiny") / "store", tiny(), VIDEOS)


@pytest.fixture
def store(folder: Path) -> Store:
    return open_store(folder)


def test_it_says_what_it_holds(store: Store) -> None:
    assert [video.id for video in store.videos()] == ["a", "b"]
    assert [video.id for video in store.videos("test")] == ["b"]
    video = store.video("a")
    assert (video.split, video.subject, video.emotion, video.frames) == ("train", "a", 1, 60)
    assert (video.poses, video.faces) == (60, 60)
    assert video.end == pytest.approx(5.9)
    (span,) = video.spans
    assert span.label == 4
    assert [span.start, span.end] == pytest.approx([0.5, 2.4])
    assert np.diff(store.times("a")) == pytest.approx(1 / RATE_HZ)


def test_a_window_holds_the_frames_of_its_time_and_no_more(store: Store) -> None:
    window = store.window("a", 1.0, 3.0, anchor=0.5)
    assert window is not None
    assert window.t == pytest.approx(np.arange(10, 31) / RATE_HZ)
    assert window.rgb.shape == (21, 32, 32, 3)
    assert window.has_pose.all()
    assert store.window("a", 6.0, 7.0, anchor=0.5) is None
    early = store.window("a", -5.0, 0.3, anchor=0.5)
    assert early is not None
    assert len(early) == 4


def test_the_shard_is_a_tar_with_the_pictures_where_the_index_says(folder: Path) -> None:
    store = open_store(folder)
    window = store.window("a", 0.0, 0.5, anchor=0.5)
    assert window is not None
    with tarfile.open(folder / "shards" / "a.tar") as tar:
        names = tar.getnames()
        assert names[:3] == ["000000.face.jpg", "000000.rgb.jpg", "000001.face.jpg"]
        assert len(names) == 120
        for k in range(len(window)):
            for kind, shown in (("rgb", window.rgb), ("face", window.faces)):
                file = tar.extractfile(f"{k:06d}.{kind}.jpg")
                assert file is not None
                picture = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)
                assert picture is not None
                assert np.array_equal(shown[k], picture[..., ::-1])


@pytest.mark.parametrize("rate_hz", [None, 4.0])
def test_only_what_is_looked_at_is_decoded_and_the_tensors_are_the_same(
    store: Store, rate_hz: float | None
) -> None:
    manifest = manifest_of(tiny())
    whole = store.window("a", 1.0, 3.13, speed=1.1, rate_hz=rate_hz, anchor=0.5)
    part = store.window(
        "a", 1.0, 3.13, inputs=manifest.inputs, speed=1.1, rate_hz=rate_hz, anchor=0.5
    )
    assert whole is not None
    assert part is not None
    decoded = part.rgb.reshape(len(part), -1).any(axis=1)
    assert 0 < decoded.sum() <= 4 < len(part)
    expected, got = preprocess([whole], manifest), preprocess([part], manifest)
    for name, feed in expected.items():
        assert np.array_equal(feed, got[name]), name


def test_time_can_run_faster_and_a_camera_be_slower(store: Store) -> None:
    window = store.window("a", 1.0, 3.0, speed=2.0, anchor=0.5)
    assert window is not None
    assert [window.start, window.end] == pytest.approx([2.0, 3.0])
    slow = store.window("a", 1.0, 3.0, rate_hz=5.0, anchor=0.5)
    assert slow is not None
    assert slow.end == pytest.approx(3.0)
    assert np.diff(slow.t) == pytest.approx(0.2)


def test_thinning_keeps_the_last_sample_and_one_a_slot() -> None:
    t = np.cumsum(np.random.default_rng(3).uniform(0.005, 0.08, 400))
    kept = t[thinned_indices(t, 12.0)]
    assert kept[-1] == t[-1]
    slots = np.floor((t[-1] - kept) * 12.0 + 1e-6)
    assert (np.diff(slots) < 0).all()  # one a slot
    assert set(slots) == set(np.floor((t[-1] - t) * 12.0 + 1e-6))  # of every slot
    assert np.array_equal(thinned_indices(t, 1e6), np.arange(400))


def test_a_window_never_reaches_back_to_another_person(tmp_path: Path) -> None:
    folder = write_tiny_store(tmp_path / "store", tiny(), VIDEOS[:1])
    rewrite_frames(folder, "a", stretch=np.repeat(np.array([0, 1], np.int32), (25, 35)))
    store = open_store(folder)
    window = store.window("a", 1.0, 3.0, anchor=0.5)
    assert window is not None
    assert window.start == pytest.approx(2.5)
    assert store.is_whole("a", 2.5, 4.5, 0.5)
    assert store.is_whole("a", 2.41, 4.5, 0.5)  # but for a twentieth, as the buffer has it
    assert not store.is_whole("a", 2.3, 4.4, 0.5)
    assert store.is_whole("a", 0.0, 2.1, 0.5)


def test_a_pause_breaks_a_window(tmp_path: Path) -> None:
    folder = write_tiny_store(tmp_path / "store", tiny(), VIDEOS[:1])
    t = np.arange(60) / RATE_HZ
    rewrite_frames(folder, "a", t=t + np.where(np.arange(60) >= 30, 0.6, 0.0))  # 2.9 s, then 3.6 s
    store = open_store(folder)
    assert store.is_whole("a", 0.7, 2.8, 0.5)
    assert not store.is_whole("a", 2.0, 4.1, 0.5)
    assert not store.is_whole("a", 3.0, 5.1, 0.5)
    assert not store.is_whole("a", 1.4, 3.5, 0.5)  # nothing is seen at its end
    assert store.is_whole("a", 3.6, 5.7, 0.5)
    assert store.is_whole("a", 2.0, 4.1, 0.8)


def test_it_travels_to_other_processes(store: Store) -> None:
    twin = pickle.loads(pickle.dumps(store))
    first, second = store.window("a", 1.0, 3.0, anchor=0.5), twin.window("a", 1.0, 3.0, anchor=0.5)
    assert first is not None
    assert second is not None
    assert np.array_equal(first.rgb, second.rgb)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("file", "damage", "said"),
    [
        ("videos/a.npy", truncate, "a.npy: missing or broken"),
        ("videos/a.npy", lambda path: path.write_bytes(b""), "a.npy: missing or broken"),
        ("videos/a.npy", Path.unlink, "a.npy: missing or broken"),
        ("shards/a.tar", cut_in_half, "a.tar: a picture in it is broken"),
        ("shards/a.tar", Path.unlink, "a.tar: No such file or directory"),
    ],
)
def test_damage_is_one_line_that_says_how_to_mend_it(
    tmp_path: Path, file: str, damage: Callable[[Path], object], said: str
) -> None:
    folder = write_tiny_store(tmp_path / "store", tiny(), VIDEOS[:1])
    damage(folder / file)
    store = open_store(folder)
    with pytest.raises(DataError) as caught:
        store.window("a", 0.0, 6.0, anchor=0.5)
    how = f"; delete {folder / 'videos' / 'a.json'} and run `train prepare` again"
    assert str(caught.value) == f"{folder / file.split('/')[0]}/{said}{how}"


def test_what_is_no_store_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected what `train prepare` writes"):
        open_store(tmp_path)
    folder = write_tiny_store(tmp_path / "store", tiny(), VIDEOS[:1])
    record = folder / "videos" / "a.json"
    text = record.read_text()
    record.write_text(text[:50])
    with pytest.raises(DataError, match=r"a\.json: delete .*a\.json and run"):
        open_store(folder)
    record.unlink()
    with pytest.raises(DataError, match="holds no finished video: run `train prepare` again"):
        open_store(folder)
    info = folder / "store.json"
    info.write_text(info.read_text().replace('"version":2', '"version":9'))
    with pytest.raises(DataError, match="is version 9, expected 2: prepare again"):
        read_info(folder)

"""Examples and tensors: where windows lie, what they are called; they are the runtime's own."""

import logging
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.preprocess import preprocess
from engines.skeleton import UPPER25
from engines.tensor_specs import PoseInput
from realtime.buffer import ObservationBuffer
from realtime.sources import FileSource
from tests.clips import make_clip
from tests.train.tiny_recipe import tiny
from tests.train.tiny_store import (
    RATE_HZ,
    DrawnPerson,
    TinyVideo,
    rewrite_frames,
    write_tiny_store,
)
from train.annotations import DataError
from train.augment import Augmentation
from train.dataset import (
    Example,
    WindowDataset,
    examples,
    labels_at,
    manifest_of,
    window_ends,
)
from train.labels import ILLUSTRATIVE, SMG_GESTURES, UNLABELLED
from train.perception import perception_of
from train.recipes import Recipe, demo
from train.store import Store, open_store
from train.store_files import Span, StoredVideo

SPAN_S = tiny().window.span_s
CALM = Augmentation(**{entry.name: 0 for entry in fields(Augmentation)} | {"speed": 0.2})


def video(end: float, *spans: tuple[int, float, float], start: float = 0.0) -> StoredVideo:
    found = tuple(Span(*span) for span in spans)
    return StoredVideo("v", "train", "", None, found, start, end, 100, 100, 100)


def ends(of: StoredVideo, hop_s: float = 0.5, *, is_trimmed: bool = False) -> list[float]:
    return window_ends(of, tiny(), hop_s, is_trimmed=is_trimmed)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    videos = (
        TinyVideo("long", "train", ((4, 0.5, 2.0), (10, 3.0, 5.5), (22, 4.0, 4.6)), emotion=1),
        TinyVideo("short", "train", ((7, 0.3, 0.8),), seconds=1.0),
    )
    return open_store(write_tiny_store(tmp_path_factory.mktemp("d") / "s", tiny(), videos))


def trimmed_store(folder: Path, *videos: TinyVideo) -> Store:
    return open_store(write_tiny_store(folder / "t", tiny(), videos, is_trimmed=True))


def test_windows_come_every_hop_and_lie_inside_the_video() -> None:
    found = ends(video(5.0))
    assert found[0] == pytest.approx(SPAN_S)
    assert np.diff(found) == pytest.approx(0.5)
    assert 4.5 < found[-1] <= 5.0
    assert ends(video(5.0, start=1.0))[0] == pytest.approx(1 + SPAN_S)
    assert ends(video(1.5)) == [1.5]  # shorter than a window: all of it


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ((1.0, 5.0), 3.0 + SPAN_S / 2),  # the middle of the gesture is the middle of the window
        ((4.0, 5.0), 4.5 + SPAN_S / 2),
        ((0.0, 0.6), SPAN_S),  # as far as the clip allows
        ((5.5, 6.0), 6.0),
    ],
)
def test_in_a_trimmed_clip_the_window_is_where_the_gesture_is(
    span: tuple[float, float], expected: float
) -> None:
    assert ends(video(6.0, (3, *span)), is_trimmed=True) == [pytest.approx(expected)]


def test_a_trimmed_clip_without_a_label_shows_its_middle_and_a_short_one_all() -> None:
    assert ends(video(6.0), is_trimmed=True) == [pytest.approx(3.0 + SPAN_S / 2)]
    assert ends(video(1.5, (3, 0.0, 0.5)), is_trimmed=True) == [1.5]


def test_a_label_is_the_gesture_at_the_middle_the_shortest_first_else_background(
    store: Store,
) -> None:
    def label(middle: float) -> int:
        long = store.video("long")
        return labels_at(long, middle + SPAN_S / 2, tiny(), store)["micro_gesture"]

    assert [label(t) for t in (1.5, 2.5, 3.5, 4.3, 5.0)] == [4, ILLUSTRATIVE, 10, 22, 10]
    chosen = examples(store, "train", tiny(), 0.25)
    assert {e.labels["emotion"] for e in chosen if e.video == "long"} == {1}
    (short,) = (e for e in chosen if e.video == "short")
    assert short.labels == {"micro_gesture": 7, "emotion": UNLABELLED}
    assert short.end == pytest.approx(0.9)


def test_where_gestures_are_trimmed_nothing_is_background(tmp_path: Path) -> None:
    store = trimmed_store(
        tmp_path, TinyVideo("a", "train", ((5, 0.0, 0.5),)), TinyVideo("b", "train", ()),
        TinyVideo("c", "train", ((6, 0.2, 0.5),), seconds=1.0),
    )  # fmt: skip
    chosen = examples(store, "train", tiny(), 0.25)
    assert [(e.video, e.labels["micro_gesture"]) for e in chosen] == [
        ("a", 5), ("b", UNLABELLED), ("c", 6),
    ]  # fmt: skip


def test_windows_over_a_pause_or_another_person_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_tiny_store(tmp_path / "s", tiny(), (TinyVideo("a", "train", ()),))
    rewrite_frames(folder, "a", stretch=np.repeat([0, 1], 30))
    with caplog.at_level(logging.WARNING):
        chosen = examples(open_store(folder), "train", tiny(), 0.1)
    assert len(chosen) == 17
    assert {round(10 * e.end, 6) % 1 for e in chosen} == {0}  # at frames
    assert not any(2.95 < e.end < 3.0 + 0.94 * SPAN_S for e in chosen)
    (record,) = caplog.records
    assert f"{38 - len(chosen)} of 38 windows left out" in record.getMessage()


def test_a_window_at_a_pause_is_learnt_from_once(tmp_path: Path) -> None:
    """No frame for 0.45 s, which the runtime bears with: several hops end at the frame before."""
    folder = write_tiny_store(tmp_path / "s", tiny(), (TinyVideo("a", "train", ()),))
    t = open_store(folder).times("a")
    rewrite_frames(folder, "a", t=t + np.where(t > 3.0, 0.35, 0.0))
    chosen = [example.end for example in examples(open_store(folder), "train", tiny(), 0.1)]
    assert len(chosen) == len(set(chosen)) > 30


def test_what_does_not_fit_is_one_line(tmp_path: Path, store: Store) -> None:
    with pytest.raises(DataError, match="no videos of the split 'val'; it has 2 of train"):
        examples(store, "val", tiny(), 0.25)
    with pytest.raises(DataError, match="expected more than 0 s between windows, got 0"):
        examples(store, "train", tiny(), 0)
    with pytest.raises(DataError, match="prepared with other perception than the recipe demo"):
        examples(store, "train", demo(), 0.25)
    folder = write_tiny_store(
        tmp_path / "s", tiny(), (TinyVideo("a", "train"),), class_names=SMG_GESTURES
    )
    with pytest.raises(DataError, match="has the 17 classes of tiny, the recipe tiny has 32"):
        examples(open_store(folder), "train", tiny(), 0.25)


def test_the_tensors_are_those_that_the_runtime_makes_of_the_live_buffer(tmp_path: Path) -> None:
    """One drawn clip through both ways; what the JPEG costs is all that may differ."""
    recipe = tiny()
    drawn = TinyVideo("a", "train", ((4, 0.5, 2.5),), emotion=1, seconds=4.0)
    store = open_store(write_tiny_store(tmp_path / "s", recipe, (drawn,)))
    spec, manifest = perception_of(recipe), manifest_of(recipe)
    clip = make_clip(tmp_path / "a.mp4", [k / RATE_HZ for k in range(40)], size=(64, 48))
    buffer = ObservationBuffer(spec, span_s=SPAN_S, max_gap_s=recipe.window.max_gap_s)
    perceiver = DrawnPerson(spec, drawn)
    compared = 0
    with FileSource(clip) as source:
        for frame in source:
            buffer.append(perceiver(frame))
            if frame.t < SPAN_S or frame.index % 5:
                continue
            live = preprocess([buffer.window(frame.t, SPAN_S, 0.5)], manifest)
            dataset = WindowDataset(store, [Example("a", frame.t, {})], recipe)
            feeds, _ = dataset[0]
            assert set(feeds) == set(live)
            for name in ("pose", "pose_mask", "face_mask"):
                assert np.array_equal(feeds[name].numpy(), live[name][0]), name
            assert feeds["rgb"].dtype == torch.uint8
            pictures = feeds["rgb"].numpy().astype(int)
            assert np.abs(pictures - live["rgb"][0]).mean() < 0.2 * 0.225 * 255
            assert np.abs(feeds["face"].numpy() - live["face"][0]).mean() < 0.1
            compared += 1
    assert compared == 3


def test_a_draw_follows_from_seed_draw_and_index_alone(store: Store) -> None:
    recipe = tiny()
    chosen = examples(store, "train", recipe, 0.5)
    first, twin = (WindowDataset(store, chosen, recipe, how=Augmentation(), seed=3) for _ in "ab")
    twin.drawn(0, 0)
    feeds, again = first.drawn(9, 2)[0], twin.drawn(9, 2)[0]
    assert all(torch.equal(feeds[name], again[name]) for name in feeds)
    other = first.drawn(10, 2)[0]
    assert not torch.equal(feeds["rgb"], other["rgb"])


def test_no_draw_shows_a_picture_that_was_not_decoded(store: Store) -> None:
    """What the store leaves undecoded is black; a slower camera must not bring it in."""
    recipe = tiny()
    how = replace(CALM, speed=0.2, thinning=1.0)
    dataset = WindowDataset(store, examples(store, "train", recipe, 0.5), recipe, how=how)
    for number in range(60):
        rgb = dataset.drawn(number, number % len(dataset))[0]["rgb"]
        darkest = rgb.float().mean(dim=(0, 2, 3)).min()
        assert darkest > 0.3 * 0.225 * 255


def test_at_any_speed_the_anchor_shows_the_same_instant(store: Store) -> None:
    """A gesture that ends at the middle of the window does so however fast time runs."""
    rgb, pose, *others = tiny().inputs
    assert isinstance(pose, PoseInput)
    sampling = replace(pose.sampling, frames=32)
    recipe = replace(
        tiny(), inputs=(rgb, replace(pose, shape=(3, 32, 25), sampling=sampling), *others)
    )
    example = Example("long", 2.0 + SPAN_S / 2, {})  # the first gesture ends at 2.0 s
    dataset = WindowDataset(store, [example], recipe, how=CALM, only="pose")
    wrist = UPPER25.joints.index("right_wrist")
    lasting = []
    for number in range(40):
        feeds, _ = dataset.drawn(number, 0)
        is_gesture = feeds["pose"][1, :, wrist] > 0.4  # lower than the background's
        lasting.append(int(is_gesture[10:24].sum()) + 10)
    assert 15 <= min(lasting) <= max(lasting) <= 18  # of 32; frames are 1.5 of them apart
    # At the video's end there is no room for a faster window: time runs as it did.
    last = WindowDataset(store, [Example("long", 5.9, {})], recipe, how=CALM, only="pose")
    plain = WindowDataset(store, [Example("long", 5.9, {})], recipe, only="pose")
    masks = [last.drawn(number, 0)[0]["pose_mask"] for number in range(10)]
    assert all(torch.equal(mask, plain[0][0]["pose_mask"]) for mask in masks)


def test_one_modality_alone_has_the_same_tensors(store: Store) -> None:
    recipe: Recipe = tiny()
    chosen = examples(store, "train", recipe, 0.5)
    whole, pose = (WindowDataset(store, chosen, recipe, only=only) for only in (None, "pose"))
    assert len(whole) == len(pose) == len(chosen)
    every, some = whole[1][0], pose[1][0]
    assert set(some) == {"pose", "pose_mask"}
    assert all(torch.equal(every[name], some[name]) for name in some)
    assert whole[1][1]["micro_gesture"].item() == chosen[1].labels["micro_gesture"]

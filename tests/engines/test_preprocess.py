import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.bench import stand_in_window
from engines.errors import WindowError
from engines.manifest import Manifest, Sampling
from engines.preprocess import coverage, preprocess, resize_and_crop, sample
from engines.window import Window
from tests.engines.tiny_bundle import tiny_manifest
from tests.train.parity import filler

PARITY = Path(__file__).parents[1] / "train" / "parity" / "preprocess.json"
LEFT, RIGHT, NOSE, WRIST = 11, 12, 0, 15
GRID = Sampling(frames=4, span_s=1.0, tolerance_s=0.1)


def altered(window: Window, **changes: Any) -> Window:
    return Window(**{**vars(window), **changes})


def last(window: Window, seconds: float) -> Window:
    """What is left of it if it begins so late."""
    kept = window.t >= window.end - seconds
    arrays = {n: v[kept] for n, v in vars(window).items() if n != "layout"}
    return altered(window, **arrays)


def only(index: int, **changes: Any) -> Manifest:
    return tiny_manifest(inputs=[changes if i == index else {} for i in range(3)])


def body(n: int = 31, fps: float = 30.0) -> Window:
    """A still person: shoulders 20 px and 0.4 m apart around (32, 20), the nose above."""
    window = stand_in_window(tiny_manifest(), fps=fps)
    xy = np.full((n, 33, 2), 30, np.float32)
    xy[:, LEFT], xy[:, RIGHT], xy[:, NOSE] = (42, 20), (22, 20), (32, 10)
    xyz = np.zeros((n, 33, 3), np.float32)
    xyz[:, LEFT], xyz[:, RIGHT], xyz[:, NOSE] = (0.2, -0.5, 0.1), (-0.2, -0.5, 0.1), (0, -0.7, 0)
    return altered(window, xy=xy, xyz=xyz, conf=np.ones((n, 33), np.float32))


def pose_of(window: Window, manifest: Manifest) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    feeds = preprocess([window], manifest)
    return feeds["pose"][0], feeds["pose_mask"][0]  # [3, T, V], [T, V]


@pytest.mark.parametrize(
    ("name", "h", "w"), [("landscape", 240, 320), ("portrait", 360, 270), ("small", 120, 176)]
)
def test_frames_are_resized_as_torchvision_does(name: str, h: int, w: int) -> None:
    case = json.loads(PARITY.read_text())["video_torchvision_mvit"]["cases"][name]
    noise = filler.signal(f"input:frames:{name}", (4, 3, h, w), (1, 1, 7, 9)).astype(np.float64)
    frames = np.clip(np.floor(128 + 80 * noise), 0, 255).astype(np.uint8)
    assert frames.sum() == case["input_sum"]
    images = np.ascontiguousarray(frames.transpose(0, 2, 3, 1))
    crops = np.stack([resize_and_crop(image, 256, 224) for image in images])
    clip = ((crops / 255 - 0.45) / 0.225).transpose(3, 0, 1, 2)
    want = case["output"]
    assert list(clip.shape) == want["shape"]
    flat = clip.ravel()
    np.testing.assert_allclose(
        flat[filler.sample_positions(flat.size, 32)], want["samples"], atol=1e-5
    )
    assert flat.mean() == pytest.approx(want["mean"], abs=1e-5)
    assert flat.std() == pytest.approx(want["std"], abs=1e-5)


def test_instants_end_at_the_newest_sample_and_take_the_nearest() -> None:
    nearest, near = sample(np.array([0.0, 0.24, 0.3, 0.55, 0.74, 1.0]), GRID)
    assert nearest.tolist() == [1, 3, 4, 5]
    assert near.all()


def test_an_instant_without_a_sample_near_is_missing() -> None:
    nearest, near = sample(np.array([0.6, 0.7, 1.0]), GRID)
    assert nearest.tolist() == [0, 0, 1, 2]
    assert near.tolist() == [False, True, True, True]


def test_one_sample_is_enough() -> None:
    nearest, near = sample(np.array([5.0]), GRID)
    assert nearest.tolist() == [0, 0, 0, 0]
    assert near.tolist() == [False, False, False, True]


def test_a_tie_goes_to_the_earlier_sample_whatever_the_rounding() -> None:
    for shift in (0.0, 1 / 3, 1e4 / 7):
        nearest, _ = sample(np.array([0.0, 0.2, 0.3, 0.45, 0.55, 1.0]) + shift, GRID)
        assert nearest.tolist() == [1, 3, 4, 5]


def test_feeds_are_what_the_manifest_promises() -> None:
    manifest = tiny_manifest()
    windows = [stand_in_window(manifest, seed=seed) for seed in range(3)]
    feeds = preprocess(windows, manifest)
    assert {n: (3, *s) for n, s in manifest.feeds.items()} == {n: a.shape for n, a in feeds.items()}
    for name, array in feeds.items():
        assert array.dtype == (np.uint8 if name == "rgb" else np.float32)
        assert array.flags.c_contiguous
        assert np.isfinite(array).all()
    for b, window in enumerate(windows):
        for name, array in preprocess([window], manifest).items():
            np.testing.assert_array_equal(array[0], feeds[name][b])


def test_bytes_stay_as_they_are_and_channels_come_first() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (31, 64, 64, 3), np.uint8)
    clip = preprocess([altered(body(), rgb=rgb)], only(0, resize=64))["rgb"][0]  # [3, T, 48, 48]
    np.testing.assert_array_equal(clip.transpose(1, 2, 3, 0), rgb[[7, 15, 22, 30], 8:56, 8:56])


def test_a_bundle_of_old_is_fed_scaled_pixels() -> None:
    manifest = only(0, dtype="float32", mean=[0.1, 0.2, 0.3], std=[0.5, 0.25, 1.0])
    rgb = np.zeros((31, 64, 64, 3), np.uint8)
    rgb[:] = (51, 102, 255)
    clip = preprocess([altered(body(), rgb=rgb)], manifest)["rgb"][0]
    for channel, value in enumerate([(0.2 - 0.1) / 0.5, (0.4 - 0.2) / 0.25, 1 - 0.3]):
        np.testing.assert_allclose(clip[channel], value, rtol=1e-6)


def test_frames_follow_time_and_hold_where_none_is() -> None:
    window = body()
    rgb = np.arange(31, dtype=np.uint8).reshape(31, 1, 1, 1) * np.ones((1, 64, 64, 3), np.uint8)
    levels = preprocess([altered(window, rgb=rgb)], tiny_manifest())["rgb"][0, 0, :, 0, 0]
    assert levels.tolist() == [7, 15, 22, 30]
    short = last(altered(window, rgb=rgb), 0.4)
    held = preprocess([short], tiny_manifest())["rgb"][0, 0, :, 0, 0]
    assert held.tolist() == [18, 18, 22, 30]


def test_pose_is_rooted_and_scaled_by_the_shoulders() -> None:
    pose, mask = pose_of(body(), tiny_manifest())
    assert mask.all()
    # x, y over 20 px, z over 0.4 m; the root is between the shoulders.
    np.testing.assert_allclose(pose[:, 0, LEFT], [0.5, 0, 0], atol=1e-6)
    np.testing.assert_allclose(pose[:, 0, RIGHT], [-0.5, 0, 0], atol=1e-6)
    np.testing.assert_allclose(pose[:, 0, NOSE], [0, -0.5, -0.25], atol=1e-6)
    pose, _ = pose_of(body(), only(1, coordinates="world"))
    np.testing.assert_allclose(pose[:, 5, NOSE], [0, -0.5, -0.25], atol=1e-6)
    pose, _ = pose_of(body(), only(1, coordinates="image"))
    np.testing.assert_allclose(pose[:, 5, NOSE], [0, -0.5, 1], atol=1e-6)
    pose, _ = pose_of(body(), only(1, coordinates="world", scale="none"))
    np.testing.assert_allclose(pose[:, 5, NOSE], [0, -0.2, -0.1], atol=1e-6)


def test_pose_does_not_depend_on_where_and_how_large_the_person_is() -> None:
    window = stand_in_window(tiny_manifest())
    moved = altered(window, xy=window.xy * np.float32(0.5) + np.float32(11))
    for got, want in zip(
        pose_of(moved, tiny_manifest()), pose_of(window, tiny_manifest()), strict=True
    ):
        np.testing.assert_allclose(got, want, atol=1e-4)


def test_a_root_per_window_keeps_movements_of_the_whole_body() -> None:
    window = body()
    swaying = altered(window, xy=window.xy + np.linspace(0, 20, 31)[:, None, None].astype("f4"))
    pose, _ = pose_of(swaying, tiny_manifest())
    assert np.ptp(pose[0, :, NOSE]) > 0.9
    pose, _ = pose_of(swaying, only(1, root_per="sample"))
    assert np.ptp(pose[0, :, NOSE]) < 1e-6


def test_torso_length_reaches_from_shoulders_to_hips() -> None:
    window = body()
    xy = window.xy.copy()
    xy[:, 23:25] = (32, 60)
    pose, _ = pose_of(altered(window, xy=xy), only(1, scale="torso", coordinates="image"))
    np.testing.assert_allclose(pose[:2, 0, NOSE], [0, -0.25], atol=1e-6)


def test_missing_joints_are_zero_and_masked() -> None:
    window = body()
    xy, conf = window.xy.copy(), window.conf.copy()
    xy[:, NOSE] = np.nan  # said to be seen, but is nowhere
    conf[:, WRIST] = 0.29  # below the manifest's 0.3
    pose, mask = pose_of(altered(window, xy=xy, conf=conf), tiny_manifest())
    assert np.isfinite(pose).all()
    for joint in (NOSE, WRIST):
        assert not mask[:, joint].any()
        assert not pose[:, :, joint].any()
    assert mask.sum() == 16 * 23


def test_a_pose_without_root_or_scale_is_missing_altogether() -> None:
    window = body()
    conf = window.conf.copy()
    conf[:, LEFT] = 0
    for hidden in (
        altered(window, conf=conf),
        altered(window, conf=np.zeros_like(conf), xy=np.full_like(window.xy, np.nan)),
        altered(window, xy=np.zeros_like(window.xy)),
    ):
        pose, mask = pose_of(hidden, tiny_manifest())
        assert not pose.any()
        assert not mask.any()


def test_keypoints_without_depth_are_enough_for_image_coordinates() -> None:
    flat = altered(body(), xyz=np.full((31, 33, 3), np.nan, np.float32))
    pose, mask = pose_of(flat, only(1, coordinates="image"))
    assert mask.all()
    np.testing.assert_allclose(pose[:, 0, NOSE], [0, -0.5, 1], atol=1e-6)
    assert not pose_of(flat, tiny_manifest())[1].any()


def test_a_sample_without_a_root_takes_the_windows() -> None:
    window = body()
    conf = window.conf.copy()
    conf[20:, LEFT] = 0
    pose, mask = pose_of(altered(window, conf=conf), only(1, root_per="sample"))
    np.testing.assert_allclose(pose[:, -1, NOSE], [0, -0.5, -0.25], atol=1e-6)
    assert mask[0, LEFT] == 1
    assert mask[-1, LEFT] == 0


def test_faces_are_resized_and_missing_ones_are_zero() -> None:
    window = body()
    faces = np.full((31, 112, 112, 3), 255, np.uint8)
    has_face = np.arange(31) < 20
    feeds = preprocess([altered(window, faces=faces, has_face=has_face)], tiny_manifest())
    assert feeds["face_mask"].tolist() == [[1, 0]]
    np.testing.assert_allclose(feeds["face"][0, 0], 1, atol=1e-6)
    assert not feeds["face"][0, 1].any()


def test_a_slow_irregular_camera_gives_nearly_the_feeds_of_a_fast_one() -> None:
    def moving(t: NDArray[np.float64]) -> Window:
        still = body()
        phase = 2 * np.pi * 0.5 * t
        xy = np.repeat(still.xy[:1], len(t), axis=0)
        xy[:, WRIST] = np.stack([32 + 15 * np.sin(phase), 40 + 5 * np.cos(phase)], axis=1)
        grey = (128 + 60 * np.sin(phase)).astype(np.uint8).reshape(-1, 1, 1, 1)
        return Window(
            t=t, rgb=grey * np.ones((1, 64, 64, 3), np.uint8), xy=xy,
            xyz=np.repeat(still.xyz[:1], len(t), axis=0),
            conf=np.ones((len(t), 33), np.float32),
            faces=np.zeros((len(t), 112, 112, 3), np.uint8),
            has_face=np.ones(len(t), np.bool_), layout="mediapipe33",
        )  # fmt: skip

    rng = np.random.default_rng(3)
    slow = np.sort(np.arange(13) / 12 + np.append(rng.uniform(-0.02, 0.02, 12), 0))
    fast, slow_feeds = (
        preprocess([moving(t - t[-1] + 1.0)], tiny_manifest()) for t in (np.arange(31) / 30, slow)
    )
    np.testing.assert_array_equal(slow_feeds["pose_mask"], fast["pose_mask"])
    wrist = [feeds["pose"][0, :2, :, WRIST] for feeds in (fast, slow_feeds)]
    # At most half of the longest pause away in time, at 15 px * pi / s over 20 px of shoulders.
    assert np.abs(wrist[0] - wrist[1]).max() < 0.065 * 15 * np.pi / 20
    assert np.corrcoef(wrist[0].ravel(), wrist[1].ravel())[0, 1] > 0.99
    seen = [feeds["rgb"].astype(np.float64) / 255 / 0.225 for feeds in (fast, slow_feeds)]
    assert np.abs(seen[0] - seen[1]).mean() < 0.06 * seen[0].std() + 0.03


def test_coverage_counts_instants_that_show_the_person() -> None:
    window = body()
    seen = np.arange(31) >= 15
    half = altered(
        window, conf=window.conf * seen[:, None].astype("f4"), has_face=np.zeros(31, np.bool_)
    )
    manifest = tiny_manifest()
    gesture, emotion = manifest.outputs
    assert coverage(window, manifest, gesture) == coverage(window, manifest, emotion) == 1.0
    assert coverage(half, manifest, gesture) == pytest.approx(0.5, abs=1 / 16)
    assert coverage(half, manifest, emotion) == 0.0  # a body without a face says no mood
    short = last(window, 0.25)  # the rest has not been seen yet
    assert coverage(short, manifest, gesture) == pytest.approx(0.35, abs=1 / 16)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"perception": {"layout": "upper25"}}, "reads skeletons of layout upper25"),
        ({"perception": {"storage": [48, 64]}}, r"reads frames of \[48, 64\] px"),
        ({"perception": {"face_size": 96}}, r"reads face crops of \[96, 96\] px"),
    ],
)
def test_a_window_that_does_not_fit_is_refused(manifest: dict[str, Any], message: str) -> None:
    with pytest.raises(WindowError, match=message):
        preprocess([body()], tiny_manifest(**manifest))


def test_a_window_never_spans_a_gap() -> None:
    t = np.arange(31) / 30
    with pytest.raises(WindowError, match=r"gap of 0.63 s; the bundle tiny 0.1 accepts 0.50 s"):
        preprocess([altered(body(), t=np.where(t > 0.5, t + 0.6, t))], tiny_manifest())
    t = np.arange(31) / 20
    older = np.where(t < 0.49, t - 9, t)  # the pause ends where the engine's window starts
    preprocess([altered(body(), t=older)], tiny_manifest())


def test_no_windows_are_refused() -> None:
    with pytest.raises(WindowError, match="at least one window"):
        preprocess([], tiny_manifest())

"""Pictures of the hands, cut out of frames where the pose has them."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.errors import ManifestError
from engines.manifest import Manifest, Sampling, dump_manifest, parse_manifest
from engines.preprocess import preprocess
from engines.tensor_specs import HandInput
from engines.window import Window
from tests.engines.test_preprocess import altered, body
from tests.engines.tiny_bundle import tiny_manifest
from train.augment import mirrored

SIZE, FRAMES = 16, 4
SPEC = HandInput(
    modality="hand", name="hand", mask="hand_mask", shape=(FRAMES, 2, 3, SIZE, SIZE),
    dtype="float32", sampling=Sampling(frames=FRAMES, span_s=1.0, tolerance_s=0.1), size=SIZE,
    min_conf=0.3, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), missing="zero",
)  # fmt: skip
WRISTS, INDICES, PINKIES = (15, 16), (19, 20), (17, 18)


def with_hands() -> Manifest:
    return replace(tiny_manifest(), inputs=(SPEC,))


def pointing(left: tuple[float, float], right: tuple[float, float]) -> Window:
    """Both hands hang down; the middle of each, 11.5 px below its wrist, is where it is said."""
    window = body()
    xy = window.xy.copy()
    for side, (x, y) in enumerate((left, right)):
        xy[:, WRISTS[side]] = x, y - 11.5
        xy[:, INDICES[side]], xy[:, PINKIES[side]] = (x - 2, y - 1.5), (x + 2, y - 1.5)
    rgb = np.random.default_rng(0).integers(1, 256, (31, 64, 64, 3), np.uint8)
    return altered(window, xy=xy, rgb=rgb)


def hands_of(window: Window) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Levels [T, 2, S, S, 3] and mask."""
    feeds = preprocess([window], with_hands())
    levels = np.rint(feeds["hand"][0] * 255).astype(np.uint8)
    return levels.transpose(0, 1, 3, 4, 2), np.asarray(feeds["hand_mask"][0], np.float32)


def test_each_hand_is_cut_out_pixel_for_pixel_left_first() -> None:
    window = pointing((40, 30), (20, 34))
    hands, mask = hands_of(window)
    frames = window.rgb[[7, 15, 22, 30]]
    np.testing.assert_array_equal(hands[:, 0], frames[:, 22:38, 32:48])
    np.testing.assert_array_equal(hands[:, 1], frames[:, 26:42, 12:28])
    assert mask.all()


def test_beyond_the_edge_it_is_black_and_a_hand_out_of_the_picture_is_missing() -> None:
    window = pointing((61, 2), (20, 70))
    hands, mask = hands_of(window)
    np.testing.assert_array_equal(hands[0, 0, 6:, :11], window.rgb[7, :10, 53:])
    assert not hands[:, 0, :6].any()
    assert not hands[:, 0, :, 11:].any()
    assert mask[:, 0].all()
    assert not mask[:, 1].any()
    assert not hands[:, 1].any()


@pytest.mark.parametrize("joint", [WRISTS[1], INDICES[1], PINKIES[1]])
def test_a_hand_that_the_pose_is_not_sure_of_is_missing(joint: int) -> None:
    window = pointing((40, 30), (20, 34))
    conf = window.conf.copy()
    conf[20:, joint] = 0.29
    _, mask = hands_of(altered(window, conf=conf))
    assert mask.tolist() == [[1, 1], [1, 1], [1, 0], [1, 0]]


def test_without_a_pose_both_are_missing() -> None:
    window = pointing((40, 30), (20, 34))
    blind = altered(
        window, xy=np.full_like(window.xy, np.nan), xyz=np.full_like(window.xyz, np.nan),
        conf=np.zeros_like(window.conf),
    )  # fmt: skip
    hands, mask = hands_of(blind)
    assert not hands.any()
    assert not mask.any()


def test_in_a_mirror_left_and_right_change_places() -> None:
    window = pointing((40, 30), (20, 34))
    hands, mask = hands_of(mirrored(window))
    before, _ = hands_of(window)
    np.testing.assert_array_equal(hands[:, 0], before[:, 1, :, ::-1])
    assert mask.all()


def test_a_skeleton_without_knuckles_is_refused_with_the_manifest() -> None:
    text = dump_manifest(with_hands()).replace('"layout": "mediapipe33"', '"layout": "imigue22"')
    with pytest.raises(ManifestError, match="imigue22 has no joint"):
        parse_manifest(text)

"""Hard cuts: found where clips were joined, and nowhere else."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime.perception.cuts import CutFinder
from realtime.records import Image
from realtime.sources import open_source
from tests.conftest import PROJECT

JOINED_S = {
    "intel_asl_hand_to_face.mp4": [1.57, 5.37, 7.4, 9.6],  # and 3.67: hardly anything changes
    "intel_asl_torso_hands.mp4": [4.87, 6.5, 9.07, 11.0, 12.57],  # and 2.43
    "intel_head_turn_smile.mp4": [1.92],
    "pyfeat_single_face_neutral_smile.mp4": [],
}


def cuts(path: Path, every: int = 1) -> list[float]:
    """When cuts are found in a clip of which every so manyth frame comes."""
    finder = CutFinder()
    with open_source(str(path)) as source:
        return [f.t for f in source if f.index % every == 0 and finder(f.image)]


def picture() -> Image:
    """Soft patches, in bright colours."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(small, (640, 480), interpolation=cv2.INTER_CUBIC), np.uint8)


def found(*images: Image) -> list[bool]:
    finder = CutFinder()
    return [finder(image) for image in images]


@pytest.mark.parametrize("name", JOINED_S)
def test_cuts_are_found_where_clips_were_joined(shared: Path, name: str) -> None:
    assert cuts(shared / "media" / name) == pytest.approx(JOINED_S[name], abs=0.02)


@pytest.mark.parametrize("name", ["intel_asl_hand_to_face.mp4", "intel_head_turn_smile.mp4"])
def test_cuts_are_found_at_a_slow_camera_as_well(shared: Path, name: str) -> None:
    assert cuts(shared / "media" / name, every=3) == pytest.approx(JOINED_S[name], abs=0.3)


@pytest.mark.parametrize("every", [1, 4])
def test_in_the_demo_clip_there_is_no_cut(every: int) -> None:
    assert cuts(PROJECT / "assets" / "demo.mp4", every) == []


def test_a_lamp_and_a_shaking_camera_are_no_cuts() -> None:
    image = picture()
    assert not any(found(image, image // 2, image, np.minimum(image, 200) + 55))
    pushed = [np.roll(image, 60 * n, axis=1) for n in range(6)]
    assert max(np.abs(a.astype(int) - b).mean() for a, b in pairwise(pushed)) > 0.05 * 255
    assert not any(found(*(np.roll(image, 15 * n * n, axis=1) for n in range(3)), *pushed)[4:])


def test_another_picture_is_a_cut_once() -> None:
    image = picture()
    assert found(image, image, image[::-1], image[::-1]) == [False, False, True, False]
    assert found(np.zeros_like(image), image) == [False, True]


def test_after_a_reset_nothing_is_compared() -> None:
    finder, image = CutFinder(), picture()
    finder(image)
    finder.reset()
    assert not finder(image[::-1])


def test_small_and_large_frames_are_looked_at_alike() -> None:
    for size in ((64, 48), (1920, 1080), (3840, 2160), (90, 160)):
        image = np.asarray(cv2.resize(picture(), size), np.uint8)
        assert found(image, image, image[::-1]) == [False, False, True]

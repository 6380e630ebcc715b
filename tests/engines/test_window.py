from typing import Any

import numpy as np
import pytest

from engines.errors import WindowError
from engines.window import Window, within_shot


def window(n: int = 4, **changes: Any) -> Window:
    values: dict[str, Any] = {
        "t": np.arange(n) / 10,
        "rgb": np.zeros((n, 6, 8, 3), np.uint8),
        "xy": np.zeros((n, 33, 2), np.float32),
        "xyz": np.zeros((n, 33, 3), np.float32),
        "conf": np.zeros((n, 33), np.float32),
        "faces": np.zeros((n, 112, 112, 3), np.uint8),
        "has_face": np.zeros(n, np.bool_),
        "layout": "mediapipe33",
    }
    return Window(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layout": "coco17"}, "expected one of"),
        ({"t": np.zeros(0)}, "at least one sample"),
        ({"t": np.arange(4, dtype=np.float32)}, "expected float64, got float32"),
        ({"t": np.array([0, 0.1, 0.1, 0.2])}, "strictly increasing"),
        ({"t": np.array([0, 0.1, np.nan, 0.2])}, "finite"),
        (
            {"xy": np.zeros((4, 25, 2), np.float32)},
            r"expected shape \[4, 33, 2\], got \[4, 25, 2\]",
        ),
        ({"rgb": np.zeros((3, 6, 8, 3), np.uint8)}, r"expected shape \[4, \*, \*, 3\]"),
        ({"faces": None}, "expected uint8, got NoneType"),
    ],
)
def test_refuses_what_is_no_window(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(WindowError, match=message) as caught:
        window(**changes)
    assert "\n" not in str(caught.value)


def test_its_arrays_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        window().rgb[0] = 1


def test_a_pose_is_there_if_one_joint_is() -> None:
    conf = np.zeros((4, 33), np.float32)
    conf[1, 5] = 0.9
    assert window(conf=conf).has_pose.tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("shots", "anchor", "expected"),
    [
        ([3, 3, 3, 3, 3], 0.5, [0, 1, 2, 3, 4]),
        ([0, 0, 0, 1, 1], 0.5, [0, 1, 2, 2, 2]),
        ([0, 1, 1, 1, 1], 0.5, [1, 1, 2, 3, 4]),
        ([0, 0, 1, 2, 2], 0.5, [2, 2, 2, 2, 2]),
        ([0, 0, 0, 1, 1], 1.0, [3, 3, 3, 3, 4]),
        ([0, 1, 1, 1, 1], 0.0, [0, 0, 0, 0, 0]),
    ],
)
def test_beyond_a_cut_the_sample_beside_it_is_held(
    shots: list[int], anchor: float, expected: list[int]
) -> None:
    t = np.arange(5) / 10 + 7.3
    assert within_shot(t, np.array(shots), anchor).tolist() == expected


def test_the_shot_is_that_of_the_last_sample_until_the_instant() -> None:
    t = np.array([0.0, 0.4, 1.1, 2.0])  # about 1.0 s, when the cut at 1.1 s is still to come
    assert within_shot(t, np.array([0, 0, 1, 1]), 0.5).tolist() == [0, 1, 1, 1]

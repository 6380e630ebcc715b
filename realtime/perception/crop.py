"""The subject's region: a steady square about the shoulders, cut out at the bundle's storage size.

The rule's numbers are the bundle's (`CropRule`). A region that shook with every estimate of the
pose would look like motion to a video model, so it rests until the person really moves.
"""

import math

import cv2
import numpy as np

from engines.manifest import CropRule
from realtime.perception.subject import shoulders
from realtime.records import Floats, Image, Pose


class SubjectCrop:
    """Follows the subject with a square and cuts it out.

    Width of the shoulders means their distance in space, seen from the front: turning sideways does
    not zoom in.
    """

    def __init__(self, rule: CropRule, storage: tuple[int, int]) -> None:
        """Cut by `rule` to `storage` = (h, w) px."""
        self._rule = rule
        self._storage = storage
        self.reset()

    def reset(self) -> None:
        """Forget the region: the next person gets a fresh one at once."""
        self._square: np.ndarray | None = None  # float64 [3]: centre x, centre y, side
        self._t = -math.inf

    def __call__(self, image: Image, pose: Pose | None, t: float) -> tuple[Image, Floats]:
        """The subject's region in one frame.

        Without a person it stays where it was; before anyone was seen it is the frame's centre
        square.

        Args:
            image: uint8 [H, W, 3].
            pose: the subject's, in px of the image.
            t: stream seconds.

        Returns:
            uint8 [h, w, 3], black where the region reaches over the frame's edge, and float32 [4]
            px xyxy of the region in the frame: whole pixels.
        """
        if pose is not None:
            self._follow(pose, t)
        self._t = t
        corner, side = place_square(self._square, (image.shape[0], image.shape[1]), self._storage)
        left, top = corner
        crop = np.array((left, top, left + side, top + side), np.float32)
        return cut_square(image, corner, side, self._storage), crop

    def _follow(self, pose: Pose, t: float) -> None:
        centre, width = shoulders(pose)
        if width <= 0:
            return
        rule = self._rule
        wanted = np.array((centre[0], centre[1] + rule.shift * width, rule.scale * width))
        if self._square is None:
            self._square = wanted
            return
        # Only what exceeds the slack pulls, so the square comes to rest without a jerk.
        error = wanted - self._square
        excess = np.sign(error) * np.maximum(0, np.abs(error) - rule.slack * self._square[2])
        self._square = self._square + (1 - math.exp(-(t - self._t) / rule.tau_s)) * excess


def place_square(
    wanted: np.ndarray | None, picture: tuple[int, int], storage: tuple[int, int]
) -> tuple[tuple[int, int], int]:
    """A square in whole pixels of a picture.

    Black tells nothing, so it reaches over the picture's edges no farther than it must: it is no
    larger than the longer side of the picture, and moved as far inwards as that allows.

    Args:
        wanted: [3] px: centre x, centre y, side; None for the picture's centre square.
        picture: (height, width) px.
        storage: (h, w) px to which it will be cut.

    Returns:
        (left, top) and side, px.
    """
    height, width = picture
    if wanted is None:
        side = whole_blocks(min(height, width), storage)
        return ((width - side) // 2, (height - side) // 2), side
    side = max(1, min(round(float(wanted[2])), max(height, width)))
    side = whole_blocks(side, storage)
    left, top = (
        int(np.clip(round(float(middle) - side / 2), min(0, room - side), max(0, room - side)))
        for middle, room in zip(wanted[:2], (width, height), strict=True)
    )
    return (left, top), side


def cut_square(image: Image, corner: tuple[int, int], side: int, size: tuple[int, int]) -> Image:
    """A square of an image, black beyond its edges, resized.

    Args:
        image: uint8 [H, W, 3].
        corner: (left, top) px, may lie outside.
        side: px; one from `whole_blocks`, or a remainder is lost at the right and lower edge.
        size: (h, w) of the result. Shrinking averages areas: sampling points would flicker.

    Returns:
        uint8 [h, w, 3].
    """
    height, width = image.shape[:2]
    left, top = corner
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = max(x0, min(width, left + side)), max(y0, min(height, top + side))
    part = image[y0:y1, x0:x1]
    if part.shape[:2] != (side, side):
        if part.size == 0:
            return np.zeros((*size, 3), np.uint8)
        edges = (y0 - top, top + side - y1, x0 - left, left + side - x1)
        part = _uint8(cv2.copyMakeBorder(part, *edges, cv2.BORDER_CONSTANT, value=(0, 0, 0)))
    # Averaging whole blocks, then a small bilinear step: as free of flicker as averaging areas of
    # any size, and many times as fast.
    block = _block(side, size)
    if block > 1:
        part = _uint8(cv2.resize(part, (side // block,) * 2, interpolation=cv2.INTER_AREA))
    return _uint8(cv2.resize(part, size[::-1], interpolation=cv2.INTER_LINEAR))


def whole_blocks(side: int, size: tuple[int, int]) -> int:
    """The largest side up to `side` that `cut_square` can shrink to `size` without a remainder."""
    return side - side % _block(side, size)


def _block(side: int, size: tuple[int, int]) -> int:
    return max(1, round(side / max(size)))


def _uint8(image: cv2.typing.MatLike) -> Image:
    return np.ascontiguousarray(image, np.uint8)

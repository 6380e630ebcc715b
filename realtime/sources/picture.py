"""Pictures as they should stand: upright, RGB, of one size."""

from typing import cast

import av
import cv2
import numpy as np

from realtime.records import Image


def upright(picture: av.VideoFrame, pixel_aspect: float = 1.0) -> Image:
    """uint8 [H, W, 3] RGB, turned and mirrored by the display matrix that phones write.

    Before that the width is multiplied by `pixel_aspect`, a pixel's width over its height.
    """
    image = cast(Image, picture.to_ndarray(format="rgb24"))
    if pixel_aspect != 1:
        width = max(1, round(image.shape[1] * pixel_aspect))
        image = cast(Image, cv2.resize(image, (width, image.shape[0])))
    matrix = cast("bytes | None", picture.side_data.get("DISPLAYMATRIX"))
    if matrix is None:
        return image
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5]
    if abs(b) > abs(a):
        image, mirror, flip = image.transpose(1, 0, 2), c < 0, b < 0
    else:
        mirror, flip = a < 0, d < 0
    return image[:: -1 if flip else 1, :: -1 if mirror else 1]


def fit(image: Image, size: tuple[int, int]) -> Image:
    """The picture at `size` (width, height), C-contiguous; black bars keep its proportions."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return np.ascontiguousarray(image)
    scale = min(size[0] / width, size[1] / height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    fitted = np.zeros((size[1], size[0], 3), np.uint8)
    part = fitted[top : top + inner[1], left : left + inner[0]]
    part[:] = cv2.resize(image, inner, interpolation=cv2.INTER_AREA)
    return fitted

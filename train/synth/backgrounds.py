"""Backgrounds: rooms and walls painted on the spot, out of focus."""

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def paint(rng: np.random.Generator, size: tuple[int, int]) -> Image:
    """A picture uint8 [h, w, 3] of nothing in particular."""
    painters = (_wall, _shelf, _logos, _window, _blobs)
    sharp = painters[rng.integers(len(painters))](rng, size)
    blur = rng.uniform(0.3, 6.0) * size[0] / 360
    image = cv2.GaussianBlur(sharp, (0, 0), blur)
    grain = rng.normal(0, rng.uniform(0, 5), image.shape[:2])[..., None]
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator) -> NDArray[np.float32]:
    grey = rng.uniform(25, 225)
    return np.clip(grey + rng.normal(0, 18, 3), 5, 250).astype(np.float32)


def _wall(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float32]:
    """A gradient, as light falls on a plain wall."""
    h, w = size
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = (np.cos(angle) * x / w + np.sin(angle) * y / h + 1) / 2
    light = 0.6 + rng.uniform(0.2, 0.8) * ramp
    return (_colour(rng) * light[..., None]).astype(np.float32)


def _boxes(
    rng: np.random.Generator, image: NDArray[np.float32], count: int, smallest: float
) -> NDArray[np.float32]:
    h, w = image.shape[:2]
    for _ in range(count):
        a, b = rng.uniform(smallest, 0.35, 2)
        x, y = rng.uniform(-0.1, 1.0, 2)
        corners = (int(x * w), int(y * h)), (int((x + a) * w), int((y + b) * h))
        cv2.rectangle(image, *corners, _colour(rng).tolist(), -1)
    return image


def _shelf(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float32]:
    """Rows of narrow upright boxes."""
    image, (h, w) = _wall(rng, size), size
    for row in np.arange(rng.uniform(0, 0.2), 1.0, rng.uniform(0.2, 0.4)):
        x = 0.0
        while x < 1:
            wide, high = rng.uniform(0.01, 0.05), rng.uniform(0.08, 0.18)
            corners = (int(x * w), int((row - high) * h)), (int((x + wide) * w), int(row * h))
            cv2.rectangle(image, *corners, _colour(rng).tolist(), -1)
            x += wide + (rng.uniform(0, 0.1) if rng.random() < 0.2 else 0.004)
        cv2.line(image, (0, int(row * h)), (w, int(row * h)), _colour(rng).tolist(), 3)
    return image


def _logos(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float32]:
    """A press wall: the same few signs again and again."""
    image, (h, w) = np.clip(_wall(rng, size), 0, 255).astype(np.uint8), size
    step = rng.uniform(0.1, 0.25) * w
    ink = [_colour(rng).tolist() for _ in range(3)]
    for i, y in enumerate(np.arange(0, h + step, 0.5 * step)):
        for j, x in enumerate(np.arange((i % 2) * step / 2, w + step, step)):
            at, r, k = (int(x), int(y)), int(0.14 * step), (i + j) % 3
            if k == 0:
                cv2.circle(image, at, r, ink[0], -1)
            elif k == 1:
                cv2.rectangle(
                    image,
                    (at[0] - 2 * r, at[1] - r // 2),
                    (at[0] + 2 * r, at[1] + r // 2),
                    ink[1],
                    -1,
                )
            else:
                cv2.putText(image, "TELLS", (at[0] - 2 * r, at[1] + r), 0, r / 18 + 0.1, ink[2], 2)
    return image.astype(np.float32)


def _window(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float32]:
    """A room with something bright in it."""
    image, (h, w) = _boxes(rng, _wall(rng, size), 4, 0.05), size
    x, wide = rng.uniform(0, 0.8), rng.uniform(0.1, 0.3)
    top, bottom = rng.uniform(0.0, 0.2), rng.uniform(0.4, 0.8)
    bright = np.full(3, rng.uniform(190, 255))
    corners = (int(x * w), int(top * h)), (int((x + wide) * w), int(bottom * h))
    cv2.rectangle(image, *corners, bright.tolist(), -1)
    cv2.rectangle(image, *corners, _colour(rng).tolist(), 4)
    return image


def _blobs(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float32]:
    """Noise of many sizes."""
    h, w = size
    image = np.zeros((h, w, 3), np.float32) + _colour(rng)
    for cells in (3, 7, 15):
        noise = rng.normal(0, 50 / cells**0.6, (cells, cells, 3)).astype(np.float32)
        image += cv2.resize(noise, (w, h), interpolation=cv2.INTER_CUBIC)
    return _boxes(rng, image, int(rng.integers(0, 8)), 0.03)

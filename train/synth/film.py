"""Film: what camera and codec do to a picture, and when the frames are taken."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
TICKS = 90_000
"""Per second: the time base of the files; frame times are rounded to it."""
_RATES_HZ = (12.0, 12.0, 15.0, 15.0, 15.0, 20.0, 24.0, 25.0, 30.0)


@dataclass(frozen=True)
class Film:
    """One camera with one encoder."""

    gain: tuple[float, float, float]
    """Of red, green, blue: white balance and exposure."""
    gamma: float
    noise: float
    """Standard deviation, 0..255."""
    blur: float
    """px: standard deviation of the lens."""
    motion_blur: float
    """Share of the previous frame that shows in this one."""
    wobble: float
    """Relative size of slow changes of the exposure."""
    crf: int
    """Of H.264: the higher the worse."""


def draw_film(rng: np.random.Generator) -> Film:
    """From a good camera to a poor one."""
    exposure = rng.normal(1.0, 0.1)
    red, blue = rng.normal(0, 0.05, 2)
    return Film(
        gain=(float(exposure * (1 + red)), float(exposure), float(exposure * (1 + blue))),
        gamma=float(rng.uniform(0.85, 1.2)),
        noise=float(abs(rng.normal(0, 4))),
        blur=float(max(0.0, rng.normal(0.2, 0.5))),
        motion_blur=float(rng.uniform(0.1, 0.45)) if rng.random() < 0.3 else 0.0,
        wobble=float(rng.uniform(0, 0.03)),
        crf=int(rng.integers(18, 35)),
    )


def draw_times(rng: np.random.Generator, length_s: float) -> NDArray[np.float64]:
    """Stream seconds of the frames: 12 to 30 a second, with the jitter of a real camera."""
    rate = float(rng.choice(_RATES_HZ))
    count = max(2, round(length_s * rate))
    jitter = rng.normal(0, rng.uniform(0, 0.12), count) / rate
    t = np.arange(count) / rate + np.clip(jitter, -0.3 / rate, 0.3 / rate)
    ticks = np.rint((t - t[0]) * TICKS)
    return np.asarray(ticks / TICKS, np.float64)


def expose(rng: np.random.Generator, film: Film, images: Iterable[Image]) -> Iterator[Image]:
    """Each picture, uint8 [h, w, 3], as the camera would see it."""
    before: Image | None = None
    grain: NDArray[np.int16] | None = None
    phase = rng.uniform(0, 6.3)
    for k, image in enumerate(images):
        seen = _shutter(image, before, film)
        before = image
        seen = _develop(seen, film, 1 + film.wobble * float(np.sin(0.13 * k + phase)))
        if film.noise > 0.5:
            h, w = image.shape[:2]
            if grain is None:  # drawn once, then shifted about: fresh noise costs a frame's time
                grain = rng.normal(0, film.noise, (h + 64, w + 64)).astype(np.int16)
            y, x = rng.integers(0, 64, 2)
            noisy = seen.astype(np.int16) + grain[y : y + h, x : x + w, None]
            seen = np.clip(noisy, 0, 255).astype(np.uint8)
        yield seen


def _shutter(image: Image, before: Image | None, film: Film) -> Image:
    if film.blur > 0.25:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), film.blur), np.uint8)
    if film.motion_blur and before is not None:
        share = film.motion_blur
        image = np.asarray(cv2.addWeighted(image, 1 - share, before, share, 0), np.uint8)
    return image


def _develop(image: Image, film: Film, drift: float) -> Image:
    levels = np.arange(256) / 255.0
    tables = [255 * np.clip(levels**film.gamma * gain * drift, 0, 1) for gain in film.gain]
    return np.asarray(cv2.LUT(image, np.stack(tables, -1)[None].astype(np.uint8)), np.uint8)


def write_mp4(
    path: Path, t: NDArray[np.float64], images: Iterable[Image], crf: int
) -> Iterator[int]:
    """H.264 with the frames' own times; yields how many frames there are so far.

    Raises:
        OSError: the disk is full, or the folder cannot be written to.
    """
    count = 0
    with av.open(str(path), "w", format="mp4") as container:
        stream = None
        for at, image in zip(t, images, strict=True):
            if stream is None:
                stream = container.add_stream("libx264", rate=30)
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
                stream.codec_context.thread_count = 1
                stream.options = {"crf": str(crf), "preset": "superfast"}
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(float(at) * TICKS), Fraction(1, TICKS)
            container.mux(stream.encode(frame))
            count += 1
            yield count
        if stream is not None:
            container.mux(stream.encode())


def coded(image: Image, quality: int) -> Image:
    """A picture, uint8 [h, w, 3], as JPEG of a quality (0..100) leaves it."""
    ok, blob = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert ok
    return np.asarray(cv2.imdecode(blob, cv2.IMREAD_COLOR), np.uint8)

"""Augmentation: Window -> Window, upstream of the one place where windows become tensors.

Everything is constant over a window but noise and drop-outs, so that movement stays movement.
How time runs is drawn first: the store makes the window so, and decodes only what is looked at.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.skeleton import LAYOUTS, MEDIAPIPE33
from engines.tensor_specs import SHOULDERS, WHOLE_HANDS
from engines.window import Window

Image = NDArray[np.uint8]
_LOST, _LOST_BY, _LOST_S, _FADING_S = 0.1, 0.5, (0.5, 2.5), 0.2
"""How often a hand is taken to be elsewhere, by shoulder widths (standard deviation), for how long,
and how fast it comes to that."""


@dataclass(frozen=True)
class Augmentation:
    """How much of everything; 0 switches a thing off."""

    mirror: float = 0.5
    """How often left and right change places."""
    speed: float = 0.2
    """Time runs up to so much faster or slower."""
    shift: float = 0.06
    """The region moves by up to so much of its side, and zooms as much."""
    build: float = 0.08
    """Width over height of all that is seen varies by up to so much: people are built otherwise."""
    bend: float = 0.022
    """Faces are moved, turned and bent smoothly, by so much of their side: standard deviation at
    each of 3 x 3 places. No two people are built alike, and a data set may show only a few."""
    light: float = 0.25
    """Brightness, contrast and colour vary by up to so much."""
    blur: float = 0.25
    """How often the pictures are blurred."""
    noise: float = 6.0
    """Standard deviation of the pictures' noise, at most, 0..255."""
    jitter: float = 0.012
    """Standard deviation of the keypoints' noise, at most, as share of the region's side."""
    joint_loss: float = 0.05
    """Share of keypoints that are lost."""
    evidence_loss: float = 0.1
    """How often pose or face are gone for a part of the window."""
    thinning: float = 0.3
    """How often frames are left out, as a slower camera would."""


@dataclass(frozen=True)
class Timing:
    """How time runs in a window: `Store.window` takes it."""

    speed: float = 1.0
    """So much faster."""
    rate_hz: float | None = None
    """Frames a second of a slower camera; None for every frame."""


def draw_timing(rng: np.random.Generator, how: Augmentation) -> Timing:
    """Another speed, and now and then a slower camera."""
    speed = float(np.exp(rng.uniform(-1, 1) * np.log1p(how.speed)))
    is_thinned, rate_hz = rng.random() < how.thinning, float(rng.uniform(9.0, 16.0))
    return Timing(speed, rate_hz if is_thinned else None)


def augment(rng: np.random.Generator, window: Window, how: Augmentation) -> Window:
    """Another window of the same label.

    Args:
        rng: decides; the same state gives the same window.
        window: stays as it is.
        how: how much.
    """
    if rng.random() < how.mirror:
        window = mirrored(window)
    window = _reframed(rng, window, how)
    window = replace(
        window,
        rgb=_developed(rng, window.rgb, how),
        faces=_developed(rng, _bent(rng, window.faces, how.bend), how),
    )
    window = _noisy_pose(rng, window, how)
    return _with_losses(rng, window, how.evidence_loss)


def mirrored(window: Window) -> Window:
    """Left becomes right: pictures, keypoints and their names."""
    swap = list(LAYOUTS[window.layout].mirror)
    xy, xyz = window.xy[:, swap].copy(), window.xyz[:, swap].copy()
    xy[..., 0] = window.rgb.shape[2] - xy[..., 0]
    xyz[..., 0] = -xyz[..., 0]
    return replace(
        window,
        rgb=_flipped(window.rgb),
        faces=_flipped(window.faces),
        xy=xy,
        xyz=xyz,
        conf=window.conf[:, swap].copy(),
    )


def _filled(images: Image) -> NDArray[np.intp]:
    """Frames that hold a picture: the store leaves black what no model looks at."""
    return np.flatnonzero(images.reshape(len(images), -1)[:, ::97].any(axis=1))


def _flipped(images: Image) -> Image:
    out = np.zeros(images.shape, np.uint8)
    for k in _filled(images):
        out[k] = images[k, :, ::-1]
    return out


def _reframed(rng: np.random.Generator, window: Window, how: Augmentation) -> Window:
    if how.shift == how.build == 0:
        return window
    h, w = window.rgb.shape[1:3]
    zoom = np.exp(rng.uniform(-how.shift, how.shift))
    stretch = np.exp(rng.uniform(-how.build, how.build) / 2)
    scale = np.array([zoom * stretch, zoom / stretch])
    move = rng.uniform(-how.shift, how.shift, 2) * (w, h) + (1 - scale) * (w / 2, h / 2)
    matrix = np.column_stack([np.diag(scale), move]).astype(np.float32)
    rgb = np.zeros(window.rgb.shape, np.uint8)
    for k in _filled(window.rgb):
        rgb[k] = cv2.warpAffine(window.rgb[k], matrix, (w, h), borderMode=cv2.BORDER_REPLICATE)
    xy = window.xy * scale + move
    return replace(window, rgb=rgb, xy=xy.astype(np.float32))


def _bent(rng: np.random.Generator, faces: Image, size: float) -> Image:
    if size == 0:
        return faces
    h, w = faces.shape[1:3]
    field = rng.normal(0, size, (3, 3, 2)) + rng.normal(0, size, 2)  # bent, and moved as a whole
    centred = np.stack(np.meshgrid(np.arange(w) - w / 2, np.arange(h) - h / 2), -1)
    stretch, turn = np.exp(rng.normal(0, 2 * size, 2)), rng.normal(0, 2 * size)
    turned = centred @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    smooth = cv2.resize(field.astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
    places = turned * stretch + (w / 2, h / 2) + smooth * (w, h)
    out = np.zeros(faces.shape, np.uint8)
    for k in _filled(faces):
        out[k] = cv2.remap(
            faces[k], places.astype(np.float32), None, cv2.INTER_LINEAR,  # type: ignore[call-overload]
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
    return out


def _developed(rng: np.random.Generator, images: Image, how: Augmentation) -> Image:
    """Light and colour by one table a channel, then blur and noise."""
    exposure, contrast = np.exp(rng.uniform(-1, 1, 2) * how.light)
    balance = np.exp(rng.uniform(-1, 1, 3) * how.light * 0.4)
    sigma = rng.uniform(0.3, 1.2) if rng.random() < how.blur else 0.0
    noise = rng.uniform(0, how.noise) if how.noise else 0.0
    grey_share = float(rng.random() < 0.05)
    levels = np.arange(256)[:, None]
    table = np.clip(((levels - 110) * contrast + 110) * exposure * balance, 0, 255)
    lut = table.astype(np.uint8)[None]
    out = np.zeros(images.shape, np.uint8)
    grain = rng.normal(0, noise, (images.shape[1] + 16, images.shape[2] + 16)).astype(np.int16)
    for k in _filled(images):
        image = np.asarray(cv2.LUT(images[k], lut), np.uint8)
        if grey_share:
            image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
        if sigma:
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
        if noise > 1:
            y, x = rng.integers(0, 16, 2)
            patch = grain[y : y + image.shape[0], x : x + image.shape[1], None]
            image = np.clip(image.astype(np.int16) + patch, 0, 255).astype(np.uint8)
        out[k] = image
    return out


def _noisy_pose(rng: np.random.Generator, window: Window, how: Augmentation) -> Window:
    n, v = window.conf.shape
    side = window.rgb.shape[1]
    size = rng.uniform(0, how.jitter)
    bias = rng.normal(0, size * side, (1, v, 2))
    shake = rng.normal(0, 0.5 * size * side, (n, v, 2))
    depth = rng.normal(0, size, (1, v, 3)) * (1.0, 1.0, 2.5)
    conf = window.conf.copy()
    lost = rng.random((1, v)) < how.joint_loss * rng.random()
    lost = lost | (rng.random((n, v)) < 0.3 * how.joint_loss * rng.random())
    conf[lost] = 0.0
    xy, xyz = window.xy + (bias + shake), window.xyz + depth
    xy[conf == 0], xyz[conf == 0] = np.nan, np.nan
    return replace(window, xy=xy.astype(np.float32), xyz=xyz.astype(np.float32), conf=conf)


def _with_losses(rng: np.random.Generator, window: Window, share: float) -> Window:
    def gone() -> NDArray[np.bool_]:
        start = rng.uniform(window.start, window.end)
        return (window.t >= start) & (window.t <= start + rng.uniform(0.2, 1.5))

    if rng.random() < share:
        out = gone()
        conf, xy, xyz = window.conf.copy(), window.xy.copy(), window.xyz.copy()
        conf[out], xy[out], xyz[out] = 0.0, np.nan, np.nan
        window = replace(window, conf=conf, xy=xy, xyz=xyz)
    if rng.random() < share:
        out = gone()
        faces, has_face = window.faces.copy(), window.has_face.copy()
        faces[out], has_face[out] = 0, False
        window = replace(window, faces=faces, has_face=has_face)
    return window


def lost_hands(rng: np.random.Generator, window: Window) -> tuple[Window, NDArray[np.bool_]]:
    """The same with hands, now and then, that the estimator takes to be elsewhere for a while.

    It loses dark hands before dark hair so; pictures of hands are then cut out elsewhere, too.

    Args:
        rng: decides.
        window: of T frames, of MediaPipe's skeleton; stays as it is.

    Returns:
        The window, and bool [T, 2]: when the left hand is lost, and when the right one.
    """
    xy, conf, t = window.xy.copy(), window.conf.copy(), window.t
    is_lost = np.zeros((len(t), len(WHOLE_HANDS)), np.bool_)
    left, right = (xy[:, k] for k in MEDIAPIPE33.indices(SHOULDERS))
    width = float(np.median(np.linalg.norm(left - right, axis=-1)))
    for k, joints in enumerate(WHOLE_HANDS):
        if rng.random() >= _LOST:
            continue
        hand = list(MEDIAPIPE33.indices(joints))
        length = rng.uniform(*_LOST_S)
        start = rng.uniform(t[0] - length / 2, t[-1] - length / 2)
        share = np.clip(np.minimum(t - start, start + length - t) / _FADING_S, 0, 1)[:, None]
        xy[:, hand] += (share * rng.normal(0, _LOST_BY, 2) * width)[:, None]
        conf[:, hand] *= 1 - share * rng.uniform(0, 0.7)
        is_lost[:, k] = share[:, 0] > 0
    return replace(window, xy=xy.astype(np.float32), conf=conf.astype(np.float32)), is_lost

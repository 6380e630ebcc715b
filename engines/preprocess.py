"""Windows -> feeds: the one place where evidence becomes tensors.

The runtime and the data sets of `train` both call it, so that a model is trained on exactly what it
is fed. Pure functions; only the sampled frames are touched. Pixels stay bytes where the graph
normalises them itself, else they go through tables of 256 float32 values: either way frames and
crops of the right size give the same bits on every machine.
"""

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.errors import WindowError
from engines.manifest import Manifest, OutputSpec
from engines.skeleton import LAYOUTS, SkeletonLayout, convert
from engines.tensor_specs import (
    HANDS,
    HIPS,
    SHOULDERS,
    FaceInput,
    FeedArray,
    HandInput,
    PoseInput,
    RgbInput,
    Sampling,
    Triple,
)
from engines.window import Window

Floats = NDArray[np.float32]
_TIE_S = 1e-6  # of two samples equally near (to float rounding) the earlier one is taken
_KNUCKLES = 1.15  # from the wrist to the middle of a hand, in lengths from it to the knuckles
_SHORTEST = 1e-3  # px or m: a body scale below this is a degenerate pose


def preprocess(windows: Sequence[Window], manifest: Manifest) -> dict[str, FeedArray]:
    """What the graph is fed.

    Args:
        windows: B windows.
        manifest: says how each input is sampled, resized and normalised.

    Returns:
        Exactly `manifest.feeds`: name -> C-contiguous [B, ...] of the manifest's dtype.

    Raises:
        WindowError: no windows, or one that does not fit the manifest.
    """
    if not windows:
        raise WindowError("preprocess needs at least one window, got none")
    for window in windows:
        _check(window, manifest)
    dtypes = manifest.feed_dtypes
    feeds: dict[str, FeedArray] = {
        name: np.zeros((len(windows), *s), dtypes[name]) for name, s in manifest.feeds.items()
    }
    for (b, window), spec in itertools.product(enumerate(windows), manifest.inputs):
        if isinstance(spec, RgbInput):
            _fill_rgb(window, spec, feeds[spec.name][b])
        elif isinstance(spec, PoseInput):
            _fill_pose(window, spec, feeds[spec.name][b], feeds[spec.mask][b])
        elif isinstance(spec, HandInput):
            _fill_hands(window, spec, feeds[spec.name][b], feeds[spec.mask][b])
        else:
            _fill_faces(window, spec, feeds[spec.name][b], feeds[spec.mask][b])
    return feeds


def sample(
    t: NDArray[np.float64], sampling: Sampling
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The nearest sample of each of the K instants `end - span_s + span_s * (k + 1) / K`.

    Args:
        t: float64 [N] stream seconds, strictly increasing.
        sampling: the grid.

    Returns:
        Index of the nearest sample, [K], and whether it lies within the tolerance, bool [K].
    """
    steps = np.arange(1, sampling.frames + 1) / sampling.frames
    instants = t[-1] - sampling.span_s * (1.0 - steps)
    right = np.clip(np.searchsorted(t, instants), 1, len(t) - 1) if len(t) > 1 else 0
    left = right - 1 if len(t) > 1 else 0
    nearest = np.where(t[right] - instants < instants - t[left] - _TIE_S, right, left)
    nearest = np.asarray(nearest, np.intp)
    return nearest, np.abs(t[nearest] - instants) <= sampling.tolerance_s + _TIE_S


def coverage(window: Window, manifest: Manifest, output: OutputSpec) -> float:
    """Share, 0..1, of the sampling instants that show the person (a pose or a face).

    The instants are those of the input with the finest grid. A state is read in the face: where the
    bundle is fed faces, only instants that show one count for it.
    """
    needs_face = output.kind == "state" and any(isinstance(s, FaceInput) for s in manifest.inputs)
    seen = window.has_face if needs_face else window.has_pose | window.has_face
    finest = min(
        (spec.sampling for spec in manifest.inputs), key=lambda grid: grid.span_s / grid.frames
    )
    nearest, near = sample(window.t, finest)
    return float(np.mean(near & seen[nearest]))


def _check(window: Window, manifest: Manifest) -> None:
    perception = manifest.perception
    if window.layout != perception.layout:
        raise WindowError(
            f"The bundle {manifest.id} reads skeletons of layout {perception.layout}, "
            f"the window has {window.layout}"
        )
    if window.rgb.shape[1:3] != perception.storage:
        raise WindowError(
            f"The bundle {manifest.id} reads frames of {list(perception.storage)} px (h, w), "
            f"the window has {list(window.rgb.shape[1:3])}"
        )
    side = perception.face_size
    if window.faces.shape[1:3] != (side, side):
        raise WindowError(
            f"The bundle {manifest.id} reads face crops of {[side, side]} px, "
            f"the window has {list(window.faces.shape[1:3])}"
        )
    start = window.end - manifest.window.span_s
    before = np.searchsorted(window.t, start + _TIE_S, side="right") - 1  # a pause may begin there
    pause = float(np.diff(window.t[max(int(before), 0) :]).max(initial=0.0))
    if pause > manifest.window.max_gap_s + _TIE_S:
        raise WindowError(
            f"The window spans a gap of {pause:.2f} s; "
            f"the bundle {manifest.id} accepts {manifest.window.max_gap_s:.2f} s"
        )


def _tables(mean: Triple, std: Triple) -> list[Floats]:
    """One table a channel: byte -> (byte / 255 - mean) / std."""
    levels = np.arange(256) / 255.0
    return [
        ((levels - m) / s).astype(np.float32).reshape(1, 256)
        for m, s in zip(mean, std, strict=True)
    ]


def _fill_rgb(window: Window, spec: RgbInput, out: FeedArray) -> None:
    """Fill `out`, [3, T, crop, crop]: bytes as they are, or float32 normalised."""
    nearest, _ = sample(window.t, spec.sampling)
    tables = _tables(spec.mean, spec.std)
    previous = -1
    for k, index in enumerate(nearest):
        if index == previous:  # a held frame
            out[:, k] = out[:, k - 1]
            continue
        frame = resize_and_crop(window.rgb[index], spec.resize, spec.crop)
        if spec.dtype == "uint8":
            out[:, k] = frame.transpose(2, 0, 1)
        else:
            for c, plane in enumerate(cv2.split(frame)):
                cv2.LUT(plane, tables[c], dst=out[c, k])
        previous = int(index)


def resize_and_crop(image: NDArray[np.uint8], resize: int, crop: int) -> NDArray[np.uint8]:
    """torchvision's video preset: shorter side to `resize`, then the centre.

    Bilinear, half-pixel centres, no anti-aliasing, rounded to uint8; the longer side becomes
    `int(resize * long / short)`; the crop starts at `round((side - crop) / 2)`.

    Args:
        image: uint8 [h, w, 3].
        resize: px of the shorter side after resizing.
        crop: px of the square that is kept.

    Returns:
        uint8 [crop, crop, 3].
    """
    h, w = image.shape[:2]
    short = min(h, w)
    if short != resize:
        h, w = int(resize * h / short), int(resize * w / short)
        # In float32: OpenCV's uint8 path has 11-bit weights and differs from torch by one level in
        # 13 % of the values, this way in 0.02 % (exact halves).
        exact = cv2.resize(image.astype(np.float32), (w, h), interpolation=cv2.INTER_LINEAR)
        image = np.rint(exact).astype(np.uint8)
    top, left = round((h - crop) / 2), round((w - crop) / 2)
    return image[top : top + crop, left : left + crop]


def _fill_faces(window: Window, spec: FaceInput, out: Floats, mask: Floats) -> None:
    """Fill `out`, [T, 3, S, S], and `mask`, [T]."""
    nearest, near = sample(window.t, spec.sampling)
    tables = _tables(spec.mean, spec.std)
    for k, index in enumerate(nearest):
        if not (near[k] and window.has_face[index]):
            continue
        crop: NDArray[np.uint8] = window.faces[index]
        if crop.shape[0] != spec.size:
            crop = np.asarray(
                cv2.resize(crop, (spec.size, spec.size), interpolation=cv2.INTER_AREA), np.uint8
            )
        for c, plane in enumerate(cv2.split(crop)):
            cv2.LUT(plane, tables[c], dst=out[k, c])
        mask[k] = 1.0


def _fill_hands(window: Window, spec: HandInput, out: Floats, mask: Floats) -> None:
    """Fill `out`, [T, 2, 3, S, S], and `mask`, [T, 2]."""
    nearest, near = sample(window.t, spec.sampling)
    tables = _tables(spec.mean, spec.std)
    for (k, index), side in itertools.product(enumerate(nearest), range(len(HANDS))):
        picture = cut_hand(window, int(index), side, spec) if near[k] else None
        if picture is None:
            continue
        for c, plane in enumerate(cv2.split(picture)):
            cv2.LUT(plane, tables[c], dst=out[k, side, c])
        mask[k, side] = 1.0


def cut_hand(window: Window, index: int, side: int, spec: HandInput) -> NDArray[np.uint8] | None:
    """The picture of the left (0) or right (1) hand in one sample.

    Returns:
        uint8 [S, S, 3], black beyond the frame; None where the pose has no hand, or outside of it.
    """
    corner = hand_corner(window, index, side, spec)
    if corner is None:
        return None
    (left, top), frame = corner, window.rgb[index]
    out = np.zeros((spec.size, spec.size, 3), np.uint8)
    part = frame[max(top, 0) : top + spec.size, max(left, 0) : left + spec.size]
    out[max(-top, 0) :, max(-left, 0) :][: part.shape[0], : part.shape[1]] = part
    return out


def hand_corner(window: Window, index: int, side: int, spec: HandInput) -> tuple[int, int] | None:
    """Left and top of that picture, px of the frame; None as there."""
    joints = list(LAYOUTS[window.layout].indices(HANDS[side]))
    if not (window.conf[index, joints] >= spec.min_conf).all():
        return None
    wrist, *knuckles = window.xy[index, joints]
    middle = wrist + np.float32(_KNUCKLES) * (np.mean(knuckles, axis=0) - wrist)
    if not ((middle >= 0) & (middle < window.rgb.shape[2:0:-1])).all():
        return None
    left, top = np.floor(middle).astype(int) - spec.size // 2
    return int(left), int(top)


def _fill_pose(window: Window, spec: PoseInput, out: Floats, mask: Floats) -> None:
    """Fill `out`, [3, T, V], and `mask`, [T, V]; both stay 0 where there is no root or scale."""
    nearest, near = sample(window.t, spec.sampling)
    layout = LAYOUTS[spec.layout]
    conf = np.where(near[:, None], window.conf[nearest], np.float32(0))
    used = {"image": (window.xy,), "world": (window.xyz,)}.get(
        spec.coordinates, (window.xy, window.xyz)
    )
    points = np.concatenate([group[nearest] for group in used], axis=-1)  # [T, V, 2, 3 or 5]
    points, conf = convert(points, conf, LAYOUTS[window.layout], layout)
    seen = (conf > 0) & (conf >= spec.min_conf) & np.isfinite(points).all(axis=-1)  # [T, V]
    points[~seen] = np.nan
    groups = np.split(points, [2], axis=-1) if len(used) == 2 else [points]
    normal = [scaled for g in groups if (scaled := _normalise(g, spec, layout)) is not None]
    if len(normal) < len(groups):
        return
    third = conf if spec.coordinates == "image" else normal[-1][..., 2]
    out[:] = np.where(seen, np.stack([normal[0][..., 0], normal[0][..., 1], third]), np.float32(0))
    mask[:] = seen


def _normalise(points: Floats, spec: PoseInput, layout: SkeletonLayout) -> Floats | None:
    """Root to the origin, over the body's scale: [T, V, C] with NaN where missing; None without."""
    root = points[:, list(layout.indices(spec.root))].mean(axis=1)  # [T, C], NaN if one is missing
    whole = np.isfinite(root).all(axis=1)
    if not whole.any():
        return None
    centre = root[whole].mean(axis=0)
    if spec.root_per == "sample":  # a sample without a root takes the window's
        centre = np.where(whole[:, None], root, centre)[:, None]
    scale = _body_scale(points, spec, layout)
    if scale is None:
        return None
    return np.asarray((points - centre) / scale, np.float32)


def _body_scale(points: Floats, spec: PoseInput, layout: SkeletonLayout) -> float | None:
    """Median shoulder width or torso length over the samples, in the unit of `points`."""
    if spec.scale == "none":
        return 1.0
    shoulders = points[:, list(layout.indices(SHOULDERS))]  # [T, 2, C]
    if spec.scale == "shoulders":
        ends = shoulders[:, 0] - shoulders[:, 1]
    else:
        ends = shoulders.mean(axis=1) - points[:, list(layout.indices(HIPS))].mean(axis=1)
    lengths = np.linalg.norm(ends.astype(np.float64), axis=1)
    lengths = lengths[np.isfinite(lengths)]
    if not lengths.size or (scale := float(np.median(lengths))) < _SHORTEST:
        return None
    return scale

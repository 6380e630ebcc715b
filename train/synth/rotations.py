"""Rotation matrices over time; world axes: x to the person's left, y up, z forward."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]


def about(axis: Floats, angle: ArrayLike) -> Floats:
    """Rodrigues' formula.

    Args:
        axis: float32 [..., 3], unit length.
        angle: float32 [...] rad, right-handed.

    Returns:
        float32 [..., 3, 3].
    """
    axis, angle = np.broadcast_arrays(axis, np.asarray(angle, np.float32)[..., None])
    x, y, z = axis[..., 0], axis[..., 1], axis[..., 2]
    c, s = np.cos(angle[..., 0]), np.sin(angle[..., 0])
    rows = (
        (c + x * x * (1 - c), x * y * (1 - c) - z * s, x * z * (1 - c) + y * s),
        (y * x * (1 - c) + z * s, c + y * y * (1 - c), y * z * (1 - c) - x * s),
        (z * x * (1 - c) - y * s, z * y * (1 - c) + x * s, c + z * z * (1 - c)),
    )
    return np.stack([np.stack(row, -1) for row in rows], -2).astype(np.float32)


def nod_turn_tilt(nod: ArrayLike, turn: ArrayLike, tilt: ArrayLike) -> Floats:
    """Float32 [..., 3, 3] from rad: nod > 0 bows, turn > 0 to the left, tilt > 0 to the right.

    The turn is outermost, as a neck turns a bowed head.
    """
    x, y, z = np.eye(3, dtype=np.float32)
    out = about(y, turn) @ about(x, nod) @ about(z, -np.asarray(tilt))
    return np.asarray(out, np.float32)


def unit(v: Floats) -> Floats:
    """Vectors [..., 3] scaled to length 1; near-zero ones stay near zero."""
    return np.asarray(v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-6), np.float32)


def frame(first: Floats, second: Floats) -> Floats:
    """Float32 [..., 3, 3]: columns `first`, `second` made orthogonal to it, their cross product."""
    a = unit(first)
    b = unit(second - (second * a).sum(-1, keepdims=True) * a)
    return np.stack([a, b, np.cross(a, b)], -1).astype(np.float32)


def turn(matrix: Floats, v: Floats) -> Floats:
    """`matrix` [..., 3, 3] applied to vectors [..., 3]."""
    return np.einsum("...ij,...j->...i", matrix, v).astype(np.float32)


def mix(a: Floats, b: Floats, weight: Floats) -> Floats:
    """Rotations between `a` (weight 0) and `b` (1), each [T, 3, 3]; weight [T]."""
    between = np.swapaxes(a, -1, -2) @ b
    cosine = np.clip((np.trace(between, axis1=-2, axis2=-1) - 1) / 2, -1, 1)
    angle = np.arccos(cosine)
    skew = between - np.swapaxes(between, -1, -2)
    axis = np.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1)
    return np.asarray(a @ about(unit(axis), angle * weight), np.float32)

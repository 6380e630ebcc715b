"""Window: raw evidence about one person over a few seconds.

Anyone can make one: `realtime` from a camera, `train` from a data set. It is dense, at camera rate;
each model input samples it by time stamp (`preprocess`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.errors import WindowError
from engines.skeleton import LAYOUTS


@dataclass(frozen=True, eq=False)
class Window:
    """Evidence about one person, N samples in time order.

    Raises:
        WindowError: arrays of the wrong shape or dtype, an unknown layout, no samples, or time
            stamps that are not finite and strictly increasing.
    """

    t: NDArray[np.float64]
    """float64 [N] stream seconds, strictly increasing."""
    rgb: NDArray[np.uint8]
    """uint8 [N, h, w, 3] RGB: the subject's region."""
    xy: NDArray[np.float32]
    """float32 [N, V, 2] px of `rgb`; NaN where missing."""
    xyz: NDArray[np.float32]
    """float32 [N, V, 3] m, hip-centred; NaN where missing."""
    conf: NDArray[np.float32]
    """float32 [N, V] 0..1; 0 = missing."""
    faces: NDArray[np.uint8]
    """uint8 [N, S, S, 3] RGB aligned face crops; zeros where `has_face` is False."""
    has_face: NDArray[np.bool_]
    """bool [N]."""
    layout: str
    """Name of the skeleton layout, V joints."""

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise WindowError(
                f"Window.layout: expected one of {sorted(LAYOUTS)}, got {self.layout!r}"
            )
        n, v = len(self.t), len(LAYOUTS[self.layout].joints)
        if n == 0:
            raise WindowError("A window needs at least one sample, got none")
        expected: dict[str, tuple[tuple[int | None, ...], type]] = {
            "t": ((n,), np.float64),
            "rgb": ((n, None, None, 3), np.uint8),
            "xy": ((n, v, 2), np.float32),
            "xyz": ((n, v, 3), np.float32),
            "conf": ((n, v), np.float32),
            "faces": ((n, None, None, 3), np.uint8),
            "has_face": ((n,), np.bool_),
        }
        for name, (shape, dtype) in expected.items():
            _check(name, getattr(self, name), shape, dtype)
        if not np.isfinite(self.t).all() or (np.diff(self.t) <= 0).any():
            raise WindowError("Window.t must be finite and strictly increasing")
        for name in expected:
            getattr(self, name).setflags(write=False)

    def __len__(self) -> int:
        return len(self.t)

    @property
    def start(self) -> float:
        """Stream seconds of the first sample."""
        return float(self.t[0])

    @property
    def end(self) -> float:
        """Stream seconds of the last sample."""
        return float(self.t[-1])

    @property
    def has_pose(self) -> NDArray[np.bool_]:
        """bool [N]: at least one joint was found."""
        return np.asarray((self.conf > 0).any(axis=1), np.bool_)


def within_shot(
    t: NDArray[np.float64], shots: NDArray[np.int64], anchor: float
) -> NDArray[np.intp]:
    """Which sample stands at each instant, so that a window shows the shot that it is about.

    A cut in edited footage is no movement: beyond it, the last or first sample before it is held.

    Args:
        t: float64 [N] stream seconds, strictly increasing, N > 0.
        shots: int64 [N]: the number of each sample's shot, never less than the one before.
        anchor: 0..1: where between first and last sample the instant lies that the window is about.

    Returns:
        Index of a sample, [N].
    """
    at = t[0] + anchor * (t[-1] - t[0])
    shot = shots[max(int(np.searchsorted(t, at + 1e-6)) - 1, 0)]
    lo, hi = np.searchsorted(shots, [shot, shot + 1])
    return np.clip(np.arange(len(t)), lo, hi - 1)


def _check(name: str, array: object, shape: tuple[int | None, ...], dtype: type) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise WindowError(f"Window.{name}: expected {np.dtype(dtype)}, got {got}")
    if array.ndim != len(shape) or any(
        want is not None and want != have for want, have in zip(shape, array.shape, strict=True)
    ):
        want_text = ", ".join("*" if s is None else str(s) for s in shape)
        raise WindowError(f"Window.{name}: expected shape [{want_text}], got {list(array.shape)}")

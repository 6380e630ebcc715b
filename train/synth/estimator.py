"""Estimator: what MediaPipe makes of a body whose joints are known, as measured on rendered people.

Its errors are no noise: hands before a face are drawn aside, arms that hang are seen too low. So
they are learnt: a small network says what it makes of a body on average, and what is left over is
borrowed from a moment, of two seconds, at which hands and head were much alike. That keeps errors
that last, errors that hands share with elbows, and hands that are lost. `measure` makes the file.

How much a joint shakes from frame to frame is borrowed with it: MediaPipe smooths what it tracks,
so a head that is still hardly shakes at all. A network that had only seen steady noise took that
for a gesture.

Bodies are float32 [T, 25, 3] of MediaPipe's first 25 landmarks (head, arms, hips): x right, y down,
z away, from the middle of the shoulders, in shoulder widths: x and y of the picture, z of space.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from engines.skeleton import MEDIAPIPE33
from train.annotations import DataError
from train.synth.rotations import Floats

JOINTS = MEDIAPIPE33.joints.index("right_hip") + 1
KNOTS = 16
"""Of a moment: what is left over is kept so many times in it."""
MEASURED = Path(__file__).with_name("estimator.npz")
_SHOULDERS = slice(11, 13)
_KEY = list(MEDIAPIPE33.indices(["nose", "left_wrist", "right_wrist", "left_index", "right_index"]))
_ALIKE = 12
"""Moments among which one is drawn."""
_STEADIER, _SHAKIER = 0.5, 3.0
"""Cameras differ: frames shake by so much less or more than those that were measured."""
_LAYERS = 3
_ARRAYS = ("mean", "spread", "keys", "rests", "shakes", "conf")


@dataclass(frozen=True, eq=False)
class Estimator:
    """Errors of a pose estimator."""

    weights: tuple[Floats, ...]
    """Of the network's layers: float32 [out, in]."""
    biases: tuple[Floats, ...]
    """float32 [out]."""
    mean: Floats
    """float32 [75]: of the network's input, which is shifted and scaled by them."""
    spread: Floats
    """float32 [75]."""
    keys: Floats
    """float32 [N, 45]: hands and head at three instants of each moment."""
    rests: Floats
    """float32 [N, KNOTS, 25, 3]: what the network did not foresee."""
    shakes: Floats
    """float32 [N, 25, 3]: standard deviation of what changes between the knots."""
    conf: Floats
    """float32 [N, KNOTS, 25]: the estimator's confidences, 0..1."""

    def see(self, rng: np.random.Generator, body: Floats) -> tuple[Floats, Floats]:
        """What the estimator makes of a body.

        Args:
            rng: draws a moment.
            body: float32 [T, 25, 3], some two seconds.

        Returns:
            The body as it is seen, and confidences float32 [T, 25].
        """
        count = len(body)
        distance = ((self.keys - key_of(body)) ** 2).sum(axis=1)
        alike = np.argsort(distance, kind="stable")[:_ALIKE]
        moment = alike[rng.integers(len(alike))]
        unsteady = np.exp(rng.uniform(np.log(_STEADIER), np.log(_SHAKIER))) * self.shakes[moment]
        error = self.mean_error(body) + resampled(self.rests[moment], count)
        nearest = np.rint(np.linspace(0, KNOTS - 1, count)).astype(int)
        shake = rng.normal(0, 1, body.shape) * unsteady
        return np.asarray(body + error + shake, np.float32), self.conf[moment][nearest]

    def mean_error(self, body: Floats) -> Floats:
        """float32 [T, 25, 3]: by how much the estimator misses on average."""
        x = (body.reshape(len(body), -1) - self.mean) / self.spread
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x @ weight.T + bias
            if k + 1 < len(self.weights):
                x = np.maximum(x, 0)
        return np.asarray(x.reshape(body.shape), np.float32)


def resampled(values: Floats, count: int) -> Floats:
    """Values [T, ...] at `count` instants evenly from the first to the last; linear in between."""
    at = np.linspace(0, len(values) - 1, count)
    low = np.minimum(at.astype(int), len(values) - 2)
    share = (at - low).reshape(-1, *(1,) * (values.ndim - 1)).astype(np.float32)
    return np.asarray(values[low] * (1 - share) + values[low + 1] * share, np.float32)


def key_of(body: Floats) -> Floats:
    """float32 [45]: by what moments are compared."""
    instants = np.rint(np.array([0.12, 0.5, 0.88]) * (len(body) - 1)).astype(int)
    return np.asarray(body[instants][:, _KEY].reshape(-1), np.float32)


def as_body(xy: Floats, z: Floats, widths: tuple[float, float]) -> Floats:
    """Keypoints about the middle of the shoulders.

    Args:
        xy: [T, 33, 2] px.
        z: [T, 33], away from the camera.
        widths: of the shoulders, in px and in the unit of z.
    """
    flat = (xy - xy[:, _SHOULDERS].mean(axis=1, keepdims=True)) / widths[0]
    deep = (z - z[:, _SHOULDERS].mean(axis=1, keepdims=True)) / widths[1]
    return np.concatenate([flat, deep[..., None]], axis=-1)[:, :JOINTS].astype(np.float32)


def shoulder_width(points: Floats) -> float:
    """Median distance of the shoulders of keypoints [T, 33, 2 or 3]."""
    return float(np.median(np.linalg.norm(points[:, 11] - points[:, 12], axis=-1)))


def save_estimator(path: Path, estimator: Estimator) -> None:
    """Write it in half precision.

    Raises:
        OSError: the file cannot be written.
    """
    layers = {f"weight{k}": w for k, w in enumerate(estimator.weights)}
    layers |= {f"bias{k}": b for k, b in enumerate(estimator.biases)}
    arrays = layers | {name: getattr(estimator, name) for name in _ARRAYS}
    np.savez_compressed(path, **{k: np.asarray(v, np.float16) for k, v in arrays.items()})  # type: ignore[arg-type]


@lru_cache(4)
def load_estimator(path: Path = MEASURED) -> Estimator:
    """Read what `save_estimator` has written.

    Raises:
        DataError: no such file, or not one of these.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, NDArray[np.float32]] = {
                name: file[name].astype(np.float32) for name in file.files
            }
        return Estimator(
            weights=tuple(arrays[f"weight{k}"] for k in range(_LAYERS)),
            biases=tuple(arrays[f"bias{k}"] for k in range(_LAYERS)),
            **{name: arrays[name] for name in _ARRAYS},
        )
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise DataError(
            f"{path}: expected the errors of an estimator, as `train estimator` writes them "
            f"({type(error).__name__})"
        ) from None

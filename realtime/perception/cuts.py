"""Hard cuts in edited footage: the picture becomes another one from one frame to the next.

A movement takes several frames, a cut one: what counts is by how much the change exceeds that of
the frame before, as in FFmpeg's `scene` score. A lamp that is switched on changes the whole picture
as well, but in its light alone: what was bright and dark beside each other stays so.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.records import Image

_SIZE = (32, 18)
"""(w, h) px in which frames are compared: small movements vanish."""
_SAMPLED = 320
"""Of larger frames, about so many columns are looked at: all would take as long as a detector."""
_SUDDEN = 0.045
"""Mean change, 0..1, beyond that of the frame before. In four clips of real people at 2 to 30
frames/s movements reach 0.036, and ten of their twelve cuts 0.05 to 0.19; rendered ones 0.03."""
_UNLIKE = 0.06
"""1 - correlation of the two pictures, which light alone hardly changes; those cuts: from 0.09."""


class CutFinder:
    """Looks at the frames of one source. Called by one thread at a time."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the last frame: the next one follows a pause."""
        self._last: NDArray[np.float32] | None = None
        self._change = 0.0

    def __call__(self, image: Image) -> bool:
        """Whether this frame, uint8 [H, W, 3] RGB, begins another shot than the last one's."""
        step = max(1, image.shape[1] // _SAMPLED)
        grey = cv2.cvtColor(np.ascontiguousarray(image[::step, ::step]), cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, _SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
        last, change = self._last, self._change
        self._last = small
        if last is None:
            return False
        self._change = float(np.abs(small - last).mean()) / 255
        return self._change - change >= _SUDDEN and _unlikeness(small, last) >= _UNLIKE


def _unlikeness(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """1 - correlation; 1 where a picture has one brightness all over."""
    a, b = a - a.mean(), b - b.mean()
    extent = float(np.linalg.norm(a) * np.linalg.norm(b))
    return 1 - float((a * b).sum()) / extent if extent > 0 else 1.0

"""Track: what was seen of one video, on its way into the store."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from webdataset import TarWriter

from engines.skeleton import LAYOUTS
from realtime.buffer import in_crop
from realtime.records import Observation
from train.store_files import frame_dtype

JPEG_QUALITY = 92
_BLOCK = 512
"""Bytes; tar files consist of such blocks."""


class Track:
    """Observations of one video as they come: pictures go to the shard, the rest to memory."""

    def __init__(self, tar: TarWriter, layout: str) -> None:
        """An empty one; `tar` is a new shard, `layout` the skeletons'."""
        self.t: list[float] = []
        self.cuts: list[float] = []
        """Stream seconds at which another shot begins."""
        self._tar, self._joints = tar, LAYOUTS[layout].num_joints
        self._rows: list[tuple[Any, ...]] = []
        self._stretch = 0
        self._end = 0
        """Bytes of the shard so far."""

    def add(self, observation: Observation) -> None:
        """Append one observation."""
        if self.t and observation.is_new_subject:
            self._stretch += 1
        if observation.is_cut:
            self.cuts.append(observation.t)
        pose, face, v = observation.pose, observation.face, self._joints
        if pose is None:
            xy, xyz = np.full((v, 2), np.nan, np.float32), np.full((v, 3), np.nan, np.float32)
            conf = np.zeros(v, np.float32)
        else:
            xy, xyz, conf = in_crop(pose.xy, observation), pose.xyz, pose.conf
        pictures = {"rgb.jpg": jpeg(observation.rgb)}
        if face is not None:
            pictures["face.jpg"] = jpeg(face.crop)
        self._tar.write({"__key__": f"{len(self.t):06d}", **pictures})
        at = {"face.jpg": (0, 0)}
        for name in sorted(pictures):  # the order of TarWriter
            size = len(pictures[name])
            at[name] = (self._end + _BLOCK, size)
            self._end += _BLOCK + -(-size // _BLOCK) * _BLOCK  # a header, then whole blocks
        self.t.append(observation.t)
        self._rows.append(
            (xy, xyz, conf, face is not None, self._stretch, at["rgb.jpg"], at["face.jpg"])
        )

    def frames(self) -> NDArray[np.void]:
        """As the store keeps them: records of `frame_dtype`, [N]."""
        dtype = frame_dtype(self._joints)
        rows = [(t, *row) for t, row in zip(self.t, self._rows, strict=True)]
        frames = np.zeros(len(rows), dtype)
        for name, values in zip(dtype.names or (), zip(*rows, strict=True), strict=True):
            frames[name] = values
        return frames


def jpeg(image: NDArray[np.uint8]) -> bytes:
    """uint8 [h, w, 3] RGB as the store keeps it."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    ok, blob = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert ok
    return bytes(blob)

"""Skeleton layouts: joint names, graph edges, left-right pairs; and conversion between them.

- `mediapipe33`: the 33 landmarks of MediaPipe Pose, in its order.
- `upper25`: the first 25 of them: face points, arms, three knuckles a hand, hips.
- `imigue22`: the 22 upper-body OpenPose joints of the iMiGUE challenge, with the corrected graph
  (the public `openpose22` graph mixes 0- and 1-based numbers). Left and right are the subject's.

Joints are the same joint only if their names are equal: iMiGUE's five finger points a hand are
finger tips, MediaPipe's three are knuckles, so they do not convert.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SkeletonLayout:
    """Names and graph of a skeleton with V joints."""

    name: str
    joints: tuple[str, ...]
    """V joint names."""
    parents: tuple[int, ...]
    """V indices: the next joint towards the root; the root is its own parent."""

    @property
    def num_joints(self) -> int:
        """V."""
        return len(self.joints)

    @property
    def root(self) -> int:
        """Index of the joint that is its own parent."""
        return next(i for i, p in enumerate(self.parents) if i == p)

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """V - 1 pairs (child, parent), pointing towards the root."""
        return tuple((i, p) for i, p in enumerate(self.parents) if i != p)

    @property
    def mirror(self) -> tuple[int, ...]:
        """V indices: the joint that each becomes when the picture is mirrored."""
        swap = {"left": "right", "right": "left"}
        names = ["_".join(swap.get(part, part) for part in j.split("_")) for j in self.joints]
        return tuple(self.joints.index(n) for n in names)

    def indices(self, joints: Sequence[str]) -> tuple[int, ...]:
        """Positions of the named joints.

        Raises:
            ValueError: a name that this layout does not have.
        """
        unknown = [j for j in joints if j not in self.joints]
        if unknown:
            raise ValueError(f"Layout {self.name} has no joint {', '.join(unknown)}")
        return tuple(self.joints.index(j) for j in joints)


# (joint, parent); the order is the layout's. MediaPipe's own drawing graph has no edge between head
# and body: the shoulders hang on the nose here, so that the graph is one tree.
_MEDIAPIPE33 = (
    ("nose", "nose"),
    ("left_eye_inner", "nose"),
    ("left_eye", "left_eye_inner"),
    ("left_eye_outer", "left_eye"),
    ("right_eye_inner", "nose"),
    ("right_eye", "right_eye_inner"),
    ("right_eye_outer", "right_eye"),
    ("left_ear", "left_eye_outer"),
    ("right_ear", "right_eye_outer"),
    ("mouth_left", "nose"),
    ("mouth_right", "nose"),
    ("left_shoulder", "nose"),
    ("right_shoulder", "nose"),
    ("left_elbow", "left_shoulder"),
    ("right_elbow", "right_shoulder"),
    ("left_wrist", "left_elbow"),
    ("right_wrist", "right_elbow"),
    ("left_pinky", "left_wrist"),
    ("right_pinky", "right_wrist"),
    ("left_index", "left_wrist"),
    ("right_index", "right_wrist"),
    ("left_thumb", "left_wrist"),
    ("right_thumb", "right_wrist"),
    ("left_hip", "left_shoulder"),
    ("right_hip", "right_shoulder"),
    ("left_knee", "left_hip"),
    ("right_knee", "right_hip"),
    ("left_ankle", "left_knee"),
    ("right_ankle", "right_knee"),
    ("left_heel", "left_ankle"),
    ("right_heel", "right_ankle"),
    ("left_foot_index", "left_ankle"),
    ("right_foot_index", "right_ankle"),
)
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_IMIGUE22 = (
    ("nose", "neck"),
    ("neck", "neck"),
    ("right_shoulder", "neck"),
    ("right_elbow", "right_shoulder"),
    ("right_wrist", "right_elbow"),
    ("left_shoulder", "neck"),
    ("left_elbow", "left_shoulder"),
    ("left_wrist", "left_elbow"),
    ("right_eye", "nose"),
    ("left_eye", "nose"),
    ("right_ear", "right_eye"),
    ("left_ear", "left_eye"),
    *((f"right_{f}_tip", "right_wrist") for f in _FINGERS),
    *((f"left_{f}_tip", "left_wrist") for f in _FINGERS),
)


def _layout(name: str, pairs: Sequence[tuple[str, str]]) -> SkeletonLayout:
    joints = tuple(j for j, _ in pairs)
    return SkeletonLayout(name, joints, tuple(joints.index(p) for _, p in pairs))


MEDIAPIPE33 = _layout("mediapipe33", _MEDIAPIPE33)
UPPER25 = _layout("upper25", _MEDIAPIPE33[:25])
IMIGUE22 = _layout("imigue22", _IMIGUE22)
LAYOUTS = {layout.name: layout for layout in (MEDIAPIPE33, UPPER25, IMIGUE22)}


def convert(
    coordinates: NDArray[np.float32],
    conf: NDArray[np.float32],
    source: SkeletonLayout,
    target: SkeletonLayout,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The same skeletons in another layout; joints that only `target` has are missing.

    Args:
        coordinates: float32 [..., V_source, C].
        conf: float32 [..., V_source].
        source: layout of the arguments.
        target: layout of the result.

    Returns:
        float32 [..., V_target, C], NaN where missing, and float32 [..., V_target], 0 where missing.
    """
    shared = [
        (source.joints.index(j), i) for i, j in enumerate(target.joints) if j in source.joints
    ]
    out = np.full((*conf.shape[:-1], target.num_joints, coordinates.shape[-1]), np.nan, np.float32)
    out_conf = np.zeros((*conf.shape[:-1], target.num_joints), np.float32)
    if shared:
        take, put = (list(indices) for indices in zip(*shared, strict=True))
        out[..., put, :] = coordinates[..., take, :]
        out_conf[..., put] = conf[..., take]
    return out, out_conf

"""Whose evidence is it: the nearest person who stays, and which scale that person has.

How near somebody is, is read from the pose itself as pixels per metre, which neither turning nor
sitting down changes much; a box or a shoulder width in pixels would.
"""

import numpy as np

from engines.skeleton import MEDIAPIPE33, UPPER25
from realtime.perception.pose import PoseEstimator
from realtime.records import Floats, Frame, Pose

SURVEY_S = 1.0
"""So often is looked who else is there (in stream seconds)."""
_CLEARLY_NEARER = 1.25
"""Somebody must be nearer than the subject by this factor to take over."""
_FORGET_S = 1.0
"""Lost for longer than this, whoever is found next counts as somebody new."""
_SEEN = 0.5
"""From this visibility on, a keypoint counts as seen."""

_UPPER = slice(0, UPPER25.num_joints)
_SHOULDERS = MEDIAPIPE33.indices(("left_shoulder", "right_shoulder"))


def pixels_per_metre(pose: Pose) -> float:
    """Weak-perspective scale of the upper body: s minimises |xy - s * (x, y of xyz) - shift|.

    0 where the pose has no extent.
    """
    seen = pose.conf[_UPPER] >= _SEEN
    if seen.sum() < 3:
        seen = np.ones_like(seen)
    image = pose.xy[_UPPER][seen].astype(np.float64)
    world = pose.xyz[_UPPER][seen, :2].astype(np.float64)
    image, world = image - image.mean(0), world - world.mean(0)
    extent = float((world**2).sum())
    return max(0.0, float((image * world).sum()) / extent) if extent > 0 else 0.0


def shoulders(pose: Pose) -> tuple[Floats, float]:
    """Mid-point in px, and width in px as it would be if the person faced the camera."""
    left, right = _SHOULDERS
    centre = (pose.xy[left] + pose.xy[right]) / 2
    width = float(np.linalg.norm(pose.xyz[left] - pose.xyz[right])) * pixels_per_metre(pose)
    return centre, width


class Subject:
    """Keeps a `PoseEstimator` on the nearest person who stays.

    A new subject is the nearest person at once. Later somebody else takes over only who was clearly
    nearer in two surveys running, a second apart, at about the same place: nobody passing through.
    """

    def __init__(self, estimator: PoseEstimator) -> None:
        """Follow through `estimator`, which stays the caller's to close."""
        self._estimator = estimator
        self.reset()

    def reset(self) -> None:
        """Forget who was followed, as after a reconnection."""
        self.has_changed = False
        """True if the last frame's subject is another one than the frame's before."""
        self._last: tuple[float, Pose] | None = None
        self._people = 0
        self._is_nearest = True
        self._next_survey = -np.inf
        self._challenger: Pose | None = None

    def __call__(self, frame: Frame) -> Pose | None:
        """The subject's pose in the frame, or None when nobody is in view."""
        pose = self._estimator(frame.image, frame.t)
        if pose is None:
            self.has_changed, self._people = False, 0
            return None
        last, self._people = self._last, max(1, self._people)
        self.has_changed = (
            last is None or frame.t - last[0] > _FORGET_S or not _is_same(last[1], pose, within=1.0)
        )
        if self.has_changed or frame.t >= self._next_survey:
            self._next_survey = frame.t + SURVEY_S
            pose = self._choose(frame, pose)
        self._last = (frame.t, pose)
        return pose

    @property
    def following(self) -> str:
        """One line for people: who is followed."""
        if self._people == 0:
            return "no person in view"
        if self._people == 1:
            return "following the only person in view"
        who = "the nearest" if self._is_nearest else "one"
        return f"following {who} of {self._people} people"

    def _choose(self, frame: Frame, pose: Pose) -> Pose:
        """Look who is there and change over to somebody nearer, if that one has earned it."""
        others = [p for p in self._estimator.survey(frame.image) if not _is_same(p, pose)]
        self._people = 1 + len(others)
        nearest = max(others, key=pixels_per_metre, default=None)
        own = pixels_per_metre(pose)
        self._is_nearest = nearest is None or pixels_per_metre(nearest) <= own
        if nearest is None or pixels_per_metre(nearest) < _CLEARLY_NEARER * own:
            self._challenger = None
            return pose
        stayed = self._challenger is not None and _is_same(self._challenger, nearest)
        self._challenger = nearest
        if not (self.has_changed or stayed):
            return pose
        taken = self._estimator.seed(frame.image, frame.t, _region(nearest))
        if taken is None:
            return pose
        self.has_changed, self._is_nearest, self._challenger = True, True, None
        return taken


def _is_same(a: Pose, b: Pose, within: float = 0.5) -> bool:
    """Whether two poses of about the same time are one person's: not that many widths apart."""
    (centre, width), (other, other_width) = shoulders(a), shoulders(b)
    return float(np.linalg.norm(centre - other)) < within * max(width, other_width)


def _region(pose: Pose) -> Floats:
    """[4] px xyxy around what is seen of a person, with a quarter of room on every side."""
    seen = pose.xy[pose.conf >= _SEEN] if (pose.conf >= _SEEN).any() else pose.xy
    low, high = seen.min(0), seen.max(0)
    room = 0.25 * float((high - low).max())
    return np.concatenate((low - room, high + room)).astype(np.float32)

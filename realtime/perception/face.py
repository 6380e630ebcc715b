"""The subject's face, cut out upright at the ArcFace template's place and size.

- MediaPipe's short-range detector misses faces that are small in the picture, so it searches the
  enlarged head region that the pose gives.
- Where the pose has eyes or nose beyond the picture's edge, no face is searched: the detector would
  make one up from chin and hands.
- Where a hand in the face blinds it, the pose's own eyes, nose and mouth take over, unless the head
  is turned away or out of the picture.
- The detector runs ten times a second; in between, its last finding moves as the pose's face points
  do (a third of the time for a crop that models sample twice or three times a second).
- Both give four points: eyes, nose tip, mouth centre. The template's mouth centre is the mean of
  its two mouth corners.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.closing import Closing
from engines.errors import first_line
from engines.skeleton import MEDIAPIPE33
from realtime.errors import PerceptionError
from realtime.perception.crop import cut_square, whole_blocks
from realtime.perception.pose import wrap
from realtime.perception.quiet import quiet_mediapipe
from realtime.perception.subject import pixels_per_metre
from realtime.records import Face, Floats, Image, Pose

FACE_SIZE = 112
"""Side of a face crop in px."""
TEMPLATE_112 = np.array(
    (
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    )
)
"""ArcFace's five points, float64 [5, 2] px: image-left eye, image-right eye, nose tip, image-left
and image-right mouth corner (https://github.com/deepinsight/insightface, `arcface_dst`)."""
TEMPLATE_4 = np.vstack((TEMPLATE_112[:3], TEMPLATE_112[3:].mean(0)))
"""The four points that a detector finds, float64 [4, 2] px: as above, with one mouth centre."""

_POINTS = MEDIAPIPE33.indices(("right_eye", "left_eye", "nose", "mouth_left", "mouth_right"))
_EARS = MEDIAPIPE33.indices(("left_ear", "right_ear"))
_HEAD = slice(0, 11)
_SEARCH_PX = 192
"""Side of the picture that the detector gets; its own input is 128 px."""
_HEAD_M = 0.55
"""Side of the head region in metres: a head and as much again."""
_REFIND_S = 0.1
"""A detected face is carried along with the pose for less than this, in stream seconds."""
_MIN_CONF = 0.5
_MIN_EYE_RATIO = 0.35
"""Distance of the eyes over that of eyes and mouth: 0.87 from the front, 0 in profile."""


def similarity(points: NDArray[Any], template: NDArray[Any]) -> NDArray[np.float64]:
    """The rotation, uniform scale and shift that bring points closest to a template.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    PAMI 1991, equations 34 to 43; no reflection.

    Args:
        points: [N, 2], at least two different ones.
        template: [N, 2].

    Returns:
        float64 [2, 3]: template = M[:, :2] @ point + M[:, 2].
    """
    centre, goal = points.mean(0), template.mean(0)
    source, target = points - centre, template - goal
    u, d, vt = np.linalg.svd(target.T @ source / len(points))
    signs = np.array((1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))))
    scale = (d * signs).sum() / source.var(0).sum()
    rotation = scale * (u * signs) @ vt
    return np.column_stack((rotation, goal - rotation @ centre))


@dataclass(frozen=True)
class _Found:
    """A face in px of the frame."""

    points: NDArray[np.float64]
    """[4, 2]: image-left eye, image-right eye, nose tip, mouth centre."""
    box: Floats
    conf: float


class FaceFinder(Closing):
    """Finds the subject's face in the frames of one source. Called by one thread at a time."""

    def __init__(self, model: Path) -> None:
        """Open the detector.

        Args:
            model: a `.tflite` file of MediaPipe's Face Detector.

        Raises:
            PerceptionError: MediaPipe cannot use the file.
        """
        from mediapipe import tasks

        self.reset()
        try:
            options = tasks.vision.FaceDetectorOptions(
                base_options=tasks.BaseOptions(model_asset_buffer=model.read_bytes()),
                min_detection_confidence=_MIN_CONF,
            )
            with quiet_mediapipe():
                self._detector = tasks.vision.FaceDetector.create_from_options(options)
        except (OSError, RuntimeError, ValueError) as error:
            raise PerceptionError(
                f"{model} cannot be used as a face model: give a .tflite file of MediaPipe's "
                f"Face Detector ({first_line(error)})"
            ) from None

    def close(self) -> None:
        """Release MediaPipe's graph; a second call does nothing."""
        with quiet_mediapipe():
            self._detector.close()

    def reset(self) -> None:
        """Forget the last detection: the next frame is of another person or another time."""
        self._last: tuple[float, _Found, Pose] | None = None

    def __call__(self, image: Image, pose: Pose | None, t: float) -> Face | None:
        """The subject's face, or without a pose the largest face; None where there is none.

        Args:
            image: uint8 [H, W, 3] RGB.
            pose: the subject's, in px of the image.
            t: stream seconds.
        """
        if pose is None:
            found = max(self._detect(image), key=_side, default=None)
        elif _is_inside(pose.xy[list(_POINTS[:3])], image):
            found = self._carried(pose, t) or self._found(image, pose, t) or _from_pose(pose)
        else:
            found = None
        if found is None:
            return None
        crop = cv2.warpAffine(
            image, similarity(found.points, TEMPLATE_4), (FACE_SIZE, FACE_SIZE)
        )  # bilinear, black border
        return Face(np.ascontiguousarray(crop, np.uint8), found.box, found.conf)

    def _carried(self, pose: Pose, t: float) -> _Found | None:
        """The last detection, moved and turned as the pose's face points have since."""
        if self._last is None or not 0 < t - self._last[0] < _REFIND_S:
            return None
        _, found, then = self._last
        points = [p.xy[list(_POINTS)].astype(np.float64) for p in (then, pose)]
        motion = similarity(*points)
        box = found.box.reshape(2, 2).astype(np.float64)
        half = (box[1] - box[0]) / 2 * np.hypot(motion[0, 0], motion[1, 0])
        middle = motion[:, :2] @ box.mean(0) + motion[:, 2]
        return _Found(
            points=found.points @ motion[:, :2].T + motion[:, 2],
            box=np.concatenate((middle - half, middle + half)).astype(np.float32),
            conf=found.conf,
        )

    def _found(self, image: Image, pose: Pose, t: float) -> _Found | None:
        found = self._in_head(image, pose)
        self._last = (t, found, pose) if found is not None else None
        return found

    def _detect(self, image: Image) -> list[_Found]:
        height, width = image.shape[:2]
        faces = []
        for d in self._detector.detect(wrap(image)).detections:
            points = np.array([(k.x * width, k.y * height) for k in d.keypoints[:4]])
            b = d.bounding_box
            box = (b.origin_x, b.origin_y, b.origin_x + b.width, b.origin_y + b.height)
            faces.append(_Found(points, np.array(box, np.float32), float(d.categories[0].score)))
        return faces

    def _in_head(self, image: Image, pose: Pose) -> _Found | None:
        """The face nearest to the pose's face points, if its centre is among them."""
        points = pose.xy[_HEAD].astype(np.float64)
        centre = points.mean(0)
        reach = float(np.ptp(points, axis=0).max())
        side = max(16, round(max(_HEAD_M * pixels_per_metre(pose), 2.5 * reach)))
        size = (_SEARCH_PX, _SEARCH_PX)
        side = whole_blocks(side, size)
        left, top = (round(c - side / 2) for c in centre)
        head = cut_square(image, (left, top), side, size)
        zoom = side / _SEARCH_PX
        offset = np.array((left, top))
        best, best_distance = None, max(reach, 0.15 * side)
        for f in self._detect(head):
            points_px = f.points * zoom + offset
            distance = float(np.linalg.norm(points_px.mean(0) - centre))
            if distance < best_distance:
                box = (f.box * zoom + np.tile(offset, 2)).astype(np.float32)
                best, best_distance = _Found(points_px, box, f.conf), distance
        return best


def _from_pose(pose: Pose) -> _Found | None:
    """The face by the pose's own points, where they can be trusted."""
    five = pose.xy[list(_POINTS)].astype(np.float64)
    conf = float(pose.conf[list(_POINTS)].min())
    points = np.vstack((five[:3], five[3:].mean(0)))
    if conf < _MIN_CONF or not _faces_camera(points, pose):
        return None
    to_crop = similarity(points, TEMPLATE_4)
    scale = float(np.hypot(to_crop[0, 0], to_crop[1, 0]))
    middle = np.linalg.solve(to_crop[:, :2], TEMPLATE_4.mean(0) - to_crop[:, 2])
    half = 0.35 * FACE_SIZE / scale  # as large as the detector's own boxes are
    box = np.concatenate((middle - half, middle + half)).astype(np.float32)
    return _Found(points, box, conf)


def _is_inside(points: NDArray[Any], image: Image) -> bool:
    height, width = image.shape[:2]
    return bool(((points >= 0) & (points < (width, height))).all())


def _faces_camera(points: NDArray[np.float64], pose: Pose) -> bool:
    """Whether both eyes look this way: in the right order, apart, and nearer than the ears."""
    eyes, down = points[1] - points[0], points[3] - points[:2].mean(0)
    upright = eyes[0] * down[1] - eyes[1] * down[0]  # negative where left and right are swapped
    apart = float(np.linalg.norm(eyes)) / max(1e-6, float(np.linalg.norm(down)))
    nose, ears = pose.xyz[_POINTS[2], 2], pose.xyz[list(_EARS), 2].mean()
    return bool(upright > 0 and apart >= _MIN_EYE_RATIO and nose < ears)


def _side(found: _Found) -> float:
    return float(found.box[2] - found.box[0])

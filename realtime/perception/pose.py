"""MediaPipe's Pose Landmarker behind two verbs: follow one person, and look who else is there.

- VIDEO mode with one person: after the first frame only the landmark model runs, on the region
  where the person just was. Asking it for two people would run the person detector on every frame
  of one person, half as much time again, and its people have no stable identity.
- So a second landmarker in IMAGE mode looks at single frames (`survey`), as rarely as it is asked.
- MediaPipe cannot be told whom to follow. `seed` shows a new landmarker one frame in which all but
  one person is black; from then on it stays with that person.

The cost does not depend on the frame's size (measured from 320x240 to 1920x1440): both models see
squares of about 250 px, so frames are handed over as they are.

MediaPipe is imported when the first model is opened, not before: it takes half a second.
"""

from pathlib import Path
from typing import Any

import numpy as np

from engines.closing import Closing
from engines.errors import first_line
from engines.skeleton import MEDIAPIPE33
from realtime.errors import PerceptionError
from realtime.perception.quiet import quiet_mediapipe
from realtime.records import Image, Pose

_MAX_PEOPLE = 4
"""More people than these are not told apart: the survey's time grows with each."""


class PoseEstimator(Closing):
    """Follows one person's pose through the frames of one source.

    Called by one thread at a time; holds MediaPipe's threads and memory until it is closed.
    """

    def __init__(self, model: Path) -> None:
        """Open the landmarkers.

        Args:
            model: a `.task` file of MediaPipe's Pose Landmarker.

        Raises:
            PerceptionError: MediaPipe cannot use the file.
        """
        self._model = model
        self._last_ms = -1
        self._loud = True  # MediaPipe comments on the first person that it meets
        self._tracker = self._open(1)
        try:
            self._surveyor = self._open(_MAX_PEOPLE)
        except BaseException:  # Ctrl-C, too, leaves nothing open
            with quiet_mediapipe():
                self._tracker.close()
            raise

    def close(self) -> None:
        """Release MediaPipe's graphs; a second call does nothing."""
        with quiet_mediapipe():
            self._tracker.close()
            self._surveyor.close()

    def __call__(self, image: Image, t: float) -> Pose | None:
        """The pose of the person who is followed.

        Args:
            image: uint8 [H, W, 3] RGB.
            t: stream seconds; MediaPipe wants whole, increasing milliseconds and gets them.

        Returns:
            Layout `mediapipe33`, or None when nobody is seen.
        """
        self._last_ms = max(self._last_ms + 1, round(t * 1000))
        if not self._loud:
            found = self._tracker.detect_for_video(wrap(image), self._last_ms)
        else:
            with quiet_mediapipe():
                found = self._tracker.detect_for_video(wrap(image), self._last_ms)
        poses = _poses(found, image.shape)
        self._loud = self._loud and not poses
        return poses[0] if poses else None

    def survey(self, image: Image) -> list[Pose]:
        """All people in one frame, in no particular order, four at most."""
        with quiet_mediapipe():
            found = self._surveyor.detect(wrap(image))
        return _poses(found, image.shape)

    def seed(self, image: Image, t: float, region: np.ndarray) -> Pose | None:
        """Follow whoever is in a region of the frame from now on.

        Args:
            image: uint8 [H, W, 3] RGB.
            t: stream seconds.
            region: [4] px xyxy.

        Returns:
            That person's pose; None if nobody was found there, then all stays as it was.
        """
        height, width = image.shape[:2]
        left, top = np.clip(region[:2], 0, (width, height)).astype(int)
        right, bottom = np.clip(np.ceil(region[2:]), 0, (width, height)).astype(int)
        alone = np.zeros_like(image)
        alone[top:bottom, left:right] = image[top:bottom, left:right]
        tracker = self._open(1)
        stamp = max(self._last_ms, round(t * 1000), 0)
        with quiet_mediapipe():
            poses = _poses(tracker.detect_for_video(wrap(alone), stamp), image.shape)
        if not poses:
            tracker.close()
            return None
        self._tracker.close()
        self._tracker, self._last_ms = tracker, stamp
        return poses[0]

    def reset(self) -> None:
        """Forget the person and the clock, as after a reconnection."""
        tracker = self._open(1)
        self._tracker.close()
        self._tracker, self._last_ms = tracker, -1

    def _open(self, people: int) -> Any:
        """A landmarker that follows one person, or one that looks for several in single frames."""
        from mediapipe import tasks

        modes = tasks.vision.RunningMode
        try:
            options = tasks.vision.PoseLandmarkerOptions(
                base_options=tasks.BaseOptions(model_asset_buffer=self._model.read_bytes()),
                running_mode=modes.VIDEO if people == 1 else modes.IMAGE,
                num_poses=people,
            )
            with quiet_mediapipe():
                return tasks.vision.PoseLandmarker.create_from_options(options)
        except (OSError, RuntimeError, ValueError) as error:
            raise PerceptionError(
                f"{self._model} cannot be used as a pose model: give a .task file of MediaPipe's "
                f"Pose Landmarker ({first_line(error)})"
            ) from None


def wrap(image: Image) -> Any:
    """The image as MediaPipe takes it; uint8 [H, W, 3] RGB."""
    import mediapipe

    return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)


def _poses(found: Any, shape: tuple[int, ...]) -> list[Pose]:
    size = np.array((shape[1], shape[0]), np.float32)
    return [
        Pose(
            xy=np.array([(p.x, p.y) for p in points], np.float32) * size,
            xyz=np.array([(p.x, p.y, p.z) for p in world], np.float32),
            conf=np.clip(np.array([p.visibility for p in points], np.float32), 0, 1),
            layout=MEDIAPIPE33.name,
        )
        for points, world in zip(found.pose_landmarks, found.pose_world_landmarks, strict=True)
    ]

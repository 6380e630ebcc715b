"""Frames in, observations out: the subject's pose, face and region.

The only place that imports MediaPipe. `open_perceiver` is the way in.
"""

from contextlib import ExitStack
from pathlib import Path

from engines.closing import Closing
from engines.manifest import PerceptionSpec
from realtime.errors import PerceptionError
from realtime.perception.crop import SubjectCrop
from realtime.perception.cuts import CutFinder
from realtime.perception.face import FACE_SIZE, FaceFinder
from realtime.perception.models import PerceptionModels, load_models
from realtime.perception.pose import PoseEstimator
from realtime.perception.subject import Subject
from realtime.records import Frame, Observation

__all__ = ["Perceiver", "open_perceiver"]


class Perceiver(Closing):
    """Perceives one person in the frames of one source.

    One per camera. Any thread may make it, but then a single one calls it (live: that camera's
    perceive thread), resets it and closes it.
    """

    def __init__(self, spec: PerceptionSpec, models: PerceptionModels) -> None:
        """Open the models.

        Args:
            spec: the bundle's rule for the subject's region, storage size and face size.
            models: the files that do the work; `open_perceiver` checks that they are the bundle's.

        Raises:
            PerceptionError: MediaPipe cannot use a file, or the face size is not 112 px.
        """
        if spec.face_size != FACE_SIZE:
            raise PerceptionError(
                f"The bundle wants face crops of {spec.face_size} px, but only {FACE_SIZE} px are "
                "made: export it with face_size 112"
            )
        with ExitStack() as stack:  # Ctrl-C, too, leaves nothing open
            self._estimator = stack.enter_context(PoseEstimator(models.pose_path))
            self._face = stack.enter_context(FaceFinder(models.face_path))
            stack.pop_all()
        self._subject = Subject(self._estimator)
        self._crop = SubjectCrop(spec.crop, spec.storage)
        self._cuts = CutFinder()

    def close(self) -> None:
        """Release the models; a second call does nothing."""
        self._estimator.close()
        self._face.close()

    def __call__(self, frame: Frame) -> Observation:
        """What is seen of the subject in the next frame of the source."""
        is_cut = self._cuts(frame.image)
        pose = self._subject(frame)
        if is_cut or self._subject.has_changed:
            self._crop.reset()
            self._face.reset()
        rgb, crop = self._crop(frame.image, pose, frame.t)
        face = self._face(frame.image, pose, frame.t)
        return Observation(
            t=frame.t,
            index=frame.index,
            source=frame.source,
            arrived=frame.arrived,
            rgb=rgb,
            crop=crop,
            pose=pose,
            face=face,
            following=self._subject.following,
            is_new_subject=self._subject.has_changed,
            is_cut=is_cut,
        )

    def reset(self) -> None:
        """Forget person, region and clock: call it when the source has reconnected."""
        self._estimator.reset()
        self._subject.reset()
        self._crop.reset()
        self._face.reset()
        self._cuts.reset()


def open_perceiver(
    spec: PerceptionSpec, *, pose_model: Path | None = None, face_model: Path | None = None
) -> Perceiver:
    """A perceiver with the models that a bundle was trained with.

    Args:
        spec: the manifest's `perception`.
        pose_model: a `.task` file to use instead of the cached model.
        face_model: a `.tflite` file to use instead of the cached model.

    Raises:
        PerceptionError: a model is absent, corrupt, or not the one that `spec` names.
    """
    models = load_models(pose_model, face_model)
    models.check_against(spec)
    return Perceiver(spec, models)

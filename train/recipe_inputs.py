"""What the recipes' networks are fed: how windows are sampled, cut and normalised."""

from engines.skeleton import LAYOUTS
from engines.tensor_specs import FaceInput, HandInput, PoseInput, RgbInput, Sampling

SPAN_S = 2.13
"""16 frames at 7.5 Hz, the clip of the public MViTv2-S; iMiGUE's gestures last 2.5 s on average."""
_TOLERANCE_S = 0.1
"""Wider than half a frame of a 7.5 Hz camera, narrower than the shortest gestures."""
POSE_LAYOUT = "upper25"
_MIN_CONF = 0.3
"""Hands at the face stay in: at 0.5 an index finger is lost in 12 % of the frames of a real clip of
such movements, at 0.3 in none; joints outside the picture score below 0.3 all the same."""


def _inputs(
    *, frames: int, side: int, resize: int, poses: int, faces: int, face_side: int
) -> tuple[RgbInput, PoseInput, FaceInput]:
    def sampling(count: int) -> Sampling:
        return Sampling(frames=count, span_s=SPAN_S, tolerance_s=_TOLERANCE_S)

    rgb = RgbInput(
        modality="rgb", name="rgb", shape=(3, frames, side, side), dtype="uint8",
        sampling=sampling(frames), resize=resize, crop=side,
        mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225), missing="hold",
    )  # fmt: skip
    layout = LAYOUTS[POSE_LAYOUT]
    pose = PoseInput(
        modality="pose", name="pose", mask="pose_mask", shape=(3, poses, layout.num_joints),
        dtype="float32", sampling=sampling(poses), layout=layout.name,
        coordinates="weak_perspective", root=("left_shoulder", "right_shoulder"),
        root_per="window", scale="shoulders", min_conf=_MIN_CONF, missing="zero",
    )  # fmt: skip
    face = FaceInput(
        modality="face", name="face", mask="face_mask", shape=(faces, 3, face_side, face_side),
        dtype="float32", sampling=sampling(faces), size=face_side,
        mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), missing="zero",
    )  # fmt: skip
    return rgb, pose, face


FULL = _inputs(frames=16, side=224, resize=256, poses=64, faces=4, face_side=112)
DEMO = _inputs(frames=4, side=112, resize=128, poses=32, faces=2, face_side=112)
DEMO_HANDS = HandInput(
    modality="hand", name="hand", mask="hand_mask", shape=(4, 2, 3, 64, 64), dtype="float32",
    sampling=DEMO[0].sampling, size=64, min_conf=_MIN_CONF,
    mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), missing="zero",
)  # fmt: skip
"""28 cm about the knuckles of an average person."""

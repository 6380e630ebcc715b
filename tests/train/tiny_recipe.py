"""A recipe with both tasks and the smallest network that has every part."""

from dataclasses import replace

from engines.manifest import FaceInput, PoseInput, RgbInput
from engines.skeleton import UPPER25
from engines.tensor_specs import HandInput
from train.cues import SHOWN
from train.models.agcn import AGCNConfig
from train.models.attention import AttentionConfig
from train.models.fusion import InterFusionConfig, TokenFusionConfig
from train.models.hands import HandNetConfig, around_size
from train.models.heads import EmotionConfig, MicroGestureConfig, NetConfig
from train.models.mvit import MViTConfig
from train.models.swinface import EXPRESSION, EXPRESSION_BRANCH, SwinFaceConfig
from train.models.tokens import MapConfig, SceneConfig, TokenClock
from train.recipes import Recipe, demo
from train.synth.touches import TOUCHED

FRAMES, SIDE, POSES, FACES, FACE_SIDE = 4, 32, 8, 2, 28
HANDS, HAND_SIDE = 2, 8
_ATTENTION = AttentionConfig(
    width=16, heads=2, blocks=1, mlp_ratio=2, dropout=0.1, time_features=4, periods_s=(0.25, 8.0)
)


def tiny() -> Recipe:
    """`demo` with a network of about 30 000 weights, on smaller inputs."""
    recipe = demo()
    rgb, pose, face, hand = recipe.inputs
    assert isinstance(rgb, RgbInput)
    assert isinstance(pose, PoseInput)
    assert isinstance(face, FaceInput)
    assert isinstance(hand, HandInput)
    span_s = rgb.sampling.span_s
    inputs = (
        replace(
            rgb, shape=(3, FRAMES, SIDE, SIDE), sampling=replace(rgb.sampling, frames=FRAMES),
            resize=SIDE, crop=SIDE,
        ),
        replace(
            pose, shape=(3, POSES, UPPER25.num_joints),
            sampling=replace(pose.sampling, frames=POSES),
        ),
        replace(
            face, shape=(FACES, 3, FACE_SIDE, FACE_SIDE),
            sampling=replace(face.sampling, frames=FACES), size=FACE_SIDE,
        ),
        replace(
            hand, shape=(HANDS, 2, 3, HAND_SIDE, HAND_SIDE),
            sampling=replace(hand.sampling, frames=HANDS), size=HAND_SIDE,
        ),
    )  # fmt: skip
    net = replace(_net(span_s), pixels=recipe.net.pixels)
    return replace(
        recipe, name="tiny", net=net, inputs=inputs, storage=(SIDE, SIDE), face_size=FACE_SIDE
    )


def without_emotion(net: NetConfig) -> NetConfig:
    """The gesture head alone, which then has neither faces nor hands."""
    gesture = net.micro_gesture
    assert gesture is not None
    gesture = replace(gesture, fusion=replace(gesture.fusion, faces=None, hands=None), hands=None)
    return replace(net, micro_gesture=gesture, emotion=None)


def _net(span_s: float) -> NetConfig:
    mvit = MViTConfig(
        dims=(16, 32), heads=(1, 2), q_strides=((1, 1, 1), (1, 2, 2)), num_classes=2,
        embed_dim=16, frames=FRAMES, size=SIDE, kv_stride=(1, 2, 2),
    )  # fmt: skip
    agcn = AGCNConfig(UPPER25.bones, UPPER25.num_joints, 32, widths=(8, 16), strides=(2, 2))
    swinface = SwinFaceConfig(
        size=FACE_SIDE, embed_dim=16, depths=(2, 1), heads=(1, 2), recognition_dim=8,
        attention_dims=(8, 8), gate_dim=4, branches=(EXPRESSION_BRANCH,), tasks=(EXPRESSION,),
    )  # fmt: skip
    clock, side = TokenClock(FACES, 1, span_s), swinface.grid(1)
    faces = MapConfig(sum(swinface.source_dims), clock, (side, side), dropout=0.1, cues=len(SHOWN))
    hands = MapConfig(
        16, TokenClock(HANDS, 1, span_s), (1, 1), dropout=0.1, cues=len(TOUCHED),
        beside=around_size(UPPER25.num_joints),
    )  # fmt: skip
    scene = SceneConfig(32, TokenClock(FRAMES, 2, span_s), (4, 4))
    return NetConfig(
        mvit,
        MicroGestureConfig(
            UPPER25.name,
            agcn,
            TokenFusionConfig(
                scene=scene, pose_channels=16, pose_clock=TokenClock(POSES, 4, span_s), joints=25,
                attention=_ATTENTION, num_classes=32, rgb_dropout=0.1, pose_dropout=0.1,
                faces=faces,
                hands=hands,
            ),
            HandNetConfig(stem=8, widths=(16,), grid=1),
        ),
        EmotionConfig(
            swinface,
            InterFusionConfig(
                scene=scene, face_channels=16, face_clock=clock,
                attention=_ATTENTION, num_classes=2, rgb_dropout=0.1, face_dropout=0.1,
            ),
        ),
        None,
    )  # fmt: skip

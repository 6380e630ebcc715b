"""Recipes: everything that defines a model but its weights, as one frozen value.

A recipe holds the network's dimensions and the parts of the manifest that follow from the design:
window, sampling, normalisation, outputs. `dump_recipe` is what is saved beside a checkpoint.

- `micro_gesture`, `emotion`: full size, one bundle a task, as arXiv 2512.23291 arranges them.
- `smg`: `micro_gesture` for the 17 classes of SMG.
- `joint`: both tasks on one MViTv2-S trunk, which then runs once a window.
- `demo`: `joint` reduced for a laptop's processor.
"""

import json
import math
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from engines.manifest import (
    CropRule,
    FaceInput,
    InputSpec,
    OutputSpec,
    PoseInput,
    RgbInput,
    Thresholds,
    WindowSpec,
)
from engines.skeleton import LAYOUTS
from train.cues import SHOWN
from train.labels import EMOTIONS, ILLUSTRATIVE, MICRO_GESTURES, SMG_GESTURES
from train.models.agcn import AGCNConfig
from train.models.attention import AttentionConfig
from train.models.fusion import InterFusionConfig, TokenFusionConfig
from train.models.hands import HandNetConfig, around_size
from train.models.heads import EmotionConfig, MicroGestureConfig, NetConfig
from train.models.mvit import MViTConfig, mvit_v2_s
from train.models.pixels import PixelsConfig
from train.models.swinface import EXPRESSION, EXPRESSION_BRANCH, SwinFaceConfig, swinface_expression
from train.models.tokens import MapConfig, SceneConfig, TokenClock
from train.recipe_inputs import DEMO, DEMO_HANDS, FULL, POSE_LAYOUT, SPAN_S
from train.synth.touches import TOUCHED

_CROP = CropRule(scale=2.8, shift=0.3, slack=0.1, tau_s=0.5)
"""From 1.1 shoulder widths above the shoulders to 1.7 below: a hand on the head, to the hips."""
_STORAGE = 256
"""px of that region's side: what the full-size networks look at, and hands of some 60 px."""
_INTENDED_USE = (
    "Research and demonstration on one consenting person before a camera, seen from the waist up."
)
_LIMITS = (
    "Not for decisions about people. In the EU inferring emotions at work or in education is "
    "forbidden, and elsewhere the person must be told."
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What `export`, and later training, need to know of a model."""

    name: str
    net: NetConfig
    window: WindowSpec
    layout: str
    """Skeleton layout of the windows."""
    crop: CropRule
    storage: tuple[int, int]
    """(h, w) px of Window.rgb."""
    face_size: int
    """Side in px of Window.faces."""
    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    intended_use: str
    limits: str

    @property
    def gestures(self) -> tuple[str, ...] | None:
        """Names of the classes of gestures; None where the recipe does not tell any."""
        return next((o.class_names for o in self.outputs if o.task == "micro_gesture"), None)

    def __post_init__(self) -> None:
        for spec in self.inputs:
            if isinstance(spec, RgbInput) and self.net.pixels != _pixels(spec):
                raise ValueError(
                    f"recipe {self.name}: the net must normalise what the input {spec.name} says, "
                    f"{_pixels(spec)}, got {self.net.pixels}"
                )


def micro_gesture() -> Recipe:
    """Full size, one task: MViTv2-S and 2s-AGCN, joined by CrossModalTokenFusion."""
    rgb, pose, _ = FULL
    net = NetConfig(mvit_v2_s(), _full_gesture(), None, _pixels(rgb))
    return _recipe("micro_gesture", net, (rgb, pose))


def emotion() -> Recipe:
    """Full size, one task: MViTv2-S and SwinFace, joined by InterFusion."""
    rgb, _, face = FULL
    net = NetConfig(mvit_v2_s(), None, _full_emotion(), _pixels(rgb))
    return _recipe("emotion", net, (rgb, face))


def smg() -> Recipe:
    """`micro_gesture` for the classes of SMG."""
    return replace(told_as_smg(micro_gesture()), name="smg")


def told_as_smg(recipe: Recipe) -> Recipe:
    """A recipe of gestures alone, for SMG, whose last class, too, means nothing to report."""
    net, (output,), count = recipe.net.micro_gesture, recipe.outputs, len(SMG_GESTURES)
    assert net is not None
    fewer = replace(
        net, agcn=replace(net.agcn, num_classes=count),
        fusion=replace(net.fusion, num_classes=count),
    )  # fmt: skip
    output = replace(output, class_names=SMG_GESTURES, background=count - 1)
    return replace(recipe, net=replace(recipe.net, micro_gesture=fewer), outputs=(output,))


def joint() -> Recipe:
    """Full size, both tasks on one MViTv2-S trunk."""
    net = NetConfig(mvit_v2_s(), _full_gesture(), _full_emotion(), _pixels(FULL[0]))
    return _recipe("joint", net, FULL)


def demo() -> Recipe:
    """`joint`, reduced so that two cores can train it: a quarter of frames and pixels.

    Its picture shows a head 14 px from ear to ear, so gestures are told by face crops and pictures
    of the hands, too.
    """
    return _recipe("demo", _demo_net(), (*DEMO, DEMO_HANDS))


RECIPES = {make.__name__: make for make in (micro_gesture, emotion, smg, joint, demo)}
"""By the name that the command line takes."""


def fed_floats(recipe: Recipe) -> Recipe:
    """The same weights' recipe as it was before networks were fed bytes: bundles of old are so."""
    inputs = tuple(
        replace(spec, dtype="float32") if isinstance(spec, RgbInput) else spec
        for spec in recipe.inputs
    )
    return replace(recipe, inputs=inputs, net=replace(recipe.net, pixels=None))


def dump_recipe(recipe: Recipe) -> str:
    """Indented JSON; two recipes are the same if their texts are."""
    values = TypeAdapter(Recipe).dump_python(recipe, mode="json")
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def _pixels(rgb: RgbInput) -> PixelsConfig | None:
    """What the network does to what this input feeds it."""
    return PixelsConfig(rgb.mean, rgb.std) if rgb.dtype == "uint8" else None


def _outputs(net: NetConfig) -> tuple[OutputSpec, ...]:
    gesture = OutputSpec(
        name="micro_gesture_logits", task="micro_gesture", class_names=MICRO_GESTURES,
        background=ILLUSTRATIVE, kind="events", activation="softmax", temperature=1.0,
        thresholds=Thresholds(on=0.5, off=0.35),
    )  # fmt: skip
    emotion = OutputSpec(
        name="emotion_logits", task="emotion", class_names=EMOTIONS,
        background=None, kind="state", activation="softmax", temperature=1.0,
        thresholds=Thresholds(on=0.65, off=0.55),
    )  # fmt: skip
    pairs = ((gesture, net.micro_gesture), (emotion, net.emotion))
    return tuple(output for output, head in pairs if head is not None)


def _recipe(name: str, net: NetConfig, inputs: tuple[InputSpec, ...]) -> Recipe:
    window = WindowSpec(span_s=SPAN_S, anchor=0.5, min_coverage=0.5, max_gap_s=0.5)
    return Recipe(
        name=name, net=net, window=window, layout="mediapipe33", crop=_CROP,
        storage=(_STORAGE, _STORAGE), face_size=112, inputs=inputs, outputs=_outputs(net),
        intended_use=_INTENDED_USE, limits=_LIMITS,
    )  # fmt: skip


def _attention(width: int, heads: int, blocks: int, mlp_ratio: int) -> AttentionConfig:
    return AttentionConfig(
        width=width, heads=heads, blocks=blocks, mlp_ratio=mlp_ratio, dropout=0.1,
        time_features=16, periods_s=(0.25, 8.0),
    )  # fmt: skip


def _scene(mvit: MViTConfig, rgb: RgbInput) -> SceneConfig:
    _, frames, height, width = rgb.shape
    _, rows, columns = mvit.token_grid(frames, height, width)
    clock = TokenClock(frames, mvit.patch_stride[0], rgb.sampling.span_s)
    return SceneConfig(mvit.dims[-1], clock, (rows, columns))


def _gesture(
    mvit: MViTConfig, agcn: AGCNConfig, inputs: tuple[RgbInput, PoseInput], fusion: AttentionConfig,
    faces: MapConfig | None = None, hands: tuple[HandNetConfig, MapConfig] | None = None,
) -> MicroGestureConfig:  # fmt: skip
    rgb, pose = inputs
    stride = math.prod(agcn.strides)
    return MicroGestureConfig(
        layout=pose.layout,
        agcn=agcn,
        fusion=TokenFusionConfig(
            scene=_scene(mvit, rgb),
            pose_channels=agcn.widths[-1],
            pose_clock=TokenClock(pose.sampling.frames, stride, pose.sampling.span_s),
            joints=agcn.num_joints,
            attention=fusion,
            num_classes=len(MICRO_GESTURES),
            rgb_dropout=0.1,
            pose_dropout=0.1,
            faces=faces,
            hands=hands[1] if hands else None,
        ),
        hands=hands[0] if hands else None,
    )


def _face_map(swinface: SwinFaceConfig, face: FaceInput) -> MapConfig:
    side = swinface.grid(len(swinface.depths) - 1)
    width, clock = sum(swinface.source_dims), _face_clock(face)
    return MapConfig(width, clock, (side, side), dropout=0.15, cues=len(SHOWN))


def _hand_map() -> tuple[HandNetConfig, MapConfig]:
    net, sampling = HandNetConfig(stem=32, widths=(64, 128, 192), grid=2), DEMO_HANDS.sampling
    clock = TokenClock(sampling.frames, 1, sampling.span_s)
    grid = (net.grid, net.grid)
    beside = around_size(LAYOUTS[POSE_LAYOUT].num_joints)
    return net, MapConfig(
        net.widths[-1], clock, grid, dropout=0.1, cues=len(TOUCHED), beside=beside
    )


def _face_clock(face: FaceInput) -> TokenClock:
    return TokenClock(face.sampling.frames, 1, face.sampling.span_s)


def _emotion(
    mvit: MViTConfig, swinface: SwinFaceConfig, inputs: tuple[RgbInput, FaceInput],
    fusion: AttentionConfig,
) -> EmotionConfig:  # fmt: skip
    rgb, face = inputs
    return EmotionConfig(
        swinface=swinface,
        fusion=InterFusionConfig(
            scene=_scene(mvit, rgb),
            face_channels=swinface.branch_dim,
            face_clock=_face_clock(face),
            attention=fusion,
            num_classes=len(EMOTIONS),
            rgb_dropout=0.1,
            face_dropout=0.1,
        ),
    )


def _agcn(**changes: Any) -> AGCNConfig:
    layout = LAYOUTS[POSE_LAYOUT]
    return AGCNConfig(layout.bones, layout.num_joints, len(MICRO_GESTURES), **changes)


def _full_gesture() -> MicroGestureConfig:
    rgb, pose, _ = FULL
    return _gesture(mvit_v2_s(), _agcn(), (rgb, pose), _attention(256, 8, 2, 4))


def _full_emotion() -> EmotionConfig:
    rgb, _, face = FULL
    return _emotion(mvit_v2_s(), swinface_expression(), (rgb, face), _attention(256, 8, 2, 4))


def _demo_net() -> NetConfig:
    rgb, pose, face = DEMO
    half, whole = (1, 2, 2), (1, 1, 1)
    mvit = MViTConfig(
        dims=(48, 96, 96, 192, 192, 192),
        heads=(1, 2, 2, 4, 4, 4),
        q_strides=(whole, half, whole, half, whole, whole),
        num_classes=len(MICRO_GESTURES),
        embed_dim=48, frames=rgb.sampling.frames, size=rgb.crop, kv_stride=(1, 4, 4), drop_path=0.1,
    )  # fmt: skip
    agcn = _agcn(widths=(32, 64, 64, 128, 128), strides=(2, 1, 2, 1, 2))
    swinface = SwinFaceConfig(
        patch=4, embed_dim=48, depths=(2, 2, 1), heads=(2, 4, 8), recognition_dim=128,
        attention_dims=(32, 48, 48), gate_dim=16,
        branches=(EXPRESSION_BRANCH,), tasks=(EXPRESSION,),
    )  # fmt: skip
    return NetConfig(
        mvit,
        _gesture(
            mvit, agcn, (rgb, pose), _attention(96, 4, 2, 2), _face_map(swinface, face), _hand_map()
        ),
        _emotion(mvit, swinface, (rgb, face), _attention(96, 4, 1, 2)),
        _pixels(rgb),
    )

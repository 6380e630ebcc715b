"""What a bundle's graph computes: the manifest's feeds in, one tensor of logits a task out.

- Pictures come as bytes and are normalised first, see `train.models.pixels`.
- One MViT trunk; its tokens go to the head of each task, so with both tasks it runs once a window.
- The micro-gesture head is a 2s-AGCN and CrossModalTokenFusion. Bones are made in the graph; a bone
  counts as seen if both its ends were, else it is 0. Beside the emotion head it may also look at
  what SwinFace's backbone makes of the face crops, which runs once for both, and at pictures of
  the hands (see `train.models.hands`).
- The emotion head is SwinFace's backbone with the expression branch's feature attention, and
  InterFusion.
- The networks differ only in what they are fed; their `forward` takes exactly the manifest's feeds,
  by name.

Shape suffixes as in `train.models.fusion`; S is the side of a picture or face crop.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from engines.skeleton import LAYOUTS
from engines.tensor_specs import WHOLE_HANDS
from train.models.agcn import AGCN, AGCNConfig, bones
from train.models.fusion import (
    CrossModalTokenFusion,
    InterFusion,
    InterFusionConfig,
    TokenFusionConfig,
    Told,
)
from train.models.hands import HandNet, HandNetConfig, around, around_size, by_side
from train.models.mvit import MViT, MViTConfig
from train.models.pixels import Normalise, PixelsConfig
from train.models.swinface import EXPRESSION_BRANCH, Features, SwinFace, SwinFaceConfig


@dataclass(frozen=True)
class MicroGestureConfig:
    """2s-AGCN and CrossModalTokenFusion."""

    layout: str
    """Skeleton layout of the V axis: says each bone's ends."""
    agcn: AGCNConfig
    fusion: TokenFusionConfig
    hands: HandNetConfig | None = None

    def __post_init__(self) -> None:
        if (self.hands is None) != (self.fusion.hands is None):
            raise ValueError("Pictures of hands need a network and a place in the fusion")
        size = around_size(self.agcn.num_joints)
        if self.fusion.hands is not None and self.fusion.hands.beside != size:
            raise ValueError(
                f"Beside a hand's picture come {size} numbers, got {self.fusion.hands.beside}"
            )


@dataclass(frozen=True)
class EmotionConfig:
    """SwinFace and InterFusion."""

    swinface: SwinFaceConfig
    fusion: InterFusionConfig


@dataclass(frozen=True)
class NetConfig:
    """A trunk and one or two heads."""

    mvit: MViTConfig
    micro_gesture: MicroGestureConfig | None
    emotion: EmotionConfig | None
    pixels: PixelsConfig | None
    """None: the network is fed floats that are normalised already."""

    def __post_init__(self) -> None:
        if self.micro_gesture is None and self.emotion is None:
            raise ValueError("A net needs at least one head: micro_gesture, emotion or both")
        if self.micro_gesture and self.micro_gesture.fusion.faces and self.emotion is None:
            raise ValueError("Gestures are told by faces, too, only beside the emotion head")
        if self.micro_gesture and self.micro_gesture.hands and self.emotion is None:
            raise ValueError("Gestures are told by pictures of hands only beside the emotion head")


class MicroGestureHead(nn.Module):
    """RGB tokens and poses -> micro-gesture logits."""

    def __init__(self, config: MicroGestureConfig) -> None:
        super().__init__()
        self.parents = LAYOUTS[config.layout].parents
        self.joint_stream = AGCN(config.agcn)
        self.bone_stream = AGCN(config.agcn)
        self.hands = HandNet(config.hands) if config.hands else None
        self.points = [
            LAYOUTS[config.layout].indices(joints) for joints in WHOLE_HANDS if config.hands
        ]
        self.fusion = CrossModalTokenFusion(config.fusion)

    def forward(
        self, rgb_BLC: Tensor | None, pose_BCTV: Tensor, mask_BTV: Tensor,
        faces: tuple[Tensor, Tensor] | None = None, hands: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:  # fmt: skip
        """Logits float32 [B, num_classes] of what `tell` says."""
        return self.tell(rgb_BLC, pose_BCTV, mask_BTV, faces, hands).logits

    def tell(
        self, rgb_BLC: Tensor | None, pose_BCTV: Tensor, mask_BTV: Tensor,
        faces: tuple[Tensor, Tensor] | None = None, hands: tuple[Tensor, Tensor] | None = None,
    ) -> Told:  # fmt: skip
        """Micro-gestures; C of the pose is 3, missing joints are 0 in pose and mask.

        Without RGB tokens and faces (see `CrossModalTokenFusion`) and hands (pictures
        [B, Th, 2, 3, S, S] and mask [B, Th, 2]), the pose decides alone.
        """
        bone_mask_BTV = mask_BTV * mask_BTV[:, :, list(self.parents)]
        bones_BCTV = bones(pose_BCTV, self.parents) * bone_mask_BTV[:, None]
        streams = (self.joint_stream.features(pose_BCTV), self.bone_stream.features(bones_BCTV))
        seen = self._look_at(hands, pose_BCTV, mask_BTV) if hands is not None else []
        return self.fusion.tell(rgb_BLC, streams, (mask_BTV, bone_mask_BTV), faces, seen)

    def _look_at(
        self, hands: tuple[Tensor, Tensor], pose_BCTV: Tensor, mask_BTV: Tensor
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Of each hand maps [B * Th, C, H, W], mask [B, Th], and `around` of it [B, Th, F]."""
        assert self.hands is not None
        pictures, mask_BT2 = hands
        sides = by_side(self.hands(pictures.flatten(0, 2)), mask_BT2)
        return [
            (maps, mask_BT, around(pose_BCTV, mask_BTV, points, self.fusion.hands_at))
            for (maps, mask_BT), points in zip(sides, self.points, strict=True)
        ]


class EmotionHead(nn.Module):
    """RGB tokens and face crops -> emotion logits."""

    def __init__(self, config: EmotionConfig) -> None:
        super().__init__()
        self.swinface = SwinFace(config.swinface)
        self.fusion = InterFusion(config.fusion)

    def forward(self, rgb_BLC: Tensor | None, face_BTCSS: Tensor, mask_BT: Tensor) -> Tensor:
        """Float32 [B, num_classes]; absent crops are 0 in faces and mask.

        Without RGB tokens, the faces decide alone.
        """
        return self.judge(rgb_BLC, self.features(face_BTCSS), mask_BT)

    def features(self, face_BTCSS: Tensor) -> Features:
        """Of B * T faces."""
        return self.swinface.backbone(face_BTCSS.flatten(0, 1))

    def judge(self, rgb_BLC: Tensor | None, faces: Features, mask_BT: Tensor) -> Tensor:
        """`forward`, of faces that have been looked at."""
        embedded, _ = self.swinface.branch(faces, EXPRESSION_BRANCH)
        return self.fusion(rgb_BLC, embedded.unflatten(0, (-1, mask_BT.shape[1])), mask_BT)


class MicroGestureNet(nn.Module):
    """One task, `micro_gesture`."""

    def __init__(
        self, pixels: PixelsConfig | None, mvit: MViTConfig, head: MicroGestureConfig
    ) -> None:
        super().__init__()
        self.pixels = _pixels(pixels)
        self.trunk = MViT(mvit)
        self.micro_gesture = MicroGestureHead(head)

    def forward(self, rgb: Tensor, pose: Tensor, pose_mask: Tensor) -> tuple[Tensor]:
        """Logits from uint8 [B, 3, T, S, S], float32 [B, 3, Tp, V] and [B, Tp, V]."""
        tokens = self.trunk.tokens(self.pixels(rgb))
        return (self.micro_gesture(tokens, pose, pose_mask),)


class EmotionNet(nn.Module):
    """One task, `emotion`."""

    def __init__(self, pixels: PixelsConfig | None, mvit: MViTConfig, head: EmotionConfig) -> None:
        super().__init__()
        self.pixels = _pixels(pixels)
        self.trunk = MViT(mvit)
        self.emotion = EmotionHead(head)

    def forward(self, rgb: Tensor, face: Tensor, face_mask: Tensor) -> tuple[Tensor]:
        """Logits from uint8 [B, 3, T, S, S], float32 [B, Tf, 3, S, S] and [B, Tf]."""
        tokens = self.trunk.tokens(self.pixels(rgb))
        return (self.emotion(tokens, face, face_mask),)


class JointNet(nn.Module):
    """Both tasks on one trunk."""

    def __init__(
        self,
        pixels: PixelsConfig | None,
        mvit: MViTConfig,
        gesture: MicroGestureConfig,
        emotion: EmotionConfig,
    ) -> None:
        super().__init__()
        self.pixels = _pixels(pixels)
        self.trunk = MViT(mvit)
        self.micro_gesture = MicroGestureHead(gesture)
        self.emotion = EmotionHead(emotion)

    def forward(
        self, rgb: Tensor, pose: Tensor, pose_mask: Tensor, face: Tensor, face_mask: Tensor,
        hand: Tensor | None = None, hand_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Logits of micro_gesture and of emotion; arguments as of the other two networks.

        And float32 [B, Th, 2, 3, S, S] and [B, Th, 2] where it looks at hands.
        """
        told, emotion = self.tell(rgb, pose, pose_mask, face, face_mask, hand, hand_mask)
        return told.logits, emotion

    def tell(
        self, rgb: Tensor, pose: Tensor, pose_mask: Tensor, face: Tensor, face_mask: Tensor,
        hand: Tensor | None = None, hand_mask: Tensor | None = None,
    ) -> tuple[Told, Tensor]:  # fmt: skip
        """`forward`, with what each picture of face and hands says."""
        tokens = self.trunk.tokens(self.pixels(rgb))
        faces = self.emotion.features(face)
        hands = None if hand is None or hand_mask is None else (hand, hand_mask)
        told = self.micro_gesture.tell(tokens, pose, pose_mask, (faces.sources, face_mask), hands)
        return told, self.emotion.judge(tokens, faces, face_mask)


Net = MicroGestureNet | EmotionNet | JointNet


def build_net(config: NetConfig) -> Net:
    """The network that the config describes, freshly initialised from torch's global generator."""
    if config.emotion is None:
        assert config.micro_gesture is not None
        return MicroGestureNet(config.pixels, config.mvit, config.micro_gesture)
    if config.micro_gesture is None:
        return EmotionNet(config.pixels, config.mvit, config.emotion)
    return JointNet(config.pixels, config.mvit, config.micro_gesture, config.emotion)


def _pixels(config: PixelsConfig | None) -> nn.Module:
    return nn.Identity() if config is None else Normalise(config)

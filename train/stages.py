"""Stages of training: each branch for itself, then all together.

The same network learns in every stage; what a stage does not look at is missing for it, just as a
camera may fail to show it. A branch hands on only its own weights.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

from torch import Tensor, nn

from train.annotations import DataError
from train.cues import FACE_CUES, HAND_CUES
from train.models.hands import SIDES, HandNet, HandsProbe
from train.models.heads import EmotionNet, JointNet, MicroGestureNet, Net, build_net
from train.places import PLACES, HandPlacesProbe, LandmarksProbe, PlacesProbe
from train.recipes import Recipe

BRANCHES = {
    "pose": "micro_gesture.", "rgb": "trunk.", "face": "emotion.", "hand": "micro_gesture.hands.",
}  # fmt: skip
"""Stage -> which weights it hands on, by their names' beginning; see `branch_of`."""
STAGES = (*BRANCHES, "fusion")


@dataclass(frozen=True)
class StageConfig:
    """How one stage is trained."""

    steps: int
    batch: int
    """Windows a step, over all devices together."""
    lr: float
    branch_lr: float = 1.0
    """Share of `lr` for the branches while they are fused."""
    frozen: str = ""
    """What learns nothing: branches while they are fused, by their stages, as `rgb,face`, or any
    weights by the beginning of their names, as `emotion.swinface.backbone`. Without `rgb` a step of
    the demo takes two thirds of its time on two cores."""
    weight_decay: float = 0.05
    warmup: float = 0.05
    """Share of the steps in which the rate rises; then it falls as a cosine."""
    label_smoothing: float = 0.05
    balance: float = 0.5
    """Windows are drawn with weight count^-balance of their class: 0 as they come, 1 uniform."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.998
    eval_every: int = 200
    """Steps."""
    patience: int = 8
    """Evaluations without a better score before the stage ends."""

    def __post_init__(self) -> None:
        ranges = (
            (min(self.steps, self.batch, self.eval_every, self.patience) >= 1,
             "steps, batch, eval_every and patience must be at least 1"),
            (self.lr > 0 and self.clip > 0, "lr and clip must be positive"),
            (self.branch_lr >= 0 and self.weight_decay >= 0 and self.balance >= 0,
             "branch_lr, weight_decay and balance must not be negative"),
            (0 <= self.warmup <= 1, "warmup must be a share, 0 to 1"),
            (0 <= self.label_smoothing < 1 and 0 <= self.ema < 1,
             "label_smoothing and ema must be at least 0 and less than 1"),
        )  # fmt: skip
        for holds, expected in ranges:
            if not holds:
                raise ValueError(expected)
        numbers = (value for value in asdict(self).values() if not isinstance(value, str))
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError("a value must be a finite number")

    @property
    def frozen_names(self) -> tuple[str, ...]:
        """The entries of `frozen`."""
        return tuple(name for name in self.frozen.split(",") if name)


_FULL = {
    "pose": StageConfig(steps=40_000, batch=128, lr=1e-3, eval_every=1000),
    "rgb": StageConfig(steps=30_000, batch=64, lr=1e-4, eval_every=1000),
    "face": StageConfig(steps=10_000, batch=64, lr=1e-4, eval_every=500),
    "fusion": StageConfig(steps=30_000, batch=64, lr=2e-4, branch_lr=0.1, eval_every=1000),
}
_DEMO = {
    "pose": StageConfig(
        steps=9000, batch=32, lr=1.5e-3, ema=0.995, balance=0.7, eval_every=500, patience=20
    ),
    "rgb": StageConfig(steps=4000, batch=16, lr=6e-4, ema=0.995, balance=0.7, eval_every=250),
    "face": StageConfig(steps=2000, batch=16, lr=6e-4, ema=0.99, balance=0.0, eval_every=200),
    "hand": StageConfig(steps=3000, batch=16, lr=1.5e-3, ema=0.995, balance=0.7, eval_every=250),
    "fusion": StageConfig(
        steps=2000, batch=16, lr=6e-4, branch_lr=0.5, ema=0.995, balance=0.7, eval_every=200
    ),
}


def default_stage(recipe: Recipe, stage: str) -> StageConfig:
    """The demo's are for two cores and some hours, the others' for a GPU."""
    return (_DEMO if recipe.name == "demo" else _DEMO | _FULL)[stage]


def branch_of(weight: str) -> str | None:
    """The stage whose branch a weight of a network is, by the longest beginning that fits."""
    fitting = [stage for stage, start in BRANCHES.items() if weight.startswith(start)]
    return max(fitting, key=lambda stage: len(BRANCHES[stage]), default=None)


def stages_of(recipe: Recipe) -> tuple[str, ...]:
    """Those that a recipe has branches for, in order."""
    gesture = recipe.net.micro_gesture
    hands = gesture.hands if gesture else None
    has = {"pose": gesture, "face": recipe.net.emotion, "hand": hands}
    return tuple(stage for stage in STAGES if has.get(stage, True) is not None)


class StageNet(nn.Module):
    """A network of which one stage is trained: feeds in, logits by task out."""

    def __init__(self, net: Net, stage: str, num_classes: Mapping[str, int]) -> None:
        """Wrap `net`.

        Args:
            net: trained in place.
            stage: one of `STAGES`.
            num_classes: of each task; the RGB stage classifies MViT's class token, and finds joints
                by the other tokens, with linear maps that are thrown away after it.
        """
        super().__init__()
        self.net, self.stage = net, stage
        width = net.trunk.config.dims[-1]
        tasks = tasks_of(net) if stage == "rgb" else ()
        self.probes = nn.ModuleDict({task: nn.Linear(width, num_classes[task]) for task in tasks})
        self.places: PlacesProbe | HandPlacesProbe | None = None
        if stage == "rgb":
            self.places = PlacesProbe(net.trunk.config)
        self.hands = None
        if stage == "hand":
            assert not isinstance(net, EmotionNet)
            assert net.micro_gesture.hands is not None
            config = net.micro_gesture.hands.config
            self.hands = HandsProbe(config, num_classes["micro_gesture"])
            self.places = HandPlacesProbe(config)
        self.landmarks = None
        if stage == "face" and not isinstance(net, MicroGestureNet):
            self.landmarks = LandmarksProbe(net.emotion.swinface.config)

    def train(self, mode: bool = True) -> Self:
        """As ever, but what is frozen stays as it is when it is used, without dropout, too."""
        super().train(mode)
        for module in self.modules():
            weights = list(module.parameters())
            if weights and not any(p.requires_grad for p in weights):
                module.eval()
        return self

    def forward(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """float32 [B, num_classes] of each task that the stage can tell.

        In training the RGB stage also says where the joints are, and the face stage where the
        landmarks are, under `PLACES`.
        """
        net = self.net
        if self.stage == "fusion":
            return _fused(net, feeds, is_training=self.training)
        if self.stage == "pose":
            assert not isinstance(net, EmotionNet)
            return {"micro_gesture": net.micro_gesture(None, feeds["pose"], feeds["pose_mask"])}
        if self.hands is not None:
            assert not isinstance(net, EmotionNet)
            return self._of_hands(net.micro_gesture.hands, feeds["hand"], feeds["hand_mask"])
        if self.stage == "face":
            assert not isinstance(net, MicroGestureNet)
            faces, mask = net.emotion.features(feeds["face"]), feeds["face_mask"]
            logits = {"emotion": net.emotion.judge(None, faces, mask)}
            if self.training and self.landmarks is not None:
                logits[PLACES] = self.landmarks(faces.sources, mask.shape[1])
            return logits
        tokens = net.trunk.tokens(net.pixels(feeds["rgb"]))
        logits = {task: probe(tokens[:, 0]) for task, probe in self.probes.items()}
        if self.training and isinstance(self.places, PlacesProbe):
            logits[PLACES] = self.places(tokens)
        return logits

    def _of_hands(self, net: HandNet | None, hand: Tensor, mask: Tensor) -> dict[str, Tensor]:
        assert net is not None
        assert self.hands is not None
        maps = net.maps(hand.flatten(0, 2))
        logits = {"micro_gesture": self.hands(net.pooled(maps), mask)}
        if self.training and isinstance(self.places, HandPlacesProbe):
            logits[PLACES] = self.places(maps, hand.shape[1] * SIDES)
        return logits


def _fused(net: Net, feeds: Mapping[str, Tensor], *, is_training: bool) -> dict[str, Tensor]:
    if not (is_training and isinstance(net, JointNet)):
        return dict(zip(tasks_of(net), net(**feeds), strict=True))
    told, emotion = net.tell(**feeds)
    cues = {FACE_CUES: told.faces, HAND_CUES: told.hands}
    asked = {key: value for key, value in cues.items() if value is not None}
    return dict(zip(tasks_of(net), (told.logits, emotion), strict=True)) | asked


def tasks_of(net: Net) -> tuple[str, ...]:
    """In the order of the network's outputs."""
    if isinstance(net, JointNet):
        return ("micro_gesture", "emotion")
    return ("micro_gesture",) if isinstance(net, MicroGestureNet) else ("emotion",)


def parameter_groups(net: StageNet, stage: str, config: StageConfig) -> list[dict[str, object]]:
    """Weights with and without decay; while fusing, branches learn more slowly, or not at all.

    Raises:
        DataError: `frozen` names no weights of this network, or all that the stage could learn.
    """
    freeze(net, config)
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            is_branch = stage == "fusion" and ".fusion." not in name
            groups.setdefault((is_branch, parameter.ndim > 1), []).append(parameter)
    if not any(p.requires_grad for p in net.net.parameters()):
        raise DataError(f"{stage}.frozen: {config.frozen} leaves nothing that could learn")
    return [
        {
            "params": parameters,
            "lr": config.lr * (config.branch_lr if is_branch else 1.0),
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (is_branch, decays), parameters in groups.items()
    ]


def check_frozen(recipe: Recipe, configs: Mapping[str, StageConfig]) -> None:
    """Make sure, before a run is begun, that what is frozen is there, and not all of it.

    Raises:
        DataError: it is not.
    """
    for stage, config in configs.items():
        if config.frozen:
            classes = {output.task: len(output.class_names) for output in recipe.outputs}
            parameter_groups(StageNet(build_net(recipe.net), stage, classes), stage, config)


def freeze(net: StageNet, config: StageConfig) -> None:
    """Let what `frozen` names learn nothing; its batch norms keep their statistics, too.

    Raises:
        DataError: it names no weights of this network.
    """
    for entry in config.frozen_names:
        found = [
            parameter
            for name, parameter in net.net.named_parameters()
            if (branch_of(name) == entry and ".fusion." not in name)
            or (entry not in BRANCHES and name.startswith(entry))
        ]
        if not found:
            raise DataError(
                f"frozen: expected {', '.join(BRANCHES)} or the beginning of the names of weights, "
                f"as emotion.swinface.backbone, got {entry!r}"
            )
        for parameter in found:
            parameter.requires_grad_(False)
    net.train(net.training)  # norms that are frozen now

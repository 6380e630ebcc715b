"""Stages: what each one looks at, what its loss counts, and which rates its weights get."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.train.tiny_recipe import (
    FACE_SIDE,
    FACES,
    FRAMES,
    POSES,
    SIDE,
    tiny,
    without_emotion,
)
from train.dataset import BETWEEN
from train.labels import UNLABELLED
from train.losses import loss_of
from train.models.heads import Net, NetConfig, build_net
from train.places import JOINTS, LANDMARKS, PLACES, unknown_places
from train.recipes import RECIPES
from train.stages import (
    STAGES,
    StageConfig,
    StageNet,
    default_stage,
    freeze,
    parameter_groups,
    stages_of,
    tasks_of,
)

CONFIG = StageConfig(steps=10, batch=4, lr=0.01, label_smoothing=0.0)
CLASSES = {"micro_gesture": 32, "emotion": 2}
FEEDS = {
    "rgb": (3, FRAMES, SIDE, SIDE), "pose": (3, POSES, 25), "pose_mask": (POSES, 25),
    "face": (FACES, 3, FACE_SIDE, FACE_SIDE), "face_mask": (FACES,),
}  # fmt: skip
LOGITS = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0], [0.0, math.log(4.0)]])
"""Probabilities 3/4, 1/2, 1/5 of class 0."""


def net_of(name: str) -> Net:
    net = tiny().net
    parts: dict[str, NetConfig] = {
        "joint": net, "micro_gesture": without_emotion(net),
        "emotion": replace(net, micro_gesture=None),
    }  # fmt: skip
    torch.manual_seed(0)
    return build_net(parts[name]).eval()


def feeds(*modalities: str) -> dict[str, Tensor]:
    names = [name for name in FEEDS if name.split("_")[0] in modalities]
    feeds = {name: torch.ones(2, *FEEDS[name]) for name in names}
    return {name: x.byte() if name == "rgb" else x for name, x in feeds.items()}


def test_a_recipe_has_the_stages_of_its_branches() -> None:
    found = {name: stages_of(make()) for name, make in RECIPES.items()}
    assert found["micro_gesture"] == ("pose", "rgb", "fusion")
    assert found["emotion"] == ("rgb", "face", "fusion")
    assert found["joint"] == ("pose", "rgb", "face", "fusion")
    assert found["demo"] == STAGES
    for name, stages in found.items():
        for stage in stages:
            assert default_stage(RECIPES[name](), stage).steps >= 1000


@pytest.mark.parametrize("name", ["joint", "micro_gesture", "emotion"])
def test_a_stage_tells_its_tasks_from_its_modality_alone(name: str) -> None:
    net = net_of(name)
    tasks = tasks_of(net)
    seen = {"pose": ("pose",), "face": ("face",), "rgb": ("rgb",)}
    told = {"pose": {"micro_gesture"}, "face": {"emotion"}, "rgb": set(tasks)}
    for task, stage in (("emotion", "pose"), ("micro_gesture", "face")):
        if name == task:
            del seen[stage]
    every = ("rgb", *(stage for stage in seen if stage != "rgb"))
    for stage, modalities in {**seen, "fusion": every}.items():
        logits = StageNet(net, stage, CLASSES).eval()(feeds(*modalities))
        assert set(logits) == told.get(stage, set(tasks))
        assert {t: tuple(x.shape) for t, x in logits.items()} == {
            t: (2, CLASSES[t]) for t in logits
        }


def test_a_face_in_between_is_best_told_as_neither() -> None:
    labels = {"emotion": torch.tensor([BETWEEN, UNLABELLED])}

    def loss(*scores: float) -> float:
        return float(loss_of({"emotion": torch.tensor([scores, (9.0, 0.0)])}, labels, CONFIG))

    assert loss(1.0, 1.0) == pytest.approx(math.log(2), abs=1e-6)
    assert loss(1.0, 0.0) > loss(1.0, 1.0)
    assert loss(1.0, 0.0) == pytest.approx(loss(0.0, 1.0))


def test_in_training_the_rgb_branch_also_tells_where_joints_are() -> None:
    whole = StageNet(net_of("joint"), "rgb", CLASSES).train()
    logits = whole(feeds("rgb"))
    labels = {task: torch.zeros(2, dtype=torch.long) for task in CLASSES}
    unknown = torch.stack([unknown_places(FRAMES, JOINTS)] * 2)
    nobody = loss_of(logits, labels | {PLACES: unknown}, CONFIG)
    told = loss_of(logits, labels | {PLACES: torch.full_like(unknown, 0.5)}, CONFIG)
    assert float(told.detach()) > float(nobody.detach())


def test_in_training_the_face_branch_also_tells_where_landmarks_are() -> None:
    whole = StageNet(net_of("joint"), "face", CLASSES).train()
    given = feeds("face")
    logits = whole(given)
    faces = given["face_mask"].shape[1]
    assert logits[PLACES].shape[:3] == (2, faces, len(LANDMARKS))
    labels = {"emotion": torch.zeros(2, dtype=torch.long)}
    unknown = torch.stack([unknown_places(faces, len(LANDMARKS))] * 2)
    nobody = loss_of(logits, labels | {PLACES: unknown}, CONFIG)
    told = loss_of(logits, labels | {PLACES: torch.full_like(unknown, 0.5)}, CONFIG)
    assert float(told.detach()) > float(nobody.detach())


def test_the_probes_of_the_rgb_stage_are_no_part_of_the_network() -> None:
    whole = StageNet(net_of("joint"), "rgb", CLASSES)
    probes = {n for n, _ in whole.named_parameters() if not n.startswith("net.")}
    names = (*(f"probes.{task}" for task in CLASSES), "places.linear")
    assert probes == {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}
    assert not StageNet(net_of("joint"), "fusion", CLASSES).probes


def test_branches_learn_more_slowly_while_they_are_fused_and_vectors_do_not_decay() -> None:
    whole = StageNet(net_of("joint"), "fusion", CLASSES)
    config = replace(CONFIG, branch_lr=0.1, weight_decay=0.5)
    groups: list[dict[str, Any]] = parameter_groups(whole, "fusion", config)
    found = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    named = dict(whole.named_parameters())
    assert len(found) == len(named)
    prefix = "net.micro_gesture."
    assert found[id(named[f"{prefix}fusion.gate.weight"])] == (0.01, 0.5)
    assert found[id(named[f"{prefix}fusion.gate.bias"])] == (0.01, 0.0)
    branch = f"{prefix}joint_stream.blocks.0.temporal."
    assert found[id(named[f"{branch}conv.weight"])] == (pytest.approx(0.001), 0.5)
    assert found[id(named[f"{branch}bn.weight"])] == (pytest.approx(0.001), 0.0)
    alone: list[dict[str, Any]] = parameter_groups(whole, "pose", config)
    assert {group["lr"] for group in alone} == {0.01}


def test_a_frozen_branch_has_no_rate_and_gets_no_gradient_but_what_fuses_it_has() -> None:
    whole = StageNet(net_of("joint"), "fusion", CLASSES)
    config = replace(CONFIG, frozen="rgb,pose,hand")
    groups: list[dict[str, Any]] = parameter_groups(whole, "fusion", config)
    learning = {id(p) for group in groups for p in group["params"]}
    for name, parameter in whole.named_parameters():
        is_still = name.startswith("net.trunk.") or (
            name.startswith("net.micro_gesture.") and ".fusion." not in name
        )
        assert (id(parameter) in learning) == parameter.requires_grad == (not is_still), name
    sum(out.sum() for out in whole(feeds("rgb", "pose", "face")).values()).backward()
    assert all(p.grad is None for p in whole.net.trunk.parameters())
    assert whole.net.get_parameter("micro_gesture.fusion.gate.weight").grad is not None


def test_frozen_weights_keep_even_the_statistics_of_their_norms() -> None:
    whole = StageNet(net_of("joint"), "fusion", CLASSES)
    freeze(whole, replace(CONFIG, frozen="micro_gesture,emotion.swinface.fam"))
    before = {name: value.clone() for name, value in whole.state_dict().items()}
    whole.train()
    whole(feeds("rgb", "pose", "face"))
    frozen = ("net.micro_gesture.", "net.emotion.swinface.fam.")
    assert any(name.startswith(frozen) and "running_mean" in name for name in before)
    for name, value in whole.state_dict().items():
        if name.startswith(frozen):
            assert torch.equal(value, before[name]), name
    assert whole.net.get_parameter("emotion.swinface.backbone.patch.weight").requires_grad
    assert not whole.net.get_parameter("micro_gesture.fusion.gate.weight").requires_grad


@pytest.mark.parametrize("frozen", ["", "rgb"])
def test_what_is_frozen_drops_nothing_in_training(frozen: str) -> None:
    """Else what learns beside it would never see it as it is when it is used."""
    whole = StageNet(build_net(RECIPES["demo"]().net), "fusion", CLASSES)
    freeze(whole, replace(CONFIG, frozen=frozen))
    trunk, pixels = whole.net.trunk, torch.ones(8, 3, 4, 112, 112).byte()
    with torch.no_grad():
        twice = [trunk.tokens(whole.train().net.pixels(pixels)) for _ in range(2)]
    assert torch.equal(*twice) == bool(frozen)
    assert whole.net.training


def loss(labels: list[int], config: StageConfig = CONFIG) -> float:
    return float(loss_of({"emotion": LOGITS}, {"emotion": torch.tensor(labels)}, config))


def test_the_loss_is_the_cross_entropy_of_what_is_labelled() -> None:
    assert loss([0, 1, 1]) == pytest.approx(-math.log(3 / 4 * 1 / 2 * 4 / 5) / 3)
    assert loss([0, UNLABELLED, 0]) == pytest.approx(-math.log(3 / 4 * 1 / 5) / 2)
    assert loss([UNLABELLED] * 3) == 0


def test_smoothing_takes_a_share_of_the_label_to_all_classes() -> None:
    smooth = replace(CONFIG, label_smoothing=0.2)
    expected = -(0.9 * math.log(3 / 4) + 0.1 * math.log(1 / 4))
    assert loss([0, UNLABELLED, UNLABELLED], smooth) == pytest.approx(expected)


def test_tasks_are_summed_and_a_batch_without_labels_still_has_a_gradient() -> None:
    logits = {"micro_gesture": torch.zeros(2, 32, requires_grad=True), "emotion": LOGITS[:2]}
    labels = {"micro_gesture": torch.tensor([3, 4]), "emotion": torch.tensor([0, 0])}
    both = loss_of(logits, labels, CONFIG)
    assert both.item() == pytest.approx(math.log(32) - math.log(3 / 4 * 1 / 2) / 2)
    labels["micro_gesture"][:] = UNLABELLED
    one = loss_of(logits, labels, CONFIG)
    assert one.item() == pytest.approx(-math.log(3 / 4 * 1 / 2) / 2)
    one.backward()  # zero, not none: on several devices every process has to take part
    gradient = logits["micro_gesture"].grad
    assert gradient is not None
    assert not gradient.any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": 0}, "at least 1"), ({"batch": -4}, "at least 1"), ({"lr": 0.0}, "positive"),
        ({"lr": math.nan}, "positive"), ({"lr": math.inf}, "finite"), ({"ema": 1.0}, "less than 1"),
        ({"warmup": 1.5}, "share"), ({"label_smoothing": 1.0}, "less than 1"),
        ({"balance": -0.5}, "not be negative"), ({"patience": 0}, "at least 1"),
    ],
)  # fmt: skip
def test_a_stage_that_cannot_be_trained_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(CONFIG, **change)

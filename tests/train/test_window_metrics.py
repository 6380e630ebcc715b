"""Metrics of windows, against figures worked by hand."""

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from train.labels import UNLABELLED
from train.metrics import macro_f1
from train.training_data import HeldOut
from train.window_metrics import evaluate_windows


class Told(nn.Module):
    """Says what its input says, and whether it was trained meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.was_training: list[bool] = []

    def forward(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self.was_training.append(self.training)
        return {"micro_gesture": feeds["gesture"], "emotion": feeds["emotion"]}


def held_out(*rows: tuple[int, int, int, int]) -> HeldOut:
    """Windows of (gesture told, gesture, emotion told, emotion)."""
    told: list[Any] = [
        (
            {"gesture": torch.eye(3)[gesture], "emotion": torch.eye(2)[emotion]},
            {"micro_gesture": torch.tensor(g), "emotion": torch.tensor(e)},
        )
        for gesture, g, emotion, e in rows
    ]
    return cast(HeldOut, [told[:2], told[2:]])  # of two stores


def test_figures_are_those_of_the_labelled_windows_of_all_stores() -> None:
    net = Told().train()
    rows = ((0, 0, 0, 0), (0, 1, 0, 0), (1, 1, 1, 1), (2, 2, 0, 1), (1, UNLABELLED, 0, 0))
    metrics = evaluate_windows(Fabric(accelerator="cpu", devices=1), net, held_out(*rows), 1)
    # gestures: 3 of 4; F1 of class 0 is 2/3 (one right, one too many), of 1 is 2/3, of 2 is 1
    assert metrics["micro_gesture/top1"] == pytest.approx(3 / 4)
    assert metrics["micro_gesture/macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    # emotions: 4 of 5; 3 of 3 negative and 1 of 2 positive ones
    assert metrics["emotion/top1"] == pytest.approx(4 / 5)
    assert metrics["emotion/balanced"] == pytest.approx((1 + 1 / 2) / 2)
    assert metrics["score"] == pytest.approx((7 / 9 + 3 / 4) / 2)
    # of logits 1, 0, 0 and 1, 0: the odds of what is told are e to 1 each
    assert metrics["micro_gesture/log_loss"] == pytest.approx(math.log(math.e + 2) - 3 / 4)
    assert metrics["emotion/log_loss"] == pytest.approx(math.log(math.e + 1) - 4 / 5)
    assert not any(net.was_training)
    assert net.training  # again, as before


def test_a_task_without_labels_has_no_figures_and_nothing_gives_no_score() -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    rows = ((0, 0, 0, UNLABELLED), (1, 1, 0, UNLABELLED))
    metrics = evaluate_windows(fabric, Told(), held_out(*rows), 4)
    told = {f"micro_gesture/{name}" for name in ("top1", "macro_f1", "log_loss")}
    assert set(metrics) == told | {"score"}
    nothing = held_out((0, UNLABELLED, 0, UNLABELLED))
    assert evaluate_windows(fabric, Told(), nothing, 4) == {}
    assert evaluate_windows(fabric, Told(), [], 4) == {}


def test_a_class_that_is_told_but_never_occurs_counts_for_nothing_as_in_evaluate() -> None:
    rows = ((0, 0, 0, 0), (1, 1, 1, 1), (2, 1, 0, 0))  # class 2 is told once and never true
    metrics = evaluate_windows(Fabric(accelerator="cpu", devices=1), Told(), held_out(*rows), 4)
    told, true = np.eye(3, dtype=np.float32)[[0, 1, 2]], np.array([0, 1, 1])
    assert metrics["micro_gesture/macro_f1"] == macro_f1(told, true)
    assert metrics["micro_gesture/macro_f1"] == pytest.approx((1 + 2 / 3) / 2)


def test_a_task_of_one_class_has_figures_without_a_cliff_and_no_part_in_the_score() -> None:
    """A validation of won matches alone: whoever always says so would be the best."""
    fabric = Fabric(accelerator="cpu", devices=1)
    won = [(0, 0, 1, 1), (1, 1, 1, 1), (0, 1, 1, 1), (1, 1, 0, 1)]
    metrics = evaluate_windows(fabric, Told(), held_out(*won), 4)
    assert metrics["emotion/balanced"] == metrics["emotion/top1"] == pytest.approx(3 / 4)
    assert metrics["score"] == metrics["micro_gesture/macro_f1"]
    alone = evaluate_windows(fabric, Told(), held_out((0, UNLABELLED, 1, 1)), 4)
    assert "score" not in alone
    assert alone["emotion/top1"] == alone["emotion/balanced"] == 1.0

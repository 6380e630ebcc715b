"""SwinFace beyond parity: windows and shifts, parts of it, small configurations, export."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.train.exported import check_export
from tests.train.test_mvit import spread
from train.models.swinface import (
    SwinFace,
    SwinFaceConfig,
    from_windows,
    relative_index,
    shift_mask,
    swinface_expression,
    to_windows,
)
from train.models.swinface_tasks import EXPRESSION_CLASSES, NUM_BRANCHES, TASKS

SMALL = SwinFaceConfig(
    embed_dim=24,
    depths=(1, 1, 2, 1),
    heads=(1, 2, 4, 8),
    recognition_dim=32,
    attention_dims=(4, 8, 8, 12),
    gate_dim=4,
    branches=(0, 2),
)


def test_the_tasks_are_the_public_models_42() -> None:
    assert [task.index for task in TASKS] == list(range(42))
    assert NUM_BRANCHES == 11
    by_name = {task.name: task for task in TASKS}
    assert by_name["Expression"].index == 3
    assert by_name["Expression"].outputs == len(EXPRESSION_CLASSES) == 7
    assert (by_name["Age"].index, by_name["Age"].outputs) == (1, 1)
    assert (by_name["No Beard"].index, by_name["No Beard"].branch) == (37, 8)
    assert by_name["Wearing Necktie"].index == 41


def test_windows_go_row_by_row_and_come_back() -> None:
    x = torch.arange(2 * 6 * 6.0).reshape(2, 6, 6, 1)
    windows = to_windows(x, 3)
    assert windows.shape == (8, 9, 1)
    assert windows[1, :, 0].tolist() == [3, 4, 5, 9, 10, 11, 15, 16, 17]
    assert torch.equal(from_windows(windows, 3, 6), x)


def test_relative_index_counts_from_query_to_key() -> None:
    index = relative_index(7)
    assert index.shape == (49, 49)
    assert index[0, 48] == 0
    assert index[48, 0] == 168
    assert set(index.diagonal().tolist()) == {84}


def test_shift_mask_parts_what_the_roll_brought_together() -> None:
    mask = shift_mask(14, 7, 3)
    assert mask.shape == (4, 49, 49)
    assert set(mask.unique().tolist()) == {-100.0, 0.0}
    assert not mask[0].any(), "the first window holds neighbours only"
    assert mask[3, 0, 48] == -100
    assert torch.equal(mask, mask.transpose(1, 2))


def test_only_the_branches_and_tasks_asked_for_are_built() -> None:
    model = SwinFace(SMALL).eval()
    with torch.inference_mode():
        out = model(torch.randn(2, 3, 112, 112))
    assert set(out) == {"Recognition", "Gender", "Expression", "Smiling"}
    assert out["Recognition"].shape == (2, 32)
    assert out["Expression"].shape == (2, 7)
    alone = dataclasses.replace(SMALL, branches=(2,), tasks=("Expression",))
    assert set(SwinFace(alone).heads) == {"3"}
    assert swinface_expression().branch_dim == 512


def test_every_embedding_of_the_emotion_branch_is_reachable() -> None:
    model = spread(SwinFace(SMALL)).eval()
    assert isinstance(model, SwinFace)
    x = torch.randn(2, 3, 112, 112)
    with torch.inference_mode():
        out, expression = model(x), model.expression(x)
        features = model.backbone(x)
        fam, tss = model.branch(features, 2)
    torch.testing.assert_close(features.recognition, out["Recognition"])
    torch.testing.assert_close(expression.logits, out["Expression"])
    torch.testing.assert_close((expression.fam, expression.tss), (fam, tss))
    assert fam.shape == tss.shape == (2, model.out_dim)
    assert float(tss.min()) >= 0, "the branch's own subnet ends in a ReLU"


def test_a_batch_gives_what_each_face_gives_alone() -> None:
    model = spread(SwinFace(SMALL)).eval()
    x = torch.randn(3, 3, 112, 112)
    with torch.inference_mode():
        whole = model(x)
        alone = [model(face[None]) for face in x]
    for name, value in whole.items():
        torch.testing.assert_close(value, torch.cat([one[name] for one in alone]))


def test_impossible_configurations_are_refused() -> None:
    for change, message in (
        ({"depths": (1, 1)}, "one entry a stage"),
        ({"heads": (5, 2, 4, 8)}, "split into 5 heads"),
        ({"size": 96}, "has no grid of 7x7 windows"),
        ({"branches": (11,)}, "no branch or task"),
        ({"tasks": ("Mood",)}, "no branch or task"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(SMALL, **change)


class Emotion(nn.Module):
    """The three embeddings that a fusion model can take, and the logits."""

    def __init__(self, swinface: SwinFace) -> None:
        super().__init__()
        self.swinface = swinface

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        expression = self.swinface.expression(x)
        recognition = self.swinface.backbone(x).recognition
        return {**expression._asdict(), "recognition": recognition}


def test_exported_swinface_equals_torch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    two_stages = dataclasses.replace(
        SMALL, size=28, depths=(2, 1), heads=(1, 2), attention_dims=(8, 12), branches=(2,)
    )
    model = SwinFace(two_stages)
    check_export(spread(Emotion(model)), torch.randn(2, 3, 28, 28), tmp_path)

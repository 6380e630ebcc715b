"""Losses: of the tasks, and of what is known of each picture of a rendered window."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from train.cues import FACE_CUES, HAND_CUES, cues_loss
from train.dataset import BETWEEN
from train.labels import UNLABELLED
from train.places import PLACES, places_loss
from train.stages import StageConfig

_DENSE = {PLACES: places_loss, HAND_CUES: cues_loss, FACE_CUES: cues_loss}
"""Learnt beside the tasks."""


def loss_of(
    logits: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    config: StageConfig,
) -> Tensor:
    """Cross entropies of the tasks, summed; windows without a label do not count.

    Args:
        logits: task -> float32 [B, K]; of the branches that look at pictures also what places were
            found, of the fusion what cues.
        labels: task -> int64 [B], a class, `UNLABELLED` or `BETWEEN`; and these places or cues.
        config: how labels are smoothed.
    """
    total = torch.zeros((), device=next(iter(logits.values())).device)
    for task, scores in logits.items():
        target = labels[task]
        if task in _DENSE:
            total = total + _DENSE[task](scores, target)
            continue
        known = target != UNLABELLED
        if not known.any():
            total = total + 0.0 * scores.sum()
            continue
        wanted = F.one_hot(target.clamp(min=0), scores.shape[1]).float()
        wanted[target == BETWEEN] = 1 / scores.shape[1]
        total = total + F.cross_entropy(
            scores.float()[known], wanted[known], label_smoothing=config.label_smoothing
        )
    return total

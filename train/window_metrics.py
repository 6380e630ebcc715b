"""Metrics of single windows, by which a stage knows its best weights."""

from collections.abc import Iterator

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from train.dataset import UNLABELLED, Feeds, Labels
from train.training_data import HeldOut


def evaluate_windows(
    fabric: Fabric, net: torch.nn.Module, held_out: HeldOut, batch: int
) -> dict[str, float]:
    """Metrics by name; `score`, which early stopping goes by, is the mean over tasks.

    Every process computes all of it, so that none waits for long; what the first one found counts,
    as batch norms have seen other windows in each.
    """
    scores: dict[str, list[Tensor]] = {}
    truths: dict[str, list[Tensor]] = {}
    net.eval()
    with torch.inference_mode(), fabric.autocast():
        for feeds, labels in _batches(fabric, held_out, batch):
            for task, logits in net(feeds).items():
                scores.setdefault(task, []).append(logits.float())
                truths.setdefault(task, []).append(labels[task])
    net.train()
    out: dict[str, float] = {}
    for task, parts in scores.items():
        all_logits, all_labels = torch.cat(parts), torch.cat(truths[task])
        known = all_labels != UNLABELLED
        if known.any():
            out |= _of_task(task, all_logits[known], all_labels[known])
    goals = [value for name, value in out.items() if name.endswith(("macro_f1", "balanced"))]
    own = {**out, "score": float(np.mean(goals))} if goals else {}
    return dict(fabric.broadcast(own))


def _of_task(task: str, logits: Tensor, labels: Tensor) -> dict[str, float]:
    count = logits.shape[1]
    top1 = multiclass_accuracy(logits, labels, count, average="micro")
    mean = (multiclass_accuracy if count == 2 else multiclass_f1_score)(
        logits, labels, count, average="macro"
    )
    name = "balanced" if count == 2 else "macro_f1"
    return {f"{task}/top1": float(top1), f"{task}/{name}": float(mean)}


def _batches(fabric: Fabric, held_out: HeldOut, batch: int) -> Iterator[tuple[Feeds, Labels]]:
    for subset in held_out:
        for feeds, labels in DataLoader(subset, batch_size=2 * batch):
            yield fabric.to_device((feeds, labels))

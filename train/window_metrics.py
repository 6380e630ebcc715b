"""Metrics of single windows, by which a stage knows its best weights."""

from collections.abc import Iterator

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader

from engines.postprocess import softmax
from train.dataset import Feeds, Labels
from train.labels import UNLABELLED
from train.metrics import balanced_accuracy, log_loss, macro_f1, top_k
from train.training_data import HeldOut


def evaluate_windows(
    fabric: Fabric, net: torch.nn.Module, held_out: HeldOut, batch: int
) -> dict[str, float]:
    """Metrics by name; `score`, which early stopping goes by, is the mean over tasks.

    They are those of `evaluate`. A task of whose classes only one occurs is left out of the score:
    what always says that class would be the best of all.

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
    goals = []
    for task, parts in scores.items():
        told, true = torch.cat(parts).cpu().numpy(), torch.cat(truths[task]).cpu().numpy()
        told, true = told[true != UNLABELLED], true[true != UNLABELLED]
        if not len(true):
            continue
        is_binary = told.shape[1] == 2
        name, measure = ("balanced", balanced_accuracy) if is_binary else ("macro_f1", macro_f1)
        out |= {f"{task}/top1": top_k(told, true, 1), f"{task}/{name}": measure(told, true)}
        out[f"{task}/log_loss"] = log_loss(softmax(told, 1.0), true)
        if len(np.unique(true)) > 1:
            goals.append(out[f"{task}/{name}"])
    if goals:
        out["score"] = float(np.mean(goals))
    return dict(fabric.broadcast(out))


def _batches(fabric: Fabric, held_out: HeldOut, batch: int) -> Iterator[tuple[Feeds, Labels]]:
    for subset in held_out:
        for feeds, labels in DataLoader(subset, batch_size=2 * batch):
            yield fabric.to_device((feeds, labels))

"""Fit: stages of training, each resumable to the bit on the same machine.

What is drawn, augmented and dropped at a step follows from the run's seed and the step's number
alone, so a checkpoint needs weights, averages and the optimiser's state, and no more.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Subset
from torch.utils.tensorboard import SummaryWriter
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score
from tqdm import tqdm

from train.annotations import DataError
from train.checkpoint import load_checkpoint, load_weights, save_checkpoint
from train.dataset import UNLABELLED, Example, Feeds, Labels, WindowDataset, examples
from train.draws import Drawn, Draws, balanced, class_shares, motion_windows, training_windows
from train.models.heads import build_net
from train.recipes import Recipe
from train.run_folder import result_of, write_json
from train.stages import (
    BRANCHES,
    StageConfig,
    StageNet,
    loss_of,
    parameter_groups,
)
from train.store import Store

VALIDATION_WINDOWS = 3000
"""At most; more say no more about when to stop."""


@dataclass(frozen=True)
class Sources:
    """What a run learns from."""

    stores: tuple[Store, ...]
    avatars: Path | None
    """For the pose stage: motion without pictures; None for none of it."""
    people: tuple[str, ...]
    motion_share: float
    """Of the pose stage's windows."""
    hop_s: float
    init: Mapping[str, Path]
    """Stage -> checkpoint to begin with."""


@dataclass(eq=False)
class _State:
    """All that changes while a stage is trained."""

    net: Any
    ema: AveragedModel
    optimizer: Any
    step: int = 0
    best: float = -math.inf
    worse: int = 0

    def content(self) -> dict[str, Any]:
        return {
            "net": self.net.state_dict(), "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(), "step": self.step, "best": self.best,
            "worse": self.worse,
        }  # fmt: skip


def fit_stage(
    fabric: Fabric,
    recipe: Recipe,
    stage: str,
    config: StageConfig,
    sources: Sources,
    run: Path,
    *,
    seed: int,
    workers: int,
) -> dict[str, Any]:
    """Train one stage, or go on where it stopped; a finished one is left alone.

    Args:
        fabric: launched; brings devices, precision and the other processes.
        recipe: what is trained.
        stage: its name; weights of the stages before it are taken from `run`.
        config: how.
        sources: data and initial weights.
        run: the run's folder.
        seed: of everything.
        workers: processes that make windows.

    Returns:
        What `result.json` says: step and validation metrics of the best evaluation.

    Raises:
        DataError: no data, or the disk is full.
        CheckpointError: initial weights do not fit.
    """
    folder = run / stage
    if (result := result_of(run, stage)) is not None:
        return result
    folder.mkdir(parents=True, exist_ok=True)
    draws, priors = _training_data(recipe, stage, config, sources, seed)
    held_out = _validation_data(recipe, sources)
    state = _begin(fabric, recipe, stage, config, sources, run, seed)
    _resume(fabric, state, folder)
    steps = range(state.step, config.steps)
    sampler = Draws(
        draws.weights, config.batch, steps, seed, (fabric.global_rank, fabric.world_size)
    )
    loader = DataLoader(draws.dataset, batch_sampler=sampler, num_workers=workers)
    writer = SummaryWriter(str(folder)) if fabric.is_global_zero else None
    metrics: dict[str, float] = {}
    bar = tqdm(
        zip(steps, loader, strict=True), desc=stage, initial=state.step, total=config.steps,
        unit="step", mininterval=1.0, disable=not fabric.is_global_zero,
    )  # fmt: skip
    for step, batch in bar:
        loss = _learn(fabric, state, batch, config, priors, step, seed)
        if step % 20 == 0:
            bar.set_postfix_str(f"loss {loss:.3f}, best {max(state.best, 0):.3f}", refresh=False)
            if writer:
                writer.add_scalar("loss", loss, step)
        if (step + 1) % config.eval_every == 0 or step + 1 == config.steps:
            metrics = evaluate_windows(fabric, state.ema.module, held_out, config.batch)
            _keep(fabric, state, recipe, folder, metrics, writer)
            if state.worse >= config.patience:
                break
    result = {"steps": state.step, "best": state.best, "last": metrics}
    if fabric.is_global_zero:
        write_json(folder / "result.json", result)
    if writer:
        writer.close()
    fabric.barrier()
    return result


def _learn(
    fabric: Fabric,
    state: _State,
    batch: tuple[Feeds, Labels],
    config: StageConfig,
    priors: Mapping[str, Tensor],
    step: int,
    seed: int,
) -> float:
    """One step of the optimiser; its dropout follows from seed and step."""
    torch.manual_seed(seed * 1_000_003 + step)
    feeds, labels = fabric.to_device(batch)
    rate = schedule(step, config)
    for group in state.optimizer.param_groups:
        group["lr"] = group["peak"] * rate
    loss = loss_of(state.net(feeds), labels, config, priors)
    state.optimizer.zero_grad(set_to_none=True)
    fabric.backward(loss)
    fabric.clip_gradients(state.net, state.optimizer, max_norm=config.clip)
    state.optimizer.step()
    state.ema.update_parameters(state.net)
    state.step = step + 1
    return float(loss.detach())


def schedule(step: int, config: StageConfig) -> float:
    """Share of the peak rate at a step: linear warm-up, then a cosine to one percent."""
    warmup = max(1, round(config.warmup * config.steps))
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, config.steps - warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True, eq=False)
class _TrainingData:
    dataset: Drawn
    weights: np.ndarray


def _training_data(
    recipe: Recipe, stage: str, config: StageConfig, sources: Sources, seed: int
) -> tuple[_TrainingData, dict[str, Tensor]]:
    """Windows with their weights, and the log share of each class among what is drawn."""
    chosen, windows = (
        training_windows(sources.stores, recipe, sources.hop_s, seed)
        if sources.stores
        else ([], [])
    )
    motion = None
    if stage == "pose":
        motion = motion_windows(sources.avatars, sources.people, recipe, seed)
    if not chosen and motion is None:
        raise DataError("fit needs --data, or --motion for the pose stage")
    main = recipe.outputs[0].task if stage != "face" else "emotion"
    weights = balanced(chosen, main, config.balance) if chosen else np.zeros(0)
    if motion is not None:
        share = sources.motion_share if chosen else 1.0
        weights = np.append(weights * (1 - share), share)
    priors = {}
    for output in recipe.outputs:
        count = len(output.class_names)
        shares = (
            class_shares(chosen, output.task, count, weights)
            if chosen
            else np.full(count, 1 / count)
        )
        priors[output.task] = torch.tensor(np.log(shares), dtype=torch.float32)
    return _TrainingData(Drawn(windows, motion), weights), priors


def _validation_data(recipe: Recipe, sources: Sources) -> list[Subset[tuple[Feeds, Labels]]]:
    """A spread of validation windows of each store that has any."""
    out: list[Subset[tuple[Feeds, Labels]]] = []
    for store in sources.stores:
        if not store.videos("val"):
            continue
        chosen: list[Example] = examples(store, "val", recipe, sources.hop_s)
        step = max(1, math.ceil(len(chosen) / VALIDATION_WINDOWS))
        dataset = WindowDataset(store, chosen, recipe)
        out.append(Subset(dataset, range(0, len(chosen), step)))
    return out


def _begin(
    fabric: Fabric,
    recipe: Recipe,
    stage: str,
    config: StageConfig,
    sources: Sources,
    run: Path,
    seed: int,
) -> _State:
    """A fresh network, with what earlier stages have learnt."""
    torch.manual_seed(seed)
    net = build_net(recipe.net)
    for before, prefix in BRANCHES.items():
        path = run / before / "best.pt"
        if stage == "fusion" and path.exists():
            _take(net, load_checkpoint(path, recipe), prefix)
    if stage in sources.init:
        path = sources.init[stage]
        load_weights(net, load_checkpoint(path, recipe), str(path))
    whole = StageNet(net, stage)
    groups = parameter_groups(whole, stage, config)
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98))
    for group in optimizer.param_groups:
        group["peak"] = group["lr"]
    wrapped, fast = fabric.setup(whole, optimizer)
    ema = AveragedModel(
        fabric.to_device(StageNet(build_net(recipe.net), stage)),
        multi_avg_fn=get_ema_multi_avg_fn(config.ema),
        use_buffers=True,
    )
    ema.module.load_state_dict(wrapped.state_dict())
    return _State(wrapped, ema, fast)


def _take(net: torch.nn.Module, weights: Mapping[str, Tensor], prefix: str) -> None:
    own = net.state_dict()
    own.update({name: value for name, value in weights.items() if name.startswith(prefix)})
    net.load_state_dict(own)


def _resume(fabric: Fabric, state: _State, folder: Path) -> None:
    path = folder / "last.ckpt"
    if not path.exists():
        return
    content = torch.load(path, map_location=fabric.device, weights_only=True)
    state.net.load_state_dict(content["net"])
    state.ema.load_state_dict(content["ema"])
    state.optimizer.load_state_dict(content["optimizer"])
    state.step, state.best, state.worse = content["step"], content["best"], content["worse"]


def _keep(
    fabric: Fabric,
    state: _State,
    recipe: Recipe,
    folder: Path,
    metrics: Mapping[str, float],
    writer: SummaryWriter | None,
) -> None:
    """Write where the stage stands; the best weights so far on their own."""
    score = metrics.get("score", float(state.step))  # without validation data, the last is best
    is_best = score > state.best
    state.best, state.worse = (score, 0) if is_best else (state.best, state.worse + 1)
    if not fabric.is_global_zero:
        return
    if writer:
        for name, value in metrics.items():
            writer.add_scalar(name, value, state.step)
    try:
        partial = folder / "last.partial"
        torch.save(state.content(), partial)
        partial.replace(folder / "last.ckpt")
        if is_best:
            average = state.ema.module
            assert isinstance(average, StageNet)
            weights = {k: v.cpu() for k, v in average.net.state_dict().items()}
            partial = folder / "best.partial"
            save_checkpoint(partial, recipe, weights)
            partial.replace(folder / "best.pt")
            write_json(folder / "metrics.json", {"step": state.step, **metrics})
    except (OSError, RuntimeError) as error:  # torch says a full disk in its own words
        reason = str(error).splitlines()[0][:120]
        raise DataError(
            f"{folder}: cannot be written ({reason}); make room and run the command again, it goes "
            "on from the last checkpoint"
        ) from None


def evaluate_windows(
    fabric: Fabric,
    net: torch.nn.Module,
    held_out: list[Subset[tuple[Feeds, Labels]]],
    batch: int,
) -> dict[str, float]:
    """Metrics of single windows; `score`, which early stopping goes by, is their mean.

    Every process computes all of it: they agree without talking.
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
            out |= _window_metrics(task, all_logits[known], all_labels[known])
    goals = [value for name, value in out.items() if name.endswith(("macro_f1", "balanced"))]
    return {**out, "score": float(np.mean(goals))} if goals else {}


def _window_metrics(task: str, logits: Tensor, labels: Tensor) -> dict[str, float]:
    count = logits.shape[1]
    top1 = multiclass_accuracy(logits, labels, count, average="micro")
    mean = (multiclass_accuracy if count == 2 else multiclass_f1_score)(
        logits, labels, count, average="macro"
    )
    name = "balanced" if count == 2 else "macro_f1"
    return {f"{task}/top1": float(top1), f"{task}/{name}": float(mean)}


def _batches(
    fabric: Fabric, held_out: list[Subset[tuple[Feeds, Labels]]], batch: int
) -> Iterator[tuple[Feeds, Labels]]:
    for subset in held_out:
        for feeds, labels in DataLoader(subset, batch_size=2 * batch):
            yield fabric.to_device((feeds, labels))

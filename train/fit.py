"""Fit: stages of training, each resumable to the bit on the same machine.

What is drawn, augmented and dropped at a step follows from the run's seed and the step's number
alone, so a checkpoint needs weights, averages and the optimiser's state, and no more.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from realtime.interrupt import ended_by_signals
from train.dataset import Feeds, Labels
from train.draws import Draws
from train.fit_state import FitState, begin
from train.recipes import Recipe
from train.run_folder import result_of, write_json
from train.stages import StageConfig, loss_of
from train.training_data import Sources, training_data, validation_data
from train.window_metrics import evaluate_windows


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
        KeyboardInterrupt: Ctrl-C or SIGTERM came; where the stage stands is written down.
    """
    folder = run / stage
    if (result := result_of(run, stage)) is not None:
        return result
    folder.mkdir(parents=True, exist_ok=True)
    data = training_data(recipe, stage, config, sources, seed)
    held_out = validation_data(recipe, stage, sources)
    state = begin(fabric, recipe, stage, config, run, sources.init, seed)
    state.resume(folder, fabric.device)
    steps = range(state.step, config.steps)
    part = (fabric.global_rank, fabric.world_size)
    sampler = Draws(data.weights, config.batch, steps, seed, part)
    loader = DataLoader(data.windows, batch_sampler=sampler, num_workers=workers)
    curves = _Curves(folder, config, fabric)
    metrics: dict[str, float] = {}
    with ended_by_signals() as is_ended, curves:
        for step, batch in curves.watch(steps, loader, stage):
            loss = _learn(fabric, state, batch, config, data.log_priors, step, seed)
            curves.loss(step, loss, state.best)
            if (step + 1) % config.eval_every == 0 or step + 1 == config.steps:
                metrics = evaluate_windows(fabric, state.ema.module, held_out, config.batch)
                _keep(fabric, state, recipe, folder, metrics)
                curves.metrics(step, metrics)
                if state.worse >= config.patience:
                    break
            if is_ended.is_set():
                _interrupt(fabric, state, folder)
    result = {"steps": state.step, "best": state.best, "last": metrics}
    if fabric.is_global_zero:
        write_json(folder / "result.json", result)
    fabric.barrier()
    return result


def _learn(
    fabric: Fabric,
    state: FitState,
    batch: tuple[Feeds, Labels],
    config: StageConfig,
    log_priors: Mapping[str, Tensor],
    step: int,
    seed: int,
) -> float:
    """One step of the optimiser; its dropout follows from seed and step."""
    torch.manual_seed(seed * 1_000_003 + step)
    feeds, labels = fabric.to_device(batch)
    rate = schedule(step, config)
    for group in state.optimizer.param_groups:
        group["lr"] = group["peak"] * rate
    loss = loss_of(state.net(feeds), labels, config, log_priors)
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


def _keep(
    fabric: Fabric, state: FitState, recipe: Recipe, folder: Path, metrics: Mapping[str, float]
) -> None:
    """Write where the stage stands, and the best weights so far on their own."""
    is_best = state.judge(metrics)
    if not fabric.is_global_zero:
        return
    state.save(folder)
    if is_best:
        state.save_best(folder, recipe, metrics)


def _interrupt(fabric: Fabric, state: FitState, folder: Path) -> None:
    if fabric.is_global_zero:
        state.save(folder)
    raise KeyboardInterrupt


class _Curves:
    """Progress for people: a bar on the terminal, curves for TensorBoard, from one process."""

    def __init__(self, folder: Path, config: StageConfig, fabric: Fabric) -> None:
        self._steps, self._is_shown = config.steps, fabric.is_global_zero
        self._writer = SummaryWriter(str(folder)) if self._is_shown else None
        self._bar: Any = None

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        if self._writer:
            self._writer.close()

    def watch(self, steps: range, loader: Any, stage: str) -> Any:
        """(step, batch) with a progress bar."""
        self._bar = tqdm(
            zip(steps, loader, strict=True), desc=stage, initial=steps.start, total=self._steps,
            unit="step", mininterval=1.0, disable=not self._is_shown,
        )  # fmt: skip
        return self._bar

    def loss(self, step: int, loss: float, best: float) -> None:
        """Show the loss of a step."""
        if step % 20 == 0:
            self._bar.set_postfix_str(f"loss {loss:.3f}, best {max(best, 0):.3f}", refresh=False)
            if self._writer:
                self._writer.add_scalar("loss", loss, step)

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show an evaluation."""
        for name, value in metrics.items():
            if self._writer:
                self._writer.add_scalar(name, value, step + 1)

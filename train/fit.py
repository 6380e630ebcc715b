"""Fit: stages of training, each resumable to the bit on the same machine.

What is drawn, augmented and dropped at a step follows from the run's seed and the step's number
alone, so a checkpoint needs weights, averages and the optimiser's state, and no more.
"""

import math
import signal
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import cv2
import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader

from realtime.interrupt import ended_by_signals
from train.annotations import DataError
from train.curves import Curves
from train.dataset import Feeds, Labels
from train.draws import Draws
from train.fit_state import FitState, begin
from train.initial_weights import Initial, initial_net
from train.losses import loss_of
from train.recipes import Recipe
from train.run_folder import result_of, write_json
from train.stages import StageConfig
from train.training_data import Sources, TrainingData, training_data, validation_data
from train.window_metrics import evaluate_windows


def fit_stage(
    fabric: Fabric,
    recipe: Recipe,
    stage: str,
    config: StageConfig,
    sources: Sources,
    *,
    run: Path,
    initial: Initial,
    seed: int,
    workers: int,
) -> dict[str, Any]:
    """Train one stage, or go on where it stopped; a finished one is left alone.

    Args:
        fabric: launched; brings devices, precision and the other processes.
        recipe: what is trained.
        stage: its name; fusion takes the weights of the stages before it from `run`.
        config: how.
        sources: data.
        run: the run's folder.
        initial: weights to begin with.
        seed: of everything.
        workers: processes that make windows.

    Returns:
        What `result.json` says: steps, best score (None if nothing was judged), last metrics.

    Raises:
        DataError: no data, or the disk is full.
        CheckpointError: initial weights do not fit.
        KeyboardInterrupt: Ctrl-C or SIGTERM came; where the stage stands is written down.
    """
    folder = run / stage
    if (result := result_of(run, stage)) is not None:
        return result
    data = training_data(recipe, stage, config, sources, seed)
    held_out = validation_data(recipe, stage, sources)
    state = begin(fabric, recipe, stage, config, initial_net(recipe, stage, run, initial, seed))
    state.resume(folder, fabric)
    steps = state.steps_left(config)
    curves = Curves(folder, stage, steps, is_shown=fabric.is_global_zero)
    drawn = closing(_batches(fabric, data, config, steps, seed, workers))
    with ended_by_signals() as is_ended, curves, drawn as batches:
        for step, batch in batches:
            loss = _learn(fabric, state, batch, config, step, seed)
            curves.loss(step, loss)
            if (step + 1) % config.eval_every == 0 or step + 1 == config.steps:
                metrics = evaluate_windows(fabric, state.ema.module, held_out, config.batch)
                _keep(fabric, state, recipe, folder, metrics)
                curves.metrics(step + 1, metrics)
                if state.worse >= config.patience:
                    break
            if _is_ended_anywhere(fabric, is_ended):
                _interrupt(fabric, state, folder)
    result = {"steps": state.step, "best": state.best_score, "last": state.last}
    if fabric.is_global_zero:
        write_json(folder / "result.json", result)
    fabric.barrier()
    return result


def _batches(
    fabric: Fabric, data: TrainingData, config: StageConfig, steps: range, seed: int, workers: int
) -> Generator[tuple[int, tuple[Feeds, Labels]], None, None]:
    """(step, this process's part of what is drawn there)."""
    part = (fabric.global_rank, fabric.world_size)
    sampler = Draws(data.weights, config.batch, steps, seed, part)
    loader = DataLoader(
        data.windows, batch_sampler=sampler, num_workers=workers, worker_init_fn=_begin_worker
    )
    batches = iter(loader)
    try:
        yield from zip(steps, batches, strict=True)
    except DataError as error:  # a worker's comes with its stack in the message
        raise DataError(str(error).strip().splitlines()[-1].removeprefix(_WORKER_ERROR)) from None
    finally:
        # A traceback may keep the iterator; its workers, deaf to SIGTERM, would be waited for when
        # the process ends, for ever.
        if workers:
            batches._shutdown_workers()  # type: ignore[attr-defined]  # there is no public way


_WORKER_ERROR = f"{DataError.__module__}.{DataError.__qualname__}: "


def _begin_worker(_: int) -> None:
    """Ctrl-C and `timeout` reach the whole group: the main process ends at a step, then they do.

    They end after their batch when it closes their queues (see `_batches`) or is gone, so torch's
    own SIGTERM, to one that works for more than 5 s then, is not needed.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(0)  # threads of the parent that has been forked are not there


def _learn(
    fabric: Fabric,
    state: FitState,
    batch: tuple[Feeds, Labels],
    config: StageConfig,
    step: int,
    seed: int,
) -> float:
    """One step of the optimiser; its dropout follows from seed, step and process."""
    torch.manual_seed(seed * 1_000_003 + step + (fabric.global_rank << 40))
    feeds, labels = fabric.to_device(batch)
    rate = schedule(step, config)
    for group in state.optimizer.param_groups:
        group["lr"] = group["peak"] * rate
    loss = loss_of(state.net(feeds), labels, config)
    state.optimizer.zero_grad(set_to_none=True)
    fabric.backward(loss)
    norm = fabric.clip_gradients(
        state.net, state.optimizer, max_norm=config.clip, error_if_nonfinite=False
    )
    value = float(loss.detach())
    # With fp16, gradients overflow now and then; its scaler leaves those steps out.
    is_scaled = getattr(fabric.strategy.precision, "scaler", None) is not None
    if not math.isfinite(value + (0.0 if is_scaled or norm is None else float(norm))):
        raise DataError(
            f"the loss or its gradient is not finite at step {step}; begin a new run with a lower "
            "lr or another precision"
        )
    state.optimizer.step()
    state.ema.update_parameters(state.net)
    state.step = step + 1
    return value


def schedule(step: int, config: StageConfig) -> float:
    """Share of the peak rate at a step: linear warm-up, then a cosine to one percent."""
    warmup = max(1, round(config.warmup * config.steps))
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, config.steps - warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))


def _keep(
    fabric: Fabric, state: FitState, recipe: Recipe, folder: Path, metrics: dict[str, float]
) -> None:
    """Write the best weights so far, then where the stage stands: what breaks off is done again."""
    is_best = state.judge(metrics)
    if not fabric.is_global_zero:
        return
    if is_best:
        state.save_best(folder, recipe)
    state.save(folder, fabric)


def _is_ended_anywhere(fabric: Fabric, is_ended: Event) -> bool:
    """Whether a signal has come to any of the processes: they have to end at the same step."""
    if fabric.world_size == 1:
        return is_ended.is_set()
    flag = torch.tensor(float(is_ended.is_set()), device=fabric.device)
    return bool(fabric.all_reduce(flag, reduce_op="sum") > 0)


def _interrupt(fabric: Fabric, state: FitState, folder: Path) -> None:
    if fabric.is_global_zero:
        state.save(folder, fabric)
    fabric.barrier()  # torchrun kills all processes as soon as one has left
    raise KeyboardInterrupt

"""What changes while a stage is trained: made, written down, and taken up again."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from train.annotations import DataError
from train.checkpoint import save_checkpoint
from train.models.heads import Net
from train.out_paths import write_whole
from train.recipes import Recipe
from train.run_folder import cannot_be_written, write_json
from train.stages import StageConfig, StageNet, parameter_groups


@dataclass(eq=False)
class FitState:
    """Network, its average over steps, optimiser, and where the stage stands."""

    net: Any
    ema: AveragedModel
    optimizer: Any
    step: int = 0
    best: float = -math.inf
    worse: int = 0
    """Evaluations since the best one."""
    last: dict[str, float] = field(default_factory=dict)
    """Metrics of the last evaluation."""

    def steps_left(self, config: StageConfig) -> range:
        """Which steps are still to be made: none after an early end."""
        is_over = self.worse >= config.patience
        return range(self.step, self.step if is_over else config.steps)

    @property
    def best_score(self) -> float | None:
        """None where validation could not judge."""
        return self.best if "score" in self.last else None

    def judge(self, metrics: dict[str, float]) -> bool:
        """Whether these metrics are the best so far; without validation data the last ones are."""
        self.last = metrics
        score = metrics.get("score")
        is_best = score is None or score > self.best
        self.best = self.best if score is None else max(score, self.best)
        self.worse = 0 if is_best else self.worse + 1
        return is_best

    def save(self, folder: Path, fabric: Fabric) -> None:
        """Write `last.ckpt`, from which `resume` goes on.

        Raises:
            DataError: the disk is full, or the folder cannot be written to.
        """
        content = {
            "net": self.net.state_dict(), "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "precision": fabric.strategy.precision.state_dict(),  # the scale of fp16's gradients
            "step": self.step, "best": self.best, "worse": self.worse, "last": self.last,
        }  # fmt: skip
        with cannot_be_written(folder):
            write_whole(folder / "last.ckpt", lambda file: torch.save(content, file))

    def save_best(self, folder: Path, recipe: Recipe) -> None:
        """Write the average's weights as `best.pt`, a checkpoint of the recipe.

        Raises:
            DataError: the disk is full, or the folder cannot be written to.
        """
        average = self.ema.module
        assert isinstance(average, StageNet)
        weights = {k: v.cpu() for k, v in average.net.state_dict().items()}
        stage = average.stage
        with cannot_be_written(folder):
            write_whole(
                folder / "best.pt", lambda file: save_checkpoint(file, recipe, weights, stage=stage)
            )
        write_json(folder / "metrics.json", {"step": self.step, **self.last})

    def resume(self, folder: Path, fabric: Fabric) -> None:
        """Take up what `save` has written, if there is anything.

        Raises:
            DataError: the file is broken.
        """
        path = folder / "last.ckpt"
        if not path.exists():
            return
        try:
            content = torch.load(path, map_location=fabric.device, weights_only=True)
            self.net.load_state_dict(content["net"])
            self.ema.load_state_dict(content["ema"])
            self.optimizer.load_state_dict(content["optimizer"])
            fabric.strategy.precision.load_state_dict(content["precision"])
            self.step, self.best = content["step"], content["best"]
            self.worse, self.last = content["worse"], content["last"]
        except Exception as error:  # torch raises half a dozen kinds for a broken file
            raise DataError(
                f"{path}: cannot be read ({type(error).__name__}); remove it to begin the stage "
                "anew"
            ) from None


def begin(fabric: Fabric, recipe: Recipe, stage: str, config: StageConfig, net: Net) -> FitState:
    """The state before the first step.

    Args:
        fabric: launched.
        recipe: of `net`.
        stage: which.
        config: how it is trained.
        net: with the weights that the stage begins with.
    """
    classes = {output.task: len(output.class_names) for output in recipe.outputs}
    whole = StageNet(net, stage, classes)
    groups = parameter_groups(whole, stage, config)
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98))
    for group in optimizer.param_groups:
        group["peak"] = group["lr"]
    average = AveragedModel(whole, multi_avg_fn=_moving_average(config.ema), use_buffers=True)
    wrapped, fast = fabric.setup(whole, optimizer)
    return FitState(wrapped, fabric.to_device(average), fast)


def _moving_average(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]:
    """As `torch.optim.swa_utils.get_ema_multi_avg_fn`, but whole numbers are copied.

    Averaged, SwinFace's table of positions would be cut to smaller numbers by decays as 0.9995.
    """

    @torch.no_grad()
    def update(average: Sequence[Tensor], current: Sequence[Tensor], _: object) -> None:
        if average[0].is_floating_point():
            torch._foreach_lerp_(list(average), list(current), 1 - decay)
            return
        for own, new in zip(average, current, strict=True):
            own.copy_(new)

    return update

"""What changes while a stage is trained: made, written down, and taken up again."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from train.annotations import DataError
from train.checkpoint import load_checkpoint, load_weights, save_checkpoint
from train.models.heads import build_net
from train.recipes import Recipe
from train.run_folder import write_json
from train.stages import BRANCHES, StageConfig, StageNet, parameter_groups


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

    def judge(self, metrics: Mapping[str, float]) -> bool:
        """Whether these metrics are the best so far; without validation data the last ones are."""
        score = metrics.get("score", float(self.step))
        is_best = score > self.best
        self.best, self.worse = (score, 0) if is_best else (self.best, self.worse + 1)
        return is_best

    def _content(self) -> dict[str, Any]:
        return {
            "net": self.net.state_dict(), "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(), "step": self.step, "best": self.best,
            "worse": self.worse,
        }  # fmt: skip

    def save(self, folder: Path) -> None:
        """Write `last.ckpt`, from which `resume` goes on.

        Raises:
            DataError: the disk is full, or the folder cannot be written to.
        """
        _write(folder / "last.ckpt", lambda path: torch.save(self._content(), path))

    def save_best(self, folder: Path, recipe: Recipe, metrics: Mapping[str, float]) -> None:
        """Write the average's weights as `best.pt`, a checkpoint of the recipe.

        Raises:
            DataError: the disk is full, or the folder cannot be written to.
        """
        average = self.ema.module
        assert isinstance(average, StageNet)
        weights = {k: v.cpu() for k, v in average.net.state_dict().items()}
        _write(folder / "best.pt", lambda path: save_checkpoint(path, recipe, weights))
        write_json(folder / "metrics.json", {"step": self.step, **metrics})

    def resume(self, folder: Path, device: torch.device) -> None:
        """Take up what `save` has written, if there is anything.

        Raises:
            DataError: the file is broken.
        """
        path = folder / "last.ckpt"
        if not path.exists():
            return
        try:
            content = torch.load(path, map_location=device, weights_only=True)
            self.net.load_state_dict(content["net"])
            self.ema.load_state_dict(content["ema"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.step, self.best, self.worse = content["step"], content["best"], content["worse"]
        except Exception as error:  # torch raises half a dozen kinds for a broken file
            raise DataError(
                f"{path}: cannot be read ({type(error).__name__}); remove it to begin anew"
            ) from None


def begin(
    fabric: Fabric, recipe: Recipe, stage: str, config: StageConfig, run: Path,
    init: Mapping[str, Path], seed: int,
) -> FitState:  # fmt: skip
    """A fresh network, with what earlier stages of the run, or `init`, have learnt.

    Raises:
        CheckpointError: initial weights do not fit.
    """
    torch.manual_seed(seed)
    net = build_net(recipe.net)
    for before, prefix in BRANCHES.items():
        path = run / before / "best.pt"
        if stage == "fusion" and path.exists():
            _take(net, load_checkpoint(path, recipe), prefix)
    if stage in init:
        load_weights(net, load_checkpoint(init[stage], recipe), str(init[stage]))
    classes = {output.task: len(output.class_names) for output in recipe.outputs}
    whole = StageNet(net, stage, classes)
    groups = parameter_groups(whole, stage, config)
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98))
    for group in optimizer.param_groups:
        group["peak"] = group["lr"]
    wrapped, fast = fabric.setup(whole, optimizer)
    ema = AveragedModel(
        fabric.to_device(StageNet(build_net(recipe.net), stage, classes)),
        multi_avg_fn=get_ema_multi_avg_fn(config.ema),
        use_buffers=True,
    )
    ema.module.load_state_dict(wrapped.state_dict())
    return FitState(wrapped, ema, fast)


def _take(net: torch.nn.Module, weights: Mapping[str, Tensor], prefix: str) -> None:
    own = net.state_dict()
    own.update({name: value for name, value in weights.items() if name.startswith(prefix)})
    net.load_state_dict(own)


def _write(path: Path, save: Any) -> None:
    """The whole file or none."""
    partial = path.with_suffix(".partial")
    try:
        save(partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # torch says a full disk in its own words
        partial.unlink(missing_ok=True)
        reason = str(error).splitlines()[0][:120]
        raise DataError(
            f"{path.parent}: cannot be written ({reason}); make room and run the command again, it "
            "goes on from the last checkpoint"
        ) from None

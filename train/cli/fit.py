"""`python -m train fit`: train a recipe on prepared data, stage by stage."""

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from engines.errors import TellsError
from train.cli import Subparsers
from train.cli.needs import RECIPE_NAMES, require

_STAGES = ("pose", "rgb", "face", "fusion")
_TRAIN_PEOPLE = ("f001", "f003", "f005", "m002")


def add(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser("fit", help="train a recipe on prepared data")
    parser.add_argument("--recipe", default="demo", choices=RECIPE_NAMES, help="default: demo")
    parser.add_argument(
        "--data", nargs="*", default=[], type=Path, metavar="DIR", help="prepared stores"
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="the run; an unfinished one goes on"
    )
    parser.add_argument(
        "--stages", nargs="+", choices=_STAGES, default=None, metavar="STAGE",
        help="of pose, rgb, face, fusion; default: all that the recipe has",
    )  # fmt: skip
    parser.add_argument(
        "--motion", type=Path, metavar="AVATARS", help="pose stage: learn from motion alone, too"
    )
    parser.add_argument(
        "--people", nargs="+", default=_TRAIN_PEOPLE, metavar="NAME", help="who moves there"
    )
    parser.add_argument("--motion-share", type=float, default=0.6, help="default: 0.6")
    parser.add_argument("--hop-s", type=float, default=0.25, help="between windows; default: 0.25")
    parser.add_argument(
        "--init", nargs="*", default=[], metavar="STAGE=FILE",
        help="a checkpoint to begin a stage with",
    )  # fmt: skip
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="STAGE.KEY=VALUE",
        help="change a stage, as pose.steps=2000 or fusion.lr=3e-4",
    )  # fmt: skip
    parser.add_argument(
        "--precision", default="32-true", choices=("32-true", "bf16-mixed", "16-mixed")
    )
    parser.add_argument("--accelerator", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--devices", type=int, default=1, help="default: 1")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument(
        "--workers", type=int, default=max(1, (os.cpu_count() or 2) // 2), help="that make windows"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Train, with a progress bar; an interrupted run goes on with the same command."""
    require("fit", ("torch", "lightning_fabric", "torchmetrics", "tensorboard"))
    from lightning_fabric import Fabric

    from train.fit import fit_stage
    from train.recipes import RECIPES
    from train.run_folder import claim
    from train.stages import default_stage, stages_of
    from train.store import open_store
    from train.training_data import Sources

    recipe = RECIPES[arguments.recipe]()
    stages = tuple(arguments.stages or stages_of(recipe))
    if foreign := [stage for stage in stages if stage not in stages_of(recipe)]:
        raise TellsError(f"--stages: the recipe {recipe.name} has no stage {', '.join(foreign)}")
    configs = {stage: default_stage(recipe, stage) for stage in stages}
    for change in arguments.set:
        stage, key, value = _change(change)
        if stage not in configs:
            raise TellsError(f"--set: expected one of the stages {', '.join(stages)}, got {stage}")
        try:
            kind = type(getattr(configs[stage], key))
            configs[stage] = replace(configs[stage], **{key: kind(value)})
        except (AttributeError, TypeError, ValueError):
            raise TellsError(f"--set: cannot set {key} of {stage} to {value!r}") from None
    init = dict(_pair(text) for text in arguments.init)
    sources = Sources(
        stores=tuple(open_store(folder) for folder in arguments.data),
        avatars=arguments.motion,
        people=tuple(arguments.people),
        motion_share=arguments.motion_share,
        hop_s=arguments.hop_s,
        init=init,
    )
    options: dict[str, Any] = {
        "data": [str(folder) for folder in arguments.data],
        "motion": str(arguments.motion) if arguments.motion else None,
        "people": list(arguments.people),
        "motion_share": arguments.motion_share,
        "hop_s": arguments.hop_s,
        "init": {stage: str(path) for stage, path in init.items()},
        "precision": arguments.precision,
        "seed": arguments.seed,
    }
    fabric = Fabric(
        accelerator=arguments.accelerator, devices=arguments.devices, precision=arguments.precision,
        strategy="ddp_find_unused_parameters_true" if arguments.devices > 1 else "auto",
    )  # fmt: skip
    fabric.launch()
    if fabric.is_global_zero:
        claim(arguments.out, recipe, configs, options)
    fabric.barrier()
    for stage in stages:
        result = fit_stage(
            fabric, recipe, stage, configs[stage], sources, arguments.out,
            seed=arguments.seed, workers=arguments.workers,
        )  # fmt: skip
        if fabric.is_global_zero:
            metrics = ", ".join(f"{k} {v:.3f}" for k, v in result["last"].items())
            print(f"{stage}: {result['steps']} steps, best {result['best']:.3f}; last: {metrics}")


def _pair(text: str) -> tuple[str, Path]:
    stage, sign, path = text.partition("=")
    if not sign or stage not in _STAGES:
        raise TellsError(f"--init: expected STAGE=FILE with one of {', '.join(_STAGES)}: {text!r}")
    return stage, Path(path)


def _change(text: str) -> tuple[str, str, str]:
    name, sign, value = text.partition("=")
    stage, dot, key = name.partition(".")
    if not (sign and dot):
        raise TellsError(f"--set: expected STAGE.KEY=VALUE, got {text!r}")
    return stage, key, value

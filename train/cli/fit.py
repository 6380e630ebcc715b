"""`python -m train fit`: train a recipe on prepared data, stage by stage."""

import argparse
import itertools
import logging
import math
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.errors import TellsError
from train.avatar_names import made_people, person
from train.cli import Subparsers
from train.cli.bounds import check_number, check_seed
from train.cli.needs import require
from train.cli.recipe import add_recipe
from train.cli.stage_settings import stage_settings

if TYPE_CHECKING:
    from train.store import Store
    from train.training_data import Sources

logger = logging.getLogger(__name__)
_WITHOUT_BF16 = ("DEFAULT", "AVX2")
"""Processors, by what torch calls them, that do without its instructions."""
_STAGES = ("pose", "rgb", "face", "hand", "fusion")
_PUBLIC = ("mvit", "agcn_joint", "agcn_bone", "swinface")
_TRAIN_PEOPLE = ("f001", "f003", "f005", "m002")
_EPILOG = """
An interrupted run goes on with the same command, to the bit. Several GPUs of one machine:

    torchrun --nproc-per-node 2 -m train fit --devices 2 --out DIR ...

and of several machines with torchrun's --nnodes and --rdzv-endpoint; --devices counts those of one
machine. The batch of a stage (--set STAGE.batch=N) is shared out among all of them. The same keeps
cores busier where there is no GPU: for two of them OMP_NUM_THREADS=1, two processes as above,
--accelerator cpu --workers 1.
"""


def add(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "fit", help="train a recipe on prepared data", epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_recipe(parser)
    parser.add_argument(
        "--data", nargs="*", action="extend", default=[], type=Path, metavar="DIR",
        help="prepared stores",
    )  # fmt: skip
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="the run; an unfinished one goes on"
    )
    parser.add_argument(
        "--stages", nargs="+", action="extend", choices=_STAGES, default=None, metavar="STAGE",
        help="of pose, rgb, face, hand, fusion; default: all that the recipe has",
    )  # fmt: skip
    _add_data(parser)
    parser.add_argument(
        "--init", nargs="*", action="extend", default=[], metavar="STAGE=FILE",
        help="a checkpoint of the same recipe (which may look at faces and hands at other "
        "instants), or a bundle with one, to begin a stage with",
    )  # fmt: skip
    parser.add_argument(
        "--public", nargs="*", action="extend", default=[], metavar="MODEL=FILE",
        help=f"public checkpoints to begin with: {', '.join(_PUBLIC)}; see `train download`",
    )  # fmt: skip
    parser.add_argument(
        "--set", nargs="*", action="extend", default=[], metavar="STAGE.KEY=VALUE",
        help="change a stage, as pose.steps=2000 or fusion.lr=3e-4",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    _add_devices(parser)
    parser.set_defaults(run=run)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--avatars",
        type=Path,
        metavar="DIR",
        help="learn from windows made on the spot, too",
    )
    parser.add_argument(
        "--people", nargs="+", action="extend", type=person, metavar="NAME",
        help=f"who moves there; default: {' '.join(_TRAIN_PEOPLE)} and all of `train people`",
    )  # fmt: skip
    parser.add_argument("--made-share", type=float, default=0.6, help="of them; default: 0.6")
    parser.add_argument("--hop-s", type=float, default=0.25, help="between windows; default: 0.25")


def _add_devices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precision", default="32-true", choices=("32-true", "bf16-mixed", "16-mixed")
    )
    parser.add_argument("--accelerator", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument(
        "--devices", type=int, help="of this machine; default: 1, or what torchrun has started"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N",
        help="processes a device that make windows; default: half of the cores, shared out",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    """Train, with a progress bar; an interrupted run goes on with the same command."""
    require("fit", ("torch", "lightning_fabric", "sklearn", "tensorboard"))
    from train.checkpoint import checkpoint_file
    from train.fit import fit_stage
    from train.initial_weights import Initial, check_files, check_public
    from train.recipe_file import recipe_named
    from train.run_folder import claim
    from train.stages import check_frozen
    from train.store import open_store
    from train.training_data import Sources, check_sources

    _check_numbers(arguments)
    recipe = recipe_named(arguments.recipe)
    configs = stage_settings(recipe, arguments.stages, arguments.set)
    init = _pairs("--init", "STAGE", arguments.init, tuple(configs))
    initial = Initial(
        init={stage: checkpoint_file(path) for stage, path in init.items()},
        public=_pairs("--public", "MODEL", arguments.public, _PUBLIC),
    )
    check_public(initial, recipe, tuple(configs))
    people = _people(arguments.people, arguments.avatars)
    _check_avatars(arguments.avatars, people)
    sources = Sources(
        stores=tuple(open_store(folder) for folder in arguments.data),
        avatars=arguments.avatars,
        people=people,
        made_share=arguments.made_share,
        hop_s=arguments.hop_s,
    )
    for stage in configs:  # not days later, when it is its turn
        check_sources(recipe, stage, sources)
    check_frozen(recipe, configs)
    options = _options(arguments, people) | initial.describe()
    check_files(initial, recipe)
    fabric = _fabric(arguments)
    for stage, config in configs.items():
        if config.batch % fabric.world_size:
            raise TellsError(
                f"{stage}.batch: expected a multiple of the {fabric.world_size} devices, got "
                f"{config.batch}; change it by --set"
            )
    if fabric.is_global_zero:
        _warn_of_held_out(sources)
        claim(arguments.out, recipe, configs, options)
    fabric.barrier()
    for stage, config in configs.items():
        result = fit_stage(
            fabric, recipe, stage, config, sources, run=arguments.out, initial=initial,
            seed=arguments.seed, workers=_workers(arguments, fabric),
        )  # fmt: skip
        if fabric.is_global_zero:
            shown = [f"{name} {value:.3f}" for name, value in result["last"].items()]
            if "score" in result["last"]:
                shown.append(f"best score {result['best']:.3f}")
            print(f"{stage}: {result['steps']} steps; {', '.join(shown) or 'not validated'}")


def _check_numbers(arguments: argparse.Namespace) -> None:
    for name, value, least in (
        ("--devices", arguments.devices, 1),
        ("--workers", arguments.workers, 0),
    ):
        if value is not None:
            check_number(name, value, least)
    check_seed(arguments.seed)
    check_number("--made-share", arguments.made_share, 0, 1)
    if not (arguments.hop_s > 0 and math.isfinite(arguments.hop_s)):
        raise TellsError(f"--hop-s: expected seconds above 0, got {arguments.hop_s}")


def _people(asked: list[str] | None, folder: Path | None) -> tuple[str, ...]:
    """Who is learnt from: by default those for training, and all that were made for it."""
    if asked:
        return tuple(asked)
    if folder is None or not (made := made_people(folder)):
        return _TRAIN_PEOPLE
    return (*(name for name in _TRAIN_PEOPLE if (folder / f"{name}.glb").is_file()), *made)


def _warn_of_held_out(sources: "Sources") -> None:
    """Whoever is seen in training is no stranger at validation or test.

    Within one store the split is the data set's own, which may have people on both sides.
    """
    made = set(sources.people) if sources.avatars is not None else set()
    kept = {store: _seen_in(store, "val", "test") for store in sources.stores}
    if both := sorted(made & set().union(*kept.values())):
        logger.warning(
            "%s: kept for validation or test, but learnt from in windows made on the spot; "
            "name the others with --people", ", ".join(both),
        )  # fmt: skip
    for store, other in itertools.permutations(sources.stores, 2):
        if both := sorted(kept[store] & _seen_in(other, "train")):
            logger.warning(
                "%s: kept for validation or test in %s, but learnt from in %s; train on one fold "
                "at a time, or prepare one of them with another --hold-out",
                ", ".join(both), store.folder, other.folder,
            )  # fmt: skip


def _seen_in(store: "Store", *splits: str) -> set[str]:
    """The people that the data set names."""
    return {v.subject for split in splits for v in store.videos(split) if v.subject}


def _check_avatars(folder: Path | None, people: tuple[str, ...]) -> None:
    """What is missing is said before anything begins."""
    if folder is None:
        return
    require("fit --avatars", ("pygltflib", "moderngl"))
    from train.synth.avatar import load_avatar

    for name in people:
        load_avatar(folder, name)


def _pairs(option: str, what: str, texts: list[str], known: Collection[str]) -> dict[str, Path]:
    pairs = {}
    for text in texts:
        name, sign, path = text.partition("=")
        if not (sign and path) or name not in known:
            raise TellsError(
                f"{option}: expected {what}=FILE with one of {', '.join(known)}, got {text!r}"
            )
        if name in pairs:
            raise TellsError(f"{option}: expected one file for {name}, got two: give it once")
        pairs[name] = Path(path)
    return pairs


def _options(arguments: argparse.Namespace, people: tuple[str, ...]) -> dict[str, Any]:
    """What a run may not change while it goes on."""
    return {
        "data": [str(folder) for folder in arguments.data],
        "avatars": str(arguments.avatars) if arguments.avatars else None,
        "people": list(people),
        "made_share": arguments.made_share,
        "hop_s": arguments.hop_s,
        "precision": arguments.precision,
        "seed": arguments.seed,
    }


def _workers(arguments: argparse.Namespace, fabric: Any) -> int:
    if arguments.workers is not None:
        return int(arguments.workers)
    return max(1, (os.cpu_count() or 2) // 2 // int(fabric.world_size))


def _fabric(arguments: argparse.Namespace) -> Any:
    """Fabric, launched: in one process, in those that torchrun has started, or in new ones."""
    import torch
    from lightning_fabric import Fabric
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    is_cuda = arguments.accelerator != "cpu" and torch.cuda.is_available()
    if arguments.precision == "16-mixed" and not is_cuda:  # Fabric would take bf16 instead
        raise TellsError("--precision 16-mixed: needs a CUDA GPU; take bf16-mixed or 32-true here")
    capability = torch.backends.cpu.get_cpu_capability()
    if arguments.precision == "bf16-mixed" and not is_cuda and capability in _WITHOUT_BF16:
        logger.warning(
            "--precision bf16-mixed: this processor (%s) has no instructions for it, and a step "
            "took five times as long on such a one; 32-true is faster here",
            capability,
        )
    devices, nodes = arguments.devices or 1, 1
    started = int(os.environ.get("LOCAL_WORLD_SIZE", "0"))  # by torchrun, on this machine
    if started:
        if arguments.devices not in (None, started):
            raise TellsError(
                f"--devices: torchrun has started {started} processes on this machine, got "
                f"{arguments.devices}; let --nproc-per-node and --devices agree"
            )
        devices, nodes = started, int(os.environ["WORLD_SIZE"]) // started
    try:
        fabric = Fabric(
            accelerator=arguments.accelerator, devices=devices, num_nodes=nodes,
            precision=arguments.precision,
            strategy="ddp_find_unused_parameters_true" if devices * nodes > 1 else "auto",
        )  # fmt: skip
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise TellsError(
            f"--accelerator {arguments.accelerator} --devices {devices}: {reason}"
        ) from None
    fabric.launch()
    return fabric

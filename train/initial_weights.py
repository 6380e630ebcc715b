"""What a stage begins with: chance, then checkpoints, then what earlier stages have learnt.

- A branch takes the public weights of its own model.
- Fusion takes the branches as their stages left them in this run; where a branch had no stage, its
  public weights.
- A checkpoint of Tells, given for a stage, stands in place of chance and of public weights.

Our classes and our skeleton are not the publishers': AGCN's input norm and learned graphs start
anew even where they would fit in size, and so do the public classifiers that we do not use.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import torch
from torch import Tensor

from engines.bundle import sha256_of
from train.checkpoint import load_checkpoint, load_weights
from train.models.agcn import AGCN, NTU25_EDGES, AGCNConfig
from train.models.download import CHECKPOINTS, Checkpoint, CheckpointError
from train.models.heads import Net, NetConfig, build_net
from train.models.mvit import MViT, mvit_v2_s
from train.models.pretrained import load_public
from train.models.swinface import SwinFace, swinface_expression
from train.recipes import RECIPES, Recipe
from train.stages import BRANCHES, branch_of, stages_of


def _has_public_mvit(net: NetConfig) -> bool:
    return net.mvit == mvit_v2_s(net.mvit.num_classes)


def _has_public_agcn(net: NetConfig) -> bool:
    if net.micro_gesture is None:
        return False
    own, public = net.micro_gesture.agcn, AGCNConfig(NTU25_EDGES, 25, 60)
    same = ("in_channels", "widths", "strides", "temporal_kernel", "embed_ratio")
    return all(getattr(own, name) == getattr(public, name) for name in same)


def _has_public_swinface(net: NetConfig) -> bool:
    return net.emotion is not None and net.emotion.swinface == swinface_expression()


@dataclass(frozen=True)
class Place:
    """Where a public model's weights go."""

    stage: str
    module: str
    """Of the network."""
    published: tuple[str, ...]
    """Its entries in `CHECKPOINTS`."""
    replace: tuple[str, ...]
    """What starts anew."""
    fits: Callable[[NetConfig], bool]
    """Whether a network has the public model's dimensions."""


_ANEW = ("head", "data_bn", "blocks.*.graph.learned")
PUBLIC = {
    "mvit": Place(
        "rgb", "trunk", ("mvit_v2_s", "mvit_v2_s_pyslowfast"), ("head",), _has_public_mvit
    ),
    "agcn_joint": Place(
        "pose", "micro_gesture.joint_stream", ("agcn_ntu_cv_joint", "agcn_ntu_cs_joint"),
        _ANEW, _has_public_agcn,
    ),
    "agcn_bone": Place(
        "pose", "micro_gesture.bone_stream", ("agcn_ntu_cv_bone", "agcn_ntu_cs_bone"),
        _ANEW, _has_public_agcn,
    ),
    "swinface": Place("face", "emotion.swinface", ("swinface",), (), _has_public_swinface),
}  # fmt: skip
"""By the name that `--public` takes."""


@dataclass(frozen=True)
class Initial:
    """Weights that a run begins with, beside chance."""

    init: Mapping[str, Path] = field(default_factory=dict)
    """Stage -> checkpoint of Tells, of the same recipe."""
    public: Mapping[str, Path] = field(default_factory=dict)
    """Key of `PUBLIC` -> public checkpoint."""

    def describe(self) -> dict[str, dict[str, dict[str, str]]]:
        """For the run's config: which files, and what was in them.

        Raises:
            CheckpointError: a file cannot be read.
        """
        kinds = {"init": self.init, "public": self.public}
        return {
            kind: {name: {"file": str(p), "sha256": _digest(p)} for name, p in files.items()}
            for kind, files in kinds.items()
        }


def check_public(initial: Initial, recipe: Recipe, stages: tuple[str, ...]) -> None:
    """Make sure that the public checkpoints have a place in a recipe, and a stage that learns it.

    Raises:
        CheckpointError: they have not; the message says which recipes take them.
    """
    for name in initial.public:
        stage = PUBLIC[name].stage
        if stage not in stages_of(recipe):
            raise CheckpointError(
                f"--public {name}: the recipe {recipe.name} has no {stage} branch; {_takers(name)}"
            )
        if not {stage, "fusion"} & set(stages):
            raise CheckpointError(
                f"--public {name}: is for the stages {stage} and fusion, this run has "
                f"{', '.join(stages)}; leave it out, or add a stage"
            )


def check_files(initial: Initial, recipe: Recipe) -> None:
    """Make sure, before hours of training, that all files can be read and fit the recipe.

    Raises:
        CheckpointError: one cannot, or does not.
    """
    if not (initial.init or initial.public):
        return
    net = build_net(recipe.net)
    for path in initial.init.values():
        load_weights(net, load_checkpoint(path, recipe, is_to_learn=True), str(path))
    for name, path in initial.public.items():
        _load_public(net, name, path, recipe)


def initial_net(recipe: Recipe, stage: str, run: Path, initial: Initial, seed: int) -> Net:
    """The network with which a stage begins.

    Raises:
        CheckpointError: a file cannot be read, or does not fit the recipe.
    """
    torch.manual_seed(seed)
    net = build_net(recipe.net)
    if stage in initial.init:
        path = initial.init[stage]
        load_weights(net, load_checkpoint(path, recipe, is_to_learn=True), str(path))
    else:
        for name, path in initial.public.items():
            if stage in (PUBLIC[name].stage, "fusion"):
                _load_public(net, name, path, recipe)
    for before in BRANCHES:
        path = run / before / "best.pt"
        if stage == "fusion" and path.exists():
            _take(net, load_checkpoint(path, recipe, is_to_learn=True), before)
    return net


def _load_public(net: Net, name: str, path: Path, recipe: Recipe) -> None:
    place = PUBLIC[name]
    known = _published_as(path)
    if known is not None and known.name not in place.published:
        raise CheckpointError(
            f"--public {name}: {path} is published as {known.name}, expected "
            f"{' or '.join(place.published)}"
        )
    model = net.get_submodule(place.module)
    assert isinstance(model, MViT | AGCN | SwinFace)
    try:
        load_public(model, path, checkpoint=known, replace=place.replace)
    except CheckpointError as error:
        hint = "" if place.fits(recipe.net) else f" ({_takers(name)}, {recipe.name} is smaller)"
        raise CheckpointError(f"--public {name}{hint}: {error}") from None


def _takers(name: str) -> str:
    fitting = [key for key, make in RECIPES.items() if PUBLIC[name].fits(make().net)]
    return f"the recipes {', '.join(fitting)} take it"


def _published_as(path: Path) -> Checkpoint | None:
    for checkpoint in CHECKPOINTS.values():
        if path.name in (checkpoint.by_hand, Path(urlsplit(checkpoint.url).path).name):
            return checkpoint
    return None


def _take(net: Net, weights: Mapping[str, Tensor], branch: str) -> None:
    own = net.state_dict()
    own.update({name: value for name, value in weights.items() if branch_of(name) == branch})
    net.load_state_dict(own)


def _digest(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror or error}); give the path of a checkpoint"
        ) from None

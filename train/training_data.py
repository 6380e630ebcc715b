"""Training data of one stage: which windows it learns from, and which it is judged by."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch.utils.data import Subset

from train.annotations import DataError
from train.dataset import Feeds, Labels, WindowDataset, check_store, examples
from train.draws import Drawn, balanced, made_windows, training_windows
from train.labels import MICRO_GESTURES
from train.recipes import Recipe
from train.stages import StageConfig
from train.store import Store
from train.truth_file import TRUTH_COLUMNS, TRUTH_FILE

VALIDATION_WINDOWS = 3000
"""At most; more say no more about when to stop."""
_CURES = {
    "micro_gesture": "prepare data with annotated gestures",
    "emotion": f"prepare the data anew with results in a {TRUTH_FILE} at their root "
    f"({','.join(TRUTH_COLUMNS)}), take --recipe micro_gesture",
}
HeldOut = list[Subset[tuple[Feeds, Labels]]]


@dataclass(frozen=True)
class Sources:
    """What a run learns from."""

    stores: tuple[Store, ...]
    avatars: Path | None
    """For windows made on the spot; None for none of them."""
    people: tuple[str, ...]
    made_share: float
    """Of the windows, where both are learnt from."""
    hop_s: float


@dataclass(frozen=True, eq=False)
class TrainingData:
    """N windows, and how often each is drawn."""

    windows: Drawn
    weights: np.ndarray
    """float64 [N], in relation to each other."""


def modality_of(stage: str) -> str | None:
    """The one modality that a stage looks at; None for all."""
    return None if stage == "fusion" else stage


def check_sources(recipe: Recipe, stage: str, sources: Sources) -> None:
    """Make sure that there is something to learn from for a stage, and that it fits the recipe.

    Raises:
        DataError: there is nothing, it says nothing about a task, or a store is another recipe's.
    """
    for store in sources.stores:
        check_store(store, recipe)
    gestures = recipe.gestures or MICRO_GESTURES
    if sources.avatars is not None and gestures != MICRO_GESTURES:
        raise DataError(
            f"--avatars: people made on the spot perform the {len(MICRO_GESTURES)} classes of "
            f"iMiGUE, the recipe {recipe.name} has {len(gestures)} others; learn from --data alone"
        )
    if sources.stores and not any(store.videos("train") for store in sources.stores):
        raise DataError("fit: none of the stores has videos of the split 'train'")
    if not sources.stores and (sources.avatars is None or stage == "fusion"):
        # Fusion learns from perception's errors, which are there.
        raise DataError(
            f"fit needs --data for the stage {stage}; branches can do with --avatars alone"
        )
    check_labels(recipe, stage, sources)


def check_labels(recipe: Recipe, stage: str, sources: Sources) -> None:
    """Make sure that the videos say something about all that a stage is to teach.

    What is made on the spot says it all. The maps that classify in the stage rgb are thrown away
    after it: there one task of the recipe's is enough.

    Raises:
        DataError: they do not; the loss would be 0 however long it is trained.
    """
    videos = [video for store in sources.stores for video in store.videos("train")]
    if not videos or (sources.avatars is not None and sources.made_share > 0):
        return
    known = {
        "micro_gesture": any(video.spans for video in videos),
        "emotion": any(video.emotion is not None for video in videos),
    }
    alone = {"pose": ("micro_gesture",), "face": ("emotion",), "hand": ("micro_gesture",)}
    tasks = alone.get(stage, tuple(output.task for output in recipe.outputs))
    unknown = [task for task in tasks if not known[task]]
    if unknown and (stage != "rgb" or len(unknown) == len(tasks)):
        cures = ", ".join(_CURES[task] for task in unknown)
        raise DataError(
            f"the stage {stage} would learn nothing about {' and '.join(unknown)}: no video of the "
            f"split 'train' has it annotated; {cures} or learn from --avatars, too"
        )


def training_data(
    recipe: Recipe, stage: str, config: StageConfig, sources: Sources, seed: int
) -> TrainingData:
    """What a stage learns from.

    Raises:
        DataError: there is nothing, it says nothing about a task, or a store is another recipe's.
        AvatarError: an avatar is missing.
    """
    check_sources(recipe, stage, sources)
    stores = [store for store in sources.stores if store.videos("train")]
    chosen, windows = training_windows(stores, recipe, sources.hop_s, seed, modality_of(stage))
    made = made_windows(stage, sources.avatars, sources.people, recipe, seed)
    main = recipe.outputs[0].task if stage != "face" else "emotion"
    weights = balanced(chosen, main, config.balance) if chosen else np.zeros(0)
    if made is not None:
        share = sources.made_share if chosen else 1.0
        weights = np.append(weights * (1 - share), share)
    return TrainingData(Drawn(windows, made), weights)


def validation_data(recipe: Recipe, stage: str, sources: Sources) -> HeldOut:
    """A spread of validation windows of each store that has any."""
    out: HeldOut = []
    for store in sources.stores:
        if not store.videos("val"):
            continue
        chosen = examples(store, "val", recipe, sources.hop_s)
        step = max(1, math.ceil(len(chosen) / VALIDATION_WINDOWS))
        dataset = WindowDataset(store, chosen, recipe, only=modality_of(stage))
        out.append(Subset(dataset, range(0, len(chosen), step)))
    return out

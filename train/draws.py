"""Which windows are drawn at which step: a function of seed and step, so any run can resume."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset, Dataset, Sampler

from train.augment import Augmentation
from train.dataset import BETWEEN, Example, Feeds, Labels, WindowDataset, examples
from train.labels import UNLABELLED
from train.motion_dataset import MotionDataset
from train.recipes import Recipe
from train.store import Store

if TYPE_CHECKING:
    from train.face_dataset import FaceDataset
    from train.scene_dataset import SceneDataset

Draw = tuple[int, int]
"""(number of the draw, index of the example)."""
Made: TypeAlias = "MotionDataset | FaceDataset | SceneDataset"


class Draws(Sampler[list[Draw]]):
    """Batches of draws from `start` on; on several devices each takes its part."""

    def __init__(
        self,
        weights: NDArray[np.float64],
        batch: int,
        steps: range,
        seed: int,
        part: tuple[int, int],
    ) -> None:
        """Batches of `batch` windows over all devices.

        Args:
            weights: float64 [N], how often each example is drawn, in relation.
            batch: windows a step over all devices.
            steps: which steps.
            seed: of the run.
            part: (rank, number) of the devices.
        """
        self._weights = np.cumsum(weights / weights.sum())
        self._batch, self._steps, self._seed, self._part = batch, steps, seed, part

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[list[Draw]]:
        rank, parts = self._part
        for step in self._steps:
            rng = np.random.default_rng([self._seed, 17, step])
            chosen = np.searchsorted(self._weights, rng.random(self._batch), side="right")
            chosen = np.minimum(chosen, len(self._weights) - 1)
            draws = [(step * self._batch + k, int(index)) for k, index in enumerate(chosen)]
            yield draws[rank::parts]


class Drawn(Dataset[tuple[Feeds, Labels]]):
    """Examples of several stores, and what is made on the spot, by draw."""

    def __init__(self, windows: Sequence[WindowDataset], made: "Made | None") -> None:
        self._windows: ConcatDataset[tuple[Feeds, Labels]] | None = (
            ConcatDataset(windows) if windows else None
        )
        self._count = len(self._windows) if self._windows is not None else 0
        self._made = made

    def __getitem__(self, draw: Draw) -> tuple[Feeds, Labels]:
        number, index = draw
        if index >= self._count:
            assert self._made is not None
            return self._made[number]
        assert self._windows is not None
        k = int(np.searchsorted(self._windows.cumulative_sizes, index, side="right"))
        before = self._windows.cumulative_sizes[k - 1] if k else 0
        dataset = self._windows.datasets[k]
        assert isinstance(dataset, WindowDataset)
        return dataset.drawn(number, index - before)


def balanced(chosen: Sequence[Example], task: str, power: float) -> NDArray[np.float64]:
    """float64 [N]: count^-power of each example's class; their mean where it has none."""
    labels = np.array([e.labels[task] for e in chosen])
    known = labels >= 0
    counts = np.bincount(labels[known]) if known.any() else np.ones(1)
    weights = np.ones(len(labels))
    weights[known] = np.maximum(counts[labels[known]], 1.0) ** -power
    if known.any():
        weights[~known] = weights[known].mean()
    return weights / weights.sum()


def training_windows(
    stores: Sequence[Store], recipe: Recipe, hop_s: float, seed: int, only: str | None
) -> tuple[list[Example], list[WindowDataset]]:
    """All training examples of several stores, augmented, in the order of `Drawn`.

    With `only`, tensors of that modality alone.

    Raises:
        DataError: a store has no training videos, or is another recipe's.
    """
    lists = [_all_told(store, examples(store, "train", recipe, hop_s)) for store in stores]
    datasets = [
        WindowDataset(store, chosen, recipe, how=Augmentation(), seed=seed, only=only)
        for store, chosen in zip(stores, lists, strict=True)
    ]
    return [example for chosen in lists for example in chosen], datasets


def _all_told(store: Store, chosen: list[Example]) -> list[Example]:
    """With what rendered videos do not say: a face that shows no emotion is one in between."""
    if not store.is_rendered:
        return chosen
    between = {"emotion": BETWEEN}
    return [
        replace(e, labels=e.labels | between) if e.labels.get("emotion") == UNLABELLED else e
        for e in chosen
    ]


def made_windows(
    stage: str, avatars: Path | None, names: tuple[str, ...], recipe: Recipe, seed: int
) -> "Made | None":
    """What is made on the spot for the stage of that name; None without avatars.

    Raises:
        AvatarError: an avatar is missing.
        DataError: the measured errors of the pose estimator cannot be read.
    """
    if avatars is None:
        return None
    if stage == "pose":
        return MotionDataset(avatars, names, recipe, seed)
    from train.face_dataset import FaceDataset  # brings OpenGL
    from train.scene_dataset import SceneDataset

    if stage == "face":
        return FaceDataset(avatars, names, recipe, seed)
    only = None if stage == "fusion" else stage
    return SceneDataset(avatars, names, recipe, seed, only=only)

"""Examples: windows of a store with their labels, and the tensors that a net is fed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from engines.errors import WindowError
from engines.manifest import Manifest
from engines.preprocess import preprocess
from train.annotations import DataError
from train.augment import Augmentation, augment, draw_speed
from train.export import ExportOptions, draft_manifest
from train.labels import ILLUSTRATIVE, MICRO_GESTURES
from train.perception import perception_of
from train.recipes import Recipe
from train.store import Store, StoredVideo

UNLABELLED = -100
"""What torch's losses ignore."""
Feeds = dict[str, Tensor]
Labels = dict[str, Tensor]


@dataclass(frozen=True)
class Example:
    """One window."""

    video: str
    end: float
    """Stream seconds."""
    labels: dict[str, int]
    """Task -> class, `UNLABELLED` where nobody knows."""


def manifest_of(recipe: Recipe) -> Manifest:
    """What the runtime would be told: enough to make tensors of windows."""
    return draft_manifest(recipe, ExportOptions(out=Path(), checkpoint=None))


def check_store(store: Store, recipe: Recipe) -> None:
    """Make sure that a store was prepared for a recipe.

    Raises:
        DataError: other perception, or other classes.
    """
    if store.info.perception != perception_of(recipe):
        raise DataError(
            f"{store.folder}: was prepared with other perception than the recipe {recipe.name} "
            "asks for; prepare the data again with this recipe"
        )
    expected = {o.task: o.class_names for o in recipe.outputs}.get("micro_gesture", MICRO_GESTURES)
    if store.class_names != expected:
        raise DataError(
            f"{store.folder}: has the {len(store.class_names)} classes of {store.info.corpus}, "
            f"the recipe {recipe.name} has {len(expected)}"
        )


def examples(store: Store, split: str, recipe: Recipe, hop_s: float) -> list[Example]:
    """Windows every `hop_s` over all videos of a split; a trimmed video also gives its middle one.

    The label of a window is the gesture at its anchor instant (the middle, by the recipe), else
    background; where gestures overlap, the shortest.

    Raises:
        DataError: the split is empty, or the store is another recipe's.
    """
    check_store(store, recipe)
    out = []
    for video in store.videos(split):
        for end in window_ends(video, recipe, hop_s, is_trimmed=store.info.is_trimmed):
            out.append(Example(video.id, end, labels_at(video, end, recipe, store)))
    if not out:
        known = Counter(v.split for v in store.videos())
        raise DataError(
            f"{store.folder}: has no videos of the split {split!r}; it has "
            + ", ".join(f"{count} of {name}" for name, count in sorted(known.items()))
        )
    return out


def window_ends(
    video: StoredVideo, recipe: Recipe, hop_s: float, *, is_trimmed: bool
) -> list[float]:
    """Stream seconds at which windows end; a video shorter than a window gives one."""
    first = video.start + recipe.window.span_s
    if video.end <= first or is_trimmed:
        return [video.end]
    return [float(end) for end in np.arange(first, video.end + 1e-6, hop_s)]


def labels_at(video: StoredVideo, end: float, recipe: Recipe, store: Store) -> dict[str, int]:
    """Task -> class of the window that ends at `end`."""
    span = min(recipe.window.span_s, video.end - video.start)
    anchor = end - span * (1 - recipe.window.anchor)
    covering = [s for s in video.spans if s.start <= anchor <= s.end]
    if covering:
        gesture = min(covering, key=lambda s: s.end - s.start).label
    elif store.info.is_trimmed and video.spans:
        gesture = video.spans[0].label
    else:
        gesture = ILLUSTRATIVE if len(store.class_names) == len(MICRO_GESTURES) else UNLABELLED
    emotion = UNLABELLED if video.emotion is None else video.emotion
    known = {"micro_gesture": gesture, "emotion": emotion}
    return {output.task: known[output.task] for output in recipe.outputs}


class WindowDataset(Dataset[tuple[Feeds, Labels]]):
    """Examples as tensors: feeds as the runtime would make them, labels int64."""

    def __init__(
        self,
        store: Store,
        chosen: Sequence[Example],
        recipe: Recipe,
        *,
        how: Augmentation | None = None,
        seed: int = 0,
        only: str | None = None,
    ) -> None:
        """All examples of `chosen`.

        Args:
            store: where they are.
            chosen: which windows.
            recipe: says how tensors are made.
            how: the augmentation; None for none.
            seed: of the augmentation.
            only: make the tensors of this modality (rgb, pose, face) alone; pictures that are not
                needed then are not decoded.
        """
        self._store, self._examples, self._how, self._seed = store, chosen, how, seed
        manifest = manifest_of(recipe)
        if only is not None:
            inputs = tuple(spec for spec in manifest.inputs if spec.modality == only)
            manifest = replace(manifest, inputs=inputs)
        self._manifest = manifest

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> tuple[Feeds, Labels]:
        return self.drawn(0, index)

    def drawn(self, number: int, index: int) -> tuple[Feeds, Labels]:
        """An example as it is augmented at one draw: it follows from seed, draw and index alone."""
        example = self._examples[index]
        rng = np.random.default_rng([self._seed, number, index])
        feeds = self._feeds(example, rng)
        labels = {task: torch.tensor(label) for task, label in example.labels.items()}
        return feeds, labels

    def _feeds(self, example: Example, rng: np.random.Generator) -> Feeds:
        manifest, how = self._manifest, self._how
        speed = draw_speed(rng, how) if how else 1.0
        span = manifest.window.span_s
        # About the anchor, so that the label stays right whatever the speed.
        end = (
            example.end + span * (1 - manifest.window.anchor) * (speed - 1) if how else example.end
        )
        window = self._store.window(
            example.video, end - span * speed, end, inputs=manifest.inputs, speed=speed
        )
        if window is None:
            raise DataError(f"video {example.video}: no frame before {end:.2f} s")
        if how:
            window = augment(rng, window, how)
        try:
            arrays = preprocess([window], manifest)
        except WindowError:  # a gap in the video: nothing is seen
            arrays = {n: np.zeros((1, *shape), np.float32) for n, shape in manifest.feeds.items()}
        return {name: torch.from_numpy(array[0]) for name, array in arrays.items()}

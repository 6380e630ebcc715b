"""Examples: windows of a store with their labels, and the tensors that a net is fed."""

import logging
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
from engines.window import Window
from train.annotations import DataError
from train.augment import Augmentation, Timing, augment, draw_timing, mirrored
from train.cues import Cues, cues_of_pictures, unknown_cues
from train.export import ExportOptions, draft_manifest
from train.labels import MICRO_GESTURES, UNLABELLED
from train.perception import perception_of
from train.places import JOINTS, LANDMARKS, PLACES, unknown_places
from train.recipes import RECIPES, Recipe
from train.store import Store
from train.store_files import Span, StoredVideo

logger = logging.getLogger(__name__)

BETWEEN = -1
"""Known to be no class more than another, as a face that shows neither emotion."""
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
    expected = recipe.gestures or MICRO_GESTURES
    if store.class_names != expected:
        cure = "; take --recipe " + " or ".join(fitting) if (fitting := _fitting(store)) else ""
        raise DataError(
            f"{store.folder}: has the {len(store.class_names)} classes of {store.info.corpus}, "
            f"the recipe {recipe.name} has {len(expected)}{cure}"
        )


def _fitting(store: Store) -> list[str]:
    """Recipes that see and name what a store shows and annotates."""
    recipes = {name: make() for name, make in RECIPES.items()}
    return [
        name
        for name, recipe in recipes.items()
        if recipe.gestures == store.class_names and perception_of(recipe) == store.info.perception
    ]


def examples(store: Store, split: str, recipe: Recipe, hop_s: float) -> list[Example]:
    """Windows every `hop_s` over all videos of a split; of trimmed videos one, at the gesture.

    The label of a window is the gesture at its anchor instant (the middle, by the recipe), else
    background; where gestures overlap, the shortest. Windows that the runtime would refuse, over a
    pause or a change of person, are left out, and a line of the log says how many.

    Raises:
        DataError: the split is empty, the store is another recipe's, or the hop is not positive.
    """
    check_store(store, recipe)
    if not hop_s > 0:
        raise DataError(f"expected more than 0 s between windows, got {hop_s}")
    spec, refused = recipe.window, 0
    out = []
    for video in store.videos(split):
        due = window_ends(video, recipe, hop_s, is_trimmed=store.info.is_trimmed)
        for end in sorted({store.last_frame(video.id, t) for t in due}):  # one in a pause, not many
            start = max(end - spec.span_s, video.start)
            if store.is_whole(video.id, start, end, spec.max_gap_s):
                out.append(Example(video.id, end, labels_at(video, end, recipe, store)))
            else:
                refused += 1
    if refused:
        logger.warning(
            "%s, %s: %d of %d windows left out, over a pause or a change of person",
            store.folder, split, refused, refused + len(out),
        )  # fmt: skip
    if not out:
        known = Counter(v.split for v in store.videos())
        raise DataError(
            f"{store.folder}: has no videos of the split {split!r}"
            f"{' that can be used' if refused else ''}; it has "
            + ", ".join(f"{count} of {name}" for name, count in sorted(known.items()))
        )
    return out


def window_ends(
    video: StoredVideo, recipe: Recipe, hop_s: float, *, is_trimmed: bool
) -> list[float]:
    """Stream seconds at which windows end.

    A video shorter than a window gives one, all of it. A trimmed one gives one that has the middle
    of its gesture at the anchor, as far as its length allows.
    """
    span_s, anchor = recipe.window.span_s, recipe.window.anchor
    first = video.start + span_s
    if video.end <= first:
        return [video.end]
    if not is_trimmed:
        return [float(end) for end in np.arange(first, video.end + 1e-6, hop_s)]
    middles = [(s.start + s.end) / 2 for s in video.spans] or [(video.start + video.end) / 2]
    ends = (middle + span_s * (1 - anchor) for middle in middles)
    return sorted({min(max(end, first), video.end) for end in ends})


def labels_at(video: StoredVideo, end: float, recipe: Recipe, store: Store) -> dict[str, int]:
    """Task -> class of the window that ends at `end`."""
    span_s = min(recipe.window.span_s, video.end - video.start)
    anchor = end - span_s * (1 - recipe.window.anchor)

    def distance(span: Span) -> float:
        return max(span.start - anchor, anchor - span.end, 0.0)

    nearest = min(video.spans, key=lambda s: (distance(s), s.end - s.start), default=None)
    is_trimmed = store.info.is_trimmed
    background = {o.task: o.background for o in recipe.outputs}.get("micro_gesture")
    if nearest is not None and (is_trimmed or distance(nearest) == 0):
        gesture = nearest.label
    else:
        gesture = UNLABELLED if is_trimmed or background is None else background
    emotion = UNLABELLED if video.emotion is None else video.emotion
    known = {
        "micro_gesture": gesture if video.is_annotated else UNLABELLED, "emotion": emotion,
    }  # fmt: skip
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
            only: make the tensors of this modality (rgb, pose, face, hand) alone; pictures that
                are not needed then are not decoded.
        """
        self._store, self._examples, self._how, self._seed = store, chosen, how, seed
        self._only = only
        self._cues = unknown_cues(recipe.net) if only is None else {}
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
        feeds, cues = self._feeds(example, rng)
        labels = {task: torch.tensor(label) for task, label in example.labels.items()}
        if self._only == "rgb":  # the estimator's own keypoints are not where hands are at a face
            labels[PLACES] = unknown_places(feeds["rgb"].shape[1], JOINTS)
        elif self._only == "hand":
            labels[PLACES] = unknown_places(2 * feeds["hand"].shape[0], JOINTS)
        elif self._only == "face":
            labels[PLACES] = unknown_places(feeds["face"].shape[0], len(LANDMARKS))
        return feeds, labels | cues

    def _feeds(self, example: Example, rng: np.random.Generator) -> tuple[Feeds, Labels]:
        timing = draw_timing(rng, self._how) if self._how else Timing()
        try:
            return self._tensors(example, timing, rng)
        except WindowError:  # a pause that the runtime accepts has become longer than that
            return self._tensors(example, Timing(), rng)

    def _tensors(
        self, example: Example, timing: Timing, rng: np.random.Generator
    ) -> tuple[Feeds, Labels]:
        """What the network is fed, and what is known of its pictures."""
        start, end, speed = self._stretched(example, timing.speed)
        window = self._store.window(
            example.video, start, end,
            inputs=self._manifest.inputs, speed=speed, rate_hz=timing.rate_hz,
            anchor=self._manifest.window.anchor,
        )  # fmt: skip
        if window is None:
            raise DataError(f"video {example.video}: no frame before {end:.2f} s")
        cues = self._known(example.video, window, speed) if self._cues else None
        if self._how:
            if rng.random() < self._how.mirror:
                window, cues = mirrored(window), cues and cues.mirrored()
            window = augment(rng, window, replace(self._how, mirror=0))
        arrays = preprocess([window], self._manifest)
        feeds = {name: torch.from_numpy(array[0]) for name, array in arrays.items()}
        if cues is None:
            return feeds, self._cues
        return feeds, cues_of_pictures(self._cues, cues, self._manifest.inputs, arrays)

    def _known(self, video: str, window: Window, speed: float) -> Cues | None:
        """What hands touch and faces do in the frames of a window that runs so much faster."""
        t = window.t[-1] - (window.t[-1] - window.t) * speed
        frames = self._store.cues(video, t)
        if frames is None:
            return None
        return Cues(
            window.t, frames["touched"].astype(np.float32), frames["actions"].astype(np.float32)
        )

    def _stretched(self, example: Example, speed: float) -> tuple[float, float, float]:
        """Start, end and speed: about the anchor, so that the label stays right at any speed."""
        video, spec = self._store.video(example.video), self._manifest.window
        span_s = spec.span_s
        if video.end - video.start <= span_s:
            return video.start, video.end, speed
        instant = example.end + span_s * (1 - spec.anchor) * (speed - 1)
        end = self._store.last_frame(video.id, instant)
        start = end - span_s * speed
        fits = video.start <= start and instant <= video.end
        if fits and self._store.is_whole(example.video, start, end, spec.max_gap_s):
            return start, end, speed
        return example.end - span_s, example.end, 1.0

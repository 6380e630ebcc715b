"""Pose windows made on the spot, as tensors: enough to pre-train the pose branch.

Every example follows from (seed, draw) alone, so that an interrupted run can be continued exactly.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from engines.preprocess import preprocess
from engines.tensor_specs import PoseInput
from train.dataset import Feeds, Labels, manifest_of
from train.labels import UNLABELLED
from train.recipes import Recipe
from train.synth.avatar import load_avatar
from train.synth.body import measure
from train.synth.estimator import load_estimator
from train.synth.motion import Take, draw_end, draw_take, observe
from train.turns import Kept, turn

_TAKE_S = 20.0
_WINDOWS = 48
"""Windows from one performance, each through another camera."""
_TAKES = 32
"""Performances among which windows that are drawn one after the other take turns."""


class MotionDataset(Dataset[tuple[Feeds, Labels]]):
    """Windows of poses alone."""

    def __init__(self, avatars: Path, names: tuple[str, ...], recipe: Recipe, seed: int) -> None:
        """Windows without end.

        Raises:
            AvatarError: an avatar is missing.
        """
        self._bodies = [measure(load_avatar(avatars, name)) for name in names]
        for body in self._bodies:  # pictures on the skin are not needed, and workers copy this
            body.avatar.textures.clear()
        manifest = manifest_of(recipe)
        pose = tuple(spec for spec in manifest.inputs if isinstance(spec, PoseInput))
        perception = replace(manifest.perception, storage=(1, 1), face_size=1)
        self._manifest = replace(manifest, inputs=pose, perception=perception)
        self._tasks = tuple(output.task for output in recipe.outputs)
        self._seed = seed
        self._estimator = load_estimator()
        self._take = Kept(self._perform, 2 * _TAKES)

    def __getitem__(self, draw: int) -> tuple[Feeds, Labels]:
        take = self._take(turn(draw, _WINDOWS, _TAKES))
        rng = np.random.default_rng([self._seed, 1, draw])
        spec = self._manifest.window
        end, label = draw_end(rng, take.t, take.truth, spec.span_s, spec.anchor)
        window = observe(rng, take, end, spec.span_s, self._estimator)
        arrays = preprocess([window], self._manifest)
        labels = dict.fromkeys(self._tasks, UNLABELLED) | {"micro_gesture": label}
        return (
            {name: torch.from_numpy(array[0]) for name, array in arrays.items()},
            {task: torch.tensor(value) for task, value in labels.items()},
        )

    def _perform(self, number: int) -> Take:
        rng = np.random.default_rng([self._seed, 0, number])
        return draw_take(rng, self._bodies[number % len(self._bodies)], _TAKE_S)

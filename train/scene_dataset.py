"""Scenes made on the spot, as tensors: more rooms and moments than any set of videos has.

Only the few frames that the branch samples are rendered, cut as perception would cut them. For the
RGB branch there comes with them what no annotator gives: where every joint is, seen or not (see
`train.places`); for the fusion the face, and the pose as its estimator would have seen it. Each
window is looked at several times, augmented anew. Every example follows from (seed, draw) alone.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from engines.preprocess import preprocess, sample
from engines.skeleton import MEDIAPIPE33
from engines.tensor_specs import HANDS, HandInput, RgbInput
from engines.window import Window
from train.augment import Augmentation, augment, lost_hands, mirrored
from train.cues import Cues, cues_of_pictures, unknown_cues
from train.dataset import BETWEEN, Feeds, Labels, manifest_of
from train.labels import EMOTIONS, ILLUSTRATIVE, UNLABELLED
from train.places import PLACES, places_at_hands, places_in
from train.recipes import Recipe
from train.shots import Photographer, Shot
from train.synth.avatar import load_avatar
from train.synth.body import SIDES, Body, measure
from train.synth.estimator import load_estimator
from train.synth.faces import draw_features
from train.synth.motion import RATE_HZ, draw_end
from train.synth.people import somebody
from train.synth.performance import Performance
from train.synth.script import RESTLESS, untrimmed
from train.synth.touches import touches
from train.turns import AMONG, Kept, turn

_TAKE_S = 20.0
_WINDOWS, _TAKES = 12, 24
"""Windows from one performance, and performances that take turns."""
_TIMES = 10
"""Each window is looked at up to so many times, in turn with `AMONG` others: at those of its turns
which windows of videos leave over."""
_OFTEN = np.ones(ILLUSTRATIVE)
_OFTEN[[2, 3, 8, 13, 14, 17, 21, 22, 23, 24]] = 1.75
_OFTEN[[4, 6, 7, 9, 10, 11, 12]], _OFTEN[28] = 2.5, 3.0
"""float64 [31]: how often each of `MICRO_GESTURES` is performed, relative to the others: the more
often, the fewer of them bundle 0.8.0 named. In iMiGUE, too, one of eight gestures is pressed lips
(28); the others are by a hand at head, face or neck, at the collar, at arms and clothes, or of both
hands."""
_SPEED = 0.2
"""Time runs up to so much faster or slower."""
_HURRIED, _HURRY = 0.3, (1.2, 2.2)
"""Share of windows in which it runs so many times as fast: no gesture of the script takes less than
a second, and SMG's take 1.8 s on average."""
_HAND_OFF, _HAND_SHAKE = 0.02, 0.008
"""Of the region's side: 5 and 2 px of 256, of a hand, and from frame to frame."""
_MIRRORED = 0.5
_AGAIN = Augmentation(
    mirror=0, light=0.15, blur=0.1, noise=4.0, jitter=0, joint_loss=0, evidence_loss=0
)


@dataclass(frozen=True, eq=False)
class _Made:
    """A shot and what is known of it."""

    shot: Shot
    labels: dict[str, int]
    cues: Cues | None
    """None where nobody asks."""


class SceneDataset(Dataset[tuple[Feeds, Labels]]):
    """Windows of people in rooms. Each process that makes them has renderers of its own."""

    def __init__(
        self, avatars: Path, names: tuple[str, ...], recipe: Recipe, seed: int,
        *, only: str | None = "rgb",
    ) -> None:  # fmt: skip
        """Windows without end.

        Args:
            avatars: the folder of the avatars.
            names: who of them.
            recipe: says how tensors are made.
            seed: of everything.
            only: "rgb" for the region, "hand" for the hands, each with its `PLACES`; None for all
                inputs.

        Raises:
            AvatarError: an avatar is missing.
        """
        self._bodies = [measure(load_avatar(avatars, name)) for name in names]
        manifest = manifest_of(recipe)
        if only is not None:
            inputs = tuple(spec for spec in manifest.inputs if spec.modality == only)
            manifest = replace(manifest, inputs=inputs)
        placed = [spec for spec in manifest.inputs if isinstance(spec, RgbInput | HandInput)]
        self._placed = None if only is None else placed[0]
        self._manifest = manifest
        self._tasks = tuple(output.task for output in recipe.outputs)
        self._cues = unknown_cues(recipe.net) if only is None else {}
        self._seed = seed
        self._photographer = Photographer(manifest, None if self._placed else load_estimator())
        self._shown = Kept(self._shoot, AMONG)
        self._take = Kept(self._perform, 2 * _TAKES)

    def __getitem__(self, draw: int) -> tuple[Feeds, Labels]:
        made = self._shown(turn(draw, _TIMES, AMONG))
        rng = np.random.default_rng([self._seed, 5, draw])
        window, cues = made.shot.whole(), made.cues
        if rng.random() < _MIRRORED:
            window, cues = mirrored(window), cues and cues.mirrored()
        window = augment(rng, window, _AGAIN)
        seen, is_lost = window, np.zeros((len(window.t), len(SIDES)), np.bool_)
        if self._placed is None:
            seen, is_lost = lost_hands(np.random.default_rng([self._seed, 9, draw]), window)
        elif isinstance(self._placed, HandInput):
            seen = _misplaced_hands(np.random.default_rng([self._seed, 8, draw]), window)
        arrays = preprocess([seen], self._manifest)
        feeds = {name: torch.from_numpy(array[0]) for name, array in arrays.items()}
        labels = {task: torch.tensor(made.labels.get(task, UNLABELLED)) for task in self._tasks}
        if self._placed is None:
            if cues is not None:
                inputs = self._manifest.inputs
                labels |= cues_of_pictures(self._cues, cues, inputs, arrays, is_lost)
            return feeds, labels
        sampled, _ = sample(window.t, self._placed.sampling)
        if isinstance(self._placed, RgbInput):
            places = places_in(window, sampled, self._placed)
        else:
            places = places_at_hands(window, seen, sampled, self._placed)
        return feeds, labels | {PLACES: torch.from_numpy(places)}

    def _perform(self, number: int) -> tuple[Body, Performance]:
        rng = np.random.default_rng([self._seed, 6, number])
        body = somebody(rng, self._bodies[number % len(self._bodies)])
        t = np.arange(round(_TAKE_S * RATE_HZ)) / RATE_HZ
        emotion = (0, 1, None)[rng.integers(len(EMOTIONS) + 1)]
        labels = rng.choice(len(_OFTEN), 2 * int(_TAKE_S), p=_OFTEN / _OFTEN.sum()).tolist()
        features = draw_features(rng)
        return body, untrimmed(rng, body, t, emotion, labels, features, manner=RESTLESS)

    def _shoot(self, number: int) -> _Made:
        body, performance = self._take(turn(number, _WINDOWS, _TAKES))
        rng = np.random.default_rng([self._seed, 7, number])
        spec = self._manifest.window
        speed = float(np.exp(rng.uniform(-1, 1) * np.log1p(_SPEED)))
        if rng.random() < _HURRIED:
            speed = float(rng.uniform(*_HURRY))
        span_s, t = spec.span_s * speed, performance.t
        end, label = draw_end(rng, t, performance.truth, span_s, spec.anchor)
        inside = (t >= end - span_s - 1e-6) & (t <= end + 1e-6)
        t = t[inside]
        moment = Performance(
            t[-1] - (t[-1] - t) / speed, performance.bones[inside], performance.morphs[inside],
            performance.truth, performance.actions[inside], performance.emotion,
        )  # fmt: skip
        emotion = BETWEEN if performance.emotion is None else performance.emotion
        labels = {"micro_gesture": label, "emotion": emotion}
        shot = self._photographer.shot(rng, body, moment)
        cues = None
        if self._cues:
            cues = Cues(moment.t, touches(body, moment.bones), moment.actions)
        return _Made(shot, labels, cues)


def _misplaced_hands(rng: np.random.Generator, window: Window) -> Window:
    """The same with keypoints of hands that are off, as an estimator's are: each as a whole."""
    xy, side = window.xy.copy(), window.rgb.shape[1]
    for hand in HANDS:
        joints = MEDIAPIPE33.indices(hand)
        lasting, passing = rng.normal(0, _HAND_OFF, 2), rng.normal(0, _HAND_SHAKE, (len(xy), 2))
        xy[:, joints] += ((lasting + passing) * side)[:, None]
    return replace(window, xy=xy.astype(np.float32))

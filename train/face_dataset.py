"""Faces made on the spot, as tensors: enough to train the face branch before any video is seen.

A few hundred videos show a few hundred moods, which a network learns by heart; here every window
has another face, light, camera and mood. Rendering takes longer than learning, so each is looked at
several times, augmented anew. Every example follows from (seed, draw) alone.
"""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from engines.preprocess import preprocess
from engines.skeleton import LAYOUTS
from engines.tensor_specs import FaceInput
from engines.window import Window
from realtime.perception.face import FACE_SIZE, TEMPLATE_4, similarity
from train.augment import Augmentation, augment
from train.dataset import BETWEEN, Feeds, Labels, manifest_of
from train.labels import EMOTIONS, UNLABELLED
from train.places import LANDMARKS, PLACES
from train.recipes import Recipe
from train.synth.avatar import load_avatar
from train.synth.backgrounds import paint
from train.synth.body import Body, measure, skin_matrices
from train.synth.faces import draw_features
from train.synth.film import coded, draw_film, expose
from train.synth.keypoints import Place, carry, carry_face
from train.synth.people import somebody
from train.synth.performance import Performance
from train.synth.render import Renderer
from train.synth.rotations import Floats
from train.synth.scene import disguised, draw_scene, look_at
from train.synth.script import portrait
from train.turns import AMONG, Kept, turn

Image = NDArray[np.uint8]
_SIDE = 160
"""px of the rendered picture."""
_SHOWN_CM = (27.0, 36.0)
"""Of it: a head."""
_COARSEST = 0.6
"""A face far away has so many pixels of a near one."""
_TIMES = 4
"""Each window is looked at so many times, in turn with `AMONG` others."""
_AGAIN = Augmentation(
    mirror=0.0,
    shift=0.0,
    bend=0.0,
    light=0.15,
    blur=0.1,
    noise=3.0,
    evidence_loss=0.0,
    thinning=0.0,
)
"""Nothing that would move the landmarks."""
_MISS_PX, _SHAKE_PX = 3.0, 0.6
"""Standard deviation of the face detector's points, in px of the crop: of a face, and from picture
to picture. Eyes, nose and mouth are nowhere equally far apart, so the corners of a mouth have no
place of their own in a crop: with 1.2 px a real mouth at rest passed for a smile."""
_STRETCH = 0.05
"""Of width and height of the crop, as share: standard deviation."""


class FaceDataset(Dataset[tuple[Feeds, Labels]]):
    """Windows of face crops alone. Each process that makes them has a renderer of its own."""

    def __init__(self, avatars: Path, names: tuple[str, ...], recipe: Recipe, seed: int) -> None:
        """Windows without end.

        Raises:
            AvatarError: an avatar is missing.
        """
        self._bodies = [measure(load_avatar(avatars, name)) for name in names]
        manifest = manifest_of(recipe)
        self._face = next(spec for spec in manifest.inputs if isinstance(spec, FaceInput))
        perception = replace(manifest.perception, storage=(1, 1))
        window = replace(manifest.window, max_gap_s=manifest.window.span_s)  # only what is sampled
        self._manifest = replace(
            manifest, inputs=(self._face,), perception=perception, window=window
        )
        self._tasks = tuple(output.task for output in recipe.outputs)
        self._seed = seed
        self._renderer: Renderer | None = None
        self._shown = Kept(self._shoot, AMONG)

    def __getitem__(self, draw: int) -> tuple[Feeds, Labels]:
        window, emotion, places = self._shown(turn(draw, _TIMES, AMONG))
        window = augment(np.random.default_rng([self._seed, 3, draw]), window, _AGAIN)
        arrays = preprocess([window], self._manifest)
        known = dict.fromkeys(self._tasks, UNLABELLED) | {"emotion": emotion}
        labels = {task: torch.tensor(value) for task, value in known.items()}
        return (
            {name: torch.from_numpy(array[0]) for name, array in arrays.items()},
            labels | {PLACES: torch.from_numpy(places)},
        )

    def _shoot(self, number: int) -> tuple[Window, int, Floats]:
        """One window, its mood, and where the landmarks are in it."""
        rng = np.random.default_rng([self._seed, 2, number])
        body = somebody(rng, self._bodies[rng.integers(len(self._bodies))])
        emotion = (*range(len(EMOTIONS)), None)[rng.integers(len(EMOTIONS) + 1)]
        sampling = self._face.sampling
        t = np.arange(sampling.frames, dtype=np.float64)
        t *= sampling.span_s / sampling.frames
        if len(t) == 1:  # movement needs two instants
            t = np.array([0.0, sampling.span_s])
        performance = portrait(rng, body, t, emotion, draw_features(rng))
        crops, places = self._crops(rng, body, performance)
        known = BETWEEN if emotion is None else emotion
        return self._window(crops, t), known, places[: sampling.frames]

    def _window(self, faces: Image, t: NDArray[np.float64]) -> Window:
        layout = self._manifest.perception.layout
        count, joints = len(t), LAYOUTS[layout].num_joints
        nothing = np.full((count, joints, 3), np.nan, np.float32)
        return Window(
            t=t, rgb=np.zeros((count, 1, 1, 3), np.uint8), xy=nothing[..., :2].copy(), xyz=nothing,
            conf=np.zeros((count, joints), np.float32), faces=faces,
            has_face=np.ones(count, np.bool_), layout=layout,
        )  # fmt: skip

    def _crops(
        self, rng: np.random.Generator, body: Body, performance: Performance
    ) -> tuple[Image, Floats]:
        """uint8 [T, 112, 112, 3], as perception would cut them out; and `LANDMARKS` in them."""
        if self._renderer is None:
            self._renderer = Renderer((_SIDE, _SIDE))
        self._renderer.show(body.avatar)
        points = carry(body, performance.bones, face_places(body))
        scene = disguised(rng, draw_scene(rng, body))
        camera = look_at(rng, points.mean(axis=(0, 1)), float(rng.uniform(*_SHOWN_CM)))
        scene = replace(scene, camera=camera)
        backdrop = paint(rng, (_SIDE, _SIDE))
        pictures = [
            self._renderer.draw(skin_matrices(body, bones), morphs, scene, backdrop)
            for bones, morphs in zip(performance.bones, performance.morphs, strict=True)
        ]
        xy = camera.project(points, (_SIDE, _SIDE))
        side = round(_SIDE * float(np.exp(rng.uniform(np.log(_COARSEST), 0))))
        crops, cuts = aligned(rng, pictures, xy, side)
        marks = carry_face(body, performance.bones, performance.morphs, LANDMARKS)
        landmarks = camera.project(marks, (_SIDE, _SIDE))
        places = (landmarks @ cuts[:, :, :2].swapaxes(1, 2) + cuts[:, None, :, 2]) / FACE_SIZE
        places[((places < 0) | (places > 1)).any(axis=-1)] = np.nan
        return crops, np.asarray(places, np.float32)


def aligned(
    rng: np.random.Generator, pictures: list[Image], xy: Floats, side: int
) -> tuple[Image, NDArray[np.float64]]:
    """Crops of heads, as perception cuts them out of a camera's pictures.

    Args:
        rng: draws the camera and how the detector misses.
        pictures: T of a head, uint8 [S, S, 3].
        xy: float32 [T, 4, 2] px in them: the points of `face_places`.
        side: px that the camera's picture has of them.

    Returns:
        uint8 [T, 112, 112, 3]; float64 [T, 2, 3]: from px of the pictures to px of the crops.
    """
    whole, side = pictures[0].shape[0], max(16, side)
    small = [
        np.asarray(cv2.resize(p, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
        for p in pictures
    ]
    film = draw_film(rng)
    film = replace(film, motion_blur=0.0, blur=0.5 * film.blur, noise=0.6 * film.noise)
    quality, missed = int(rng.integers(50, 96)), rng.normal(0, _MISS_PX, (1, 4, 2))
    goals = TEMPLATE_4 + missed + rng.normal(0, _SHAKE_PX, (len(xy), 4, 2))
    scale = side / whole
    build = np.exp(rng.normal(0, _STRETCH, 2))
    stretch = np.diag([*build, 1.0])
    stretch[:2, 2] = (1 - build) * FACE_SIZE / 2
    cuts = [
        stretch[:2] @ np.vstack((similarity(at * scale, goal), (0, 0, 1)))
        for at, goal in zip(xy.astype(float), goals, strict=True)
    ]
    crops = [
        cv2.warpAffine(coded(image, quality), cut, (FACE_SIZE, FACE_SIZE))
        for image, cut in zip(expose(rng, film, small), cuts, strict=True)
    ]
    return np.stack(crops).astype(np.uint8), np.stack(cuts) * (scale, scale, 1)


def face_places(body: Body) -> tuple[Place, ...]:
    """The detector's four points, in the order of `TEMPLATE_4`, on an avatar's head."""
    names = ("right_eye", "left_eye", "nose", "mouth")
    return tuple(("Head", body.landmarks[name].point) for name in names)

"""Scenes made on the spot, as tensors: more rooms and moments than any set of videos has.

Only the few frames that the branch samples are rendered, cut as perception would cut them. For the
RGB branch there comes with them what no annotator gives: where every joint is, seen or not (see
`train.places`); for the fusion the face, and the pose as its estimator would have seen it. Each
window is looked at several times, augmented anew. Every example follows from (seed, draw) alone.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from engines.preprocess import preprocess, sample
from engines.skeleton import MEDIAPIPE33
from engines.tensor_specs import FaceInput, RgbInput
from engines.window import Window
from realtime.perception.crop import place_square
from train.augment import Augmentation, augment
from train.dataset import BETWEEN, UNLABELLED, Feeds, Labels, manifest_of
from train.face_dataset import aligned, face_places
from train.labels import EMOTIONS
from train.places import PLACES, places_in
from train.recipes import Recipe
from train.synth.avatar import load_avatar
from train.synth.backgrounds import paint
from train.synth.body import Body, measure, skin_matrices
from train.synth.estimator import load_estimator
from train.synth.faces import draw_features
from train.synth.film import coded, draw_film, expose
from train.synth.keypoints import carry, mediapipe_places
from train.synth.motion import RATE_HZ, draw_end, estimated
from train.synth.performance import Performance
from train.synth.render import Renderer
from train.synth.rotations import Floats
from train.synth.scene import Camera, CutCamera, Scene, draw_scene
from train.synth.script import draw_labels, untrimmed
from train.turns import AMONG, Kept, turn

Image = NDArray[np.uint8]
_SHOULDERS = list(MEDIAPIPE33.indices(["left_shoulder", "right_shoulder"]))
_PICTURE = (360, 640)
"""(h, w) px of the camera's picture, of which the subject's region is rendered."""
_HEAD_CM, _HEAD_PX = 33.0, 160
"""What is rendered of a head, and in how many px."""
_TAKE_S = 20.0
_WINDOWS, _TAKES = 12, 24
"""Windows from one performance, and performances that take turns."""
_TIMES = 4
"""Each window is looked at so many times, in turn with `AMONG` others."""
_SPEED = 0.2
"""Time runs up to so much faster or slower."""
_AGAIN = Augmentation(light=0.15, blur=0.1, noise=4.0, jitter=0, joint_loss=0, evidence_loss=0)


class SceneDataset(Dataset[tuple[Feeds, Labels]]):
    """Windows of people in rooms. Each process that makes them has renderers of its own."""

    def __init__(
        self, avatars: Path, names: tuple[str, ...], recipe: Recipe, length: int, seed: int,
        *, only: str | None = "rgb",
    ) -> None:  # fmt: skip
        """As many windows as `length`.

        Args:
            avatars: the folder of the avatars.
            names: who of them.
            recipe: says how tensors are made.
            length: how many windows.
            seed: of everything.
            only: "rgb" for the region and `PLACES` alone; None for all inputs.

        Raises:
            AvatarError: an avatar is missing.
        """
        self._bodies = [measure(load_avatar(avatars, name)) for name in names]
        manifest = manifest_of(recipe)
        self._rgb = next(spec for spec in manifest.inputs if isinstance(spec, RgbInput))
        faces = [spec for spec in manifest.inputs if isinstance(spec, FaceInput)]
        self._face = faces[0] if faces and only is None else None
        if only is not None:
            manifest = replace(manifest, inputs=(self._rgb,))
        self._manifest, self._is_whole = manifest, only is None
        self._tasks = tuple(output.task for output in recipe.outputs)
        self._length, self._seed = length, seed
        self._estimator = load_estimator() if self._is_whole else None
        self._renderers: dict[int, Renderer] = {}
        self._shown = Kept(self._shoot, AMONG)
        self._take = Kept(self._perform, 2 * _TAKES)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, draw: int) -> tuple[Feeds, Labels]:
        window, known = self._shown(turn(draw, _TIMES, AMONG))
        window = augment(np.random.default_rng([self._seed, 5, draw]), window, _AGAIN)
        arrays = preprocess([window], self._manifest)
        feeds = {name: torch.from_numpy(array[0]) for name, array in arrays.items()}
        labels = {task: torch.tensor(known.get(task, UNLABELLED)) for task in self._tasks}
        if not self._is_whole:
            sampled, _ = sample(window.t, self._rgb.sampling)
            labels[PLACES] = torch.from_numpy(places_in(window, sampled, self._rgb))
        return feeds, labels

    def _perform(self, number: int) -> Performance:
        rng = np.random.default_rng([self._seed, 6, number])
        t = np.arange(round(_TAKE_S * RATE_HZ)) / RATE_HZ
        emotion = (0, 1, None)[rng.integers(len(EMOTIONS) + 1)]
        labels = draw_labels(rng, 2 * int(_TAKE_S)).tolist()
        features = draw_features(rng)
        return untrimmed(rng, self._body(number), t, emotion, labels, features)

    def _body(self, take: int) -> Body:
        return self._bodies[take % len(self._bodies)]

    def _shoot(self, number: int) -> tuple[Window, dict[str, int]]:
        """One window, with what is known of it."""
        take = turn(number, _WINDOWS, _TAKES)
        performance, body = self._take(take), self._body(take)
        rng = np.random.default_rng([self._seed, 7, number])
        spec = self._manifest.window
        speed = float(np.exp(rng.uniform(-1, 1) * np.log1p(_SPEED)))
        span_s, t = spec.span_s * speed, performance.t
        end, label = draw_end(rng, t, performance.truth, span_s, spec.anchor)
        inside = (t >= end - span_s - 1e-6) & (t <= end + 1e-6)
        t = t[inside]
        moment = Performance(
            t[-1] - (t[-1] - t) / speed, performance.bones[inside], performance.morphs[inside],
            performance.truth, performance.emotion,
        )  # fmt: skip
        emotion = BETWEEN if performance.emotion is None else performance.emotion
        labels = {"micro_gesture": label, "emotion": emotion}
        return self._window(rng, body, moment), labels

    def _window(self, rng: np.random.Generator, body: Body, moment: Performance) -> Window:
        points = carry(body, moment.bones, mediapipe_places(body))
        scene = draw_scene(rng, body)
        camera = self._cut(rng, scene.camera, points, body)
        rgb = self._pictures(rng, body, moment, replace(scene, camera=camera))
        xy, xyz, conf = self._seen(rng, points, camera)
        faces, has_face = self._faces(rng, body, moment, scene)
        return Window(
            t=moment.t, rgb=rgb, xy=xy, xyz=xyz, conf=conf, faces=faces, has_face=has_face,
            layout=MEDIAPIPE33.name,
        )  # fmt: skip

    def _seen(
        self, rng: np.random.Generator, points: Floats, camera: CutCamera
    ) -> tuple[Floats, Floats, Floats]:
        """Keypoints in px of the region and in m, and confidences: true ones, or an estimator's."""
        storage = self._manifest.perception.storage
        xy = camera.project(points, storage)
        top, bottom = camera.shown_rows(storage[0])
        is_shown = ((xy[..., 1] >= top) & (xy[..., 1] < bottom)).astype(np.float32)
        if self._estimator is None:
            return xy, np.zeros((*xy.shape[:2], 3), np.float32), is_shown
        space = (points - camera.eye) @ camera.rotation.T * np.array([1, -1, -1])
        return estimated(rng, self._estimator, xy, space.astype(np.float32))

    def _cut(
        self, rng: np.random.Generator, camera: Camera, points: Floats, body: Body
    ) -> CutCamera:
        """The camera's view of the region that perception would cut out, within its slack."""
        rule = self._manifest.perception.crop
        middle = points[:, _SHOULDERS].mean(axis=(0, 1))
        width = body.shoulders * camera.pixels_per_cm(middle, _PICTURE[0])
        width *= float(np.exp(rng.normal(0, 0.05)))
        centre = camera.project(middle, _PICTURE) + np.array([0, rule.shift * width])
        centre += rng.uniform(-0.8, 0.8, 2) * rule.slack * rule.scale * width
        wanted = np.array([*centre, rule.scale * width])
        corner, side = place_square(wanted, _PICTURE, self._manifest.perception.storage)
        return _part(camera, corner, side)

    def _pictures(
        self, rng: np.random.Generator, body: Body, moment: Performance, scene: Scene
    ) -> Image:
        """uint8 [T, h, w, 3]: as perception would cut them out; what is not looked at is black."""
        storage, camera = self._manifest.perception.storage, scene.camera
        assert isinstance(camera, CutCamera)
        looked_at = np.unique(sample(moment.t, self._rgb.sampling)[0])
        backdrop = paint(rng, storage)
        pictures = [self._drawn(body, moment, k, scene, backdrop, storage[0]) for k in looked_at]
        film, quality = draw_film(rng), int(rng.integers(60, 96))
        film = replace(film, motion_blur=0.0, blur=0.4 * film.blur, noise=0.5 * film.noise)
        rgb = np.zeros((len(moment.t), *storage, 3), np.uint8)
        for k, image in zip(looked_at, expose(rng, film, pictures), strict=True):
            rgb[k] = coded(image, quality)
        top, bottom = camera.shown_rows(storage[0])
        rgb[looked_at, :top] = rgb[looked_at, bottom:] = 0  # the others need no memory yet
        return rgb

    def _faces(
        self, rng: np.random.Generator, body: Body, moment: Performance, scene: Scene
    ) -> tuple[Image, NDArray[np.bool_]]:
        """uint8 [T, S, S, 3] of the head as the camera sees it, and where there is one."""
        count, side = len(moment.t), self._manifest.perception.face_size
        faces, has_face = np.zeros((count, side, side, 3), np.uint8), np.zeros(count, np.bool_)
        if self._face is None:
            return faces, has_face
        looked_at = np.unique(sample(moment.t, self._face.sampling)[0])
        points = carry(body, moment.bones[looked_at], face_places(body))
        backdrop, whole = paint(rng, (_HEAD_PX, _HEAD_PX)), scene.camera
        shown = max(8, round(_HEAD_CM * whole.pixels_per_cm(points.mean(axis=(0, 1)), _PICTURE[0])))
        pictures, places = [], []
        for k, point in zip(looked_at, points, strict=True):
            left, top = np.rint(whole.project(point, _PICTURE).mean(axis=0) - shown / 2).astype(int)
            camera = _part(whole, (int(left), int(top)), shown)
            seen = replace(scene, camera=camera)
            pictures.append(self._drawn(body, moment, k, seen, backdrop, _HEAD_PX))
            places.append(camera.project(point, (_HEAD_PX, _HEAD_PX)))
        faces[looked_at], _ = aligned(rng, pictures, np.stack(places), min(shown, _HEAD_PX))
        has_face[looked_at] = True
        return faces, has_face

    def _drawn(
        self, body: Body, moment: Performance, k: int, scene: Scene, backdrop: Image, side: int
    ) -> Image:
        if side not in self._renderers:
            self._renderers[side] = Renderer((side, side))
        renderer = self._renderers[side]
        renderer.show(body.avatar)
        matrices = skin_matrices(body, moment.bones[k])
        return renderer.draw(matrices, moment.morphs[k], scene, backdrop)


def _part(camera: Camera, corner: tuple[int, int], side: int) -> CutCamera:
    return CutCamera(
        camera.eye, camera.rotation, camera.field_of_view,
        picture=_PICTURE, corner=corner, side=side,
    )  # fmt: skip

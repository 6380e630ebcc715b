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
from numpy.typing import NDArray
from torch.utils.data import Dataset

from engines.preprocess import preprocess, sample
from engines.skeleton import MEDIAPIPE33
from engines.tensor_specs import HANDS, FaceInput, HandInput, RgbInput
from engines.window import Window
from realtime.perception.crop import place_square
from train.augment import Augmentation, augment
from train.dataset import BETWEEN, UNLABELLED, Feeds, Labels, manifest_of
from train.face_dataset import aligned, face_places
from train.labels import EMOTIONS
from train.places import PLACES, places_at_hands, places_in
from train.recipes import Recipe
from train.synth.avatar import load_avatar
from train.synth.backgrounds import paint
from train.synth.body import Body, measure, skin_matrices
from train.synth.estimator import load_estimator
from train.synth.faces import draw_features
from train.synth.film import coded, draw_film, expose
from train.synth.keypoints import carry, mediapipe_places
from train.synth.motion import RATE_HZ, draw_end, estimated
from train.synth.people import somebody
from train.synth.performance import Performance
from train.synth.render import Renderer
from train.synth.rotations import Floats
from train.synth.scene import Camera, CutCamera, Scene, disguised, draw_scene
from train.synth.script import draw_labels, untrimmed
from train.turns import AMONG, Kept, turn

Image = NDArray[np.uint8]
Frames = tuple[NDArray[np.intp], Image]
"""Which ones, and they themselves."""
_SHOULDERS = list(MEDIAPIPE33.indices(["left_shoulder", "right_shoulder"]))
_PICTURE = (360, 640)
"""(h, w) px of the camera's picture, of which the subject's region is rendered."""
_WIDER = 1.1
"""So much wider perception takes shoulders to be than the rig's joints are: measured on the four
people of the training, 1.07 to 1.13."""
_HEAD_CM, _HEAD_PX = 33.0, 160
"""What is rendered of a head, and in how many px."""
_TAKE_S = 20.0
_WINDOWS, _TAKES = 12, 24
"""Windows from one performance, and performances that take turns."""
_TIMES = 4
"""Each window is looked at so many times, in turn with `AMONG` others."""
_SPEED = 0.2
"""Time runs up to so much faster or slower."""
_HAND_OFF, _HAND_SHAKE = 0.02, 0.008
"""Of the region's side: 5 and 2 px of 256, of a hand, and from frame to frame."""
_AGAIN = Augmentation(light=0.15, blur=0.1, noise=4.0, jitter=0, joint_loss=0, evidence_loss=0)


@dataclass(frozen=True, eq=False)
class _Shot:
    """A window, of which only the few pictures that are looked at take memory."""

    window: Window
    """Its pictures are black."""
    rgb: Frames
    faces: Frames
    known: dict[str, int]

    def whole(self) -> Window:
        rgb = _among(self.window.rgb.shape, self.rgb)
        return replace(self.window, rgb=rgb, faces=_among(self.window.faces.shape, self.faces))


def _among(shape: tuple[int, ...], frames: Frames) -> Image:
    out = np.zeros(shape, np.uint8)
    out[frames[0]] = frames[1]
    return out


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
        rgb = [spec for spec in manifest.inputs if isinstance(spec, RgbInput)]
        faces = [spec for spec in manifest.inputs if isinstance(spec, FaceInput)]
        hands = [spec for spec in manifest.inputs if isinstance(spec, HandInput)]
        self._pictured: tuple[RgbInput | HandInput, ...] = (*rgb, *hands)
        self._face = faces[0] if faces else None
        self._placed = None if only is None else self._pictured[0]
        self._manifest = manifest
        self._tasks = tuple(output.task for output in recipe.outputs)
        self._length, self._seed = length, seed
        self._estimator = None if self._placed else load_estimator()
        self._renderers: dict[int, Renderer] = {}
        self._shown = Kept(self._shoot, AMONG)
        self._take = Kept(self._perform, 2 * _TAKES)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, draw: int) -> tuple[Feeds, Labels]:
        shot = self._shown(turn(draw, _TIMES, AMONG))
        window = augment(np.random.default_rng([self._seed, 5, draw]), shot.whole(), _AGAIN)
        seen = window
        if isinstance(self._placed, HandInput):
            seen = _misplaced_hands(np.random.default_rng([self._seed, 8, draw]), window)
        arrays = preprocess([seen], self._manifest)
        feeds = {name: torch.from_numpy(array[0]) for name, array in arrays.items()}
        labels = {task: torch.tensor(shot.known.get(task, UNLABELLED)) for task in self._tasks}
        if self._placed is not None:
            sampled, _ = sample(window.t, self._placed.sampling)
            labels[PLACES] = torch.from_numpy(
                places_in(window, sampled, self._placed)
                if isinstance(self._placed, RgbInput)
                else places_at_hands(window, seen, sampled, self._placed)
            )
        return feeds, labels

    def _perform(self, number: int) -> tuple[Body, Performance]:
        rng = np.random.default_rng([self._seed, 6, number])
        body = somebody(rng, self._bodies[number % len(self._bodies)])
        t = np.arange(round(_TAKE_S * RATE_HZ)) / RATE_HZ
        emotion = (0, 1, None)[rng.integers(len(EMOTIONS) + 1)]
        labels = draw_labels(rng, 2 * int(_TAKE_S)).tolist()
        features = draw_features(rng)
        return body, untrimmed(rng, body, t, emotion, labels, features)

    def _shoot(self, number: int) -> _Shot:
        body, performance = self._take(turn(number, _WINDOWS, _TAKES))
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
        return self._shot(rng, body, moment, labels)

    def _shot(
        self, rng: np.random.Generator, body: Body, moment: Performance, known: dict[str, int]
    ) -> _Shot:
        points = carry(body, moment.bones, mediapipe_places(body))
        scene = disguised(rng, draw_scene(rng, body))
        camera = self._cut(rng, scene.camera, points, body)
        rgb = self._pictures(rng, body, moment, replace(scene, camera=camera))
        xy, xyz, conf = self._seen(rng, points, camera)
        faces = self._faces(rng, body, moment, scene)
        count, perception = len(moment.t), self._manifest.perception
        has_face = np.zeros(count, np.bool_)
        has_face[faces[0]] = True
        window = Window(
            t=moment.t, rgb=_black(count, perception.storage), xy=xy, xyz=xyz, conf=conf,
            faces=_black(count, (perception.face_size,) * 2), has_face=has_face,
            layout=MEDIAPIPE33.name,
        )  # fmt: skip
        return _Shot(window, rgb, faces, known)

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
        width = _WIDER * body.shoulders * camera.pixels_per_cm(middle, _PICTURE[0])
        width *= float(np.exp(rng.normal(0, 0.05)))
        centre = camera.project(middle, _PICTURE) + np.array([0, rule.shift * width])
        # The square begins in the middle, and few move as far as its slack afterwards.
        centre += rng.normal(0, 0.2, 2).clip(-1, 1) * rule.slack * rule.scale * width
        wanted = np.array([*centre, rule.scale * width])
        corner, side = place_square(wanted, _PICTURE, self._manifest.perception.storage)
        return _part(camera, corner, side)

    def _pictures(
        self, rng: np.random.Generator, body: Body, moment: Performance, scene: Scene
    ) -> Frames:
        """uint8 [n, h, w, 3] of those that are looked at, as perception would cut them out."""
        storage, camera = self._manifest.perception.storage, scene.camera
        assert isinstance(camera, CutCamera)
        instants = [sample(moment.t, spec.sampling)[0] for spec in self._pictured]
        looked_at = np.unique(np.concatenate(instants))
        backdrop = paint(rng, storage)
        pictures = [self._drawn(body, moment, k, scene, backdrop, storage[0]) for k in looked_at]
        film, quality = draw_film(rng), int(rng.integers(60, 96))
        film = replace(film, motion_blur=0.0, blur=0.4 * film.blur, noise=0.5 * film.noise)
        rgb = np.stack([coded(image, quality) for image in expose(rng, film, pictures)])
        top, bottom = camera.shown_rows(storage[0])
        rgb[:, :top] = rgb[:, bottom:] = 0
        return looked_at, rgb

    def _faces(
        self, rng: np.random.Generator, body: Body, moment: Performance, scene: Scene
    ) -> Frames:
        """uint8 [n, S, S, 3] of the head as the camera sees it, where it is looked at."""
        side = self._manifest.perception.face_size
        if self._face is None:
            return np.zeros(0, np.intp), np.zeros((0, side, side, 3), np.uint8)
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
        faces, _ = aligned(rng, pictures, np.stack(places), min(shown, _HEAD_PX))
        return looked_at, faces

    def _drawn(
        self, body: Body, moment: Performance, k: int, scene: Scene, backdrop: Image, side: int
    ) -> Image:
        if side not in self._renderers:
            self._renderers[side] = Renderer((side, side))
        renderer = self._renderers[side]
        renderer.show(body.avatar)
        matrices = skin_matrices(body, moment.bones[k])
        return renderer.draw(matrices, moment.morphs[k], scene, backdrop)


def _misplaced_hands(rng: np.random.Generator, window: Window) -> Window:
    """The same with keypoints of hands that are off, as an estimator's are: each as a whole."""
    xy, side = window.xy.copy(), window.rgb.shape[1]
    for hand in HANDS:
        joints = MEDIAPIPE33.indices(hand)
        lasting, passing = rng.normal(0, _HAND_OFF, 2), rng.normal(0, _HAND_SHAKE, (len(xy), 2))
        xy[:, joints] += ((lasting + passing) * side)[:, None]
    return replace(window, xy=xy.astype(np.float32))


def _black(count: int, size: tuple[int, ...]) -> Image:
    """One value that stands for all, uint8 [count, h, w, 3]."""
    return np.broadcast_to(np.uint8(0), (count, *size, 3))


def _part(camera: Camera, corner: tuple[int, int], side: int) -> CutCamera:
    return CutCamera(
        camera.eye, camera.rotation, camera.field_of_view,
        picture=_PICTURE, corner=corner, side=side,
    )  # fmt: skip

"""Shots: the few pictures of a rendered moment that are looked at, cut as perception cuts them.

The region and the head are rendered alone, through the camera that shows the whole room; the pose
comes as its estimator would have seen it, or as it is.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engines.manifest import Manifest
from engines.preprocess import sample
from engines.skeleton import MEDIAPIPE33
from engines.tensor_specs import FaceInput, HandInput, RgbInput
from engines.window import Window
from realtime.perception.crop import place_square
from train.face_dataset import aligned, face_places
from train.synth.backgrounds import paint
from train.synth.body import Body, skin_matrices
from train.synth.estimator import Estimator
from train.synth.film import coded, draw_film, expose
from train.synth.keypoints import carry, mediapipe_places
from train.synth.motion import estimated
from train.synth.performance import Performance
from train.synth.render import Renderer
from train.synth.rotations import Floats
from train.synth.scene import Camera, CutCamera, Scene, disguised, draw_scene

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


@dataclass(frozen=True, eq=False)
class Shot:
    """A window, of which only the few pictures that are looked at take memory."""

    window: Window
    """Its pictures are black."""
    rgb: Frames
    faces: Frames

    def whole(self) -> Window:
        """The window with its pictures."""
        rgb = _among(self.window.rgb.shape, self.rgb)
        return replace(self.window, rgb=rgb, faces=_among(self.window.faces.shape, self.faces))


def _among(shape: tuple[int, ...], frames: Frames) -> Image:
    out = np.zeros(shape, np.uint8)
    out[frames[0]] = frames[1]
    return out


class Photographer:
    """Takes shots of people in rooms, with renderers of its own."""

    def __init__(self, manifest: Manifest, estimator: Estimator | None) -> None:
        """Look at what the manifest's inputs do; the pose is an estimator's, or the true one."""
        rgb = [spec for spec in manifest.inputs if isinstance(spec, RgbInput)]
        faces = [spec for spec in manifest.inputs if isinstance(spec, FaceInput)]
        hands = [spec for spec in manifest.inputs if isinstance(spec, HandInput)]
        self._pictured: tuple[RgbInput | HandInput, ...] = (*rgb, *hands)
        self._face = faces[0] if faces else None
        self._perception, self._estimator = manifest.perception, estimator
        self._renderers: dict[int, Renderer] = {}

    def shot(self, rng: np.random.Generator, body: Body, moment: Performance) -> Shot:
        """The moment in a room, before a camera, disguised: all of which chance decides."""
        points = carry(body, moment.bones, mediapipe_places(body))
        scene = disguised(rng, draw_scene(rng, body))
        camera = self._cut(rng, scene.camera, points, body)
        rgb = self._pictures(rng, body, moment, replace(scene, camera=camera))
        xy, xyz, conf = self._seen(rng, points, camera)
        faces = self._faces(rng, body, moment, scene)
        count, perception = len(moment.t), self._perception
        has_face = np.zeros(count, np.bool_)
        has_face[faces[0]] = True
        window = Window(
            t=moment.t, rgb=_black(count, perception.storage), xy=xy, xyz=xyz, conf=conf,
            faces=_black(count, (perception.face_size,) * 2), has_face=has_face,
            layout=MEDIAPIPE33.name,
        )  # fmt: skip
        return Shot(window, rgb, faces)

    def _seen(
        self, rng: np.random.Generator, points: Floats, camera: CutCamera
    ) -> tuple[Floats, Floats, Floats]:
        """Keypoints in px of the region and in m, and confidences: true ones, or an estimator's."""
        storage = self._perception.storage
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
        rule = self._perception.crop
        middle = points[:, _SHOULDERS].mean(axis=(0, 1))
        width = _WIDER * body.shoulders * camera.pixels_per_cm(middle, _PICTURE[0])
        width *= float(np.exp(rng.normal(0, 0.05)))
        centre = camera.project(middle, _PICTURE) + np.array([0, rule.shift * width])
        # The square begins in the middle, and few move as far as its slack afterwards.
        centre += rng.normal(0, 0.2, 2).clip(-1, 1) * rule.slack * rule.scale * width
        wanted = np.array([*centre, rule.scale * width])
        corner, side = place_square(wanted, _PICTURE, self._perception.storage)
        return _part(camera, corner, side)

    def _pictures(
        self, rng: np.random.Generator, body: Body, moment: Performance, scene: Scene
    ) -> Frames:
        """uint8 [n, h, w, 3] of those that are looked at, as perception would cut them out."""
        storage, camera = self._perception.storage, scene.camera
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
        side = self._perception.face_size
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


def _black(count: int, size: tuple[int, ...]) -> Image:
    """One value that stands for all, uint8 [count, h, w, 3]."""
    return np.broadcast_to(np.uint8(0), (count, *size, 3))


def _part(camera: Camera, corner: tuple[int, int], side: int) -> CutCamera:
    return CutCamera(
        camera.eye, camera.rotation, camera.field_of_view,
        picture=_PICTURE, corner=corner, side=side,
    )  # fmt: skip

"""Scene: the camera, the light and the clothes of one video, drawn at random from a generator."""

from dataclasses import dataclass, replace

import numpy as np

from train.synth.body import Body
from train.synth.rotations import Floats, about, nod_turn_tilt, unit

_NEAR, _FAR = 5.0, 2000.0
_BROW_CM = 4.0
"""From the eyes up to where hair grows."""
SHOWN_CM = (66.0, 120.0)
"""Of a person's height, in the picture: head and elbows at least."""
PORTRAIT_CM = (42.0, 90.0)
"""Head and shoulders at least."""


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera; world units are cm."""

    eye: Floats
    """float32 [3]."""
    rotation: Floats
    """float32 [3, 3]: world to camera; the camera looks along -z, y is up."""
    field_of_view: float
    """rad, vertical."""

    def matrix(self, aspect: float) -> Floats:
        """float32 [4, 4]: world to clip space, column vectors."""
        focal = 1.0 / np.tan(self.field_of_view / 2)
        projection = np.zeros((4, 4), np.float32)
        projection[0, 0], projection[1, 1] = focal / aspect, focal
        projection[2, 2] = (_FAR + _NEAR) / (_NEAR - _FAR)
        projection[2, 3] = 2 * _FAR * _NEAR / (_NEAR - _FAR)
        projection[3, 2] = -1.0
        view = np.eye(4, dtype=np.float32)
        view[:3, :3] = self.rotation
        view[:3, 3] = -self.rotation @ self.eye
        return np.asarray(projection @ view, np.float32)

    def project(self, points: Floats, size: tuple[int, int]) -> Floats:
        """Pixels [..., 2] (x right, y down) of world points [..., 3] in a picture (h, w)."""
        height, width = size
        seen = (points - self.eye) @ self.rotation.T
        scale = height / (2 * np.tan(self.field_of_view / 2)) / np.maximum(-seen[..., 2], 1.0)
        x = width / 2 + seen[..., 0] * scale
        return np.stack([x, height / 2 - seen[..., 1] * scale], -1).astype(np.float32)

    def pixels_per_cm(self, point: Floats, height: int) -> float:
        """At the distance of a world point [3], in a picture so many px high."""
        distance = max(float(-(self.rotation @ (point - self.eye))[2]), 1.0)
        return height / (2 * float(np.tan(self.field_of_view / 2))) / distance


@dataclass(frozen=True, eq=False)
class CutCamera(Camera):
    """A square cut out of a camera's picture."""

    picture: tuple[int, int]
    """(h, w) px of the whole."""
    corner: tuple[int, int]
    """(left, top) px; may lie outside."""
    side: int
    """px."""

    def matrix(self, aspect: float = 1.0) -> Floats:
        """float32 [4, 4]: world to clip space of the square."""
        (height, width), (left, top) = self.picture, self.corner
        cut = np.eye(4, dtype=np.float32)
        cut[0, 0], cut[1, 1] = width / self.side, height / self.side
        cut[0, 3] = (width - 2 * left) / self.side - 1
        cut[1, 3] = 1 - (height - 2 * top) / self.side
        return np.asarray(cut @ super().matrix(width / height), np.float32)

    def project(self, points: Floats, size: tuple[int, int]) -> Floats:
        """Pixels [..., 2] of world points [..., 3] in the square at (h, w)."""
        xy = super().project(points, self.picture) - np.array(self.corner, np.float32)
        return np.asarray(xy * (np.array(size[::-1]) / self.side), np.float32)

    def shown_rows(self, height: int) -> tuple[int, int]:
        """First and last + 1 row, of so many, that lie within the whole picture."""
        top, scale = self.corner[1], height / self.side
        return max(0, round(-top * scale)), min(height, round((self.picture[0] - top) * scale))


@dataclass(frozen=True, eq=False)
class Scene:
    """What stays the same throughout one video."""

    camera: Camera
    key: Floats
    """float32 [3]: towards the main light."""
    key_colour: Floats
    """float32 [3]."""
    fill: Floats
    """float32 [3]: towards the second light."""
    fill_colour: Floats
    """float32 [3]."""
    sky: Floats
    """float32 [3]: light from above."""
    ground: Floats
    """float32 [3]: light from below."""
    clothes: Floats
    """float32 [3, 3]: colours of the body's picture are multiplied by it."""
    head: Floats
    """float32 [3, 3]: likewise the head's, but for its skin."""
    skin: Floats
    """float32 [3]: colours of all bare skin are multiplied by it."""
    pattern: Floats
    """float32 [3]: of the clothes' stripes, how dense along both axes of the picture; contrast."""
    bulk_cm: float
    """By how much the body is thicker than the avatar's."""
    hair_cm: float
    """Likewise the hair."""
    crown: Floats
    """float32 [4]: times (x, y, z, 1) of a vertex of the head it is its height above the brow."""

    def lights(self) -> dict[str, Floats]:
        """The shader's uniforms of these names."""
        names = ("key", "key_colour", "fill", "fill_colour", "sky", "ground")
        return {name: getattr(self, name) for name in names}


def draw_camera(
    rng: np.random.Generator, body: Body, shown_cm: tuple[float, float] = SHOWN_CM
) -> Camera:
    """From a laptop's webcam to a press conference."""
    head = body.landmarks["eyes"].point
    fov = np.radians(rng.uniform(24, 62))
    shown = rng.uniform(*shown_cm)
    distance = shown / (2 * np.tan(fov / 2))
    top = head[1] + rng.uniform(13, 26)
    target = np.array([rng.normal(0, 6), top - shown / 2, 2.0])
    return _aimed(rng, np.asarray(target, np.float32), float(distance), float(fov))


def look_at(rng: np.random.Generator, target: Floats, shown_cm: float) -> Camera:
    """A camera somewhere before `target`, float32 [3] cm, of which `shown_cm` fill the height."""
    fov = float(np.radians(rng.uniform(14, 45)))
    return _aimed(rng, target, shown_cm / (2 * np.tan(fov / 2)), fov)


def _aimed(rng: np.random.Generator, target: Floats, distance: float, fov: float) -> Camera:
    azimuth = np.clip(rng.normal(0, 0.28), -0.65, 0.65)
    elevation = np.clip(rng.normal(0.02, 0.12), -0.25, 0.3)
    direction = nod_turn_tilt(-np.float32(elevation), np.float32(azimuth), np.float32(0))
    back = direction @ np.array([0, 0, 1], np.float32)
    right = unit(np.cross(np.array([0, 1, 0], np.float32), back))
    rotation = np.stack([right, np.cross(back, right), back])
    roll = about(np.array([0, 0, 1], np.float32), np.float32(rng.normal(0, 0.025)))
    eye = (target + back * distance).astype(np.float32)
    return Camera(eye, np.asarray(roll @ rotation, np.float32), fov)


def draw_scene(
    rng: np.random.Generator, body: Body, shown_cm: tuple[float, float] = SHOWN_CM
) -> Scene:
    """Camera, light and clothes."""

    def towards(azimuth: float, elevation: float) -> Floats:
        flat = np.cos(elevation)
        return np.array(
            [np.sin(azimuth) * flat, np.sin(elevation), np.cos(azimuth) * flat], np.float32
        )

    def colour(strength: float, spread: float) -> Floats:
        warmth = rng.normal(0, spread)
        return np.asarray(strength * np.array([1 + warmth, 1.0, 1 - warmth]), np.float32)

    side = rng.choice([-1.0, 1.0])
    key = towards(side * rng.uniform(0.0, 1.2), rng.uniform(0.15, 1.1))
    fill = towards(-side * rng.uniform(0.3, 1.5), rng.uniform(-0.1, 0.6))
    strength = rng.uniform(0.35, 0.85)
    ambient = rng.uniform(0.25, 0.55)
    return Scene(
        camera=draw_camera(rng, body, shown_cm),
        key=key,
        key_colour=colour(strength, 0.08),
        fill=fill,
        fill_colour=colour(strength * rng.uniform(0.1, 0.6), 0.08),
        sky=colour(ambient * 1.2, 0.06),
        ground=colour(ambient * 0.7, 0.05),
        clothes=_dyed(rng),
        head=np.eye(3, dtype=np.float32) * (brightness := np.float32(rng.uniform(0.75, 1.2))),
        skin=np.full(3, brightness, np.float32),
        pattern=np.zeros(3, np.float32),
        bulk_cm=0.0,
        hair_cm=0.0,
        crown=_crown(body),
    )


def _crown(body: Body) -> Floats:
    head = body.bone("Head")
    to_rest = body.rest[head] @ body.avatar.inverse_bind[head]
    brow = np.array([0, 0, 0, body.landmarks["eyes"].point[1] + _BROW_CM])
    return np.asarray(to_rest[1] - brow, np.float32)


def disguised(rng: np.random.Generator, scene: Scene) -> Scene:
    """The same scene with another person in it: skin from dark to light, other hair, other clothes.

    A few avatars have few looks, and a network that saw no others fails on them. One in four stays
    as it is.

    Args:
        rng: decides.
        scene: stays as it is; camera and light are the same in what is returned.
    """
    if rng.random() < 0.25:
        return scene
    angle, density = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(30), np.log(400)))
    contrast = rng.uniform(0.1, 0.5) if rng.random() < 0.4 else 0.0
    melanin = np.exp(rng.uniform(np.log(0.28), np.log(1.15)))
    tone = melanin ** np.array([1.0, 1.12, 1.2])  # the darker, the more saturated
    grey = np.full((3, 3), 1 / 3)
    turned = _hues_turned(rng.uniform(-np.pi, np.pi))
    colourful = rng.uniform(0.0, 1.0)
    clothes = (colourful * turned + (1 - colourful) * grey) * np.exp(rng.uniform(-1.6, 0.25))
    return replace(
        scene,
        clothes=np.asarray(clothes, np.float32),
        head=np.eye(3, dtype=np.float32) * np.float32(rng.uniform(0.35, 1.15)),
        skin=np.asarray(tone, np.float32),
        pattern=np.array([density * np.cos(angle), density * np.sin(angle), contrast], np.float32),
        bulk_cm=float(rng.uniform(-0.3, 0.6)),
        hair_cm=float(rng.uniform(0.0, 5.0)) if rng.random() < 0.4 else 0.0,
    )


def _dyed(rng: np.random.Generator) -> Floats:
    """Hues turned about grey, but mildly: hands and clothes share a picture."""
    turned = _hues_turned(rng.normal(0, 0.45))
    return np.asarray(turned * rng.uniform(0.7, 1.25), np.float32)


def _hues_turned(angle: float) -> Floats:
    """float32 [3, 3]: colours turned about grey by so many rad."""
    return about(unit(np.ones(3, np.float32)), np.float32(angle))

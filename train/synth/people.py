"""People: an avatar made into somebody else, of other build and with another face.

A few avatars have few shapes, and a network that saw no others knows these people instead of what
they do. Space itself is bent in the A-pose: skin and bones move together, so that whatever is
measured on the body afterwards (where an ear is, how far a hand reaches) is true of the new person.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from train.synth.avatar import Avatar, Part, Skeleton
from train.synth.body import Body, measure
from train.synth.rotations import Floats, unit

_AS_THEY_ARE = 0.15
"""Share of the people who stay the avatar's."""
_HEAD, _HEAD_AXES = 0.035, (0.05, 0.04, 0.05)
"""Standard deviations of the logarithm of a head's size; of its width, height, depth beside it."""
_TRUNK_AXES = (0.06, 0.0, 0.09)
_ARMS = 0.05
_NECK_CM = 0.8
_BUMPS, _BUMP_CM, _BUMP_WIDTHS_CM = 10, 0.26, (1.5, 3.5)
"""Of a face: how many, how high (standard deviation), how wide."""
_ONE_SIDED = 0.2
"""Share of a bump in which the two sides of a face differ."""
_STAINS, _STAIN = 6, 0.12
"""Places of a face that are lighter or darker; standard deviation of the logarithm."""
_BEARD = np.log([0.28, 0.25, 0.24])
"""Of the skin's red, green, blue below a full beard."""
_STEP_CM = 0.05
"""For derivatives."""

Field = Callable[[Floats], Floats]
"""Points float32 [N, 3] cm of the A-pose, y up -> float32 [N, 3]."""


def somebody(rng: np.random.Generator, body: Body) -> Body:
    """Another person from the same avatar, measured; a few are the avatar's own.

    Args:
        rng: decides.
        body: stays as it is; pictures on the skin and names of bones are shared.
    """
    if rng.random() < _AS_THEY_ARE:
        return body
    steps = (_face(rng, body), _head(rng, body), _trunk(rng, body), _arms(rng, body))

    def bend(points: Floats) -> Floats:
        for step in steps:
            points = np.asarray(points + step(points), np.float32)
        return points

    return measure(_bent(body, bend, _paint(rng, body)))


def _face(rng: np.random.Generator, body: Body) -> Field:
    """Bumps and hollows, nearly the same on both sides."""
    centres = _on_face(rng, body, _BUMPS)
    sizes = rng.normal(0, _BUMP_CM, (_BUMPS, 3))
    widths = rng.uniform(*_BUMP_WIDTHS_CM, _BUMPS)
    sides = [
        _bells(centres * flip, widths, sizes * flip * (1 + rng.normal(0, _ONE_SIDED, (_BUMPS, 1))))
        for flip in ((1, 1, 1), (-1, 1, 1))
    ]
    return lambda points: np.asarray(sum(side(points) for side in sides), np.float32)


def _head(rng: np.random.Generator, body: Body) -> Field:
    """Its size and proportions, about the joint that it turns on; how long the neck is."""
    joint, neck_y = body.at("Head"), float(body.at("Neck")[1])
    scale = _scale(rng, _HEAD) * _scale(rng, _HEAD_AXES) - 1
    longer = np.array([0, _NECK_CM * np.clip(rng.normal(), -1.5, 2), 0])

    def field(points: Floats) -> Floats:
        above = _rising(neck_y, float(joint[1]) + 2.0, points[:, 1:2])
        return np.asarray(above * ((points - joint) * scale + longer), np.float32)

    return field


def _trunk(rng: np.random.Generator, body: Body) -> Field:
    """How broad and how deep it is; whatever hangs on it moves along."""
    shoulder, neck = body.at("L UpperArm"), body.at("Neck")
    scale = _scale(rng, _TRUNK_AXES) - 1
    reach = np.array([float(shoulder[0]), np.inf, np.inf])

    def field(points: Floats) -> Floats:
        below = 1 - _rising(float(shoulder[1]), float(neck[1]) + 3.0, points[:, 1:2])
        offset = np.clip(points - neck * (0, 0, 1), -reach, reach)
        return np.asarray(below * offset * scale, np.float32)

    return field


def _arms(rng: np.random.Generator, body: Body) -> Field:
    """How long they are, hands and all."""
    joint = body.at("L UpperArm")
    scale = _scale(rng, _ARMS) - 1

    def field(points: Floats) -> Floats:
        side = np.sign(points[:, :1]) * (1, 0, 0) + (0, 1, 1)
        beyond = _rising(float(joint[0]) - 1.0, float(joint[0]) + 7.0, abs(points[:, :1]))
        return np.asarray(beyond * (points - joint * side) * scale, np.float32)

    return field


def _paint(rng: np.random.Generator, body: Body) -> Field:
    """The logarithm of what the colours of a head are multiplied by: stains, lips, brows, beard."""
    centres, widths = _on_face(rng, body, _STAINS), rng.uniform(1.0, 4.0, _STAINS)
    values = rng.normal(0, _STAIN, (_STAINS, 1)) + rng.normal(0, 0.2 * _STAIN, (_STAINS, 3))
    spots = list(zip(centres, widths, values, strict=True))

    def add(name: str, width: float, value: ArrayLike) -> None:
        spots.append((body.landmarks[name].point, width, np.asarray(value)))

    redder, darker = rng.normal(0, 0.2), rng.normal(-0.1, 0.25)
    add("mouth", 1.0, np.array([0.2, -0.8, -0.6]) * redder)
    for name in ("left_brow", "right_brow"):
        add(name, 1.0, [darker] * 3)
    if rng.random() < 0.25:
        thick = rng.uniform(0.2, 1.0)
        for name in ("chin", "under_chin", "left_jaw", "right_jaw", "left_mouth", "right_mouth"):
            add(name, rng.uniform(1.2, 2.0), _BEARD * 0.45 * thick)
    return _bells(*zip(*spots, strict=True))


def _on_face(rng: np.random.Generator, body: Body, count: int) -> Floats:
    """Points [count, 3] cm at its front and sides, on the left."""
    eyes, chin = body.landmarks["eyes"].point, body.landmarks["chin"].point
    low, high = (0.0, chin[1] - 1.0, eyes[2] - 9.0), (7.0, eyes[1] + 6.0, eyes[2] + 1.5)
    return np.asarray(rng.uniform(low, high, (count, 3)), np.float32)


def _bells(centres: ArrayLike, widths: ArrayLike, values: ArrayLike) -> Field:
    """Sum of Gaussian bells: K centres [K, 3], standard deviations [K], heights [K, 3]."""
    middle, wide, high = (np.asarray(v, np.float32) for v in (centres, widths, values))

    def field(points: Floats) -> Floats:
        squares = ((points[:, None] - middle) ** 2).sum(-1)
        return np.asarray(np.exp(-squares / (2 * wide**2)) @ high, np.float32)

    return field


def _scale(rng: np.random.Generator, spread: ArrayLike) -> Floats:
    """Factors about 1; `spread`: of their logarithms the standard deviation, half the most."""
    sizes = np.asarray(spread, np.float32)
    return np.asarray(np.exp(sizes * np.clip(rng.normal(0, 1, sizes.shape), -2, 2)), np.float32)


def _rising(low: float, high: float, at: Floats) -> Floats:
    """Smoothly from 0 to 1."""
    share = np.clip((at - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def _bent(body: Body, bend: Field, paint: Field) -> Avatar:
    avatar, skeleton = body.avatar, body.avatar.skeleton
    to_rest = body.rest @ avatar.inverse_bind
    rest = body.rest.copy()
    rest[:, :3, 3] = bend(body.rest[:, :3, 3])
    inverse_bind = np.linalg.inv(rest) @ to_rest
    local = rest.copy()
    for bone, parent in enumerate(skeleton.parents):
        if parent >= 0:
            local[bone] = np.linalg.inv(rest[parent]) @ rest[bone]
    axes = to_rest[body.bone("Head")]
    parts = tuple(_bent_part(part, axes, bend, paint) for part in avatar.parts)
    new = Skeleton(skeleton.names, skeleton.parents, local.astype(np.float32))
    return replace(avatar, skeleton=new, inverse_bind=inverse_bind.astype(np.float32), parts=parts)


def _bent_part(part: Part, axes: Floats, bend: Field, paint: Field) -> Part:
    """The skin, which lies in axes of its own in the file."""
    turned, moved = axes[:3, :3], axes[:3, 3]
    points = np.asarray(part.positions @ turned.T + moved, np.float32)
    new = bend(points)
    columns = [(bend(points + step) - new) / _STEP_CM for step in np.eye(3) * _STEP_CM]
    across = np.linalg.inv(np.stack(columns, -1)).swapaxes(1, 2)  # normals are no lengths
    normals = across @ (part.normals @ turned.T)[..., None]
    is_body = part.material.endswith("_body")
    return replace(
        part,
        positions=np.asarray((new - moved) @ np.linalg.inv(turned).T, np.float32),
        normals=np.asarray(unit(normals[..., 0]) @ turned, np.float32),
        paint=part.paint if is_body else np.exp(paint(points)),
    )

"""Identity: who somebody is, drawn at random, and the shape of their body.

MakeHuman mixes targets for ancestry, sex, age and build, each product of their weights, and adds
small changes of the face on top.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from train.synth.makehuman.material import Material
from train.synth.rotations import Floats

ANCESTRIES = ("african", "asian", "caucasian")
_FACE_FOLDERS = (
    "head", "forehead", "eyebrows", "eyes", "nose", "mouth", "chin", "cheek", "ears", "neck",
)  # fmt: skip
_LEFT_OUT = (
    "head-trans", "head-age", "head-angle", "neck-", "measure-", "ear-trans", "ear-shape",
    "eye-push", "eye-trans", "mouth-angles", "mouth-trans", "head-diamond",
)  # fmt: skip
"""Parts of the names of targets that take a head off its neck, or an expression into the face."""
_CHANGED, _CHANGE, _MOST = 0.3, 0.35, 0.8
"""How many targets of the face are used, how strongly (standard deviation), and at most."""
_ONE_SIDED = 0.15
"""By how much the two sides of a face differ."""
_OLD = 0.4
"""Share of the people who are not young; half of them are more old than young."""

_AT_REST: Mapping[str, tuple[float, float]] = {
    "eyeBlink?": (0.0, 0.14), "browInnerUp": (0.2, 0.9), "browOuterUp?": (-0.9, 0.1),
    "browDown?": (-0.4, 0.1), "mouthFrown?": (-0.6, 0.15),
}  # fmt: skip
"""ARKit's expression -> how much of it is in a face that rests; `?` stands for a side. MakeHuman's
brows alone slant to the nose, and everybody would look angry."""
_LIPS = (474, 523)
"""Vertices of the upper and of the lower lip where they meet."""


@dataclass(frozen=True, eq=False)
class Identity:
    """Somebody."""

    is_female: bool
    ancestry: str
    """The largest share, one of `ANCESTRIES`."""
    age: float
    """0 young .. 1 old."""
    shape: Floats
    """float32 [19158, 3] dm: the base mesh."""


def draw_identity(rng: np.random.Generator, material: Material) -> Identity:
    """Somebody adult.

    Raises:
        MaterialError: a target is missing or broken.
    """
    is_female = bool(rng.random() < 0.5)
    femininity = rng.uniform(0.85, 1.0) if is_female else rng.uniform(0.0, 0.15)
    ancestry = dict(zip(ANCESTRIES, rng.dirichlet((0.45, 0.45, 0.45)).tolist(), strict=True))
    age = float(rng.uniform(0.1, 1.0)) if rng.random() < _OLD else float(rng.uniform(0.0, 0.1))
    mix = {
        "ancestry": ancestry,
        "sex": {"female": femininity, "male": 1 - femininity},
        "age": {"young": 1 - age, "old": age},
        "muscle": _three(rng.uniform(0.3, 0.7), "muscle"),
        "weight": _three(np.clip(rng.normal(0.52, 0.16), 0.25, 0.85), "weight"),
        "height": _two(np.clip(rng.normal(0, 0.1), -0.2, 0.2), "minheight", "maxheight"),
        "proportions": _two(rng.uniform(-0.4, 0.7), "uncommonproportions", "idealproportions"),
    }
    amounts = {**_macros(mix), **_face(rng, material)}
    shape = material.base.copy()
    for name, amount in amounts.items():
        rows, moves = material.target(name)
        shape[rows] += np.float32(amount) * moves
    for name, bounds in _AT_REST.items():
        resting = np.float32(rng.uniform(*bounds))
        for side in ("Left", "Right"):
            rows, moves = material.expression(name.replace("?", side))
            shape[rows] += resting * moves
    rows, moves = material.expression("jawOpen")
    falls = moves[rows == _LIPS[1], 1].sum()  # negative: so the lips come together
    shape[rows] += moves * ((_gap(shape) - _gap(material.base)) / falls)
    return Identity(is_female, max(ancestry, key=ancestry.__getitem__), age, shape)


def _gap(shape: Floats) -> np.float32:
    """dm, between the lips."""
    upper, lower = _LIPS
    return np.float32(shape[upper, 1] - shape[lower, 1])


def _macros(mix: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Targets of the whole body and how much of each."""
    build = ("sex", "age", "muscle", "weight")
    out: dict[str, float] = {}
    for axes, pattern in (
        (("ancestry", "sex", "age"), "macrodetails/{}-{}-{}"),
        (build, "macrodetails/universal-{}-{}-{}-{}"),
        ((*build, "height"), "macrodetails/height/{}-{}-{}-{}-{}"),
        ((*build, "proportions"), "macrodetails/proportions/{}-{}-{}-{}-{}"),
    ):
        for names in itertools.product(*(mix[axis] for axis in axes)):
            amount = float(np.prod([mix[a][n] for a, n in zip(axes, names, strict=True)]))
            if amount > 1e-3:
                out[pattern.format(*names)] = amount
    return out


def _three(value: float, what: str) -> dict[str, float]:
    """Shares of least, average and most, of 0..1."""
    low, high = max(0.0, 1 - 2 * value), max(0.0, 2 * value - 1)
    return {f"min{what}": low, f"average{what}": 1 - low - high, f"max{what}": high}


def _two(value: float, low: str, high: str) -> dict[str, float]:
    """-1 is `low`, 0 neither, 1 `high`."""
    return {low: float(np.clip(-value, 0, 1)), high: float(np.clip(value, 0, 1))}


def _face(rng: np.random.Generator, material: Material) -> dict[str, float]:
    """Targets of the face and how much of each; both sides are nearly alike."""
    names = [
        name
        for folder in _FACE_FOLDERS
        for name in material.targets(folder)
        if not any(part in name for part in _LEFT_OUT)
    ]
    common: dict[str, float] = {}
    out: dict[str, float] = {}
    for name in names:
        folder, own = name.split("/")
        key = f"{folder}/{own.removeprefix('l-').removeprefix('r-')}"
        if key not in common:
            common[key] = abs(rng.normal(0, _CHANGE)) * (rng.random() < _CHANGED)
        amount = common[key]
        if key != name:
            amount *= 1 + _ONE_SIDED * rng.normal()
        if amount > 0:
            out[name] = float(np.clip(amount, 0, _MOST))
    return out

"""Outfit: which eyes, brows, hair and clothes somebody has, and the pictures on them."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from train.synth.makehuman.identity import Identity
from train.synth.makehuman.material import Material, MaterialError, Place, read_picture
from train.synth.makehuman.proxies import Proxy, read_proxy

Picture = NDArray[np.uint8]
_SUITS = {
    True: ("female_casualsuit01", "female_casualsuit02", "female_sportsuit01"),
    False: ("male_worksuit01",),
}
"""Skirts are left out: they tear as their wearer sits down."""
_FOR_ALL = (*(f"male_casualsuit0{k}" for k in range(1, 7)), "male_elegantsuit01")
"""Shirts, jackets and trousers that women wear as well."""
_HAIR = {
    True: (
        "Braid01", "long01", "long01", "ponytail01", "ponytail01", "short01", "short02",
    ),
    False: ("short01", "short02", "short04"),
}  # fmt: skip
"""Some twice; those that hide an eye are left out."""
_AFRO = "afro01"
_BALD = 0.25
"""Of men who are not young."""
_HAIR_COLOURS = {
    "black": (34, 30, 29), "dark brown": (58, 42, 33), "brown": (92, 64, 44),
    "fair": (160, 122, 78), "red": (112, 64, 42), "grey": (128, 126, 124), "white": (196, 194, 190),
}  # fmt: skip
"""Mean sRGB."""
_EYES = ("brown", "brownlight", "green", "grey", "blue", "lightblue", "bluegreen", "deepblue")
_BROWS = (1, 2, 4, 5, 8, 9, 10, 12)
"""The others are angry whatever the face feels, or too thin to be drawn."""
_BROWS_OFF = 0.015
"""dm: a brow's card is stiffer than the skin below it, which would come through."""
_LASHES = {True: "eyelashes02", False: "Eyelashes01"}
_SHOES = 6
_DARKEST = 105.0
"""Of 255, on average: `scene.disguised` makes skin darker, and dark skin would end up black."""
_MOUTH = np.array([0.42, 0.34, 0.34], np.float32)
"""Of its red, green and blue light is left inside a mouth."""
_AGES = ((0.15, "young"), (0.55, "middleage"), (1.0, "old"))


@dataclass(frozen=True, eq=False)
class Outfit:
    """What somebody wears and is painted with; pictures are uint8 [h, w, 4] RGBA."""

    skin: Picture
    eyes: Proxy
    iris: Picture
    teeth: Proxy
    gums: Picture
    hairs: tuple[tuple[Proxy, Picture, float], ...]
    """Hair of the head, if any, brows and lashes; how far off the skin besides, dm."""
    clothes: tuple[tuple[Proxy, Picture], ...]


def draw_outfit(rng: np.random.Generator, material: Material, who: Identity) -> Outfit:
    """What suits them.

    Raises:
        MaterialError: something is missing or broken.
    """
    proxies = material.things / "proxies"
    iris = "brown" if who.ancestry != "caucasian" else str(rng.choice(_EYES))
    eyes = read_proxy(proxies / "eyes/Low-Poly", f"{iris}_eye.png")
    teeth = read_proxy(proxies / f"teeth/Teeth_Shape0{rng.integers(1, 6)}")
    colour = _hair_colour(rng, who)
    hairs = []
    if (style := _hair_style(rng, who)) is not None:
        hair = read_proxy(proxies / "hair" / style)
        hairs.append((hair, _hair(hair.picture, colour, 1.0), 0.0))
    brows = read_proxy(proxies / f"eyebrows/eyebrow{rng.choice(_BROWS):03}")
    shade = np.minimum(np.asarray(colour) * 0.8, (84, 76, 70))
    hairs.append((brows, _hair(brows.picture, shade, rng.uniform(0.9, 1.6)), _BROWS_OFF))
    lashes = read_proxy(proxies / "eyelashes" / _LASHES[who.is_female])
    density = 1.1 if who.is_female else 0.8
    hairs.append((lashes, _hair(lashes.picture, (38, 30, 26), density), 0.0))
    suit = str(rng.choice([*_FOR_ALL, *_SUITS[who.is_female]]))
    clothes = [read_proxy(proxies / "clothes" / suit)]
    toes = material.weights["toe1-1.L"][0]
    if not clothes[0].hidden[toes].all():  # some suits bring shoes along
        clothes.append(read_proxy(proxies / f"clothes/shoes0{rng.integers(1, _SHOES + 1)}"))
    return Outfit(
        skin=_skin(rng, material, who),
        eyes=eyes,
        iris=_dull(read_picture(eyes.picture), 0.55, 0.92),
        teeth=teeth,
        gums=_dull(read_picture(teeth.picture), 1.0, 0.92),
        hairs=tuple(hairs),
        clothes=tuple((proxy, _dyed(rng, read_picture(proxy.picture))) for proxy in clothes),
    )


def _skin(rng: np.random.Generator, material: Material, who: Identity) -> Picture:
    """A photographic skin of a stranger, in a tone of their own."""
    age = next(name for most, name in _AGES if who.age <= most)
    name = f"{age}_{who.ancestry}_{'female' if who.is_female else 'male'}"
    folder = material.things / "skins" / name / "textures"
    try:
        files = sorted(place.name for place in folder.iterdir())
    except OSError as error:
        raise MaterialError(f"{folder}: cannot be read ({error})") from None
    usable = [name for name in files if name.endswith(".png") and "suit" not in name]
    if not usable:
        raise MaterialError(f"{folder}: expected a PNG picture of a skin")
    picture = read_picture(folder / str(rng.choice(usable))).astype(np.float32)
    melanin, blush = np.exp(rng.normal(-0.12, 0.13)), rng.normal(0, 0.015)
    tone = melanin ** np.array([1.0, 1.1, 1.2]) * (1 + blush, 1, 1 - blush)
    lifted = max(1.0, _DARKEST / float(picture[..., :3].mean()))
    picture[..., :3] *= tone * lifted ** np.array([0.9, 1.05, 1.2])  # the lighter, the paler
    inside = material.mouth_mask(picture.shape[0])[..., None]
    picture[..., :3] *= 1 - inside * (1 - _MOUTH)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _dull(picture: Picture, colourful: float, bright: float) -> Picture:
    """With less colour and less light, which there is little of in a mouth."""
    rgb = picture[..., :3].astype(np.float32)
    grey = rgb.mean(axis=2, keepdims=True)
    rgb = (grey + (rgb - grey) * colourful) * bright
    return np.concatenate([rgb, picture[..., 3:]], axis=2).astype(np.uint8)


def _dyed(rng: np.random.Generator, picture: Picture) -> Picture:
    """Clothes of another colour."""
    rgb = np.ascontiguousarray(picture[..., :3])
    hue, saturation, value = cv2.split(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV).astype(np.float32))
    hue = np.mod(hue + rng.uniform(0, 180), 180)
    saturation = np.clip(saturation * rng.uniform(0.2, 1.2), 0, 255)
    value = np.clip(value * np.exp(rng.uniform(-0.5, 0.3)), 0, 255)
    dyed = np.stack([hue, saturation, value], axis=2).astype(np.uint8)
    return np.concatenate([cv2.cvtColor(dyed, cv2.COLOR_HSV2RGB), picture[..., 3:]], axis=2)


def _hair_colour(rng: np.random.Generator, who: Identity) -> ArrayLike:
    if rng.random() < (who.age - 0.3) * 1.3:
        names = ["grey", "white"]
    elif who.ancestry == "caucasian":
        names = ["black", "dark brown", "dark brown", "brown", "brown", "fair", "red"]
    else:
        names = ["black", "black", "dark brown"]
    colour = np.array(_HAIR_COLOURS[str(rng.choice(names))])
    return np.asarray(colour * np.exp(rng.normal(0, 0.12)))


def _hair_style(rng: np.random.Generator, who: Identity) -> str | None:
    if not who.is_female and who.age > 0.2 and rng.random() < _BALD:
        return None
    if who.ancestry == "african" and rng.random() < 0.4:
        return _AFRO
    return str(rng.choice(_HAIR[who.is_female]))


def _hair(place: Place, colour: ArrayLike, density: float) -> Picture:
    """A picture of hair in another colour, as opaque as pictures without half-tones must be."""
    picture = read_picture(place)
    alpha = picture[..., 3].astype(np.float32)
    grey = picture[..., :3].astype(np.float32).mean(axis=2)
    shown = alpha > 128
    mean = float(grey[shown].mean()) if shown.any() else 1.0
    # Contrast is kept, but for that of a photograph's deepest shadows.
    relative = np.clip(grey / max(mean, 1.0), 0.35, 2.2)[..., None]
    dyed = np.clip(relative * np.asarray(colour, np.float32), 0, 255)
    if density != 1:
        alpha = np.clip(cv2.GaussianBlur(alpha, (0, 0), 1.0) * density, 0, 255)
        dyed = np.broadcast_to(np.asarray(colour, np.float32), dyed.shape)
    return np.concatenate([dyed, alpha[..., None]], axis=2).astype(np.uint8)

"""Faces: channels of expression -> facial bones or blend shapes; emotions -> channels.

Channels follow the action units of FACS (Ekman and Friesen). People without blend shapes move their
facial bones; a channel at 1 is as far as a face goes. Lips are rolled in by bones on everyone.
"""

from collections.abc import Mapping

import numpy as np

from train.synth.body import Body
from train.synth.controls import Controls
from train.synth.rotations import Floats, about

_SHIFTS: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
    "brow_raise": {"?InnerEyebrow": (0, 0.7, 0), "?OuterEyebrow": (0, 0.7, 0),
                   "MMiddleEyebrow": (0, 0.5, 0), "?EyeBlinkTop": (0, 0.12, 0)},
    "brow_inner": {"?InnerEyebrow": (0.1, 0.8, 0), "?OuterEyebrow": (0, -0.25, 0),
                   "MMiddleEyebrow": (0, 0.4, 0)},
    "brow_lower": {"?InnerEyebrow": (-0.35, -0.7, 0.1), "?OuterEyebrow": (0, -0.3, 0),
                   "MMiddleEyebrow": (0, -0.6, 0.2), "?EyeBlinkTop": (0, -0.2, 0)},
    "lid_close": {"?EyeBlinkTop": (0, -0.95, 0.12), "?EyeBlinkBottom": (0, 0.18, 0.05)},
    "squint": {"?EyeBlinkTop": (0, -0.25, 0), "?EyeBlinkBottom": (0, 0.35, 0.05),
               "?Cheek": (0, 0.25, 0.1)},
    "smile": {"?MouthCorner": (0.85, 0.8, -0.35), "?Cheek": (0.25, 0.55, 0.3),
              "?Caninus": (0.3, 0.3, 0.0), "MUpperLip": (0, 0.15, -0.2),
              "?Upperlip": (0.25, 0.2, -0.15), "?MouthBottom": (0.35, 0.05, -0.15)},
    "frown": {"?MouthCorner": (0.1, -0.85, 0.0), "?MouthBottom": (0, -0.25, 0.05),
              "MBottomLip": (0, 0.2, 0.2), "?Cheek": (0, -0.2, 0)},
    "lip_press": {"MUpperLip": (0, -0.3, -0.6), "?Upperlip": (0, -0.28, -0.55),
                  "MBottomLip": (0, 0.5, -0.6), "?MouthBottom": (0, 0.42, -0.55),
                  "?MouthCorner": (0.15, -0.1, -0.2)},
    "lip_roll": {"?MouthCorner": (0.25, -0.05, -0.1)},
    "lips_part": {"MUpperLip": (0, 0.35, 0), "?Upperlip": (0, 0.35, 0),
                  "MBottomLip": (0, -0.45, 0.05), "?MouthBottom": (0.1, -0.4, 0.05)},
    "jaw_open": {},
    "cheek_puff": {"?Cheek": (1.2, -0.3, 0.9), "?Masseter": (1.6, 0.1, 0.8),
                   "?MouthCorner": (-0.35, 0, 0.3), "?Caninus": (0.5, 0, 0.9)},
    "lip_pucker": {"?MouthCorner": (-0.8, 0.05, 0.45), "MUpperLip": (0, 0.05, 0.55),
                   "MBottomLip": (0, -0.05, 0.55), "?Upperlip": (-0.2, 0, 0.45),
                   "?MouthBottom": (-0.2, 0, 0.45)},
    "nose_wrinkle": {"?Caninus": (0, 0.45, 0.1), "?Upperlip": (0, 0.35, 0.0),
                     "MMiddleEyebrow": (0, -0.25, 0.1)},
}  # fmt: skip
"""Channel -> bone -> cm (outwards, up, forward) at 1; `?` stands for both sides."""
_MORPHS: Mapping[str, Mapping[str, float]] = {
    "brow_raise": {"AK_03_BrowInnerUp": 0.8, "AK_04_BrowOuterUpLeft": 0.9,
                   "AK_05_BrowOuterUpRight": 0.9},
    "brow_inner": {"AK_03_BrowInnerUp": 1.0, "AU_01_InnerBrowRaiser": 0.6},
    "brow_lower": {"AK_01_BrowDownLeft": 1.0, "AK_02_BrowDownRight": 1.0,
                   "AU_04_BrowLowerer": 0.6},
    "lid_close": {"AK_09_EyeBlinkLeft": 1.0, "AK_10_EyeBlinkRight": 1.0},
    "squint": {"AK_19_EyeSquintLeft": 0.9, "AK_20_EyeSquintRight": 0.9,
               "AU_06_CheekRaiser": 0.6},
    # The smiles of ARKit's set alone are faint on this face.
    "smile": {"AK_44_MouthSmileLeft": 0.8, "AK_45_MouthSmileRight": 0.8,
              "AU_12_LipCornerPuller": 0.7, "HB_07_MouthSmile": 0.5},
    "frown": {"AK_30_MouthFrownLeft": 1.0, "AK_31_MouthFrownRight": 1.0,
              "AU_15_LipCornerDepressor": 0.8, "AU_17_ChinRaiser": 0.4},
    "lip_press": {"AU_24_LipPressor": 0.9, "AK_36_MouthPressLeft": 0.7,
                  "AK_37_MouthPressRight": 0.7, "AK_40_MouthRollLower": 0.6,
                  "AK_41_MouthRollUpper": 0.6},
    "lip_roll": {"AK_46_MouthStretchLeft": 0.2, "AK_47_MouthStretchRight": 0.2},
    "lips_part": {"AK_48_MouthUpperUpLeft": 0.6, "AK_49_MouthUpperUpRight": 0.6,
                  "AK_34_MouthLowerDownLeft": 0.7, "AK_35_MouthLowerDownRight": 0.7},
    "jaw_open": {"AK_25_JawOpen": 0.8},
    "cheek_puff": {"AK_06_CheekPuff": 1.0, "AU_13_CheekPuffer": 0.5},
    "lip_pucker": {"AK_38_MouthPucker": 0.9},
    "nose_wrinkle": {"AK_50_NoseSneerLeft": 0.9, "AK_51_NoseSneerRight": 0.9},
}  # fmt: skip
BLEND_SHAPES = frozenset(name for targets in _MORPHS.values() for name in targets)
"""Names of all that a face is moved by; nobody but f001 has them all."""
_FEATURES: Mapping[str, tuple[float, float, float]] = {
    "?InnerEyebrow": (0.15, 0.22, 0.05), "?OuterEyebrow": (0.1, 0.22, 0.05),
    "MMiddleEyebrow": (0, 0.2, 0.05), "?EyeBlinkTop": (0, 0.08, 0), "?EyeBlinkBottom": (0, 0.08, 0),
    "?MouthCorner": (0.22, 0.2, 0.1), "MUpperLip": (0, 0.12, 0.12), "MBottomLip": (0, 0.12, 0.12),
    "?Upperlip": (0.08, 0.1, 0.1), "?MouthBottom": (0.12, 0.1, 0.1), "?Caninus": (0.15, 0.15, 0.15),
    "?Cheek": (0.3, 0.3, 0.3), "?Masseter": (0.4, 0.2, 0.2), "MNose": (0, 0.25, 0.2),
    "MJaw": (0, 0.25, 0.2),
}  # fmt: skip
"""Bone -> cm: standard deviation (outwards, up, forward) over people who are otherwise alike."""
_ASYMMETRY = 0.25
"""Share of it in which the two sides of a face differ."""
_JAW_OPEN = 0.26
"""rad at jaw_open = 1."""
_ROLL = np.diag([0, 1.0, 0.9]).astype(np.float32)
"""How much of a lip's width, height and depth is gone at lip_roll = 1; with less of the depth the
inside of f003's lower lip came through the skin below it."""
POSITIVE, NEGATIVE = 1, 0
_FACES: Mapping[int, tuple[Mapping[str, float], ...]] = {
    POSITIVE: (
        {"smile": 0.95, "squint": 0.5},
        {"smile": 1.15, "squint": 0.6, "lips_part": 0.8},
        {"smile": 1.3, "squint": 0.8, "lips_part": 1.1},
        {"smile": 1.2, "squint": 0.7, "lips_part": 0.8, "jaw_open": 0.3},
    ),
    NEGATIVE: (
        {"frown": 1.0, "brow_inner": 1.0},
        {"brow_lower": 1.05, "lip_press": 0.35, "squint": 0.3, "frown": 0.45},
        {"frown": 0.75, "brow_lower": 0.7, "nose_wrinkle": 0.6, "lips_part": 0.4},
        {"frown": 0.95, "brow_inner": 0.55, "lid_close": 0.22},
    ),
}  # fmt: skip
"""Emotion -> faces that show it: smiles, most of them with teeth; sadness, anger, disgust,
dejection."""
_BROWS, _LIPS = 0.4, 0.25
"""How often brows are raised, and lips apart, whatever is felt."""


def draw_features(rng: np.random.Generator) -> dict[str, Floats]:
    """Another person's features: a few avatars have few faces, which a network learns by heart.

    Returns:
        Bone -> float32 [3] cm, for `Controls.features`.
    """
    out: dict[str, Floats] = {}
    for name, sizes in _FEATURES.items():
        common = rng.normal(0, 1, 3)
        for letter, sign in _sides(name):
            own = (common + _ASYMMETRY * rng.normal(0, 1, 3)) * sizes * (sign, 1, 1)
            out[name.replace("?", letter)] = own.astype(np.float32)
    return out


def movements(
    body: Body, controls: Controls
) -> tuple[dict[int, Floats], dict[int, Floats], Floats]:
    """What the channels do to this person's face.

    Returns:
        Bone -> displacement [T, 3] cm; bone -> rotation, or squeeze of a lip, [T, 3, 3]; blend
        shapes float32 [T, K].
    """
    names = body.avatar.morph_names
    morphs = np.zeros((len(controls), len(names)), np.float32)
    shifts = {
        body.bone(name): np.tile(step, (len(controls), 1))
        for name, step in controls.features.items()
    }
    if names:
        for channel, targets in _MORPHS.items():
            for name, weight in targets.items():
                if name not in names:  # some people have ARKit's only
                    continue
                morphs[:, names.index(name)] += controls.face[channel] * np.float32(weight)
        return shifts, _rolled(body, controls, shifts), morphs
    for channel, bones in _SHIFTS.items():
        amount = controls.face[channel][:, None]
        for name, (out, up, forward) in bones.items():
            for letter, sign in _sides(name):
                bone = body.bone(name.replace("?", letter))
                step = amount * np.array([out * sign, up, forward], np.float32)
                shifts[bone] = shifts[bone] + step if bone in shifts else step
    x = np.array([1, 0, 0], np.float32)
    jaw = about(x, controls.face["jaw_open"] * np.float32(_JAW_OPEN))
    return shifts, {body.bone("MJaw"): jaw, **_rolled(body, controls, shifts)}, morphs


def _rolled(body: Body, controls: Controls, shifts: dict[int, Floats]) -> dict[int, Floats]:
    """Lips rolled in: their skin shrinks towards the seam, where the red is out of sight.

    To turn or shift them there would take them through the teeth.

    Args:
        body: whose.
        controls: how much, and when.
        shifts: of all bones, [T, 3] cm; those of the lips are written to.

    Returns:
        Bone -> [T, 3, 3], what its skin is multiplied by; nothing if lips are never rolled in.
    """
    amount = np.clip(controls.face["lip_roll"], 0, 1)[:, None, None]
    if not amount.any():
        return {}
    out = {}
    for name, lip in body.lips.items():
        bone, gone = body.bone(name), amount * _ROLL / np.float32(lip.hold)
        out[bone] = np.eye(3, dtype=np.float32) - gone
        own, jaw = (shifts.get(k, np.float32(0)) for k in (bone, int(body.parents[bone])))
        # Whatever else parts the lips, a jaw's own shape among it, counts as much less.
        parted = own + amount[..., 0] * (-own - jaw / np.float32(lip.hold))
        shifts[bone] = parted + gone @ (lip.seam - body.at(name))
    return out


def _sides(name: str) -> tuple[tuple[str, float], ...]:
    """Letter and sign of x: of both sides, or of the middle."""
    return (("L", 1.0), ("R", -1.0)) if name[0] == "?" else (("M", 1.0),)


def feel(rng: np.random.Generator, controls: Controls, emotion: int | None, level: Floats) -> None:
    """Show an emotion in face and posture; None is a face in between.

    Args:
        rng: which of the faces, how strongly, how lively.
        controls: written to; what is there stays underneath.
        emotion: index into `train.labels.EMOTIONS`, or None.
        level: float32 [T] 0..1: how much of it shows now.
    """
    _at_rest(rng.spawn(1)[0], controls)
    if emotion is None:
        channel = rng.choice(["smile", "frown", "brow_inner", "brow_lower"])
        controls.face[str(channel)] += level * np.float32(rng.uniform(0.0, 0.22))
        return
    first, second = rng.choice(len(_FACES[emotion]), 2, replace=False)
    share = rng.uniform(0.0, 0.35)
    strength = rng.uniform(0.8, 1.15)
    for which, part in ((first, 1 - share), (second, share)):
        for channel, size in _FACES[emotion][which].items():
            factor = np.float32(size * part * strength * rng.uniform(0.85, 1.15))
            controls.face[channel] += level * factor
    upright = rng.uniform(0.2, 1.0) * (1.0 if emotion == POSITIVE else -1.0)
    controls.chest += level * np.float32(0.07 * upright)
    controls.head[:, 0] -= level * np.float32(0.08 * upright)
    controls.shrug -= level[:, None] * np.float32(0.5 * upright)


def _at_rest(rng: np.random.Generator, controls: Controls) -> None:
    """Brows that are raised and lips that are apart, as some people's are whatever they feel."""
    if rng.random() < _BROWS:
        controls.face["brow_raise"] += np.float32(rng.uniform(0.0, 0.6))
    if rng.random() < _LIPS:
        controls.face["lips_part"] += np.float32(rng.uniform(0.0, 0.5))

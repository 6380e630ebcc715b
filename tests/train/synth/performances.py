"""Every class performed by two people, worked out once and looked at by several tests."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from train.synth.body import Body
from train.synth.controls import Controls
from train.synth.gestures.classes import perform
from train.synth.rig import pose
from train.synth.rotations import Floats
from train.synth.script import idle

RATE_HZ = 30.0
START, END, LENGTH = 0.3, 2.7, 3.0
"""s: of the gesture, of the whole."""


@dataclass(frozen=True, eq=False)
class Shown:
    """One gesture of average length with a little rest before and after."""

    body: Body
    controls: Controls
    bones: Floats
    """float32 [T, B, 4, 4]."""

    @property
    def middle(self) -> slice:
        """The fifth of the gesture around its middle."""
        centre, half = (START + END) / 2, (END - START) / 10
        return slice(round((centre - half) * RATE_HZ), round((centre + half) * RATE_HZ) + 1)


@lru_cache(maxsize=256)
def show(body: Body, label: int, seed: int) -> Shown:
    """The gesture of a class, the same each time."""
    rng = np.random.default_rng([seed, label])
    t = np.arange(round(LENGTH * RATE_HZ)) / RATE_HZ
    controls = idle(rng, body, t, None)
    perform(rng, controls, body, label, START, END)
    bones, _ = pose(body, controls)
    return Shown(body, controls, bones)

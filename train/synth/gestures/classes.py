"""All classes of iMiGUE, by index; every one of the 32 can be performed.

Two are shown without the thing they are about: a hat is touched where its brim would be, and what
hands play with is too small to be seen.
"""

import numpy as np

from train.synth.body import Body
from train.synth.controls import Controls
from train.synth.gestures.both_hands import BOTH_HANDS
from train.synth.gestures.touches import TOUCHES, touch
from train.synth.gestures.trunk import TRUNK

PERFORMED = tuple(sorted({*TOUCHES, *BOTH_HANDS, *TRUNK}))
"""Indices into `train.labels.MICRO_GESTURES`."""
MEAN_S, SPREAD = 2.5, 0.45
"""Durations are log-normal; iMiGUE's mean is 2.5 s."""
_SHORTEST_S, _LONGEST_S = 1.0, 6.5


def draw_length(rng: np.random.Generator) -> float:
    """Seconds that a gesture takes, from leaving to coming back."""
    length = rng.lognormal(np.log(MEAN_S) - SPREAD**2 / 2, SPREAD)
    return float(np.clip(length, _SHORTEST_S, _LONGEST_S))


def perform(
    rng: np.random.Generator, c: Controls, body: Body, label: int, start: float, end: float
) -> None:
    """Write the gesture of class `label` into the controls between two times."""
    if label in TOUCHES:
        touch(rng, c, body, label, start, end)
    else:
        (BOTH_HANDS.get(label) or TRUNK[label])(rng, c, body, start, end)

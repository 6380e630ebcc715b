"""Evidence taken away: what a model tells without poses, faces or pictures of hands.

A graph is told by its masks what was not seen, as live where no pose or no face is found, and the
modality dropout of its training has taught it to do without. Pictures of the region have no mask:
live there always is one. Windows and coverage stay those with the evidence, so that the same
windows are judged.
"""

from collections.abc import Collection

import numpy as np

from engines.manifest import Manifest
from engines.tensor_specs import Feeds, RgbInput
from train.annotations import DataError

POSE, HAND = "pose", "hand"


def modalities_gone(asked: Collection[str], manifest: Manifest) -> tuple[str, ...]:
    """What a model is to do without, in the order of its inputs.

    Without poses there are no pictures of hands: they are cut out where the pose has hands.

    Raises:
        DataError: the model does not look at it, or cannot be told that it is missing.
    """
    masked = [spec.modality for spec in manifest.inputs if not isinstance(spec, RgbInput)]
    if unknown := sorted(set(asked) - set(masked)):
        raise DataError(
            f"--without: {manifest.id} can be told that {' or '.join(masked)} is missing, "
            f"got {', '.join(unknown)}"
        )
    gone = {*asked, HAND} if POSE in asked else {*asked}
    return tuple(modality for modality in masked if modality in gone)


def without(feeds: Feeds, manifest: Manifest, gone: Collection[str]) -> Feeds:
    """The feeds as `preprocess` makes them where nothing of some modalities was seen."""
    out = dict(feeds)
    for spec in manifest.inputs:
        if not isinstance(spec, RgbInput) and spec.modality in gone:
            out |= {name: np.zeros_like(feeds[name]) for name in (spec.name, spec.mask)}
    return out

"""Golden windows: made-up evidence for every branch of a network, missing evidence included."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from engines.bench import stand_in_window
from engines.manifest import Manifest
from engines.window import Window
from train.models.heads import Net

_FPS = 15.0


def golden_windows(manifest: Manifest) -> list[Window]:
    """Five windows: two complete, one without a face, one without a pose, one with gaps in both.

    They are smooth, so that they compress well.
    """
    first, second, faceless, poseless, patchy = (
        stand_in_window(manifest, fps=_FPS, seed=seed) for seed in range(5)
    )
    n = len(patchy)
    early, late = np.arange(n) < n // 3, np.arange(n) >= n // 2
    return [
        first,
        second,
        without_faces(faceless, np.ones(len(faceless), np.bool_)),
        without_poses(poseless, np.ones(len(poseless), np.bool_)),
        without_faces(without_poses(patchy, early), late),
    ]


def without_faces(window: Window, where: NDArray[np.bool_]) -> Window:
    """The window as if no face had been found in some samples, bool [N]."""
    faces = np.where(where[:, None, None, None], np.uint8(0), window.faces)
    return replace(window, faces=faces, has_face=window.has_face & ~where)


def without_poses(window: Window, where: NDArray[np.bool_]) -> Window:
    """The window as if no pose had been found in some samples, bool [N]."""
    nan = np.float32(np.nan)
    return replace(
        window,
        xy=np.where(where[:, None, None], nan, window.xy),
        xyz=np.where(where[:, None, None], nan, window.xyz),
        conf=np.where(where[:, None], np.float32(0), window.conf),
    )


def spread_logits(net: Net, outputs: list[NDArray[np.float32]]) -> None:
    """Scale the classifiers so that these logits would have mean 0 and standard deviation 1.

    For random weights only: each class gets its mean over the windows as negative bias, and all
    classes of a task one factor, so that the outputs follow the input and do not saturate.

    Args:
        net: its classifiers are changed in place.
        outputs: the logits of some windows as they are, float32 [B, K], in the order of the tasks.
    """
    for head, logits in zip(_heads(net), outputs, strict=True):
        classifier = head[-1]
        assert isinstance(classifier, nn.Linear)
        mean = torch.from_numpy(logits.mean(axis=0))
        std = float((logits - logits.mean(axis=0)).std())
        with torch.no_grad():
            classifier.weight /= std
            classifier.bias.copy_((classifier.bias - mean) / std)


def _heads(net: Net) -> list[nn.Sequential]:
    heads = (getattr(net, task, None) for task in ("micro_gesture", "emotion"))
    return [head.fusion.classify for head in heads if head is not None]

"""States: how rightly the live decision layer shows one, by what is true."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engines.manifest import Manifest
from realtime.config import Config
from train.scoring import ScoredVideo, live_states


@dataclass(frozen=True)
class Shown:
    """Shares of the time of some videos, 0..1; in the rest it abstains."""

    right: float
    wrong: float
    videos: int


def shown(
    scored: Sequence[ScoredVideo], manifest: Manifest, config: Config, task: str
) -> dict[int | None, Shown]:
    """Truth -> what is shown of its videos; None: faces that are known to show no state.

    Of those whatever is shown is wrong. Videos whose truth nobody knows are left out.
    """
    said: dict[int | None, list[list[int | None]]] = {}
    for item in scored:
        if item.video.emotion is not None or item.is_between:
            said.setdefault(item.video.emotion, []).append(
                live_states(item, manifest, config, task)
            )
    return {truth: _shares(said[truth], truth) for truth in sorted(said, key=str)}


def _shares(said: Sequence[Sequence[int | None]], truth: int | None) -> Shown:
    states = [state for video in said for state in video]
    is_shown = np.array([state is not None for state in states])
    is_right = is_shown & np.array([state == truth for state in states])
    return Shown(float(is_right.mean()), float((is_shown & ~is_right).mean()), len(said))

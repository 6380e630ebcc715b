"""Online spotting: which annotated gestures were found as events (MiGA challenge, track 2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from train.metrics import ROUNDS, Interval, interval
from train.store_files import Span

Mode = Literal["one_to_one", "starter_kit"]
IOU = 0.3
"""The challenge's: an event counts if it overlaps more than that."""


@dataclass(frozen=True)
class Spotting:
    """Pooled over all videos."""

    hits: int
    """Truths that were found."""
    truths: int
    events: int

    @property
    def precision(self) -> float:
        """Share of the events that are hits."""
        return self.hits / self.events if self.events else 0.0

    @property
    def recall(self) -> float:
        """Share of the truths that were found."""
        return self.hits / self.truths if self.truths else 0.0

    @property
    def f1(self) -> float:
        """As the starter kit: 2PR / (P + R + 1e-7)."""
        p, r = self.precision, self.recall
        return 2 * p * r / (p + r + 1e-7)


def overlap(a: Span, b: Span) -> float:
    """Intersection over union of two intervals; negative where they are apart."""
    union = max(a.end, b.end) - min(a.start, b.start)
    return (min(a.end, b.end) - max(a.start, b.start)) / union if union > 0 else 0.0


def spot(
    pairs: Sequence[tuple[Sequence[Span], Sequence[Span]]], *, iou: float = IOU,
    mode: Mode = "one_to_one",
) -> Spotting:  # fmt: skip
    """Compare truths with events.

    Args:
        pairs: for each video its truths and its events, background left out.
        iou: an event must overlap more than that, and have the truth's class.
        mode: `one_to_one`: an event serves one truth at most, matched as well as can be;
            `starter_kit`: one event may serve several truths, as in the challenge's own scorer.
    """
    hits = sum(_hits(truths, events, iou, mode) for truths, events in pairs)
    return Spotting(
        hits, sum(len(truths) for truths, _ in pairs), sum(len(events) for _, events in pairs)
    )


def f1_interval(pairs: Sequence[tuple[Sequence[Span], Sequence[Span]]]) -> Interval:
    """F1, one to one, with its percentile interval; whole videos are drawn."""
    videos = [spot([pair]) for pair in pairs]
    rng = np.random.default_rng(0)
    drawn = [
        _pooled([videos[k] for k in rng.integers(len(videos), size=len(videos))]).f1
        for _ in range(ROUNDS)
    ]
    return interval(_pooled(videos).f1, drawn)


def _pooled(videos: Sequence[Spotting]) -> Spotting:
    return Spotting(
        sum(v.hits for v in videos), sum(v.truths for v in videos), sum(v.events for v in videos)
    )


def _hits(truths: Sequence[Span], events: Sequence[Span], iou: float, mode: Mode) -> int:
    fits = np.array(
        [[t.label == e.label and overlap(t, e) > iou for e in events] for t in truths], bool
    ).reshape(len(truths), len(events))
    if mode == "starter_kit":
        return int(fits.any(axis=1).sum())
    rows, columns = linear_sum_assignment(fits, maximize=True)
    return int(fits[rows, columns].sum())

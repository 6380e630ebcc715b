"""Figures of merit, as pure functions of arrays; the standard ones are scikit-learn's."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import (
    balanced_accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
)

Probs = NDArray[np.float32]
Indices = NDArray[np.intp]
BINS = 15
ROUNDS = 500
"""Of a bootstrap."""
_LEAST = 1e-12
"""Probability: a class that was ruled out and is true does not make a mean infinite."""


@dataclass(frozen=True)
class Interval:
    """A measurement with its 95 % interval; where there is none, its ends are not a number."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.low):
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def interval(value: float, drawn: Sequence[float]) -> Interval:
    """A measurement with the percentiles of what the bootstrap drew; what is no number is out.

    If all draws are the same, as of a single video, they say nothing: there is no interval.
    """
    numbers = [v for v in drawn if not math.isnan(v)]
    if not numbers or min(numbers) == max(numbers):
        return Interval(value, math.nan, math.nan)
    low, high = np.percentile(numbers, [2.5, 97.5])
    return Interval(value, float(low), float(high))


@dataclass(frozen=True)
class ClassRow:
    """How one class is recognised."""

    label: int
    precision: float
    recall: float
    f1: float
    support: int


def top_k(probs: Probs, labels: Indices, k: int) -> float:
    """Share of the N rows whose label is among the k most probable of K classes."""
    order = np.argsort(-probs, axis=1, kind="stable")[:, :k]
    return float((order == labels[:, None]).any(axis=1).mean())


def macro_f1(probs: Probs, labels: Indices) -> float:
    """Mean F1 over the classes that occur in `labels`."""
    present = np.unique(labels)
    scores = precision_recall_fscore_support(
        labels, probs.argmax(axis=1), labels=present, average="macro", zero_division=0
    )
    return float(scores[2])


def class_table(probs: Probs, labels: Indices) -> list[ClassRow]:
    """A row for every class that occurs."""
    present = np.unique(labels)
    columns = precision_recall_fscore_support(
        labels, probs.argmax(axis=1), labels=present, zero_division=0
    )
    return [
        ClassRow(int(k), float(p), float(r), float(f), int(n))
        for k, p, r, f, n in zip(present, *columns, strict=True)
    ]


def confusion(probs: Probs, labels: Indices) -> Indices:
    """intp [K, K]: rows are the truth, columns what was said."""
    classes = range(probs.shape[1])
    return np.asarray(confusion_matrix(labels, probs.argmax(axis=1), labels=classes), np.intp)


def balanced_accuracy(probs: Probs, labels: Indices) -> float:
    """Mean recall over the classes that occur."""
    present = np.unique(labels)
    if len(present) < 2:
        return float((probs.argmax(axis=1) == labels).mean())
    return float(balanced_accuracy_score(labels, probs.argmax(axis=1)))


def log_loss(probs: Probs, labels: Indices) -> float:
    """Mean of -log of what the true class was given; not a number of nothing."""
    if not len(labels):
        return float("nan")
    true = probs[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(true, _LEAST)).mean())


def number_or_none(value: float) -> float | None:
    """For files, which know no `not a number`."""
    return None if math.isnan(value) else value


def majority(labels: Indices) -> float:
    """How often the most frequent class is right."""
    return float(np.bincount(labels).max() / len(labels))


def auc(probs: Probs, labels: Indices) -> float:
    """Area under the ROC curve of class 1 of 2; not a number where only one class occurs."""
    if len(np.unique(labels)) < 2:
        return float("nan")
    return float(roc_auc_score(labels, probs[:, 1]))


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence against accuracy in `BINS` equal bins; empty ones are not a number."""

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    share: NDArray[np.float64]

    @property
    def ece(self) -> float:
        """Expected calibration error (Guo et al. 2017); not a number of nothing."""
        if not self.share.any():
            return float("nan")
        gaps = np.nan_to_num(np.abs(self.confidence - self.accuracy))
        return float((gaps * self.share).sum())


def reliability(probs: Probs, labels: Indices) -> Reliability:
    """How often the most probable class is right, by how sure the model is."""
    sure = probs.max(axis=1)
    right = probs.argmax(axis=1) == labels
    bins = np.clip(np.ceil(sure * BINS).astype(int) - 1, 0, BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(bins, sure, BINS) / count
        accuracy = np.bincount(bins, right, BINS) / count
    return Reliability(confidence, accuracy, count / max(len(labels), 1))


def bootstrap(
    measure: Callable[[Probs, Indices], float],
    probs: Probs,
    labels: Indices,
    groups: Sequence[str],
    *,
    needs_all: bool = False,
) -> Interval:
    """A measurement and its percentile interval; whole groups (videos) are drawn, not rows.

    Args:
        measure: of rows of scores and their labels.
        probs: [N, K].
        labels: [N].
        groups: of the rows.
        needs_all: draws that lack a class are out, as a mean over classes is another one there.
    """
    count = len(np.unique(labels))
    names = np.unique(np.asarray(groups))
    members = [np.flatnonzero(np.asarray(groups) == name) for name in names]
    rng = np.random.default_rng(0)
    values = []
    known: dict[bytes, float] = {}  # of few videos the same are drawn again and again
    for _ in range(ROUNDS):
        picks = np.sort(rng.integers(len(names), size=len(names)))
        if (key := picks.tobytes()) not in known:
            drawn = np.concatenate([members[k] for k in picks])
            is_out = needs_all and len(np.unique(labels[drawn])) < count
            known[key] = math.nan if is_out else measure(probs[drawn], labels[drawn])
        values.append(known[key])
    return interval(measure(probs, labels), values)


def share_right(probs: Probs, labels: Indices, groups: Sequence[str]) -> Interval:
    """Top-1 by `bootstrap`, which cannot vary where all groups are right, or all wrong.

    There the interval is the exact one (Clopper and Pearson 1934) of so many groups.
    """
    found = bootstrap(lambda p, y: top_k(p, y, 1), probs, labels, groups)
    count = len(set(groups))
    if count < 2 or 0 < found.value < 1:
        return found
    low, high = binomtest(round(found.value * count), count).proportion_ci()
    return Interval(found.value, float(low), float(high))

"""Metrics against examples worked by hand, and against torchmetrics."""

import math
import re
from dataclasses import astuple

import numpy as np
import pytest
import torch
from torchmetrics.functional import classification as reference

from train.metrics import (
    Indices,
    Probs,
    auc,
    balanced_accuracy,
    bootstrap,
    class_table,
    confusion,
    interval,
    log_loss,
    macro_f1,
    reliability,
    share_right,
    top_k,
)

# Five rows of four classes, of which 0, 0, 1, 1, 2 are said and 0, 1, 1, 1, 0 true.
PROBS = np.array(
    [
        [0.7, 0.1, 0.1, 0.1],
        [0.5, 0.3, 0.1, 0.1],
        [0.1, 0.8, 0.1, 0.0],
        [0.2, 0.6, 0.1, 0.1],
        [0.2, 0.1, 0.6, 0.1],
    ],
    np.float32,
)
LABELS = np.array([0, 1, 1, 1, 0], np.intp)


def drawn(classes: int, rows: int = 400) -> tuple[Probs, Indices]:
    """Scores that are somewhat right."""
    rng = np.random.default_rng(classes)
    labels = rng.integers(classes, size=rows)
    logits = rng.normal(0, 1, (rows, classes)) + 1.2 * np.eye(classes)[labels]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probs.astype(np.float32), labels.astype(np.intp)


def test_top_k_counts_the_k_most_probable() -> None:
    assert top_k(PROBS, LABELS, 1) == pytest.approx(3 / 5)
    assert top_k(PROBS, LABELS, 2) == 1.0


def test_the_table_of_classes_and_macro_f1_over_those_that_occur() -> None:
    # Class 0: said 2, right 1, true 2. Class 1: said 2, right 2, true 3.
    first, second = (astuple(row) for row in class_table(PROBS, LABELS))
    assert first == pytest.approx((0, 1 / 2, 1 / 2, 1 / 2, 2))
    assert second == pytest.approx((1, 1.0, 2 / 3, 4 / 5, 3))
    assert macro_f1(PROBS, LABELS) == pytest.approx((1 / 2 + 4 / 5) / 2)


def test_confusion_has_the_truth_in_rows() -> None:
    assert confusion(PROBS, LABELS).tolist() == [
        [1, 0, 1, 0], [1, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0],
    ]  # fmt: skip


def test_balanced_accuracy_is_the_mean_recall() -> None:
    probs = np.array([[0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.3, 0.7]], np.float32)
    labels = np.array([0, 0, 0, 1], np.intp)
    assert balanced_accuracy(probs, labels) == pytest.approx((2 / 3 + 1) / 2)
    assert balanced_accuracy(probs, np.zeros(4, np.intp)) == pytest.approx(1 / 2)


def test_log_loss_is_what_the_true_class_was_given() -> None:
    expected = -(math.log(0.7) + math.log(0.3) + math.log(0.8) + math.log(0.6) + math.log(0.2)) / 5
    assert log_loss(PROBS, LABELS) == pytest.approx(expected, abs=1e-6)
    ruled_out = log_loss(np.array([[1.0, 0.0]], np.float32), np.array([1], np.intp))
    assert ruled_out == pytest.approx(-math.log(1e-12))
    assert math.isnan(log_loss(PROBS[:0], LABELS[:0]))


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    positive = np.array([0.1, 0.4, 0.35, 0.8], np.float32)
    probs = np.stack([1 - positive, positive], axis=1)
    # Of the four pairs (negative, positive) only (0.4, 0.35) is in the wrong order.
    assert auc(probs, np.array([0, 0, 1, 1], np.intp)) == pytest.approx(3 / 4)
    assert math.isnan(auc(probs, np.ones(4, np.intp)))


def test_calibration_error_is_the_mean_gap_weighted_by_how_many_are_in_a_bin() -> None:
    probs = np.array([[0.95, 0.05], [0.97, 0.03], [0.95, 0.05], [0.55, 0.45]], np.float32)
    labels = np.array([0, 0, 1, 1], np.intp)
    found = reliability(probs, labels)
    # Bin of 0.95: three rows, mean confidence 0.9567, two right. Bin of 0.55: one, wrong.
    assert found.ece == pytest.approx(3 / 4 * (2.87 / 3 - 2 / 3) + 1 / 4 * 0.55, abs=1e-6)
    assert found.share.sum() == pytest.approx(1.0)
    assert np.isnan(found.accuracy).sum() == len(found.accuracy) - 2


@pytest.mark.parametrize("classes", [2, 6])
def test_torchmetrics_finds_the_same(classes: int) -> None:
    probs, labels = drawn(classes)
    p, y = torch.from_numpy(probs), torch.from_numpy(labels)
    top = reference.multiclass_accuracy(p, y, classes, average="micro", top_k=2)
    assert top_k(probs, labels, 2) == pytest.approx(float(top))
    f1 = reference.multiclass_f1_score(p, y, classes, average="macro")
    assert macro_f1(probs, labels) == pytest.approx(float(f1), abs=1e-6)
    mean = reference.multiclass_accuracy(p, y, classes, average="macro")
    assert balanced_accuracy(probs, labels) == pytest.approx(float(mean), abs=1e-6)
    ece = reference.multiclass_calibration_error(p, y, classes, n_bins=15, norm="l1")
    assert reliability(probs, labels).ece == pytest.approx(float(ece), abs=1e-5)
    table = reference.multiclass_confusion_matrix(p, y, classes)
    assert confusion(probs, labels).tolist() == table.tolist()
    if classes == 2:
        area = reference.binary_auroc(p[:, 1], y)
        assert auc(probs, labels) == pytest.approx(float(area), abs=1e-6)


def accuracy(probs: Probs, labels: Indices) -> float:
    return top_k(probs, labels, 1)


def test_the_bootstrap_draws_whole_videos() -> None:
    """Two rows of each video are one right and one wrong: whichever are drawn, half are right."""
    probs = np.tile(np.array([[0.9, 0.1], [0.1, 0.9]], np.float32), (10, 1))
    labels = np.zeros(20, np.intp)
    videos = [f"v{k // 2}" for k in range(20)]
    found = bootstrap(accuracy, probs, labels, videos)
    assert found.value == 0.5
    assert math.isnan(found.low)
    single = bootstrap(accuracy, probs, labels, [str(k) for k in range(20)])
    # Of 20 single rows the standard deviation is 0.11, so 95 % lie within about 0.22.
    assert 0.2 <= single.low <= 0.35
    assert 0.65 <= single.high <= 0.8


def test_a_bootstrap_without_numbers_has_no_interval() -> None:
    nothing = interval(math.nan, [math.nan, math.nan])
    assert math.isnan(nothing.low)
    assert math.isnan(nothing.high)
    assert str(interval(0.5, [0.5, 0.5])) == "0.500"
    some = interval(0.5, [math.nan, 0.2, 0.4])
    assert 0.2 <= some.low < some.high <= 0.4
    assert re.fullmatch(r"0\.500 \[0\.\d{3}, 0\.\d{3}\]", str(some))


def test_a_mean_over_classes_has_no_draws_that_lack_one() -> None:
    """Who always says the same is right in half of the classes, whichever videos are drawn."""
    probs = np.tile(np.array([[0.1, 0.9]], np.float32), (8, 1))
    labels = np.array([1] * 6 + [0] * 2, np.intp)
    names = [str(k) for k in range(8)]
    assert bootstrap(balanced_accuracy, probs, labels, names).high == 1.0
    found = bootstrap(balanced_accuracy, probs, labels, names, needs_all=True)
    assert str(found) == "0.500"


@pytest.mark.parametrize(
    ("videos", "said"),
    [(1, "1.000"), (2, "1.000 [0.158, 1.000]"), (48, "1.000 [0.926, 1.000]")],
)
def test_all_right_says_the_more_the_more_videos_there_are(videos: int, said: str) -> None:
    probs = np.tile(np.array([[0.1, 0.9]], np.float32), (videos, 1))
    names = [str(k) for k in range(videos)]
    assert str(share_right(probs, np.ones(videos, np.intp), names)) == said
    wrong = share_right(probs, np.zeros(videos, np.intp), names)
    assert wrong.value == 0.0
    if videos == 48:
        assert (wrong.low, wrong.high) == pytest.approx((0.0, 0.074), abs=1e-3)


def test_where_some_are_wrong_the_share_right_has_the_bootstrap_s_interval() -> None:
    names = [str(k) for k in range(5)]
    assert share_right(PROBS, LABELS, names) == bootstrap(accuracy, PROBS, LABELS, names)

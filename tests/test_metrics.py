import json
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, log_loss, top_k_accuracy_score

from aikd.errors import UserError
from aikd.metrics import (
    Floats,
    Integers,
    ReliabilityBins,
    brier,
    check,
    evaluate,
    log_softmax,
    macro_f1,
    negative_log_likelihood,
    reliability,
    softmax,
    top_k_error,
)

seeds = st.integers(0, 2**32 - 1)
quick = settings(deadline=None, max_examples=40)


def predictions(seed: int, C: int = 7, N: int = 60) -> tuple[Floats, Integers]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(C, size=N)
    logits = rng.normal(size=(N, C)) * 2
    logits[np.arange(N), labels] += 2
    return logits, labels


def column(*confidences: float) -> Floats:
    """Predictions of class 0 with these confidences; reliability reads nothing else."""
    return np.array(confidences)[:, None]


# --- probabilities


def test_log_softmax_survives_huge_logits_and_divides_by_the_temperature() -> None:
    logits = np.array([[1e4, 0.0], [-1e4, -1e4 + 2]], dtype=np.float32)
    assert log_softmax(logits) == pytest.approx(
        np.array([[0, -1e4], [-2 - np.log1p(np.exp(-2)), -np.log1p(np.exp(-2))]])
    )
    assert log_softmax(logits, 1e4)[0] == pytest.approx([-np.log1p(np.exp(-1)), -1 - np.log1p(np.exp(-1))])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_are_float64_and_sum_to_one(dtype: type[np.floating[Any]]) -> None:
    logits: Floats = predictions(0)[0].astype(dtype)
    assert softmax(logits, 3).dtype == log_softmax(logits, 3).dtype == np.float64
    assert softmax(logits, 3).sum(axis=1) == pytest.approx(np.ones(len(logits)), abs=1e-15)
    assert np.exp(log_softmax(logits, 3)) == pytest.approx(softmax(logits, 3), abs=1e-15)


# --- decisions


@quick
@given(seed=seeds, k=st.integers(1, 6))
def test_top_k_error_agrees_with_scikit_learn(seed: int, k: int) -> None:
    logits, labels = predictions(seed)
    expected = 100 - 100 * top_k_accuracy_score(labels, logits, k=k, labels=range(7))
    assert top_k_error(logits, labels, k) == pytest.approx(expected)


@quick
@given(seed=seeds, k=st.integers(1, 5))
def test_ties_are_ranked_as_by_a_stable_sort(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = rng.integers(3, size=(30, 5)).astype(np.float32), rng.integers(5, size=30)
    first = [[c for _, c in sorted((-logit, c) for c, logit in enumerate(row))[:k]] for row in logits]
    missed = [label not in classes for label, classes in zip(labels, first, strict=True)]
    assert top_k_error(logits, labels, k) == pytest.approx(100 * sum(missed) / 30)


@pytest.mark.parametrize("k", [5, 6])
def test_no_class_can_be_missed_when_k_reaches_the_number_of_classes(k: int) -> None:
    logits, labels = predictions(0, C=5)
    assert top_k_error(logits, labels, k) == 0


@quick
@given(seed=seeds, C=st.integers(2, 12))
def test_macro_f1_agrees_with_scikit_learn_even_for_classes_that_never_occur(seed: int, C: int) -> None:
    labels, predicted = np.random.default_rng(seed).integers(C, size=(2, 10))
    expected = f1_score(labels, predicted, average="macro", labels=range(C), zero_division=0)
    assert macro_f1(predicted, labels, C) == pytest.approx(expected)


def test_macro_f1_of_a_small_example_by_hand() -> None:
    # class 0: P 1/2, R 1 → 2/3; class 1: P 1, R 1/2 → 2/3; class 2 is never there → 0
    assert macro_f1(np.array([0, 0, 1]), np.array([0, 1, 1]), 3) == pytest.approx(4 / 9)


# --- likelihood and Brier score


@quick
@given(seed=seeds)
def test_negative_log_likelihood_agrees_with_scikit_learn(seed: int) -> None:
    logits, labels = predictions(seed)
    expected = log_loss(labels, softmax(logits), labels=range(7))
    assert negative_log_likelihood(log_softmax(logits), labels) == pytest.approx(expected)


def test_negative_log_likelihood_stays_finite_where_the_probability_underflows() -> None:
    logits, labels = np.array([[2000.0, 0.0]]), np.array([1])
    assert evaluate(logits, labels)[0]["nll"] == pytest.approx(2000)


@quick
@given(seed=seeds)
def test_brier_agrees_with_the_obvious_loop(seed: int) -> None:
    logits, labels = predictions(seed, C=4, N=12)
    probabilities = softmax(logits)
    before = probabilities.copy()
    expected = np.mean(
        [
            sum((p - (c == y)) ** 2 for c, p in enumerate(row))
            for row, y in zip(probabilities, labels, strict=True)
        ]
    )
    assert brier(probabilities, labels) == pytest.approx(expected)
    assert np.array_equal(probabilities, before)


def test_brier_runs_from_zero_to_two() -> None:
    sure = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert brier(sure, np.array([0, 1])) == 0
    assert brier(sure, np.array([1, 0])) == 2


# --- reliability


def slow_ece(probabilities: Floats, labels: Integers, bins: int) -> float:
    total = 0.0
    for b in range(bins):
        inside = [
            (row.max(), row.argmax() == label)
            for row, label in zip(probabilities, labels, strict=True)
            if b / bins < row.max() <= (b + 1) / bins
        ]
        if inside:
            confidence, hit = np.mean(inside, axis=0)
            total += len(inside) / len(labels) * abs(hit - confidence)
    return 100 * total


@quick
@given(seed=seeds, bins=st.integers(1, 20))
def test_ece_agrees_with_a_slow_loop(seed: int, bins: int) -> None:
    logits, labels = predictions(seed)
    probabilities = softmax(logits)
    assert reliability(probabilities, labels, bins).ece == pytest.approx(
        slow_ece(probabilities, labels, bins)
    )


def test_bins_of_a_small_example_by_hand() -> None:
    # Five bins: (0, .2] is empty, .4 is the upper edge of the second, 1 the upper edge of the last.
    probabilities = np.array([[0.4, 0.3, 0.3], [0.2, 0.5, 0.3], [0.55, 0.4, 0.05], [0.0, 0.0, 1.0]])
    diagram = reliability(probabilities, np.array([0, 0, 0, 2]), bins=5)
    assert diagram.count.tolist() == [0, 1, 2, 0, 1]
    assert diagram.confidence == pytest.approx([np.nan, 0.4, 0.525, np.nan, 1], nan_ok=True)
    assert diagram.accuracy == pytest.approx([np.nan, 1, 0.5, np.nan, 1], nan_ok=True)
    assert diagram.ece == pytest.approx(100 * (0.6 + 2 * 0.025) / 4)
    assert diagram.gap == pytest.approx(100 * (2.45 - 3) / 4)


@pytest.mark.parametrize("bins", [1, 3, 7, 10, 15, 100])
def test_an_edge_belongs_to_the_bin_below_it(bins: int) -> None:
    edges = [k / bins for k in range(1, bins + 1)]
    above = [np.nextafter(edge, 2) for edge in edges[:-1]]
    hit = np.zeros(bins, dtype=int)
    assert reliability(column(*edges), hit, bins).count.tolist() == [1] * bins
    assert reliability(column(0, *above), hit, bins).count.tolist() == [1] * bins


@pytest.mark.parametrize("C", [2, 3, 5, 10, 100])
def test_equal_logits_have_a_confidence_of_exactly_one_in_c(C: int) -> None:
    diagram = reliability(softmax(np.full((4, C), 0.3, dtype=np.float32)), np.zeros(4, dtype=int), bins=C)
    assert diagram.count.tolist() == [4] + [0] * (C - 1)


def test_default_is_fifteen_bins() -> None:
    logits, labels = predictions(0)
    assert len(reliability(softmax(logits), labels).count) == 15
    usual, of_15, of_10 = (evaluate(logits, labels, *bins)[0] for bins in ((), (15,), (10,)))
    assert usual == of_15 != of_10


def test_gap_is_positive_for_over_and_negative_for_under_confidence() -> None:
    right_half_the_time = np.array([0, 1])
    assert reliability(column(0.9, 0.9), right_half_the_time).gap == pytest.approx(40)
    assert reliability(column(0.3, 0.3), right_half_the_time).gap == pytest.approx(-20)
    opposite = reliability(column(0.9, 0.1), right_half_the_time)
    assert (opposite.gap, opposite.ece) == pytest.approx((0, 10))


@quick
@given(seed=seeds, cuts=st.lists(st.integers(1, 59), unique=True, max_size=4))
def test_pooled_bins_are_the_bins_of_all_predictions_together(seed: int, cuts: list[int]) -> None:
    logits, labels = predictions(seed)
    probabilities = softmax(logits)
    parts = zip(np.split(probabilities, sorted(cuts)), np.split(labels, sorted(cuts)), strict=True)
    pooled = ReliabilityBins.pool([reliability(p, y) for p, y in parts])
    together = reliability(probabilities, labels)
    assert pooled.count.tolist() == together.count.tolist()
    assert pooled.confidence == pytest.approx(together.confidence, nan_ok=True)
    assert pooled.accuracy == pytest.approx(together.accuracy, nan_ok=True)
    assert (pooled.ece, pooled.gap) == pytest.approx((together.ece, together.gap))


def test_bins_survive_json_with_null_for_empty_bins() -> None:
    diagram = reliability(column(0.9, 0.9, 0.3), np.array([0, 1, 0]), bins=3)
    text = json.dumps(diagram.to_json(), allow_nan=False)
    assert json.loads(text) == {
        "count": [1, 0, 2],
        "confidence": [0.3, None, 0.9],
        "accuracy": [1, None, 0.5],
    }
    again = ReliabilityBins.from_json(json.loads(text))
    assert again.to_json() == diagram.to_json()
    assert (again.ece, again.gap) == (diagram.ece, diagram.gap)


def test_bins_cannot_be_changed() -> None:
    diagram = reliability(column(0.9), np.array([0]))
    with pytest.raises(FrozenInstanceError):
        diagram.count = np.zeros(15, dtype=int)  # type: ignore[misc]


def test_bins_of_different_number_cannot_be_pooled() -> None:
    runs = [reliability(column(0.9), np.array([0]), bins) for bins in (10, 15)]
    with pytest.raises(UserError, match=r"same number of bins; found \[10, 15\]"):
        ReliabilityBins.pool(runs)
    with pytest.raises(UserError, match="there are none"):
        ReliabilityBins.pool([])


@pytest.mark.parametrize("accuracy", [{}, {"accuracy": [0.5]}])
def test_stored_bins_must_be_three_lists_of_one_length(accuracy: dict[str, list[float]]) -> None:
    with pytest.raises(UserError, match="three lists of one length"):
        ReliabilityBins.from_json({"count": [1, 2], "confidence": [0.2, 0.7], **accuracy})


# --- all of them


def test_evaluate_gathers_every_metric() -> None:
    logits, labels = predictions(3)
    probabilities, predicted = softmax(logits), logits.argmax(axis=1)
    metrics, diagram = evaluate(logits, labels)
    assert metrics == pytest.approx(
        {
            "top1_error": 100 * np.mean(predicted != labels),
            "top5_error": 100 - 100 * top_k_accuracy_score(labels, logits, k=5, labels=range(7)),
            "f1": f1_score(labels, predicted, average="macro"),
            "ece": slow_ece(probabilities, labels, 15),
            "gap": 100 * (probabilities.max(axis=1).mean() - np.mean(predicted == labels)),
            "nll": log_loss(labels, probabilities, labels=range(7)),
            "brier": np.mean(((probabilities - np.eye(7)[labels]) ** 2).sum(axis=1)),
        }
    )
    assert diagram.ece == metrics["ece"]
    assert diagram.count.sum() == len(labels)


def test_evaluate_is_the_same_for_float32_logits() -> None:
    logits, labels = predictions(4)
    single = logits.astype(np.float32)
    assert evaluate(single, labels)[0] == evaluate(single.astype(np.float64), labels)[0]


def test_metrics_are_plain_floats() -> None:
    assert {type(value) for value in evaluate(*predictions(0))[0].values()} == {float}


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros(3), np.zeros(3, dtype=int), r"logits must be floats .* found float64 \[3\]"),
        (np.zeros((3, 2), dtype=int), np.zeros(3, dtype=int), "logits must be floats .* found int64"),
        (np.zeros((3, 0)), np.zeros(3, dtype=int), r"logits must be floats .* found float64 \[3, 0\]"),
        (np.zeros((3, 2)), np.zeros(4, dtype=int), r"labels must be integers \[3\].* found int64 \[4\]"),
        (
            np.zeros((3, 2)),
            np.zeros((3, 1), dtype=int),
            r"labels must be integers \[3\].* found int64 \[3, 1\]",
        ),
        (np.zeros((3, 2)), np.zeros(3), "labels must be integers .* found float64"),
        (np.zeros((0, 2)), np.zeros(0, dtype=int), "no images"),
        (
            np.zeros((3, 2)),
            np.array([0, 2, -1]),
            r"0\.\.1 for 2 classes; 2 of 3 are not, the first is 2 in row 1",
        ),
        (np.zeros((3, 2)), np.array([0, 1, -1]), "1 of 3 are not, the first is -1 in row 2"),
        (np.array([[0, 1], [np.nan, np.inf]]), np.array([0, 1]), "2 of 4 are not, the first in row 1"),
        (np.array([[-np.inf, 1], [0, 1]]), np.array([0, 1]), "1 of 4 are not, the first in row 0"),
    ],
)
def test_arrays_that_cannot_be_scored_are_refused(logits: Floats, labels: Integers, message: str) -> None:
    for function in (check, evaluate):
        with pytest.raises(UserError, match=message):
            function(logits, labels)


def test_usual_arrays_pass_the_check() -> None:
    logits, labels = predictions(0)
    check(logits.astype(np.float32), labels.astype(np.int32))
    check(logits[:1], labels[:1].astype(np.uint8))

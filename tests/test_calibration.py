import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aikd import calibration
from aikd.calibration import (
    TEMPERATURE_RANGE,
    at_bound,
    calibrate,
    cross_fitted,
    fit_temperature,
    stratified_folds,
)
from aikd.errors import UserError
from aikd.metrics import (
    Floats,
    Integers,
    evaluate,
    log_softmax,
    negative_log_likelihood,
    reliability,
    softmax,
)

seeds = st.integers(0, 2**32 - 1)
quick = settings(deadline=None, max_examples=30)


def nll(logits: Floats, labels: Integers, temperature: float) -> float:
    return negative_log_likelihood(log_softmax(logits, temperature), labels)


def drawn(seed: int, temperature: float, N: int = 500, C: int = 10) -> tuple[Floats, Integers]:
    """Logits that dividing by `temperature` makes perfectly calibrated: the labels are drawn from them."""
    rng = np.random.default_rng(seed)
    calibrated = log_softmax(rng.normal(size=(N, C)) * 2)
    gumbel = rng.gumbel(size=(N, C))
    return temperature * calibrated, (calibrated + gumbel).argmax(axis=1)


# --- fitting


@pytest.mark.parametrize("true", [0.4, 2.5])
def test_the_temperature_that_made_the_logits_is_recovered(true: float) -> None:
    logits, labels = drawn(0, true, N=20_000)
    assert fit_temperature(logits, labels) == pytest.approx(true, rel=0.03)
    assert fit_temperature(logits.astype(np.float32), labels) == pytest.approx(true, rel=0.03)


@quick
@given(seed=seeds, true=st.floats(0.05, 20))
def test_the_likelihood_is_stationary_at_the_fitted_temperature(seed: int, true: float) -> None:
    logits, labels = drawn(seed, true, N=200)
    T = fit_temperature(logits, labels)
    # d NLL / d log T = (mean z_label - mean E_p[z]) / T
    expected = (softmax(logits, T) * logits).sum(axis=1).mean()
    assert not at_bound(T)
    assert (logits[np.arange(200), labels].mean() - expected) / T == pytest.approx(0, abs=1e-6)


@quick
@given(
    seed=seeds,
    N=st.integers(1, 40),
    C=st.integers(2, 6),
    log_scale=st.floats(-4, 4),
    signal=st.floats(-3, 3),
)
def test_no_temperature_on_a_fine_grid_is_better(
    seed: int, N: int, C: int, log_scale: float, signal: float
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(C, size=N)
    logits = rng.standard_t(rng.choice([1, 3, 100]), size=(N, C)) + signal * np.eye(C)[labels]
    logits *= np.exp(log_scale)
    grid = [nll(logits, labels, T) for T in np.geomspace(*TEMPERATURE_RANGE, 400)]
    assert nll(logits, labels, fit_temperature(logits, labels)) <= min(grid) * (1 + 1e-12) + 1e-14


@pytest.mark.parametrize("true", [0.4, 1.0, 2.5])
def test_a_well_set_up_lbfgs_finds_the_same_temperature(true: float) -> None:
    logits, labels = drawn(1, true)
    log_T = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [log_T], max_iter=100, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(
            torch.from_numpy(logits) / log_T.exp(), torch.from_numpy(labels)
        )
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    assert fit_temperature(logits, labels) == pytest.approx(log_T.exp().item(), rel=1e-6)


@pytest.mark.parametrize("scale", [0.1, 1, 30])
def test_faultless_predictions_run_into_the_lower_bound(scale: float) -> None:
    labels = np.arange(12) % 4
    logits = scale * (np.eye(4)[labels] + np.random.default_rng(0).uniform(0, 0.5, (12, 4)))
    assert fit_temperature(logits, labels) == TEMPERATURE_RANGE[0]
    assert at_bound(fit_temperature(logits, labels))


def test_predictions_worse_than_chance_run_into_the_upper_bound() -> None:
    labels = np.arange(12) % 4
    logits = -np.eye(4)[labels]
    assert fit_temperature(logits, labels) == TEMPERATURE_RANGE[1]
    assert at_bound(0.7, fit_temperature(logits, labels))


def test_one_more_mistake_brings_the_temperature_off_the_bound() -> None:
    labels = np.arange(12) % 4
    logits = np.eye(4)[labels]
    labels[0] = 3
    T = fit_temperature(logits, labels)
    # Eleven of twelve right at one logit: p(label) = 11/12 where exp(1/T) / (exp(1/T) + 3) = 11/12.
    assert pytest.approx(1 / np.log(33), rel=1e-6) == T
    assert not at_bound(T)


# --- folds


@quick
@given(seed=seeds, N=st.integers(2, 80), C=st.integers(1, 30), folds=st.integers(2, 7))
def test_every_class_and_the_whole_are_spread_evenly_over_the_folds(
    seed: int, N: int, C: int, folds: int
) -> None:
    folds = min(folds, N)
    labels = np.random.default_rng(seed).integers(C, size=N)
    fold = stratified_folds(labels, folds)
    for members in (np.ones(N, dtype=bool), *(labels == c for c in range(C))):
        sizes = np.bincount(fold[members], minlength=folds)
        assert len(sizes) == folds
        assert sizes.max() - sizes.min() <= 1


def test_folds_depend_on_the_labels_alone() -> None:
    labels = np.random.default_rng(0).integers(10, size=200)
    np.random.seed(1)
    first = stratified_folds(labels)
    np.random.seed(2)
    assert np.array_equal(first, stratified_folds(labels.copy()))


def test_neighbouring_images_of_a_class_are_not_dealt_in_order() -> None:
    # Test sets are often sorted by file name; consecutive images of a class must not follow the folds' order.
    fold = stratified_folds(np.zeros(100, dtype=int))
    assert np.mean(np.diff(fold) % 5 == 1) < 0.5


@pytest.mark.parametrize(("N", "folds"), [(4, 5), (10, 1), (1, 1)])
def test_impossible_numbers_of_folds_are_refused(N: int, folds: int) -> None:
    with pytest.raises(UserError, match=f"{N}; found {folds}"):
        cross_fitted(np.zeros((N, 3)), np.zeros(N, dtype=int), folds)


# --- cross-fitting


def test_each_fold_is_divided_by_the_temperature_of_the_others() -> None:
    logits, labels = drawn(2, 2.5)
    fold = stratified_folds(labels, 4)
    calibrated, temperatures = cross_fitted(logits, labels, 4)
    assert temperatures.shape == (4,)
    for k in range(4):
        T = fit_temperature(logits[fold != k], labels[fold != k])
        assert temperatures[k] == pytest.approx(T, rel=1e-6)
        assert calibrated[fold == k] == pytest.approx(logits[fold == k] / T, rel=1e-6)


def test_a_fold_has_no_say_in_its_own_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = drawn(3, 2.5)
    fold = stratified_folds(labels)
    monkeypatch.setattr(calibration, "stratified_folds", lambda labels, folds: fold)
    _, before = cross_fitted(logits, labels)
    changed = np.where(fold == 2, (labels + 1) % 10, labels)
    _, after = cross_fitted(logits, changed)
    assert after[2] == before[2]
    assert np.all(np.delete(after, 2) > np.delete(before, 2) * 1.05)


# --- the whole


def test_calibrate_scores_every_scheme_with_its_own_logits() -> None:
    logits, labels = drawn(4, 0.4)
    holdout = drawn(5, 0.5)
    result = calibrate(logits, labels, bins=10, folds=3, holdout=holdout)
    crossfit, per_fold = cross_fitted(logits, labels, 3)
    oracle, outside = fit_temperature(logits, labels), fit_temperature(*holdout)
    expected: dict[str, Any] = evaluate(logits, labels, 10)[0]
    schemes = {
        "crossfit": (crossfit, per_fold.mean()),
        "oracle": (logits / oracle, oracle),
        "holdout": (logits / outside, outside),
    }
    for scheme, (scaled, temperature) in schemes.items():
        scores, _ = evaluate(scaled, labels, 10)
        expected |= {f"{metric}_{scheme}": scores[metric] for metric in ("ece", "gap", "nll", "brier")}
        expected[f"temperature_{scheme}"] = temperature
        assert result["bins"][scheme] == reliability(softmax(scaled), labels, 10).to_json()
    ranked = np.argsort(-holdout[0], axis=1)
    for k in (1, 5):
        hit = (ranked[:, :k] == holdout[1][:, None]).any(1)
        expected[f"holdout_top{k}_error"] = 100 * np.mean(~hit)
    assert result["metrics"] == pytest.approx(expected)
    assert result["bins"]["none"] == reliability(softmax(logits), labels, 10).to_json()
    assert result["temperatures"] == {"crossfit": per_fold.tolist(), "oracle": oracle, "holdout": outside}
    assert set(result) == {"metrics", "bins", "temperatures", "at_bound"}
    assert result["at_bound"] is False


def test_without_a_holdout_there_is_no_holdout_in_the_result() -> None:
    result = calibrate(*drawn(4, 0.4))
    assert "holdout" not in json.dumps(result)
    assert list(result["bins"]) == ["none", "crossfit", "oracle"]
    assert len(result["temperatures"]["crossfit"]) == 5
    assert len(result["bins"]["none"]["count"]) == 15


def test_the_result_is_plain_json_without_nan() -> None:
    logits, labels = drawn(6, 0.4, N=40)
    result = calibrate(logits.astype(np.float32), labels.astype(np.int32), holdout=drawn(7, 1))
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_scaling_repairs_under_confidence_and_the_gap_shows_it() -> None:
    metrics = calibrate(*drawn(8, 0.4, N=4000))["metrics"]
    assert metrics["gap"] < -20
    assert metrics["temperature_crossfit"] < 1
    assert metrics["ece_crossfit"] < metrics["ece"] / 5
    assert metrics["nll_oracle"] <= metrics["nll_crossfit"] < metrics["nll"]


@quick
@given(seed=seeds, log_T=st.floats(np.log(0.01), np.log(100)))
def test_one_temperature_for_all_changes_no_decision(seed: int, log_T: float) -> None:
    logits, labels = drawn(seed, 1, N=100)
    logits = logits.astype(np.float32)
    both = logits, logits.astype(np.float64) / np.exp(log_T)
    before, after = (evaluate(these, labels)[0] for these in both)
    for metric in ("top1_error", "top5_error", "f1"):
        assert after[metric] == before[metric]


def test_cross_fitting_changes_no_decision() -> None:
    logits, labels = drawn(9, 0.4)
    before, after = (evaluate(these, labels)[0] for these in (logits, cross_fitted(logits, labels)[0]))
    for metric in ("top1_error", "top5_error", "f1"):
        assert after[metric] == before[metric]


def test_a_temperature_at_the_bound_is_reported() -> None:
    logits, labels = drawn(10, 1, N=60)
    faultless = np.eye(10)[labels]
    assert calibrate(faultless, labels)["at_bound"] is True
    assert calibrate(logits, labels, holdout=(faultless, labels))["at_bound"] is True


def test_arrays_that_cannot_be_scored_are_refused() -> None:
    logits, labels = drawn(11, 1, N=20)
    broken = logits.copy()
    broken[3, 1] = np.nan
    for function in (fit_temperature, cross_fitted, calibrate):
        with pytest.raises(UserError, match="the first in row 3"):
            function(broken, labels)
    with pytest.raises(UserError, match="the first in row 3"):
        calibrate(logits, labels, holdout=(broken, labels))


def test_a_holdout_with_other_classes_is_refused() -> None:
    with pytest.raises(UserError, match=r"10 classes.* found 4"):
        calibrate(*drawn(12, 1), holdout=drawn(12, 1, C=4))

"""Temperature scaling (TS in Table 3): one number divides all logits so that confidence fits accuracy.

The paper does not say on which images its temperature was fitted. Three answers stand side by side:

- `crossfit`: each fold of the evaluation set is scored with the temperature fitted on the other folds,
- `oracle`: fitted and scored on the same images, which flatters the result a little,
- `holdout`: fitted on images cut from the training set, where a study keeps some.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aikd.errors import UserError
from aikd.metrics import Floats, Integers, calibration_scores, check, evaluate, top_k_error

# Wide on both sides of 1: soft targets make a student under-confident, which a temperature below 1 mends.
TEMPERATURE_RANGE = (0.01, 100.0)

_FOLD_SEED = 0


def fit_temperature(logits: Floats, labels: Integers) -> float:
    """The temperature that minimises the negative log-likelihood of logits [N, C], labels [N].

    The NLL is convex in 1/T, so along log T it has one valley, and the bounded search finds its floor. If
    every image is classified right, the NLL falls all the way to T → 0 and the result is the lower bound of
    `TEMPERATURE_RANGE`; if the true class has on average no larger a logit than the others, it falls towards
    T → ∞ and the result is the upper bound. `at_bound` tells.

    Raises:
        UserError: the arrays cannot be scored, see `aikd.metrics.check`.
    """
    from scipy.optimize import minimize_scalar

    check(logits, labels)
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    own = shifted[np.arange(len(labels)), labels].mean()
    powers = np.empty_like(shifted)

    def nll(temperature: float) -> float:  # mean of logsumexp(z / T) - z_label / T
        np.divide(shifted, temperature, out=powers)
        np.exp(powers, out=powers)
        return float(np.log(powers.sum(axis=1)).mean() - own / temperature)

    bounds = np.log(TEMPERATURE_RANGE)
    search = minimize_scalar(
        lambda log_temperature: nll(np.exp(log_temperature)),
        bounds=bounds,
        method="bounded",
        options={"xatol": 1e-8},
    )
    # The search only nears the bounds. Named first, they also win where the NLL has underflowed to a flat 0.
    return min(*TEMPERATURE_RANGE, float(np.exp(search.x)), key=nll)


def at_bound(*temperatures: float) -> bool:
    """Whether any of these is an end of the range of `fit_temperature`, and so no temperature that fits."""
    return any(temperature in TEMPERATURE_RANGE for temperature in temperatures)


def stratified_folds(labels: Integers, folds: int = 5) -> NDArray[np.int64]:
    """The fold 0..folds-1 of each image [N], a function of the labels [N] alone.

    Within a class, and over all images, the sizes of the folds differ by at most one.

    Raises:
        UserError: fewer than two folds, or fewer images than folds.
    """
    N = len(labels)
    if not 2 <= folds <= N:
        raise UserError(f"folds must be at least 2 and at most the number of images, {N}; found {folds}")
    order = np.random.default_rng(_FOLD_SEED).permutation(N)
    order = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(N, dtype=np.int64)
    # Dealt like cards, class after class without starting anew: even within each class and in total.
    fold[order] = np.arange(N) % folds
    return fold


def cross_fitted(
    logits: Floats, labels: Integers, folds: int = 5
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Divides each fold of logits [N, C] by the temperature fitted on the other folds.

    Returns the calibrated logits [N, C] and the temperatures [folds].

    Raises:
        UserError: the arrays cannot be scored, or cannot be split into so many folds.
    """
    check(logits, labels)
    fold = stratified_folds(labels, folds)
    others = [fold != held_out for held_out in range(folds)]
    temperatures = np.array([fit_temperature(logits[rows], labels[rows]) for rows in others])
    return logits / temperatures[fold, None], temperatures


def calibrate(
    logits: Floats,
    labels: Integers,
    *,
    bins: int = 15,
    folds: int = 5,
    holdout: tuple[Floats, Integers] | None = None,
) -> dict[str, Any]:
    """All metrics of logits [N, C] before and after temperature scaling, ready for JSON.

    `metrics` holds the keys of `aikd.metrics.evaluate`, and for each scheme `ece_<scheme>`, `gap_<scheme>`
    (percent), `nll_<scheme>`, `brier_<scheme>` and `temperature_<scheme>` (`crossfit`: the mean over folds);
    of a hold-out also its own errors, `holdout_top1_error` and `holdout_top5_error` (percent).
    `bins` holds the reliability bins of `none` (raw logits) and of each scheme, `temperatures` what was
    fitted (a list for `crossfit`), and `at_bound` whether any of them is an end of `TEMPERATURE_RANGE`.

    Raises:
        UserError: arrays that cannot be scored or split, or a hold-out with another number of classes.
    """
    metrics, diagram = evaluate(logits, labels, bins)
    exact = logits.astype(np.float64)
    crossfit, per_fold = cross_fitted(exact, labels, folds)
    fitted = {"oracle": fit_temperature(exact, labels)}
    if holdout is not None:
        fitted["holdout"] = _fit_holdout(*holdout, classes=logits.shape[1])
    calibrated = {"crossfit": crossfit} | {scheme: exact / T for scheme, T in fitted.items()}

    if holdout is not None:
        metrics |= {f"holdout_top{k}_error": top_k_error(*holdout, k) for k in (1, 5)}
    diagrams = {"none": diagram.to_json()}
    for scheme, scaled in calibrated.items():
        scores, diagram = calibration_scores(scaled, labels, bins)
        metrics |= {f"{metric}_{scheme}": value for metric, value in scores.items()}
        metrics[f"temperature_{scheme}"] = fitted.get(scheme, float(per_fold.mean()))
        diagrams[scheme] = diagram.to_json()
    return {
        "metrics": metrics,
        "bins": diagrams,
        "temperatures": {"crossfit": per_fold.tolist(), **fitted},
        "at_bound": at_bound(*per_fold, *fitted.values()),
    }


def _fit_holdout(logits: Floats, labels: Integers, classes: int) -> float:
    temperature = fit_temperature(logits, labels)
    if logits.shape[1] != classes:
        raise UserError(
            f"hold-out logits must have the {classes} classes of the others; found {logits.shape[1]}"
        )
    return temperature

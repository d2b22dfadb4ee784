"""The metrics that tables and figures may ask for: label, unit, direction, printed decimals."""

from dataclasses import dataclass
from typing import Literal

MetricName = Literal[
    "top1_error", "top5_error", "f1", "ece", "gap", "nll", "brier", "holdout_top1_error", "holdout_top5_error"
]
Scheme = Literal["none", "crossfit", "oracle", "holdout"]
"""Temperature scaling: none, cross-fitted on the evaluation set, fitted and scored on it, or fitted on a hold-out."""


@dataclass(frozen=True)
class Metric:
    """How a metric is printed and compared."""

    label: str
    decimals: int
    best: Literal["low", "high", "zero"]


METRICS: dict[MetricName, Metric] = {
    "top1_error": Metric("Top-1 error (%)", 2, "low"),
    "top5_error": Metric("Top-5 error (%)", 2, "low"),
    "f1": Metric("F1 (macro)", 3, "high"),
    "ece": Metric("ECE (%)", 2, "low"),
    "gap": Metric("Confidence gap (%)", 2, "zero"),
    "nll": Metric("NLL (nats)", 3, "low"),
    "brier": Metric("Brier score", 3, "low"),
    "holdout_top1_error": Metric("Top-1 error, held out (%)", 2, "low"),
    "holdout_top5_error": Metric("Top-5 error, held out (%)", 2, "low"),
}

TOP = 5
"""Guesses of which one must be right, in a Top-5 error."""
TOP_ERRORS: frozenset[MetricName] = frozenset({"top5_error", "holdout_top5_error"})


def always_zero(metric: MetricName, classes: int) -> bool:
    """Whether a metric is 0 whatever a network says: five guesses cannot miss among five classes."""
    return metric in TOP_ERRORS and classes <= TOP


HELD_OUT: frozenset[MetricName] = frozenset({"holdout_top1_error", "holdout_top5_error"})
"""Errors on training images that the study held out, for choices that must not be made on the test set."""

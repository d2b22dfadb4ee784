"""How sure a mean over few seeds is."""

import math
from collections.abc import Sequence

from scipy import stats

from aikd.results.aggregate import Summary

LEVEL = 0.95

TINY = 1e-9
"""Values that spread by less do not vary: what is left is the rounding of floating-point numbers."""


def varies(summary: Summary) -> bool:
    """Whether the values differ at all: without that they say nothing of how far a mean may be off."""
    return summary.n > 1 and summary.std > TINY


def confidence_interval(summary: Summary) -> tuple[float, float] | None:
    """The 95 % interval of a mean, by Student's t with n - 1 degrees of freedom.

    None for a single seed, or where values do not vary: that a few seeds agree is no certainty.
    """
    if not varies(summary):
        return None
    half = float(stats.t.ppf((1 + LEVEL) / 2, summary.n - 1)) * summary.std / math.sqrt(summary.n)
    return summary.mean - half, summary.mean + half


def welch_p(left: Summary, right: Summary) -> float | None:
    """Two-sided p of Welch's t test that two means are equal.

    None where a side has no standard deviation, or neither varies at all.
    """
    if not math.isfinite(left.std) or not math.isfinite(right.std) or left.std == right.std == 0:
        return None
    test = stats.ttest_ind_from_stats(
        left.mean, left.std, left.n, right.mean, right.std, right.n, equal_var=False
    )
    return float(test.pvalue)


def paired_difference(ours: Sequence[float], reference: Sequence[float]) -> tuple[Summary, float | None]:
    """Differences ours − reference, seed by seed, and the two-sided p of Student's paired t test.

    Runs of one seed see the same images in the same order, so what a seed does to both cancels. p is None for a
    single seed, or where the differences do not vary.

    Raises:
        ValueError: not equally many values.
    """
    summary = Summary.of([a - b for a, b in zip(ours, reference, strict=True)])
    if not varies(summary):
        return summary, None
    return summary, float(stats.ttest_rel(ours, reference).pvalue)

"""Paired differences over seeds."""

import math

import numpy as np
import pytest

from aikd.results.intervals import confidence_interval, paired_difference


def test_a_paired_difference_by_hand() -> None:
    # Differences -1, -2, -3: mean -2, sd 1, t = -2 / (1 / √3) = -3.4641 with two degrees of freedom.
    summary, p = paired_difference([10.0, 20.0, 30.0], [11.0, 22.0, 33.0])
    assert (summary.mean, summary.std, summary.n) == (-2.0, 1.0, 3)
    t = 2 * math.sqrt(3)
    # The closed form of Student's distribution for two degrees of freedom.
    assert p == pytest.approx(1 - t / math.sqrt(2 + t**2))
    interval = confidence_interval(summary)
    assert interval is not None
    # Its 97.5 % quantile, from the same closed form: x = (2p - 1) √(2 / (4 p (1 - p))).
    quantile = 0.95 * math.sqrt(2 / (4 * 0.975 * 0.025))
    np.testing.assert_allclose(interval, [-2 - quantile / math.sqrt(3), -2 + quantile / math.sqrt(3)])


THIRDS = [200 / 3, 200 / 3], [100 / 3, 100 / 3 + 1e-14]


@pytest.mark.parametrize(
    ("ours", "reference", "mean"),
    [([1.0], [2.0], -1), ([1.0, 2.0], [2.0, 3.0], -1), (*THIRDS, pytest.approx(100 / 3))],
)
def test_without_spread_there_is_a_difference_but_no_test(
    ours: list[float], reference: list[float], mean: float
) -> None:
    """Rounding is no spread."""
    summary, p = paired_difference(ours, reference)
    assert summary.mean == mean
    assert p is None
    assert confidence_interval(summary) is None


def test_only_equal_seeds_can_be_paired() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired_difference([1.0], [1.0, 2.0])

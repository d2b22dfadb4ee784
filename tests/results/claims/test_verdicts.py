"""Verdicts, by hand, and how often they are wrong where the truth is known."""

import math

import numpy as np
import pytest

from aikd.results.claims.verdicts import Estimate, Evidence, holm, judged, judged_in_groups

T2 = 4.302652729911275
"""97.5 % quantile of Student's t with 2 degrees of freedom, from a printed table: 4.3027."""


def upper(t: float) -> float:
    """P(T ≥ t) with 2 degrees of freedom: its closed form."""
    return (1 - t / math.sqrt(2 + t * t)) / 2


def above(*values: float) -> Estimate:
    return Estimate.of(values, 0.0, None)


# One contrast


def test_paired_differences_by_hand() -> None:
    # Mean 2, sample standard deviation 1, standard error 1/√3, t = 2√3.
    estimate = above(1.0, 2.0, 3.0)
    assert (estimate.mean, estimate.n, estimate.freedom) == (2.0, 3, 2)
    assert estimate.inside == pytest.approx(upper(2 * math.sqrt(3)))
    assert estimate.outside == [pytest.approx(1 - upper(2 * math.sqrt(3)))]
    np.testing.assert_allclose(estimate.interval, [2 - T2 / math.sqrt(3), 2 + T2 / math.sqrt(3)])


def test_a_region_with_two_ends_asks_for_both_as_two_one_sided_tests_do() -> None:
    estimate = Estimate.of([0.1, 0.2, 0.3], -0.5, 0.5)
    error = 0.1 / math.sqrt(3)
    assert estimate.inside == pytest.approx(upper(0.3 / error))  # 0.2 lies 0.3 below the nearer end
    assert estimate.outside == [pytest.approx(upper(-0.7 / error)), pytest.approx(upper(-0.3 / error))]
    assert estimate.slack == pytest.approx(0.3)


def test_a_number_below_an_upper_bound_alone() -> None:
    estimate = Estimate.of([-3.0, -2.0, -1.0], None, 0.0)
    assert estimate.inside == pytest.approx(upper(2 * math.sqrt(3)))


def test_tails_keep_their_digits_where_the_evidence_is_strong() -> None:
    estimate = above(99.9999, 100.0, 100.0001)
    # The closed form in a shape that does not cancel: 1 - t/√(2+t²) = 2 / (√(2+t²) (√(2+t²) + t)).
    t = 100 / (0.0001 / math.sqrt(3))
    root = math.sqrt(2 + t * t)
    assert estimate.inside == pytest.approx(1 / (root * (root + t)), rel=1e-4)


@pytest.mark.parametrize("values", [[1.0], [1.0, 1.0, 1.0], [0.1 + 0.2, 0.3, 0.3]])
def test_without_spread_there_is_a_number_but_no_test(values: list[float]) -> None:
    estimate = above(*values)
    assert estimate.mean == pytest.approx(values[-1])
    assert (estimate.interval, estimate.outside, estimate.inside) == (None, [], 1.0)
    assert judged([Evidence.of([estimate])]) == [("inconclusive", None)]


# Several contrasts


def test_the_best_of_several_is_as_sure_as_its_least_sure_comparison() -> None:
    sure, unsure = above(9.9, 10.0, 10.1), above(0.0, 1.0, 2.0)
    evidence = Evidence.of([sure, unsure])
    assert evidence.p_holds == pytest.approx(upper(math.sqrt(3)))
    assert evidence.p_fails == 1.0  # twice the smaller p that something is below 0 is above 1
    assert evidence.decisive == 1
    assert evidence.p == pytest.approx(2 * upper(math.sqrt(3)))


def test_one_comparison_that_is_surely_lost_fails_a_claim_at_the_price_of_having_looked_at_all() -> None:
    lost = above(-10.1, -10.0, -9.9)
    evidence = Evidence.of([above(1.0, 2.0, 3.0), lost, above(-1.0, 0.5, 1.0)])
    assert evidence.p_fails == pytest.approx(3 * upper(10 / (0.1 / math.sqrt(3))))
    assert evidence.decisive == 1
    assert evidence.p_holds == pytest.approx(1, abs=1e-3)
    assert judged([evidence])[0][0] == "fails"


def test_of_single_values_the_one_nearest_to_its_end_decides() -> None:
    evidence = Evidence.of([above(2.0), above(0.5), above(1.0)])
    assert (evidence.decisive, evidence.p_holds, evidence.p) == (1, None, None)


def test_a_comparison_that_cannot_be_tested_keeps_a_claim_from_holding() -> None:
    evidence = Evidence.of([above(9.9, 10.0, 10.1), above(1.0, 1.0, 1.0)])
    assert evidence.p_holds == 1.0
    assert judged([evidence])[0][0] == "inconclusive"


# Several claims


def test_holm_by_hand() -> None:
    # Sorted: .005 × 4, .01 × 3, .03 × 2, .04 × 1, none below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_claims_are_corrected_within_their_heading_only() -> None:
    strong = Evidence.of([above(9.0, 10.0, 11.0)])  # t = 10√3, two-sided p = .0033
    weak = Evidence.of([above(4.0, 5.0, 6.0)])  # t = 5√3, two-sided p = .013
    single = 2 * upper(5 * math.sqrt(3))
    groups = {"a": "one", "b": "one", "c": "two", "d": "one"}
    found = judged_in_groups({"a": strong, "b": weak, "c": weak, "d": weak}, groups)
    assert found["a"] == ("holds", pytest.approx(3 * 2 * upper(10 * math.sqrt(3))))
    assert found["c"] == ("holds", pytest.approx(single))
    assert found["b"] == found["d"] == ("holds", pytest.approx(2 * single))
    many = judged_in_groups({str(i): weak for i in range(5)}, {str(i): "one" for i in range(5)})
    assert {verdict for verdict, _ in many.values()} == {"inconclusive"}


def test_claims_without_a_test_are_no_comparisons() -> None:
    found = judged([Evidence.of([above(1.0)]), Evidence.of([above(4.0, 5.0, 6.0)])])
    assert found == [("inconclusive", None), ("holds", pytest.approx(2 * upper(5 * math.sqrt(3))))]


# How often they are wrong. Three standard errors of the simulation are allowed on top.

TRIALS = 2000
ALLOWED = 3 * math.sqrt(0.05 * 0.95 / TRIALS)


def simulated(rng: np.random.Generator, gains: list[float], spreads: list[float]) -> Evidence:
    """A claim that one method beats several, over three seeds: rivals' errors minus its own.

    The method's own noise is in all differences, and each rival has its own on top.
    """
    own = rng.normal(0, 0.3, 3)
    return Evidence.of(
        [above(*(gain + own + rng.normal(0, s, 3))) for gain, s in zip(gains, spreads, strict=True)]
    )


def rate(verdict: str, gains: list[float], spreads: list[float], claims: int = 1) -> float:
    """How often any of so many claims under one heading gets a verdict."""
    rng = np.random.default_rng(20221118)
    hits = 0
    for _ in range(TRIALS):
        family = [simulated(rng, gains, spreads) for _ in range(claims)]
        hits += verdict in [found for found, _ in judged(family)]
    return hits / TRIALS


@pytest.mark.parametrize("spreads", [[0.3, 0.3, 0.3, 0.3], [0.05, 0.1, 0.5, 2.0]])
def test_a_claim_on_the_edge_of_the_truth_rarely_holds_or_fails(spreads: list[float]) -> None:
    # One rival as good as the method, the others far behind: the worst case of the intersection-union test.
    assert rate("holds", [0.0, 50.0, 50.0, 50.0], spreads) <= 0.025 + ALLOWED
    # All rivals just as good: the worst case of the test that any of them is better.
    assert rate("fails", [0.0] * 4, spreads) <= 0.025 + ALLOWED


def test_many_claims_under_one_heading_are_no_more_often_wrong_than_one() -> None:
    assert rate("holds", [0.0], [0.3], claims=6) <= 0.025 + ALLOWED
    assert rate("fails", [0.0], [0.3], claims=6) <= 0.025 + ALLOWED


def test_one_claim_on_the_edge_is_wrong_as_often_as_allowed_and_not_much_more_rarely() -> None:
    assert rate("holds", [0.0], [0.3]) == pytest.approx(0.025, abs=ALLOWED)
    assert rate("fails", [0.0], [0.3]) == pytest.approx(0.025, abs=ALLOWED)


def test_what_is_clearly_so_is_seen() -> None:
    assert rate("holds", [6.0, 8.0], [0.3, 0.3]) > 0.9
    assert rate("fails", [6.0, -8.0], [0.3, 0.3]) > 0.9

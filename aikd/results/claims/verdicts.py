"""From numbers over seeds to a verdict. docs/claims.md says why it is done so.

A claim is a conjunction of contrasts, each with a region. It *holds* where every contrast is shown to lie in its region
(intersection-union: the largest p counts, nothing needs correcting). It *fails* where one contrast is shown to lie
outside (union-intersection: the smallest p counts, times the number of bounds). Otherwise it is inconclusive.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.special import stdtr, stdtrit

from aikd.results.intervals import TINY

Verdict = Literal["holds", "fails", "inconclusive", "not run"]
LEVEL = 0.05
"""Of a verdict in either direction together: each has half of it."""


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error, and the region in which a claim has it."""

    mean: float
    error: float | None
    """Standard error; None where there is a single value, or values do not vary."""
    freedom: float
    """Degrees of freedom of the error."""
    n: int
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, values: Sequence[float], low: float | None, high: float | None) -> "Estimate":
        """Of values that are one a seed: paired differences, or a metric."""
        n = len(values)
        mean = math.fsum(values) / n
        spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1)) if n > 1 else 0.0
        error = spread / math.sqrt(n) if spread > TINY else None
        return cls(mean, error, n - 1, n, low, high)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval by Student's t; None without an error."""
        if self.error is None:
            return None
        half = float(stdtrit(self.freedom, 1 - LEVEL / 2)) * self.error
        return self.mean - half, self.mean + half

    @property
    def slack(self) -> float:
        """How far inside the region the mean lies; negative outside."""
        ends = [] if self.low is None else [self.mean - self.low]
        ends += [] if self.high is None else [self.high - self.mean]
        return min(ends)

    @property
    def outside(self) -> list[float]:
        """One-sided p for each bound: small where the number is shown to be beyond it. Empty without an error."""
        return self._tails(1)

    @property
    def inside(self) -> float:
        """One-sided p: small where the number is shown to be within its region; 1 without an error."""
        return max(self._tails(-1), default=1.0)

    def _tails(self, sign: int) -> list[float]:
        if self.error is None:
            return []
        distances = [] if self.low is None else [self.mean - self.low]
        distances += [] if self.high is None else [self.high - self.mean]
        return [float(stdtr(self.freedom, sign * distance / self.error)) for distance in distances]


@dataclass(frozen=True)
class Evidence:
    """What the estimates of a claim say together."""

    decisive: int
    """The estimate that decides: of those inside the least sure, or where one is outside, the surest of those."""
    p_holds: float | None
    """One-sided: small where the claim is shown to hold. None where nothing can be tested."""
    p_fails: float | None
    """One-sided: small where the claim is shown to fail."""

    @classmethod
    def of(cls, estimates: Sequence[Estimate]) -> "Evidence":
        """Of at least one estimate."""
        bounds = [p for estimate in estimates for p in estimate.outside]
        weakest = min(range(len(estimates)), key=lambda i: estimates[i].slack)
        if not bounds:
            return cls(weakest, None, None)
        p_holds = max(estimate.inside for estimate in estimates)
        p_fails = min(1.0, min(bounds) * len(bounds))
        if p_fails < p_holds:
            decisive = min(range(len(estimates)), key=lambda i: min(estimates[i].outside, default=1.0))
        else:
            decisive = max(range(len(estimates)), key=lambda i: (estimates[i].inside, -estimates[i].slack))
        return cls(decisive, p_holds, p_fails)

    @property
    def p(self) -> float | None:
        """Two-sided p of the direction in which the evidence points."""
        return two_sided(self.p_holds, self.p_fails)


def two_sided(p_holds: float | None, p_fails: float | None) -> float | None:
    """The smaller of two one-sided p, doubled; None without them."""
    return None if p_holds is None or p_fails is None else min(1.0, 2 * min(p_holds, p_fails))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given: the chance that any true hypothesis is rejected stays below a level
    at which all smaller ones are rejected."""
    order = sorted(range(len(p)), key=p.__getitem__)
    adjusted, highest = [1.0] * len(p), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = highest
    return adjusted


def judged(evidence: Sequence[Evidence]) -> list[tuple[Verdict, float | None]]:
    """The verdict on each claim of a family, and its p after Holm's correction within the family.

    Claims of which nothing can be tested are inconclusive and do not count as comparisons.
    """
    tested = [i for i, e in enumerate(evidence) if e.p_holds is not None]
    found: list[tuple[Verdict, float | None]] = [("inconclusive", None)] * len(evidence)
    holds = holm([evidence[i].p_holds or 0.0 for i in tested])
    fails = holm([evidence[i].p_fails or 0.0 for i in tested])
    for i, p_holds, p_fails in zip(tested, holds, fails, strict=True):
        verdict: Verdict = "inconclusive"
        if 2 * p_holds <= LEVEL:
            verdict = "holds"
        elif 2 * p_fails <= LEVEL:
            verdict = "fails"
        found[i] = verdict, two_sided(p_holds, p_fails)
    return found


def judged_in_groups(
    evidence: Mapping[str, Evidence], groups: Mapping[str, str]
) -> dict[str, tuple[Verdict, float | None]]:
    """The verdict on each claim and its p after Holm's correction within its group, both by the claim's name."""
    found: dict[str, tuple[Verdict, float | None]] = {}
    for group in dict.fromkeys(groups[name] for name in evidence):
        names = [name for name in evidence if groups[name] == group]
        found |= zip(names, judged([evidence[name] for name in names]), strict=True)
    return found

"""The claims on the numbers that the paper prints: does it say what its tables say?

Only printed means decide, ties count against a claim, and what the text says of a difference may be off by rounding
alone. Beside that stands what three runs with the printed deviations can show.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from aikd.results import published
from aikd.results.claims.verdicts import Estimate, Evidence, Verdict, judged_in_groups
from aikd.results.intervals import TINY
from aikd.results.published import Experiment, Published
from aikd.results.text import signed
from aikd.study.catalogue import DATA_SETS, PAPER
from aikd.study.claims.claim import Claim, Contrast, Slot
from aikd.study.claims.entries import paper_claims
from aikd.study.metrics import METRICS
from aikd.study.run import Run

PrintedVerdict = Literal["holds", "fails", "not printed"]
ROUNDING = 0.01 + TINY
"""What a difference of two printed percentages may be off from what the text says: all three are rounded."""


@dataclass(frozen=True)
class PrintedFinding:
    """What the printed numbers say of a claim."""

    claim: Claim
    verdict: PrintedVerdict
    decisive: int | None = None
    """The contrast that decides: the one that misses its region most, or comes nearest to missing it."""
    estimates: tuple[Estimate, ...] = ()
    spread: Verdict | None = None
    """The verdict where three runs with the printed deviations, unpaired, are tested. None without deviations."""
    p: float | None = None
    """Two-sided, of Welch's test, in the direction of `spread`."""
    p_holm: float | None = None
    cause: int | None = None
    """Of a claim that fails: the same number for all that fail for one reason, counted from 1."""

    @property
    def ours(self) -> str:
        """What the verdict rests on that is not the paper's; a stated number needs no margin here but rounding."""
        return "" if any(c.stated is not None for c in self.claim.contrasts) else self.claim.ours

    @property
    def decided_by(self) -> str:
        """The decisive contrast in words."""
        labels = {name: DATA_SETS[name].label for name in PAPER}
        return "" if self.decisive is None else self.claim.named(self.claim.contrasts[self.decisive], labels)

    @property
    def decided(self) -> tuple[Contrast, Estimate]:
        """The decisive contrast, of a claim that has one, and what the printed numbers say of it."""
        assert self.decisive is not None
        return self.claim.contrasts[self.decisive], self.estimates[self.decisive]

    @property
    def missed(self) -> frozenset[tuple[tuple[Slot, ...], tuple[Slot, ...]]]:
        """The comparisons that are not where the claim has them."""
        pairs = zip(self.claim.contrasts, self.estimates, strict=True)
        return frozenset((c.plus, c.minus) for c, estimate in pairs if _miss(c, estimate) >= 0)

    @property
    def note(self) -> str:
        """Of a claim that fails: what its numbers say instead."""
        if self.verdict != "fails" or self.decisive is None:
            return ""
        contrast, estimate = self.decided
        decimals = METRICS[self.claim.metric].decimals
        if contrast.stated is not None:
            return f"by the table {estimate.mean:.{decimals}f}"
        if abs(estimate.slack) <= TINY:
            return f"{self.decided_by}: a tie"
        return f"{self.decided_by}: {signed(estimate.mean, decimals)}"


def printed_ledger() -> list[PrintedFinding]:
    """All claims of the paper, in its order, on its own numbers."""
    found = _with_causes([_finding(claim) for claim in paper_claims()])
    evidence = {f.claim.id: Evidence.of(f.estimates) for f in found if f.estimates}
    tested = {name: e for name, e in evidence.items() if e.p is not None}
    verdicts = judged_in_groups(tested, {f.claim.id: f.claim.group for f in found})
    return [
        replace(f, spread=verdicts[f.claim.id][0], p=tested[f.claim.id].p, p_holm=verdicts[f.claim.id][1])
        if f.claim.id in tested
        else f
        for f in found
    ]


def printed(slot: Slot, table: int | None) -> Published | None:
    """The number that the paper prints in one of its Tables 2 to 7; None where it prints none."""
    if table is None:
        return None
    run = Run(slot.dataset, slot.network, slot.arm.method, dict(slot.arm.settings), slot.arm.augmentation)
    scheme: Literal["crossfit", "none"] = "crossfit" if slot.arm.scaled else "none"
    return published.numbers(table).get(Experiment.of(run, slot.network, slot.metric, scheme))


def printed_estimate(contrast: Contrast, table: int | None) -> Estimate | None:
    """A contrast of printed means, with Welch's error; None where one of them is not printed."""
    sides = [[printed(slot, table) for slot in side] for side in (contrast.plus, contrast.minus)]
    means, variances = 0.0, []
    for sign, side in zip((1, -1), sides, strict=True):
        for number in side:
            if number is None:
                return None
            means += sign * number.summary.mean / len(side)
            variances.append((number.summary.std / len(side)) ** 2 / number.summary.n)
    total = math.fsum(variances)
    if not total > 0:  # also where a deviation is not printed
        return Estimate(round(means, 9), None, 0, published.RUNS, contrast.low, contrast.high)
    freedom = total**2 / math.fsum(v**2 / (published.RUNS - 1) for v in variances)
    return Estimate(round(means, 9), math.sqrt(total), freedom, published.RUNS, contrast.low, contrast.high)


def _finding(claim: Claim) -> PrintedFinding:
    found = [printed_estimate(contrast, claim.table) for contrast in claim.contrasts]
    estimates = tuple(estimate for estimate in found if estimate)
    if len(estimates) < len(found):
        return PrintedFinding(claim, "not printed")
    misses = [_miss(c, e) for c, e in zip(claim.contrasts, estimates, strict=True)]
    decisive = misses.index(max(misses))
    return PrintedFinding(claim, "holds" if misses[decisive] < 0 else "fails", decisive, estimates)


def _with_causes(found: Sequence[PrintedFinding]) -> list[PrintedFinding]:
    """The findings, those that fail with the number of their cause."""
    groups: list[list[PrintedFinding]] = []
    for finding in (f for f in found if f.verdict == "fails"):
        alike = [group for group in groups if any(_one_cause(finding, other) for other in group)]
        groups = [group for group in groups if group not in alike]
        groups.append([*(other for group in alike for other in group), finding])
    groups.sort(key=lambda group: min(map(found.index, group)))
    causes = {f.claim.id: number for number, group in enumerate(groups, start=1) for f in group}
    return [replace(f, cause=causes.get(f.claim.id)) for f in found]


def _one_cause(one: PrintedFinding, other: PrintedFinding) -> bool:
    """Whether two claims fail by the same comparison, or the text gives each of them the other's number."""
    (a, x), (b, y) = one.decided, other.decided
    if a.stated is not None and b.stated is not None:
        swapped = max(abs(a.stated - y.mean), abs(b.stated - x.mean)) <= ROUNDING
    else:
        swapped = False
    return swapped or not one.missed.isdisjoint(other.missed)


def _miss(contrast: Contrast, estimate: Estimate) -> float:
    """How far a printed number is outside of what the claim has: negative inside."""
    if contrast.stated is not None:
        return abs(estimate.mean - contrast.stated) - (ROUNDING if contrast.minus else TINY)
    return TINY - estimate.slack

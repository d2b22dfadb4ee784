"""The claims on the runs of a study: a verdict on each, with the numbers behind it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from aikd.records import same_training
from aikd.results.aggregate import metric_value
from aikd.results.claims.printed import PrintedFinding, printed_estimate, printed_ledger
from aikd.results.claims.verdicts import Estimate, Evidence, Verdict, judged_in_groups
from aikd.study.claims.binding import Bound, bind
from aikd.study.claims.claim import Contrast, Slot
from aikd.study.schema import Study
from aikd.study.specs import Cell

AWAITED = "no metrics yet"
"""Why a claim was not run that can be checked in the study."""


@dataclass(frozen=True)
class Finding:
    """What the runs of a study say of a claim."""

    bound: Bound
    printed: PrintedFinding | None
    """What the paper's own numbers say of it; None for comparisons that are not the paper's."""
    verdict: Verdict = "not run"
    estimates: tuple[Estimate, ...] = ()
    decisive: int | None = None
    """The contrast that decides, and of which the effect is shown."""
    p: float | None = None
    """Two-sided, in the direction in which the evidence points."""
    p_holm: float | None = None
    reason: str = ""
    """Why it was not run, or cannot be tested."""

    @property
    def estimate(self) -> Estimate | None:
        """The decisive one."""
        return None if self.decisive is None else self.estimates[self.decisive]

    @property
    def contrast(self) -> Contrast | None:
        """The decisive one; where nothing was run, the one that decides on the printed numbers."""
        place = self.decisive
        if place is None and self.printed is not None:
            place = self.printed.decisive
        return None if place is None else self.bound.contrasts[place]

    @property
    def published(self) -> Estimate | None:
        """The decisive contrast as the paper prints it; None where it does not, or where the data are others."""
        scope = self.bound.scope
        if self.printed is None or scope == "other" or (self.bound.claim.pooled and scope == "reduced"):
            return None
        place = self.printed.decisive if self.decisive is None else self.decisive
        claim = self.bound.claim
        return None if place is None else printed_estimate(claim.contrasts[place], claim.table)


def ledger(study: Study, results: Path) -> list[Finding]:
    """All claims in the study, in the paper's order, then comparisons of its own methods.

    Runs that have no metrics yet are passed over.

    Raises:
        UserError: the metrics of a run are damaged, or runs were not trained alike.
    """
    bounds = bind(study)
    same_training(results, dict.fromkeys(run for bound in bounds for run in bound.runs))
    numbers, known = _Numbers(results), {f.claim.id: f for f in printed_ledger()}
    found = [_finding(bound, known.get(bound.claim.id), numbers) for bound in bounds]
    evidence = {f.bound.claim.id: Evidence.of(f.estimates) for f in found if f.estimates}
    verdicts = judged_in_groups(evidence, {f.bound.claim.id: f.bound.claim.group for f in found})
    return [_judged(f, evidence, verdicts) if f.estimates else f for f in found]


class _Numbers:
    """Metrics of runs, each file's number looked up once."""

    def __init__(self, results: Path) -> None:
        self.value = cache(lambda run, metric, scheme: metric_value(results, run, metric, scheme))

    def of(self, cell: Cell) -> list[float | None]:
        """One number a seed; None where the run has no metrics."""
        return [self.value(path, cell.metric, cell.scheme) for path in cell.paths]

    def differences(self, contrast: Contrast, cells: dict[Slot, Cell]) -> list[float]:
        """The contrast, seed by seed, for the seeds that have all of its numbers.

        Runs of one seed see the same images in the same order, so what a seed does to both sides cancels.
        """
        sides = [[self.of(cells[slot]) for slot in side] for side in (contrast.plus, contrast.minus)]
        differences = []
        for i in range(len(sides[0][0])):
            plus, minus = ([values[i] for values in side] for side in sides)
            if None not in [*plus, *minus]:
                differences.append(_mean(plus) - _mean(minus))
        return differences


def _mean(values: Iterable[float | None]) -> float:
    present = [value for value in values if value is not None]
    return math.fsum(present) / len(present) if present else 0.0


def _finding(bound: Bound, printed: PrintedFinding | None, numbers: _Numbers) -> Finding:
    """The estimates, not yet judged."""
    if not bound.cells:
        return Finding(bound, printed, reason=_listed(bound.missing))
    values = [numbers.differences(contrast, bound.cells) for contrast in bound.contrasts]
    if not all(values):
        return Finding(bound, printed, reason=AWAITED)
    estimates = tuple(
        Estimate.of(v, contrast.low, contrast.high)
        for v, contrast in zip(values, bound.contrasts, strict=True)
    )
    return Finding(bound, printed, estimates=estimates)


def _judged(
    finding: Finding, evidence: dict[str, Evidence], verdicts: dict[str, tuple[Verdict, float | None]]
) -> Finding:
    name = finding.bound.claim.id
    found, (verdict, p_holm) = evidence[name], verdicts[name]
    reason = ""
    if found.p is None:
        single = all(estimate.n == 1 for estimate in finding.estimates)
        reason = "a single seed" if single else "differences that do not vary"
    return replace(finding, verdict=verdict, decisive=found.decisive, p=found.p, p_holm=p_holm, reason=reason)


def _listed(reasons: Sequence[str]) -> str:
    """The first two reasons, and how many more there are."""
    more = f" and {len(reasons) - 2} more" if len(reasons) > 2 else ""
    return "; ".join(reasons[:2]) + more

"""A claim: numbers, and the regions in which it has them.

A claim is a conjunction of contrasts. A contrast is a number (the difference of two methods, or one method's own
metric) and the region in which the claim has it: the error of a rival minus AI-KD's above 0, say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from aikd.study.claims.arms import Arm
from aikd.study.metrics import METRICS, MetricName


class Slot(NamedTuple):
    """One number: a metric of an arm on a data set with a network, over all seeds."""

    dataset: str
    network: str
    """As the paper calls it: ResNet-18 or DenseNet-121."""
    arm: Arm
    metric: MetricName


@dataclass(frozen=True)
class Contrast:
    """The mean of some numbers minus the mean of others, or the mean of some alone.

    A difference is taken so that it is positive where the method named first in `label` is the better one, whichever
    way the metric counts.
    """

    label: str
    plus: tuple[Slot, ...]
    minus: tuple[Slot, ...] = ()
    low: float | None = None
    """The claim has the number above this, in the metric's own unit; none: no bound."""
    high: float | None = None
    stated: float | None = None
    """What the text says the number is."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """All numbers that it is made of."""
        return self.plus + self.minus


@dataclass(frozen=True)
class Claim:
    """A claim. It holds where every contrast lies in its region."""

    id: str
    kind: str
    where: str
    """Table, figure or section that makes it."""
    table: int | None
    """The table that prints its numbers; none: no table does."""
    group: str
    """Claims that are read together, and corrected together for being many."""
    text: str
    """With `{data}` and `{model}` for what it is checked on."""
    label: str
    """A few words for a figure, with the same names."""
    metric: MetricName
    """Of several metrics the first: it gives the unit."""
    contrasts: tuple[Contrast, ...]
    pooled: bool = False
    """Whether it speaks of a mean over data sets, which a study may take over those that it has."""
    ours: str = ""
    """What its verdict rests on that is this project's and not the paper's: a margin, or how words are read."""

    @property
    def slots(self) -> list[Slot]:
        """All numbers that it speaks of, each once."""
        return list(dict.fromkeys(slot for contrast in self.contrasts for slot in contrast.slots))

    @property
    def sized(self) -> bool:
        """Whether it says how large a difference or an error is, which only the paper's own conditions can show."""
        return any(c.stated is not None or (c.minus and (c.low or c.high)) for c in self.contrasts)

    def named(self, contrast: Contrast, labels: Mapping[str, str]) -> str:
        """A contrast's label, with its data set, network and metric where the claim has several of them.

        Args:
            labels: of the data sets, by their names.
        """
        places = {(slot.dataset, slot.network, slot.metric) for slot in self.slots}
        if self.pooled or len(places) == 1:
            return contrast.label
        dataset, network, _, metric = contrast.plus[0]
        return f"{contrast.label}, {labels.get(dataset, dataset)}, {network}, {short(metric)}"


def opposites(claims: Sequence[Claim]) -> list[tuple[Claim, Claim]]:
    """Pairs of claims that have the same number in regions that do not meet: no two can hold."""
    levels = [claim for claim in claims if claim.kind == "level"]
    return [(one, other) for one, other in combinations(levels, 2) if _exclude(one, other)]


def _exclude(one: Claim, other: Claim) -> bool:
    a, b = one.contrasts[0], other.contrasts[0]
    bounds = [(x.low, y.high) for x, y in ((a, b), (b, a))]
    apart = any(low is not None and high is not None and low >= high for low, high in bounds)
    return a.plus == b.plus and apart


def short(metric: MetricName) -> str:
    """A metric's name in a sentence."""
    return METRICS[metric].label.removesuffix(" (%)").removesuffix(" (macro)")

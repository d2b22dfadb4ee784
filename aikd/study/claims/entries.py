"""The file of claims: its schema, and the claims that its entries stand for."""

import itertools
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from aikd.errors import UserError
from aikd.study.catalogue import FAMILIES, PAPER
from aikd.study.claims.arms import Arm, arm
from aikd.study.claims.claim import Claim, Contrast, Slot, opposites, short
from aikd.study.explain import allowed, explaining
from aikd.study.fields import Name, Positive, Scalar, Section
from aikd.study.load import parsed
from aikd.study.metrics import METRICS, MetricName

FILE = Path(__file__).with_name("paper.yaml")


class Region(NamedTuple):
    """A contrast before it is known on which data set: the first arm against the second."""

    first: Arm
    second: Arm | None = None
    low: float | None = 0.0
    high: float | None = None
    stated: float | None = None


class _Entry(Section):
    id: Name
    where: str
    table: Annotated[int, Field(ge=2, le=7)] | None = None
    group: str
    text: str
    label: str = "{data}, {model}"
    join: Literal["each", "all", "mean"] = "each"
    data: Annotated[list[str], Field(min_length=1)]
    networks: Annotated[list[str], Field(min_length=1)]
    metrics: Annotated[list[MetricName], Field(min_length=1)]
    reading: str = ""
    """How words of the paper are read that could be read in another way."""

    @property
    def ours(self) -> str:
        """What a verdict rests on that is not the paper's."""
        return f"reading: {self.reading}" if self.reading else ""

    @abstractmethod
    def regions(self) -> Iterator[Region]:
        """What the claim says on one data set."""


class Best(_Entry):
    """Better than each of some others, or of all other points of a grid."""

    kind: Literal["best"]
    of: str
    among: list[str] = []
    grid: dict[str, list[Scalar]] = {}

    def regions(self) -> Iterator[Region]:
        of = arm(self.of)
        lists = [[f"{key}={value}" for value in values] for key, values in self.grid.items()]
        grid = [f"{of.method}/{','.join(point)}" for point in itertools.product(*lists) if point]
        others = [arm(other) for other in [*self.among, *grid]]
        yield from (Region(of, other) for other in others if other[1:] != of[1:])


class Worst(_Entry):
    """Worse than each of some others."""

    kind: Literal["worst"]
    of: str
    among: list[str]

    def regions(self) -> Iterator[Region]:
        yield from (Region(arm(other), arm(self.of)) for other in self.among)


class Second(_Entry):
    """Worse than the one named, better than each of the others."""

    kind: Literal["second"]
    of: str
    behind: str
    among: list[str]

    def regions(self) -> Iterator[Region]:
        yield Region(arm(self.behind), arm(self.of))
        yield from (Region(arm(self.of), arm(other)) for other in self.among)


class Order(_Entry):
    """Each better than the next."""

    kind: Literal["order"]
    order: Annotated[list[str], Field(min_length=2)]

    def regions(self) -> Iterator[Region]:
        yield from (Region(arm(better), arm(worse)) for better, worse in itertools.pairwise(self.order))


class Within(_Entry):
    """Worse than none of the others by as much as the margin."""

    kind: Literal["within"]
    of: str
    among: list[str]
    margin: Positive

    @property
    def ours(self) -> str:
        return _margin(self.margin)

    def regions(self) -> Iterator[Region]:
        yield from (Region(arm(self.of), arm(other), low=-self.margin) for other in self.among)


class Gain(_Entry):
    """Better than another by so many points; of ours half of it is asked at least, and half more at most."""

    kind: Literal["gain"]
    of: str
    over: str
    points: Positive

    @property
    def ours(self) -> str:
        return "margin: half of the stated difference"

    def regions(self) -> Iterator[Region]:
        low, high = self.points / 2, self.points * 1.5
        yield Region(arm(self.of), arm(self.over), low, high, self.points)


class Equivalent(_Entry):
    """No two of them apart by as much as the margin."""

    kind: Literal["equivalent"]
    arms: Annotated[list[str], Field(min_length=2)]
    margin: Positive

    @property
    def ours(self) -> str:
        return _margin(self.margin)

    def regions(self) -> Iterator[Region]:
        for first, second in itertools.combinations(map(arm, self.arms), 2):
            yield Region(first, second, -self.margin, self.margin)


class Level(_Entry):
    """A metric above or below a number."""

    kind: Literal["level"]
    of: str
    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _has_a_bound(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("above or below: give one of them")
        return self

    def regions(self) -> Iterator[Region]:
        yield Region(arm(self.of), None, self.above, self.below)


class Value(_Entry):
    """A metric is so many; of ours it is asked to lie within the margin."""

    kind: Literal["value"]
    of: str
    value: float
    margin: Positive

    @property
    def ours(self) -> str:
        return _margin(self.margin)

    def regions(self) -> Iterator[Region]:
        yield Region(arm(self.of), None, self.value - self.margin, self.value + self.margin, self.value)


Entry = Annotated[
    Best | Worst | Second | Order | Within | Gain | Equivalent | Level | Value, Field(discriminator="kind")
]


class _File(Section):
    data: dict[str, list[str]] = {}
    """Lists that claims refer to."""
    claims: list[Entry]


@cache
def paper_claims() -> tuple[Claim, ...]:
    """Every checkable claim of the paper, in the paper's order.

    Raises:
        UserError: the file of claims is damaged.
    """
    return claims_in(parsed(FILE))


@cache
def opposite_places() -> dict[str, str]:
    """Names of claims, and where the paper claims the opposite of the same number."""
    pairs = opposites(paper_claims())
    return {one.id: other.where for pair in pairs for one, other in (pair, pair[::-1])}


def claims_in(data: Any) -> tuple[Claim, ...]:
    """The claims of a parsed file.

    Raises:
        UserError: names the claim and the key, what was found and what is allowed.
    """
    with explaining("", _File):
        entries = _File.model_validate(data).claims
    found: dict[str, Claim] = {}
    for entry in entries:
        _check_names(entry)
        try:
            claims = list(_expanded(entry))
            if not all(claim.contrasts for claim in claims):
                raise UserError("compares with nothing")
        except UserError as error:
            raise UserError(f"{entry.id}: {error}") from None
        for claim in claims:
            if claim.id in found:
                raise UserError(f"{claim.id}: two claims have this name")
            found[claim.id] = claim
    return tuple(found.values())


def _margin(points: float) -> str:
    return f"margin: {points:g} point{'' if points == 1 else 's'}"


def _check_names(entry: _Entry) -> None:
    for dataset in entry.data:
        if dataset not in PAPER:
            allowed(f"{entry.id}.data", dataset, PAPER)
    for network in entry.networks:
        if network not in FAMILIES.values():
            allowed(f"{entry.id}.networks", network, dict.fromkeys(FAMILIES.values()))
    for key in ("group", "text", "label"):
        try:
            getattr(entry, key).format(data="", model="", network="", metric="")
        except (KeyError, IndexError, ValueError):
            names = "{data}, {model}, {metric}, and in a group {network}"
            raise UserError(f"{entry.id}.{key}: unknown placeholder; allowed: {names}") from None


def _expanded(entry: Entry) -> Iterator[Claim]:
    """A claim for each data set, network and metric, or what the entry's `join` makes of them."""
    all_data = [tuple(entry.data)] if entry.join != "each" else [(name,) for name in entry.data]
    together = entry.join == "all"
    networks = [tuple(entry.networks)] if together else [(network,) for network in entry.networks]
    metrics = [tuple(entry.metrics)] if together else [(metric,) for metric in entry.metrics]
    for data, network, metric in itertools.product(all_data, networks, metrics):
        parts = [
            choice[0].lower().replace("-", "")
            for choice, choices in ((data, all_data), (network, networks), (metric, metrics))
            if len(choices) > 1
        ]
        names = {"network": network[0], "metric": short(metric[0]), "data": "{data}", "model": "{model}"}
        group, text, label = (said.format(**names) for said in (entry.group, entry.text, entry.label))
        contrasts = tuple(_contrasts(entry, data, network, metric))
        name, pooled = ".".join([entry.id, *parts]), entry.join == "mean"
        yield Claim(
            name, entry.kind, entry.where, entry.table, group, text, label, metric[0], contrasts, pooled,
            entry.ours,
        )  # fmt: skip


def _contrasts(
    entry: Entry, data: Sequence[str], networks: Sequence[str], metrics: Sequence[MetricName]
) -> Iterator[Contrast]:
    places = [tuple(data)] if entry.join == "mean" else [(dataset,) for dataset in data]
    choices = list(itertools.product(places, networks, metrics))
    for where, network, metric in choices:
        for region in entry.regions():
            yield _contrast(region, where, network, metric)


def _contrast(region: Region, data: Sequence[str], network: str, metric: MetricName) -> Contrast:
    """A region on a data set, or on the mean over several."""
    first = tuple(Slot(dataset, network, region.first, metric) for dataset in data)
    if region.second is None:
        return Contrast(region.first.label, first, (), *region[2:])
    if METRICS[metric].best == "zero":
        raise UserError(f"{metric} has no better or worse; allowed is kind: level")
    second = tuple(Slot(dataset, network, region.second, metric) for dataset in data)
    sides = (second, first) if METRICS[metric].best == "low" else (first, second)
    return Contrast(f"{region.first.label} against {region.second.label}", *sides, *region[2:])

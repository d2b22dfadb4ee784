"""Where the paper's numbers contradict each other or a public fact, apart from what its claims say."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

from aikd.results import published
from aikd.results.published import Experiment, Published
from aikd.study.catalogue import DATA_SETS
from aikd.study.claims.claim import Claim, opposites, short
from aikd.study.claims.entries import paper_claims
from aikd.study.fields import flatten
from aikd.study.methods import METHODS

TABLES = range(2, 8)
TRIED = {"omega": (0.0, 0.01, 0.1, 0.5, 1.0)}
"""Values that the text of section 4.4 says were tried."""
COUNTED = {"classes": "classes", "train": "training images", "test": "evaluation images"}
OUT_OF_STEP = 4
"""Times by which the deviations of error and F1 of the same runs may differ: on test sets of equal classes they go
together."""


@dataclass(frozen=True)
class Slip:
    """One contradiction."""

    kind: str
    where: str
    says: str
    but: str


def slips() -> list[Slip]:
    """All that are found, in the order of the paper's tables."""
    return [
        *_counts(),
        *_two_tables(),
        *_out_of_step(),
        *_copies(),
        *_no_deviation(),
        *_opposites(),
        *_untold(),
    ]


def _counts() -> Iterator[Slip]:
    """Table 1 against what is known of the data sets."""
    for (dataset, count), number in published.counts().items():
        known = getattr(DATA_SETS[dataset], count)
        if number.summary.mean != known:
            says = f"{DATA_SETS[dataset].label} has {number.summary.mean:,.0f} {COUNTED[count]}"
            yield Slip("count", "Table 1", says, f"it has {known:,}")


def _two_tables() -> Iterator[Slip]:
    """One experiment with different numbers in two tables."""
    found: dict[Experiment, dict[str, list[int]]] = {}
    for table in TABLES:
        for experiment, number in published.numbers(table).items():
            found.setdefault(experiment, {}).setdefault(_text(experiment, number), []).append(table)
    for experiment, texts in found.items():
        if len(texts) > 1:
            (first, there), *others = texts.items()
            but = "; ".join(f"{text} in {_tables(tables)}" for text, tables in others)
            yield Slip("two numbers", _tables(there), f"{_name(experiment)}: {first}", but)


def _out_of_step() -> Iterator[Slip]:
    """Top-1 error and F1 of the same runs, one of which varies far more than the other, however they were rounded."""
    numbers = published.numbers(2)
    for experiment, error in numbers.items():
        f1 = numbers.get(replace(experiment, metric="f1"))
        if experiment.metric != "top1_error" or f1 is None:
            continue
        points = error.summary.std, 100 * f1.summary.std
        if points[0] - 0.005 > OUT_OF_STEP * (points[1] + 0.05) or points[1] - 0.05 > OUT_OF_STEP * (
            points[0] + 0.005
        ):
            says = f"{_name(experiment)}: {_text(experiment, error)}"
            yield Slip("spread", "Table 2", says, f"the F1 of the same runs varies by ± {f1.summary.std:.3f}")


def _copies() -> Iterator[Slip]:
    """Equal pairs of mean and deviation, both to two decimals, of different experiments in one table."""
    for table in TABLES:
        rows = [
            (e, n)
            for e, n in published.numbers(table).items()
            if math.isfinite(n.summary.std) and e.metric != "f1"
        ]
        for (one, number), (other, same) in combinations(rows, 2):
            equal = (number.summary.mean, number.summary.std) == (same.summary.mean, same.summary.std)
            if equal and one.metric == other.metric:
                yield Slip(
                    "copy",
                    f"Table {table}",
                    f"{_name(one)}: {_text(one, number)}",
                    f"the same for {_name(other)}",
                )


def _no_deviation() -> Iterator[Slip]:
    """Numbers without the deviation that every table's caption promises."""
    for table in TABLES:
        bare = [e for e, number in published.numbers(table).items() if not math.isfinite(number.summary.std)]
        if bare:
            metrics = " and ".join(dict.fromkeys(short(e.metric) for e in bare))
            but = f"{len(bare)} numbers ({metrics}) have no deviation"
            yield Slip("no deviation", f"Table {table}", "mean and standard deviation over three runs", but)


def _opposites() -> Iterator[Slip]:
    """Claims on the same number, of which no two can hold."""
    for (there, where), found in _by_places(opposites(paper_claims())).items():
        networks = " and ".join(dict.fromkeys(one.slots[0].network for one, _ in found))
        says = f"over-confident on {len(found)} data sets with {networks}"
        yield Slip("opposite", there, says, f"by {where} more accurate than confident on the same")


def _by_places(pairs: list[tuple[Claim, Claim]]) -> dict[tuple[str, str], list[tuple[Claim, Claim]]]:
    found: dict[tuple[str, str], list[tuple[Claim, Claim]]] = {}
    for one, other in pairs:
        found.setdefault((one.where, other.where), []).append((one, other))
    return found


def _untold() -> Iterator[Slip]:
    """Values in Table 5 of which the text does not speak."""
    for setting, tried in TRIED.items():
        default = flatten(METHODS["aikd"].defaults.model_dump())[setting]
        there = sorted({float(dict(e.settings).get(setting, default)) for e in published.numbers(5)})
        if tuple(there) != tried:
            yield Slip(
                "values tried",
                "Section 4.4",
                f"{len(tried)} values of {setting} were tried",
                f"Table 5 has {len(there)}",
            )


def _tables(tables: list[int]) -> str:
    return f"Table{'s' if len(tables) > 1 else ''} {', '.join(map(str, tables))}"


def _text(experiment: Experiment, number: Published) -> str:
    decimals = 3 if experiment.metric == "f1" else 2
    mean, std = number.summary.mean, number.summary.std
    return f"{mean:.{decimals}f}" + (f" ± {std:.{decimals}f}" if math.isfinite(std) else "")


def _name(experiment: Experiment) -> str:
    """An experiment in the paper's words."""
    method = next(name for name, code in published.METHODS.items() if code == experiment.method)
    settings = [f"{key} = {value:g}" for key, value in experiment.settings]
    place = DATA_SETS[experiment.dataset].label, experiment.family, short(experiment.metric)
    return ", ".join([method, *settings, *place])

"""Whether AI-KD and a study's own methods help: over all classes, and class by class."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from aikd.errors import UserError
from aikd.results.aggregate import Summary, metric_value
from aikd.results.classes import COLUMNS, all_equal
from aikd.results.intervals import confidence_interval, paired_difference
from aikd.results.report.charts import strip
from aikd.study import beside
from aikd.study.claims.arms import PAPER_METHODS
from aikd.study.run import Run
from aikd.study.schema import Study
from aikd.study.specs import Group

FILE = "classes.csv"
SHOWN = 5
"""Classes named at each end; the file has all."""
LEVEL = 0.05


@dataclass(frozen=True)
class Against:
    """A method against the Baseline on one data set and model, over all classes."""

    title: str
    method: str
    reference: str
    error: Summary
    reference_error: Summary
    difference: Summary
    interval: tuple[float, float] | None
    p: float | None

    @property
    def verdict(self) -> str:
        """In a word or two: whether the interval lies on one side of zero."""
        if self.interval is None:
            return "one seed, no test" if self.difference.n == 1 else "no spread, no test"
        low, high = self.interval
        return "fewer errors" if high < 0 else "more errors" if low > 0 else "no clear difference"


def summary(study: Study, results: Path) -> list[Against]:
    """AI-KD and the study's own methods against the Baseline wherever both were run: Top-1 error, paired over seeds."""
    return [
        against
        for contest in beside.classes(study).contests
        for other in contest.others
        if _is_ours(other) or Run.from_path(other.paths[0]).method not in PAPER_METHODS
        for against in _against(study, (contest.dataset, contest.model), contest.reference, other, results)
    ]


def _is_ours(group: Group) -> bool:
    return Run.from_path(group.paths[0]).method == "aikd"


def _against(
    study: Study, pair: beside.Pair, reference: Group, other: Group, results: Path
) -> Iterator[Against]:
    values = [
        [metric_value(results, run, "top1_error") for run in pair]
        for pair in zip(other.paths, reference.paths, strict=True)
    ]
    found = [(a, b) for a, b in values if a is not None and b is not None]
    if not found:
        return
    ours, theirs = [a for a, _ in found], [b for _, b in found]
    difference, p = paired_difference(ours, theirs)
    yield Against(
        beside.title(study, pair), other.label, reference.label, Summary.of(ours), Summary.of(theirs),
        difference, confidence_interval(difference), p,
    )  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What class by class says of one method."""

    method: str
    classes: int
    helped: int
    """Classes with fewer errors, by however little."""
    harmed: int
    unlikely: int | None
    """Classes whose own p is below .05; None for a single seed."""
    left: int | None
    """Those that remain after correction."""
    equal: float | None
    """p of all classes gaining the same."""

    @property
    def by_chance(self) -> float:
        """How many classes would have p below .05 if no class differed."""
        return LEVEL * self.classes


@dataclass(frozen=True)
class Contest:
    """A data set and model, class by class."""

    title: str
    reference: str
    seeds: int
    rows: list[Row]
    method: str
    """The one that is drawn: AI-KD where it is there."""
    chart: Markup
    best: list[dict[str, Any]]
    worst: list[dict[str, Any]]


def contests(study: Study, results: Path) -> list[Contest]:
    """All comparisons of `classes.csv`; none where it is not there.

    Raises:
        UserError: it is damaged.
    """
    path = results / FILE
    if not path.exists():
        return []
    try:
        frame = pd.read_csv(path, dtype=COLUMNS, keep_default_na=False, na_values={n: [""] for n in COLUMNS})
    except (ValueError, KeyError) as error:
        raise UserError(f"{path}: not readable ({error}); delete it and run `snakemake` again") from None
    if missing := [name for name in COLUMNS if name not in frame]:
        raise UserError(
            f"{path}: lacks the columns {', '.join(missing)}; delete it and run `snakemake` again"
        )
    found = []
    for contest in beside.classes(study).contests:
        here = frame[(frame["dataset"] == contest.dataset) & (frame["model"] == contest.model)]
        methods = {
            group.label: rows for group in contest.others if len(rows := here[here["method"] == group.label])
        }
        if methods:
            ours = [group.label for group in contest.others if _is_ours(group) and group.label in methods]
            title = beside.title(study, (contest.dataset, contest.model))
            found.append(_contest(title, contest.reference.label, methods, (ours or list(methods))[-1]))
    return found


def _contest(title: str, reference: str, methods: dict[str, pd.DataFrame], method: str) -> Contest:
    drawn = methods[method]
    said = f"{title}: difference of Top-1 error between {method} and {reference}, class by class"
    ordered = drawn.sort_values(["difference", "class"])
    helped, harmed = ordered[ordered["difference"] < 0], ordered[ordered["difference"] > 0]
    return Contest(
        title,
        reference,
        int(drawn["seeds"].iloc[0]),
        [_row(name, rows) for name, rows in methods.items()],
        method,
        strip(drawn, said),
        [_class(row) for row in helped.head(SHOWN).to_dict("records")],
        [_class(row) for row in harmed.tail(SHOWN)[::-1].to_dict("records")],
    )


def _row(method: str, frame: pd.DataFrame) -> Row:
    tested = bool(frame["p"].notna().all())
    freedom = len(frame) * (int(frame["seeds"].iloc[0]) - 1)
    mean, error = (frame[name].to_numpy(float) for name in ("difference", "std_error"))
    return Row(
        method,
        len(frame),
        int((frame["difference"] < 0).sum()),
        int((frame["difference"] > 0).sum()),
        int((frame["p"] < LEVEL).sum()) if tested else None,
        int((frame["p_adjusted"] < LEVEL).sum()) if tested else None,
        all_equal(mean, error, freedom),
    )


def _class(row: dict[Any, Any]) -> dict[str, Any]:
    return {str(key): None if pd.isna(value) else value for key, value in row.items()}

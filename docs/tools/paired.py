"""Paired differences between the rows of a table: each against a reference, seed by seed.

usage: python benchmarks/paired.py STUDY TABLE REFERENCE [METRIC[:SCHEME] …]

REFERENCE is the last header of a row, for example Baseline; SCHEME is crossfit or oracle for a metric after temperature
scaling. Prints Markdown: mean ± sample standard deviation, the mean
difference with its 95 % interval (Student's t over the seeds that both have), and p of the paired t test.
"""

import sys
from pathlib import Path
from typing import cast

from aikd.errors import UserError
from aikd.results.aggregate import Summary, metric_value
from aikd.results.intervals import confidence_interval, paired_difference
from aikd.results.text import p_value
from aikd.study import queries
from aikd.study.explain import allowed
from aikd.study.load import load_study
from aikd.study.metrics import METRICS, MetricName, Scheme
from aikd.study.specs import TableSpec


def main(study_file: Path, table: str, reference: str, metrics: list[str]) -> None:
    """Print one Markdown table a metric."""
    study = load_study(study_file)
    specs = {name: queries.table(study, name) for name in study.tables}
    numbers = {name: spec for name, spec in specs.items() if isinstance(spec, TableSpec)}
    if table not in numbers:
        allowed("table of numbers", table, numbers)
    spec = numbers[table]
    rows: dict[str, tuple[str, ...]] = {row.header[-1]: row.cells[0].paths for row in spec.rows}
    if reference not in rows:
        raise UserError(f"{table}: no row {reference!r}; it has: {', '.join(rows)}")
    for wish in metrics:
        metric, _, scheme = wish.partition(":")
        if metric not in METRICS:
            allowed("metric", metric, METRICS)
        wanted = cast(MetricName, metric), cast(Scheme, scheme or "none")
        label = METRICS[wanted[0]].label + (f", {scheme}" if scheme else "")
        print(f"\n| | n | {label} | difference to {reference} | 95 % interval | p |")
        print("|:---|---:|---:|---:|---:|---:|")
        values = {name: by_seed(study.results, paths, *wanted) for name, paths in rows.items()}
        for name, found in values.items():
            print(line(name, found, values[reference], METRICS[wanted[0]].decimals))


def by_seed(results: Path, paths: tuple[str, ...], metric: MetricName, scheme: Scheme) -> dict[int, float]:
    """The metric of every run that is there, by the position of its seed."""
    values = {i: metric_value(results, path, metric, scheme) for i, path in enumerate(paths)}
    return {i: value for i, value in values.items() if value is not None}


def line(name: str, found: dict[int, float], reference: dict[int, float], decimals: int) -> str:
    """A row of the printed table."""
    if not found:
        return f"| {name} | 0 | – | – | – | – |"
    summary = Summary.of(list(found.values()))
    cells = [name, str(summary.n), f"{summary.mean:.{decimals}f} ± {summary.std:.{decimals}f}"]
    both = sorted(found.keys() & reference.keys())
    if found is reference or not both:
        return f"| {' | '.join([*cells, '', '', ''])} |"
    difference, p = paired_difference([found[i] for i in both], [reference[i] for i in both])
    cells.append(f"{difference.mean:+.{decimals}f}")
    interval = confidence_interval(difference)
    cells.append(f"{interval[0]:+.{decimals}f} to {interval[1]:+.{decimals}f}" if interval else "–")
    cells.append("–" if p is None else p_value(p))
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        main(
            Path(sys.argv[1]),
            sys.argv[2],
            sys.argv[3],
            sys.argv[4:] or ["top1_error"],
        )
    except UserError as error:
        sys.exit(str(error))

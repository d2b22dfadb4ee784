"""Paired differences between the rows of a table: each against a reference, seed by seed.

Prints Markdown: mean ± sample standard deviation, the mean difference with its 95 % interval (Student's t over the
seeds that both have), p of the paired t test, and p corrected for the table's comparisons (Holm).
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from aikd.errors import UserError
from aikd.results.aggregate import Summary, metric_value
from aikd.results.claims.verdicts import holm
from aikd.results.intervals import confidence_interval, paired_difference
from aikd.results.text import p_value, signed
from aikd.study import layout, queries
from aikd.study.explain import allowed
from aikd.study.load import load_study
from aikd.study.metrics import METRICS, MetricName, Scheme
from aikd.study.run import Run
from aikd.study.specs import TableSpec

NOTHING = "–"
Values = Mapping[int, float]
"""A metric of every run that is there, by its seed."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one Markdown table a metric."""
    parser = argparse.ArgumentParser(prog="python -m docs.tools.paired", description=__doc__)
    parser.add_argument("study", type=Path, help="study file")
    parser.add_argument("table", help="one of its tables of numbers")
    parser.add_argument("reference", help="the last header of a row, such as Baseline")
    parser.add_argument(
        "metrics", nargs="*", default=["top1_error"], metavar="METRIC[:SCHEME]",
        help="metrics (top1_error); crossfit or oracle behind one means after temperature scaling",
    )  # fmt: skip
    parser.add_argument("--results", type=Path, help="where they lie (the study's)")
    options = parser.parse_args(arguments)
    study = load_study(options.study)
    specs = {name: queries.table(study, name) for name in study.tables}
    numbers = {name: spec for name, spec in specs.items() if isinstance(spec, TableSpec)}
    if options.table not in numbers:
        allowed("table of numbers", options.table, numbers)
    rows = {row.header[-1]: row.cells[0].paths for row in numbers[options.table].rows}
    results = options.results or study.results
    if not any(
        (results / layout.RUNS / path / layout.METRICS).exists() for paths in rows.values() for path in paths
    ):
        raise UserError(f"{results}: no run of {options.table} has metrics there yet")
    for wish in options.metrics:
        metric, _, scheme = wish.partition(":")
        if metric not in METRICS:
            allowed("metric", metric, METRICS)
        wanted = cast(MetricName, metric), cast(Scheme, scheme or "none")
        found = {label: by_seed(results, paths, *wanted) for label, paths in rows.items()}
        print(f"\n{differences(found, options.reference, *wanted)}")


def differences(
    found: Mapping[str, Values], reference: str, metric: MetricName, scheme: Scheme = "none"
) -> str:
    """A metric of each row and its paired difference to the reference, as Markdown.

    Raises:
        UserError: no row is called as the reference.
    """
    if reference not in found:
        raise UserError(f"no row {reference!r}; there are: {', '.join(found)}")
    lines = {label: _line(label, values, found[reference], metric) for label, values in found.items()}
    tested = [label for label, (_, p) in lines.items() if p is not None]
    corrected = dict(zip(tested, holm([p for _, p in lines.values() if p is not None]), strict=True))
    called = METRICS[metric].label + (f", {scheme}" if scheme != "none" else "")
    head = ["", "n", called, f"difference to {reference}", "95 % interval", "p", "p, Holm"]
    body = [
        [*cells, p_value(corrected[label]) if label in corrected else ""]
        for label, (cells, _) in lines.items()
    ]
    return markdown(head, body)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, its first column to the left and the others to the right."""
    lines = [head, [":---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(" ".join(("|", " | ".join(line), "|")).replace("  ", " ") for line in lines)


def by_seed(results: Path, paths: Sequence[str], metric: MetricName, scheme: Scheme = "none") -> Values:
    """A metric of the runs of a row that have it.

    Raises:
        UserError: a file of a run is broken.
    """
    values = {Run.from_path(path).seed: metric_value(results, path, metric, scheme) for path in paths}
    return {seed: value for seed, value in values.items() if value is not None}


def _line(
    label: str, values: Values, reference: Values, metric: MetricName
) -> tuple[list[str], float | None]:
    """The cells of a row but its last, and p of its difference, where there is one."""
    decimals = METRICS[metric].decimals
    if not values:
        return [label, "0", NOTHING, "", "", ""], None
    summary = Summary.of(list(values.values()))
    spread = f" ± {summary.std:.{decimals}f}" if summary.n > 1 else ""
    cells = [label, str(summary.n), f"{summary.mean:.{decimals}f}{spread}"]
    both = sorted(values.keys() & reference.keys())
    if values is reference or not both:
        return [*cells, "", "", ""], None
    difference, p = paired_difference([values[seed] for seed in both], [reference[seed] for seed in both])
    interval = confidence_interval(difference)
    cells.append(signed(difference.mean, decimals))
    cells.append(" to ".join(signed(end, decimals) for end in interval) if interval else NOTHING)
    return [*cells, NOTHING if p is None else p_value(p)], p


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))

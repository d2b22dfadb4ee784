"""Paired differences between the rows of a table: each against a reference, seed by seed.

usage: python -m docs.tools.paired STUDY TABLE REFERENCE [METRIC[:SCHEME] …]

REFERENCE is the last header of a row, for example Baseline; SCHEME is crossfit or oracle for a metric after temperature
scaling. Prints Markdown: mean ± sample standard deviation, the mean difference with its 95 % interval (Student's t over
the seeds that both have), p of the paired t test, and p corrected for the table's comparisons (Holm).
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from aikd.errors import UserError
from aikd.results.aggregate import Summary, metric_value
from aikd.results.claims.verdicts import holm
from aikd.results.intervals import confidence_interval, paired_difference
from aikd.results.text import p_value, signed
from aikd.study import queries
from aikd.study.explain import allowed
from aikd.study.load import load_study
from aikd.study.metrics import METRICS, MetricName, Scheme
from aikd.study.specs import TableSpec

NOTHING = "–"
Values = Mapping[int, float]
"""A metric of every run that is there, by the position of its seed."""


def main(study_file: Path, table: str, reference: str, metrics: list[str]) -> None:
    """Print one Markdown table a metric."""
    study = load_study(study_file)
    specs = {name: queries.table(study, name) for name in study.tables}
    numbers = {name: spec for name, spec in specs.items() if isinstance(spec, TableSpec)}
    if table not in numbers:
        allowed("table of numbers", table, numbers)
    rows = {row.header[-1]: row.cells[0].paths for row in numbers[table].rows}
    for wish in metrics:
        metric, _, scheme = wish.partition(":")
        if metric not in METRICS:
            allowed("metric", metric, METRICS)
        wanted = cast(MetricName, metric), cast(Scheme, scheme or "none")
        print(f"\n{differences(rows, study.results, reference, *wanted)}")


def differences(
    rows: Mapping[str, Sequence[str]],
    results: Path,
    reference: str,
    metric: MetricName,
    scheme: Scheme = "none",
) -> str:
    """A metric of each row and its paired difference to the reference, as Markdown.

    Args:
        rows: runs of each row, one a seed.

    Raises:
        UserError: no row is called as the reference, or a file of a run is broken.
    """
    if reference not in rows:
        raise UserError(f"no row {reference!r}; there are: {', '.join(rows)}")
    found = {label: _by_seed(results, paths, metric, scheme) for label, paths in rows.items()}
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


def _by_seed(results: Path, paths: Sequence[str], metric: MetricName, scheme: Scheme) -> Values:
    values = {i: metric_value(results, path, metric, scheme) for i, path in enumerate(paths)}
    return {i: value for i, value in values.items() if value is not None}


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
    difference, p = paired_difference([values[i] for i in both], [reference[i] for i in both])
    interval = confidence_interval(difference)
    cells.append(signed(difference.mean, decimals))
    cells.append(" to ".join(signed(end, decimals) for end in interval) if interval else NOTHING)
    return [*cells, NOTHING if p is None else p_value(p)], p


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:] or ["top1_error"])
    except UserError as error:
        sys.exit(str(error))

"""Commands that make tables and figures of finished runs."""

import argparse
import json
from typing import Any

from aikd.commands.arguments import DATA, JSON, RESULTS, TO, Adder, json_object, shared
from aikd.errors import UserError


def table(options: argparse.Namespace) -> None:
    """Write a table as LaTeX, CSV and Markdown."""
    from aikd.study.specs import DataSetsSpec, TableSpec

    if options.published:
        from aikd.results.pairs import write_published as write
    else:
        from aikd.results.tables import write_table as write
    kinds = {"datasets": DataSetsSpec, "numbers": TableSpec}
    write(_spec(options.spec, kinds), options.results, options.data, options.to)


def figure(options: argparse.Namespace) -> None:
    """Draw a figure as PDF and PNG."""
    from aikd.results.figures import write_figure
    from aikd.study import specs

    kinds = {
        "reliability": specs.ReliabilitySpec,
        "tsne": specs.TsneSpec,
        "heatmap": specs.HeatmapSpec,
        "curves": specs.CurvesSpec,
    }
    write_figure(_spec(options.spec, kinds), options.results, options.to)


def collect(options: argparse.Namespace) -> None:
    """Gather all runs, one row each: their metrics in all_runs.csv, what they cost in costs.csv."""
    from aikd.results.aggregate import write_all_runs

    runs = json_object(options.runs).get("runs")
    if not isinstance(runs, list):
        raise UserError(f'--runs: expected {{"runs": [paths of runs]}}, found {options.runs[:60]}')
    write_all_runs(options.results, runs, options.to)


def _spec(text: str, kinds: dict[str, Any]) -> Any:
    data = json_object(text)
    kind = data.pop("kind", None)
    if kind not in kinds:
        raise UserError(f"--spec: kind: found {json.dumps(kind)}; allowed: {', '.join(kinds)}")
    try:
        return kinds[kind].from_json(data)
    except KeyError as error:
        raise UserError(f"--spec: {kind}: lacks {error.args[0]}") from None
    except TypeError as error:
        raise UserError(f"--spec: {kind}: not what it should be ({error})") from None


def add(command: Adder) -> None:
    """Add the commands to the command line."""
    spec = shared("--spec", required=True, help=f"which runs go where: {JSON}")
    command(table, spec, RESULTS, DATA, TO).add_argument(
        "--published",
        action="store_true",
        help="ours beside the numbers of the paper's table that it remakes",
    )
    command(figure, spec, RESULTS, TO)
    command(collect, RESULTS, TO).add_argument("--runs", required=True, help=f'{{"runs": [paths]}}: {JSON}')

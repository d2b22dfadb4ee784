"""Commands that make tables and figures of finished runs."""

import argparse
import json
from pathlib import Path
from typing import Any

from aikd.commands.arguments import DATA, JSON, RESULTS, STUDY, TO, Adder, json_object, shared
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
        "learning": specs.LearningSpec,
    }
    write_figure(_spec(options.spec, kinds), options.results, options.to)


def classes(options: argparse.Namespace) -> None:
    """Compare methods with the Baseline class by class, in classes.csv."""
    from aikd.results.classes import write_classes
    from aikd.study.specs import ClassesSpec

    spec = _spec(options.spec, {"classes": ClassesSpec})
    write_classes(spec, options.results, options.data, options.to)


def report(options: argparse.Namespace) -> None:
    """Put all results of a study on one page that opens without a network."""
    from aikd.results.report.page import write_report

    study, results = _study_and_results(options)
    write_report(study, results, options.data, options.to or results / "report.html")


def paper(options: argparse.Namespace) -> None:
    """Put all tables and figures into one document: paper.tex, and paper.pdf where LaTeX is installed."""
    from aikd.messages import say
    from aikd.results.report.latex import write_pdf
    from aikd.results.report.paper import write_paper

    study, results = _study_and_results(options)
    source = options.to or results / "paper.tex"
    if source.suffix != ".tex":
        raise UserError(
            f"--to: found {source}; a document in LaTeX is called NAME.tex, and the PDF beside it NAME.pdf"
        )
    if write_paper(study, results, options.data, source):
        say(f"{source}: characters that LaTeX's fonts lack stand by their Unicode numbers")
    # One of before would show other results.
    source.with_suffix(".pdf").unlink(missing_ok=True)
    try:
        write_pdf(source)
    except UserError as error:
        say(f"{source}: not made into a PDF. {error}")


def _study_and_results(options: argparse.Namespace) -> tuple[Any, Path]:
    """The study that is meant, and where its results are."""
    from aikd.study.load import check_study, load_study

    given = options.study_json
    study = check_study(json_object(given)) if given else load_study(options.study)
    return study, options.results or study.results


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
    command(classes, spec, RESULTS, DATA, TO)
    for function in (report, paper):
        sub = command(function, STUDY, DATA)
        sub.add_argument("--study-json", help=f"the study itself, in place of a file: {JSON}")
        sub.add_argument("--results", type=Path, help="the study's results (where the study puts them)")
        sub.add_argument("--to", type=Path, help="the file to write (beside the results)")
    command(collect, RESULTS, TO).add_argument("--runs", required=True, help=f'{{"runs": [paths]}}: {JSON}')

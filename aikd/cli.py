"""The command line. Every rule of the workflow is one of these commands; each imports only what it needs."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aikd.errors import Interrupted, UserError

EX_TEMPFAIL = 75
"""Exit code of sysexits.h for what did not fail and should be tried again: training that a signal interrupted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0; 1 with one message on what a user can mend; 75 where training was interrupted and can be continued; 130 after
    Ctrl-C in any other command.
    """
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except Interrupted as end:
        print(f"aikd {options.name}: {end}", file=sys.stderr)
        return EX_TEMPFAIL
    except KeyboardInterrupt:
        print(f"aikd {options.name}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Somebody read only the first lines (`aikd schema | head`); nothing is left to flush into the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (UserError, OSError) as error:
        # OSError: a full disk, a missing permission; the system's own words name the file.
        print(f"aikd {options.name}: {error}", file=sys.stderr)
        return 1
    return 0


def check(options: argparse.Namespace) -> None:
    """Check a study file and say what it would train."""
    from aikd.study import queries
    from aikd.study.load import load_study

    study = load_study(options.study)
    print(f"{options.study}: study {study.name!r} is valid; results go to {study.results}/")
    for target in queries.targets(study):
        print(f"{target:12} {len(queries.runs_of(study, queries.outputs_of(study, target))):5} runs")
    print(f"{'all':12} {len(queries.runs_of(study)):5} distinct runs")


def settings(options: argparse.Namespace) -> None:
    """Print the resolved settings of a run, or of a data set: what `aikd train` or `aikd prepare` is given."""
    from aikd.study.check import check_run
    from aikd.study.load import load_study
    from aikd.study.resolve import resolve
    from aikd.study.run import Run

    if "/" not in options.run:
        print(json.dumps(_data_settings(options.study, options.run)))
        return
    study, run = load_study(options.study), Run.from_path(options.run)
    check_run(study, run)
    print(json.dumps(resolve(study, run)))


def schema(options: argparse.Namespace) -> None:
    """Print the JSON schema of study files, for editors."""
    from aikd.study.schema import Study

    print(json.dumps(Study.model_json_schema(), indent=2, ensure_ascii=False))


def download(options: argparse.Namespace) -> None:
    """Fetch a published archive, or take one that was placed by hand, and verify it."""
    from aikd.engine import archives
    from aikd.engine.download import download as fetch

    archive = archives.find_archive(options.archive)
    fetch(archive, options.data / "downloads", mirror=options.mirror, accept_other=options.accept_other)


def prepare(options: argparse.Namespace) -> None:
    """Prepare a data set: decode its images once and describe them in manifest.json."""
    from aikd.engine.sources import prepare as prepare_source

    given = options.settings
    settings = _json(given) if given else _data_settings(options.study, options.dataset)
    manifest = prepare_source(settings, options.data, options.workers)
    counts = f"{manifest['train']:,} training and {manifest['test']:,} evaluation images"
    folder = options.data / manifest["name"]
    print(f"{manifest['name']}: {counts} of {manifest['classes']} classes in {folder}", file=sys.stderr)


def train(options: argparse.Namespace) -> None:
    """Train one run from its resolved settings."""
    from aikd.engine import jobs

    jobs.train(
        _json(options.settings), options.results, options.data, options.evaluate_every, options.save_every
    )


def predict(options: argparse.Namespace) -> None:
    """Predict the evaluation set with a trained run: logits, features, labels."""
    from aikd.engine.adoption import adopt
    from aikd.study.layout import RUNS
    from aikd.study.run import Run

    run = Run.from_path(options.run).path
    if adopt(options.results / RUNS / run):
        return
    from aikd.engine import jobs

    jobs.predict(run, options.results, options.data)


def calibrate(options: argparse.Namespace) -> None:
    """Compute a run's metrics from its predictions, before and after temperature scaling."""
    from aikd.engine.evaluation import evaluate
    from aikd.study.run import Run

    evaluate(Run.from_path(options.run).path, options.results, options.bins, options.folds)


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
    """Gather the metrics of all runs into one CSV file, one row a run."""
    from aikd.results.aggregate import write_all_runs

    runs = _json(options.runs).get("runs")
    if not isinstance(runs, list):
        raise UserError('--runs: expected {"runs": [paths]}')
    write_all_runs(options.results, runs, options.to)


def _json(text: str) -> dict[str, Any]:
    """JSON given on the command line, or in a file as `@FILE`."""
    try:
        data = json.loads(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{text[:60]}: not JSON ({error}); `aikd settings RUN` prints what is meant"
        ) from None
    if not isinstance(data, dict):
        raise UserError(f"{text[:60]}: expected a JSON object")
    return data


def _data_settings(file: Path, name: str) -> dict[str, Any]:
    """The resolved settings of a study's data set."""
    from aikd.study.explain import allowed
    from aikd.study.load import load_study
    from aikd.study.resolve import resolve_data

    study = load_study(file)
    if name not in study.data:
        allowed(f"{file}: data", name, study.data)
    return resolve_data(study, name)


def _spec(text: str, kinds: dict[str, Any]) -> Any:
    data = _json(text)
    try:
        return kinds[data.pop("kind")].from_json(data)
    except (KeyError, TypeError) as error:
        raise UserError(f"--spec: not one of {', '.join(kinds)} ({type(error).__name__}: {error})") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aikd", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")

    def command(function: Any, *shared: argparse.ArgumentParser) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            function.__name__, help=function.__doc__, description=function.__doc__, parents=shared
        )
        sub.set_defaults(command=function)
        return sub

    study = _shared("--study", type=Path, default=Path("config.yaml"), help="study file (config.yaml)")
    results = _shared("--results", type=Path, default=Path("results"), help="the study's results (results)")
    data = _shared("--data", type=Path, default=Path("data"), help="folder of all prepared data (data)")
    run = _shared("run", help="path of the run, for example digits/preact_resnet18/aikd/omega=1/seed1")
    what = _shared("run", metavar="RUN_OR_DATASET", help="path of a run, or name of a data set")
    to = _shared("--to", type=Path, required=True, help="where to write")
    text = "JSON, or @FILE that holds it"
    spec = _shared("--spec", required=True, help=f"which runs go where: {text}")

    c = command(check)
    c.add_argument(
        "study", nargs="?", type=Path, default=Path("config.yaml"), help="study file (config.yaml)"
    )
    command(settings, what, study)
    command(schema)
    c = command(download, data)
    c.add_argument("archive", help="file name of the archive, for example CUB_200_2011.tgz")
    c.add_argument("--mirror", help="folder or base URL that holds the archives; the only place asked")
    c.add_argument("--accept-other", action="store_true", help="take a file that is not the published one")
    c = command(prepare, data, study)
    which = c.add_mutually_exclusive_group(required=True)
    which.add_argument("dataset", nargs="?", help="a data set of the study")
    which.add_argument("--settings", help=f"instead: what `aikd settings DATASET` prints, {text}")
    c.add_argument("--workers", type=_positive, help="images decoded at once (as many as there are cores)")
    c = command(train, results, data)
    c.add_argument("--settings", required=True, help=f"the run's resolved settings: {text}")
    c.add_argument("--evaluate-every", type=_positive, default=1, help="epochs between evaluations (1)")
    c.add_argument(
        "--save-every", type=_positive, default=10, help="epochs between states saved to resume from (10)"
    )
    command(predict, run, results, data)
    c = command(calibrate, run, results)
    c.add_argument(
        "--bins", type=_positive, default=15, help="equal-width bins of the calibration error (15)"
    )
    c.add_argument("--folds", type=_positive, default=5, help="folds of the cross-fitted temperature (5)")
    command(table, spec, results, data, to).add_argument(
        "--published",
        action="store_true",
        help="ours beside the numbers of the paper's table that it remakes",
    )
    command(figure, spec, results, to)
    command(collect, results, to).add_argument("--runs", required=True, help=f'{{"runs": [paths]}}: {text}')
    return parser


def _positive(text: str) -> int:
    """A whole number from 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, allowed are whole numbers from 1")
    return int(text)


def _shared(*names: str, **options: Any) -> argparse.ArgumentParser:
    """One argument that several commands have."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(*names, **options)
    return parser

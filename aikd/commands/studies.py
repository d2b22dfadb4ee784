"""Commands on study files."""

import argparse
import json
from pathlib import Path
from typing import Any

from aikd.commands.arguments import STUDY, Adder, shared
from aikd.errors import UserError


def check(options: argparse.Namespace) -> None:
    """Check a study file and say what it would train."""
    from aikd.study import queries
    from aikd.study.extensions import active
    from aikd.study.load import load_study
    from aikd.study.resolve import prepared_folder, resolve_data

    study = load_study(options.study)
    print(f"{options.study}: study {study.name!r} is valid; results go to {study.results}/")
    for extension in active:
        late = "; it imports torch when it is read, for which every command on the study waits"
        print(f"extension {extension}{late if extension.slow else ''}")
    for target in queries.targets(study):
        print(f"{target:12} {len(queries.runs_of(study, queries.outputs_of(study, target))):5} runs")
    print(f"{'all':12} {len(queries.runs_of(study)):5} distinct runs")
    for name, entry in study.data.items():
        folder = prepared_folder(resolve_data(study, name))
        print(f"data.{name}: prepared data in data/{folder}")
        if found := entry.scan:
            counts = (
                f"{len(found.classes):,} classes, {found.train:,} training and {found.test:,} test images"
            )
            print(f"data.{name}: {entry.folder}: {'; '.join(filter(None, (counts, found.remark)))}")


def settings(options: argparse.Namespace) -> None:
    """Print the resolved settings of a run, or of a data set: what `aikd train` or `aikd prepare` is given."""
    from aikd.study.check import check_run
    from aikd.study.load import load_study
    from aikd.study.resolve import resolve
    from aikd.study.run import Run

    if "/" not in options.run:
        print(json.dumps(data_settings(options.study, options.run)))
        return
    study, run = load_study(options.study), Run.from_path(options.run)
    try:
        check_run(study, run)
    except UserError as error:
        raise UserError(f"{options.study}: {error}") from None
    print(json.dumps(resolve(study, run)))


def schema(options: argparse.Namespace) -> None:
    """Print the JSON schema of study files, for editors."""
    from aikd.study.schema import Study

    print(json.dumps(Study.model_json_schema(), indent=2, ensure_ascii=False))


def data_settings(file: Path, name: str) -> dict[str, Any]:
    """The resolved settings of a study's data set.

    Raises:
        UserError: the study cannot be used, or has no such data set.
    """
    from aikd.study.explain import allowed
    from aikd.study.load import load_study
    from aikd.study.resolve import resolve_data

    study = load_study(file)
    if name not in study.data:
        allowed(f"{file}: data", name, study.data)
    return resolve_data(study, name)


def add(command: Adder) -> None:
    """Add the commands to the command line."""
    command(check).add_argument(
        "study", nargs="?", type=Path, default=Path("config.yaml"), help="study file (config.yaml)"
    )
    what = shared("run", metavar="RUN_OR_DATASET", help="path of a run, or name of a data set")
    command(settings, what, STUDY)
    command(schema)

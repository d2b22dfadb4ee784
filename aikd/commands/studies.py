"""Commands on study files."""

import argparse
import json
from pathlib import Path
from typing import Any

from aikd.commands.arguments import STUDY, STUDY_FILE, Adder, asking, run_of, shared
from aikd.messages import say


def check(options: argparse.Namespace) -> None:
    """Check a study file and say what it would train."""
    from aikd.study.extensions import active
    from aikd.study.load import load_study
    from aikd.study.resolve import prepared_folder, resolve_data
    from aikd.study.targets import ALL, runs_of, targets_of

    file = options.file or options.study
    study = load_study(file)
    print(f"{file}: study {study.name!r} is valid; results go to {study.results}/")
    for extension in active:
        late = "; it imports torch when it is read, for which every command on the study waits"
        print(f"extension {extension}{late if extension.slow else ''}")
    for target, names in targets_of(study, []).items():
        print(f"{target:12} {len(runs_of(study, names)):5} {'distinct ' if target == ALL else ''}runs")
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
    from aikd.study.load import load_study
    from aikd.study.resolve import resolve
    from aikd.study.targets import stranger

    if "/" not in options.run:
        print(json.dumps(data_settings(options.study, options.run)))
        return
    study = load_study(options.study)
    run = run_of(study, options.study, options.run)
    if note := stranger(study, run):
        say(f"{run.path}: {note}")
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
        with asking(file):
            allowed("data", name, study.data)
    return resolve_data(study, name)


def add(command: Adder) -> None:
    """Add the commands to the command line."""
    one = command(check).add_mutually_exclusive_group()
    one.add_argument("file", nargs="?", type=Path, metavar="STUDY", help="study file (config.yaml)")
    one.add_argument("--study", type=Path, default=STUDY_FILE, help="the same, as other commands have it")
    what = shared(
        "run", metavar="RUN_OR_DATASET",
        help="name of a data set; or path of a run, which says every setting that is not its method's default: those "
        "of the study and of its `when` stand in the paths of its own runs, and are not added to others",
    )  # fmt: skip
    command(settings, what, STUDY)
    command(schema)

"""What several commands' arguments have in common."""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from aikd.errors import UserError

TARGETS = "tables, figures, learning_curves, claims, report, all_runs, or all"
JSON = "JSON, or @FILE that holds it"
SETTINGS = "`aikd settings RUN` prints what is meant"


class Adder(Protocol):
    """Adds the command of that function to the command line, with arguments that others share."""

    def __call__(
        self, function: Callable[[argparse.Namespace], None], *shared: argparse.ArgumentParser
    ) -> argparse.ArgumentParser: ...


def shared(*names: str, **options: Any) -> argparse.ArgumentParser:
    """One argument that several commands have."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(*names, **options)
    return parser


def positive(text: str) -> int:
    """A whole number from 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, allowed are whole numbers from 1")
    return int(text)


STUDY_FILE = Path("config.yaml")
"""The study that is meant where none is named."""

STUDY = shared("--study", type=Path, default=STUDY_FILE, help="study file (config.yaml)")
RESULTS = shared("--results", type=Path, default=Path("results"), help="the study's results (results)")
DATA = shared("--data", type=Path, default=Path("data"), help="folder of all prepared data (data)")
RUN = shared("run", help="path of the run, for example digits/preact_resnet18/aikd/omega=1/seed1")
RUNS_PER_GPU = shared("--runs-per-gpu", type=positive, default=1, help="runs that may share a GPU (1)")
TO = shared("--to", type=Path, required=True, help="where to write")


def json_object(text: str, hint: str = "") -> dict[str, Any]:
    """JSON given on the command line, or in a file as `@FILE`.

    Args:
        hint: what says how to come by it.

    Raises:
        UserError: it is not a JSON object, or the file cannot be read.
    """
    shown, advice = text[:60], f"; {hint}" if hint else ""
    try:
        data = json.loads(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text)
    except OSError as error:
        raise UserError(f"{shown}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UserError(f"{shown}: not JSON ({error}){advice}") from None
    if not isinstance(data, dict):
        raise UserError(f"{shown}: expected a JSON object, found {type(data).__name__}{advice}")
    return data


@contextmanager
def asking(file: Path) -> Iterator[None]:
    """Within, errors name the study file that was asked; where nobody named one, also how to name another."""
    try:
        yield
    except UserError as error:
        hint = "; for another study: --study FILE" if file == STUDY_FILE else ""
        lines = "\n".join(f"{file}: {line}" for line in str(error).splitlines())
        raise UserError(f"{lines}{hint}") from None


def run_of(study: Any, file: Path, path: str) -> Any:
    """The run of a study in a file that has this path.

    Raises:
        UserError: it is not the path of a run, or the study has no such data set, or no such model on it.
    """
    from aikd.study.check import check_run
    from aikd.study.run import Run

    with asking(file):
        run = Run.from_path(path)
        check_run(study, run)
    return run

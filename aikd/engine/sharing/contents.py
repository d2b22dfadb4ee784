"""What an archive of results holds, and where each of its files belongs in a project's folder."""

import re
from typing import Annotated, Any

from pydantic import Field

from aikd.errors import UserError
from aikd.study.explain import explaining
from aikd.study.fields import Count, Name, Section, Whole
from aikd.study.folders import KEPT
from aikd.study.layout import HISTORY, MANIFEST, METRICS, MODEL, PREDICTIONS, RUNS, SUMMARY
from aikd.study.run import Run

FORMAT = 1
"""Raised by hand when archives are laid out in another way; other formats are refused."""
CONTENTS = "aikd-archive.json"
"""The first file of an archive: says what is in it, with the SHA-256 of every other file."""
RECORDS = "snakemake-records.json"
"""What Snakemake has noted of the files, by their names; it goes to where Snakemake looks for it."""
STUDY = "study.yaml"
"""The study, as a file in its results."""
RESULTS = "results"
DATA = "data"

OF_A_RUN = (SUMMARY, HISTORY, PREDICTIONS, METRICS, MODEL)
"""Files of a run that an archive may hold, each after those it is made of."""

_NAME = r"[a-z0-9][a-z0-9_]*"


class Packed(Section):
    """One file."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Whole
    """In bytes."""


class Contents(Section):
    """What stands in `aikd-archive.json`."""

    format: int
    study: Name
    """Name of the study."""
    results: str
    """Folder of its results within the project."""
    runs: list[str]
    """The runs that are there."""
    wanted: Count
    """Runs that the study has."""
    left_out: dict[str, str]
    """Runs of the study that are not there, and why."""
    files: dict[str, Packed]
    targets: dict[Name, Whole] = {}
    """Tables, figures and what else can be asked for and shows runs: how many of these are not there."""
    no_predictions: list[str] = []
    """Runs of those that are there whose predictions were left behind, as was wanted."""


def study_file(results: str) -> str:
    """Where the study goes."""
    return f"{results}/{STUDY}"


def run_file(results: str, run: str, name: str) -> str:
    """Where a file of a run goes."""
    return f"{results}/{RUNS}/{run}/{name}"


def check(contents: Contents, where: str) -> None:
    """Refuse an archive that names a file which such an archive does not hold.

    Raises:
        UserError: names it. So no file can be written where none of these belongs.
    """
    if contents.results != RESULTS and not re.fullmatch(f"{RESULTS}/{_NAME}", contents.results):
        raise UserError(f"{where}: results are to go to {contents.results!r}; allowed: {RESULTS}/NAME")
    found = [Run.from_path(run, written=True) for run in contents.runs]
    runs = [run.path for run in found]
    for run in found:
        if not all(re.fullmatch(_NAME, name) for name in (run.dataset, run.model)):
            raise UserError(f"{where}: {run.path!r} is no run of a study")
    known = {RECORDS, study_file(contents.results)}
    known |= {run_file(contents.results, run, name) for run in runs for name in OF_A_RUN}
    facts = re.compile(
        rf"{DATA}/{_NAME}/[0-9a-f]{{12}}/{re.escape(MANIFEST)}|{re.escape(str(KEPT))}/[0-9a-f]{{12}}\.json"
    )
    for name in contents.files:
        if name not in known and not facts.fullmatch(name):
            raise UserError(f"{where}: holds {name!r}, which is no part of an archive of results")
    needed = [RECORDS, study_file(contents.results)]
    needed += [run_file(contents.results, run, name) for run in runs for name in (SUMMARY, HISTORY, METRICS)]
    if missing := [name for name in needed if name not in contents.files]:
        raise UserError(f"{where}: lacks {missing[0]}; is it an archive of results?")


def parse(data: Any, where: str) -> Contents:
    """The contents that an archive states, checked.

    Raises:
        UserError: they are of another format, damaged, or not allowed.
    """
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise UserError(f"{where}: format is {found!r}, this version reads {FORMAT}")
    with explaining(where, Contents):
        contents = Contents.model_validate(data)
    check(contents, where)
    return contents

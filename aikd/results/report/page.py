"""Everything that a study found on one page that opens without a network.

What it says is gathered here, as plain values; how it looks is in the template and style sheet beside this file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from aikd.files import write_text
from aikd.messages import counted
from aikd.results import pairs, tables
from aikd.results.report import claims, classes, runs
from aikd.results.report.about import about, deviations, how_to_read, readings, trained_on
from aikd.results.report.pictures import Picture, picture
from aikd.results.sheet import Sheet
from aikd.results.text import html, p_value, rounded, signed
from aikd.study import beside, queries
from aikd.study.schema import Study
from aikd.study.specs import FigureSpecs

HERE = Path(__file__).parent


@cache
def templates() -> Environment:
    """Templates beside this file; every value in them is escaped."""
    found = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    found.filters |= {"p_value": p_value, "rounded": rounded, "signed": signed}
    found.filters["signs"] = lambda text: Markup(html(text))
    return found


def write_report(study: Study, results: Path, data: Path, out: Path) -> None:
    """Writes the page to `out`, of whatever is there of the study's results; the same results give the same bytes.

    Raises:
        UserError: see `page`.
    """
    write_text(out, page(study, results, data))


def page(study: Study, results: Path, data: Path) -> str:
    """The whole page.

    Raises:
        UserError: a file that is read is damaged, or does not belong to its run or beside the others.
    """
    planned = queries.runs_of(study)
    found = runs.collect(study, results, [run.path for run in planned])
    contests = classes.contests(study, results)
    return templates().get_template("page.html.j2").render(
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        study=study,
        seeds=", ".join(map(str, study.seeds)),
        facts=list(facts(study)),
        deviations=deviations(study, data),
        readings=readings(planned),
        summary=classes.summary(study, results),
        claims=claims.read(results),
        tables=[_table(study, name, results, data) for name in study.tables],
        figures=[_drawn(study, queries.figure(study, name), results) for name in study.figures],
        learning=[
            _drawn(study, spec, results) for spec in beside.learning_curves(study).values()
        ],
        contests=contests,
        runs=found,
    )  # fmt: skip


@dataclass(frozen=True)
class Fact:
    """How one data set is trained on."""

    data: str
    counts: str
    models: str
    recipe: str


def facts(study: Study) -> Iterator[Fact]:
    """Of each data set of the study."""
    for name, entry in study.data.items():
        dataset, recipe = study.dataset(name), study.recipe_for(name)
        train = trained_on(study, name)
        yield Fact(
            dataset.label,
            f"{dataset.classes:,} classes, {train:,} training and {dataset.test:,} test images",
            ", ".join(study.models[model].label for model in entry.models),
            f"{counted(recipe.epochs, 'epoch')}, batches of {recipe.batch_size}, "
            f"learning rate {recipe.learning_rate:g}, {recipe.precision}",
        )


@dataclass(frozen=True)
class Table:
    """A table with what was published beside it."""

    name: str
    sheets: list[Sheet]
    beside: list[Sheet]
    """Empty where the study remakes none of the paper's."""
    about: str


def _table(study: Study, name: str, results: Path, data: Path) -> Table:
    spec = queries.table(study, name)
    sheets, _ = tables.made(spec, results, data)
    published = pairs.made(spec, results, data)[0] if spec.published is not None else []
    return Table(name, sheets, published, about(study, spec.runs))


def _drawn(study: Study, spec: FigureSpecs, results: Path) -> Picture:
    said = f"{how_to_read(spec)} {about(study, spec.runs)}"
    if spec.name.startswith(beside.LEARNING):
        return picture(results, spec.name, spec.caption, said)
    title = f"{spec.name.replace('_', ' ').capitalize()}."
    return picture(results, spec.name, title, f"{tables.sentence(spec.caption)} {said}".strip())

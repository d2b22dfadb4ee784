"""All tables, figures and judged claims of a study in one LaTeX document."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from aikd.files import write_text
from aikd.messages import counted, plural
from aikd.results import pairs, tables, text
from aikd.results.report import claims
from aikd.results.report.about import Deviation, about, deviations, how_to_read, readings
from aikd.results.report.page import HERE, facts
from aikd.results.sheet import to_latex
from aikd.study import beside, queries
from aikd.study.run import Run
from aikd.study.schema import Study


@cache
def templates() -> Environment:
    """LaTeX templates, in which braces mean what they mean in LaTeX."""
    found = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, trim_blocks=True, autoescape=False,
        block_start_string=r"\BLOCK{", block_end_string="}", variable_start_string=r"\VAR{",
        variable_end_string="}", comment_start_string=r"\COMMENT{", comment_end_string="}",
    )  # fmt: skip
    found.filters["latex"] = text.latex
    return found


@dataclass(frozen=True)
class Figure:
    """A figure with all that its caption says."""

    name: str
    file: str
    caption: str


def paper(study: Study, results: Path, data: Path) -> str:
    """The document in LaTeX, of what is there of the study's results; captions say on what, how often, how long.

    Raises:
        UserError: a file that is read is damaged, or does not belong to its run or beside the others.
    """
    seeds, runs = ", ".join(map(str, study.seeds)), queries.runs_of(study)
    opening = (
        f"Regenerated tables and figures of Kim et al., arXiv 2211.10938, from a study of "
        f"{counted(len(runs), 'training run')}, {plural(len(study.seeds), 'seed')} {seeds}. Every number is of "
        "the last epoch."
    )
    common, others = _common_first(deviations(study, data), runs)
    numbered = dict(enumerate(others, start=len(common) + 1))
    parts = {
        "title": text.latex(f"AI-KD, reproduced: study {study.name}"),
        "opening": text.latex(opening),
        "facts": facts(study),
        "common": common,
        "others": others,
        "readings": readings(runs),
        "tables": list(_tables(study, results, data, numbered)),
        "figures": list(_figures(study, results, numbered)),
        "claims": claims.read(results),
    }  # fmt: skip
    template = templates().get_template("paper.tex.j2")
    document = template.render(parts, numbered=False)
    return template.render(parts, numbered=True) if text.NUMBERED in document else document


def _common_first(found: Sequence[Deviation], runs: Sequence[Run]) -> tuple[list[Deviation], list[Deviation]]:
    """The deviations that hold for every run, and those that hold for some: their captions name them."""
    common = [deviation for deviation in found if all(deviation.concerns([run]) for run in runs)]
    return common, [deviation for deviation in found if deviation not in common]


def _tables(study: Study, results: Path, data: Path, numbered: Mapping[int, Deviation]) -> Iterator[str]:
    for name in study.tables:
        spec = queries.table(study, name)
        sheets = tables.made(spec, results, data)[0]
        if spec.published is not None:
            sheets = sheets + pairs.made(spec, results, data)[0]
        for sheet in sheets:
            caption = f"{tables.sentence(sheet.caption)} {about(study, spec.runs, numbered)}".strip()
            yield rf"\called{{{_called(spec.name)}}}" + "\n" + to_latex(replace(sheet, caption=caption))


def _called(name: str) -> str:
    """How captions call a table or figure: as the study does, whatever its place in the document."""
    return text.latex(name.replace("_", " ").capitalize())


def _figures(study: Study, results: Path, numbered: Mapping[int, Deviation]) -> Iterator[Figure]:
    specs = [queries.figure(study, name) for name in study.figures]
    for spec in [*specs, *beside.learning_curves(study).values()]:
        if not (results / "figures" / f"{spec.name}.pdf").exists():
            continue
        said = f"{how_to_read(spec)} {about(study, spec.runs, numbered)}"
        if spec.name.startswith(beside.LEARNING):
            name, caption = text.latex(spec.caption.rstrip(".")), said
        else:
            name, caption = _called(spec.name), f"{tables.sentence(spec.caption)} {said}".strip()
        yield Figure(name, f"figures/{spec.name}.pdf", caption)


def write_paper(study: Study, results: Path, data: Path, out: Path) -> bool:
    """Writes the LaTeX document to `out`, which must lie in the folder of the results, as it names files from there.

    Returns:
        Whether there are characters in it that LaTeX cannot set, and for which their Unicode numbers stand.

    Raises:
        UserError: see `paper`.
    """
    document = paper(study, results, data)
    write_text(out, document)
    return text.NUMBERED in document

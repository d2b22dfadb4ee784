"""Tables 1 to 7 with ours beside the published numbers: what differs, and by more than our seeds do?"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from aikd.errors import UserError
from aikd.records import same_training
from aikd.results import published
from aikd.results.intervals import confidence_interval, welch_p
from aikd.results.origins import with_origins
from aikd.results.published import Experiment, Published
from aikd.results.sheet import MISSING, Line, Printed, Sheet, signed_notes
from aikd.results.tables import (
    COUNTS,
    Entry,
    Seeds,
    entry_of,
    few_classes_note,
    mean_text,
    prepared,
    sentence,
    write_forms,
)
from aikd.results.text import setting_label, signed
from aikd.study.catalogue import FAMILIES
from aikd.study.metrics import METRICS
from aikd.study.run import Run
from aikd.study.specs import PUBLISHED, Cell, DataSetsSpec, Row, TableSpec, TableSpecs

COLUMNS = ("Ours", "Published", "Difference", "95 % interval", "Within", "p")
LEGEND = (
    "Published: over three runs. Difference: ours − published, in the metric's own unit. Interval: of our mean, by "
    "Student's t; within: whether the published mean lies in it. p: Welch's t test of equal means, in which the "
    "published spread counts as well."
)


def write_published(spec: TableSpecs, results: Path, data: Path, out: Path) -> list[Path]:
    """Writes `<name>_published.tex`, `.csv` and `.md` into `out` and returns their paths.

    Reads what `write_table` reads; what is not there, or was not published, is printed as `--`.

    Raises:
        UserError: the table remakes none of the paper's, or a file that is read is broken or lacks a number.
    """
    sheets, frame = made(spec, results, data)
    return write_forms(spec.name + PUBLISHED, sheets, frame, out)


def made(spec: TableSpecs, results: Path, data: Path) -> tuple[list[Sheet], pd.DataFrame]:
    """A table beside the published one as it is printed, and as records.

    Raises:
        UserError: see `write_published`.
    """
    if spec.published is None:
        raise UserError(
            f"{spec.name}: the study does not say which table of the paper it remakes; set its `published`"
        )
    same_training(results, spec.runs)
    sheets, frame = data_sets(spec, data) if isinstance(spec, DataSetsSpec) else numbers(spec, results)
    return with_origins(sheets, spec, results, data), frame


@dataclass(frozen=True)
class Pair:
    """A cell of ours with the number that the paper has for it, if any."""

    row: Row
    column: str
    ours: Entry
    theirs: Published | None

    @property
    def decimals(self) -> int:
        """Printed decimals."""
        return METRICS[self.ours.cell.metric].decimals

    @property
    def difference(self) -> float | None:
        """Ours − published, in the metric's own unit."""
        ours = self.ours.summary
        return ours.mean - self.theirs.summary.mean if ours and self.theirs else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval of our mean; None for a single seed."""
        return confidence_interval(self.ours.summary) if self.ours.summary else None

    @property
    def within(self) -> bool | None:
        """Whether the published mean lies within our interval, both as printed: of theirs no more is known."""
        if not self.theirs or not self.interval:
            return None
        low, high = (float(mean_text(end, self.decimals)) for end in self.interval)
        return low <= self.theirs.summary.mean <= high

    @property
    def p(self) -> float | None:
        """Of Welch's t test between the two means; None where one has no spread."""
        ours = self.ours.summary
        return welch_p(ours, self.theirs.summary) if ours and self.theirs else None


def pairs(spec: TableSpec, results: Path) -> list[Pair]:
    """Every cell of a table with its published number: block after block, column after column."""
    known = published.numbers(spec.published) if spec.published else {}
    families = {model: FAMILIES.get(network, "") for model, network in spec.architectures}

    def theirs(cell: Cell) -> Published | None:
        if not cell.paths:
            return None
        run = Run.from_path(cell.paths[0], written=True)
        return known.get(Experiment.of(run, families.get(run.model, ""), cell.metric, cell.scheme))

    return [
        Pair(row, column, entry_of(spec, row.cells[i], results), theirs(row.cells[i]))
        for block in dict.fromkeys(row.block for row in spec.rows)
        for i, column in enumerate(spec.columns)
        for row in spec.rows
        if row.block == block
    ]


def numbers(spec: TableSpec, results: Path) -> tuple[list[Sheet], pd.DataFrame]:
    """One sheet a block of the table, and one record a cell."""
    found = pairs(spec, results)
    blocks = list(dict.fromkeys(pair.row.block for pair in found))
    sheets = [
        _sheet(spec, [pair for pair in found if pair.row.block == block], part)
        for part, block in enumerate(blocks, start=1)
    ]
    frame = pd.DataFrame([_record(spec, pair) for pair in found])
    return sheets, frame.astype({"within": "boolean"})


def _sheet(spec: TableSpec, found: Sequence[Pair], part: int) -> Sheet:
    """One block of a table; of a comparison all rows share metric and model, which move into the caption."""
    shared = len(spec.headers) - 1 if spec.across == "Dataset" else 0
    seeds = Seeds.of([pair.ours for pair in found])
    marks, notes = footnotes(pair.theirs for pair in found)
    columns = list(dict.fromkeys(pair.column for pair in found))

    def line(pair: Pair) -> Line:
        header = (pair.column, *pair.row.header[shared:])
        return Line(header, columns.index(pair.column), (seeds.printed(pair.ours), *_beside(pair, marks)))

    lines = tuple(map(line, found))
    dashes = any(cell.text == MISSING for line in lines for cell in line.cells)
    beside = f"Beside Table {spec.published} of the paper" + (", continued" if part > 1 else "")
    title = ", ".join(found[0].row.header[:shared])
    judged = [pair.within for pair in found if pair.within is not None]
    sentences = [
        sentence(spec.caption) if part == 1 else "",
        sentence(f"{beside}: {title}" if title else beside),
        seeds.sentence,
        LEGEND if part == 1 else "",
        f"{sum(judged)} of {len(judged)} published means lie within our interval." if judged else "",
        few_classes_note(spec) if part == 1 else "",
        "A dash marks a number that is missing or was not published." if dashes else "",
    ]
    name = spec.name + PUBLISHED + (f"_{part}" if part > 1 else "")
    headers = (spec.across, *map(setting_label, spec.headers[shared:]))
    caption = " ".join(filter(None, sentences))
    return Sheet(name, caption, headers, COLUMNS, lines, notes, blank=1)


def footnotes(found: Iterable[Published | None]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The mark of each note, and all notes as printed: those of single numbers with their marks, then remarks."""
    present = [number for number in found if number]
    marks = signed_notes(number.note for number in present if number.note)
    remarks = dict.fromkeys(remark for number in present for remark in number.remarks)
    return marks, (*(f"{mark} {note}" for note, mark in marks.items()), *remarks)


def _beside(pair: Pair, marks: dict[str, str]) -> Iterator[Printed]:
    """The cells under `COLUMNS`, but for the first."""
    theirs = Entry(pair.ours.cell, pair.theirs.summary if pair.theirs else None)
    ends = [mean_text(end, pair.decimals).replace("-", "−") for end in pair.interval or ()]
    yield Printed(theirs.text, mark=marks.get(pair.theirs.note, "") if pair.theirs else "")
    yield Printed(MISSING if pair.difference is None else signed(pair.difference, pair.decimals))
    yield Printed(" to ".join(ends) or MISSING)
    yield Printed({True: "yes", False: "no", None: MISSING}[pair.within])
    yield Printed(MISSING if pair.p is None else f"{pair.p:.3f}" if pair.p >= 0.0005 else "<0.001")


def _record(spec: TableSpec, pair: Pair) -> dict[str, object]:
    cell, ours = pair.ours.cell, pair.ours.summary
    theirs = pair.theirs.summary if pair.theirs else None
    low, high = pair.interval or (None, None)
    return dict(zip(spec.headers, pair.row.header, strict=True)) | {
        "column": pair.column,
        "metric": cell.metric,
        "scheme": cell.scheme,
        "mean": ours.mean if ours else None,
        "std": ours.std if ours else None,
        "n": ours.n if ours else 0,
        "published_mean": theirs.mean if theirs else None,
        "published_std": theirs.std if theirs else None,
        "difference": pair.difference,
        "low": low,
        "high": high,
        "within": pair.within,
        "p": pair.p,
        "note": pair.theirs.note if pair.theirs else "",
    }


def data_sets(spec: DataSetsSpec, data: Path) -> tuple[list[Sheet], pd.DataFrame]:
    """Table 1 with the counts of what was prepared beside the published ones, and one record a count."""
    known = published.counts()
    marks, notes = footnotes(known.get((row.dataset, count)) for row in spec.rows for count in COUNTS)
    lines, records = [], []
    for block, row in enumerate(spec.rows):
        for (count, name), ours in zip(COUNTS.items(), prepared(data, row.prepared), strict=True):
            found = known.get((row.dataset, count))
            theirs = int(found.summary.mean) if found else None
            difference = None if ours is None or theirs is None else ours - theirs
            note = found.note if found else ""
            cells = (
                Printed(_count(ours)),
                Printed(_count(theirs), mark=marks.get(note, "")),
                Printed(MISSING if difference is None else signed(difference, 0)),
            )
            lines.append(Line((row.label, name), block, cells))
            records.append((row.label, name, ours, theirs, difference, note))
    headers, columns = ("Dataset", "Count"), ("Ours", "Published", "Difference")
    caption = f"{sentence(spec.caption)} As prepared, beside Table {spec.published} of the paper."
    frame = pd.DataFrame(records, columns=[*headers, *columns, "note"])
    sheet = Sheet(spec.name + PUBLISHED, caption, headers, columns, tuple(lines), notes)
    return [sheet], frame.astype(dict.fromkeys(columns, "Int64"))


def _count(count: int | None) -> str:
    return MISSING if count is None else f"{count:,}"

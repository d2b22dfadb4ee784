"""Tables 1 to 7: from the specs of a study to LaTeX, CSV and Markdown."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import pandas as pd

from aikd.errors import UserError
from aikd.files import read_json, write_together
from aikd.records import same_training
from aikd.results.aggregate import Summary, csv_text, seeds_text, summarise
from aikd.results.origins import with_origins
from aikd.results.sheet import MISSING, Line, Printed, Sheet, to_latex, to_markdown
from aikd.results.text import setting_label
from aikd.study.layout import MANIFEST
from aikd.study.metrics import METRICS, TOP, TOP_ERRORS
from aikd.study.specs import Cell, DataSetsSpec, TableSpec, TableSpecs

COUNTS = {"classes": "Classes", "train": "Train", "test": "Valid"}
"""What manifests count, and the paper's names for it."""


def write_table(spec: TableSpecs, results: Path, data: Path, out: Path) -> list[Path]:
    """Writes `<name>.tex`, `<name>.csv` and `<name>.md` into `out` and returns their paths.

    Results are read from `results/runs`, facts of data sets from their manifests in `data`. What is not
    there is printed as `--`.

    Raises:
        UserError: a file that is read is broken, does not belong to its run or beside the others, or lacks a number.
    """
    sheets, frame = made(spec, results, data)
    return write_forms(spec.name, sheets, frame, out)


def made(spec: TableSpecs, results: Path, data: Path) -> tuple[list[Sheet], pd.DataFrame]:
    """A table as it is printed, and as records.

    Raises:
        UserError: see `write_table`.
    """
    same_training(results, spec.runs)
    sheet, frame = data_sets(spec, data) if isinstance(spec, DataSetsSpec) else numbers(spec, results)
    return with_origins([sheet], spec, results, data), frame


def write_forms(name: str, sheets: Sequence[Sheet], frame: pd.DataFrame, out: Path) -> list[Path]:
    """Writes a table as LaTeX and Markdown, in one sheet or several, and as CSV; returns the three paths."""
    forms = {
        "tex": "\n".join(map(to_latex, sheets)),
        "csv": csv_text(frame),
        "md": "\n".join(map(to_markdown, sheets)),
    }
    contents = {out / f"{name}.{kind}": text.encode() for kind, text in forms.items()}
    write_together(contents)
    return list(contents)


@dataclass(frozen=True)
class Entry:
    """A cell with what its runs say."""

    cell: Cell
    summary: Summary | None
    rank: int | None = None
    """1: best of its block and column, 2: second best."""

    @property
    def text(self) -> str:
        """As printed: mean ± standard deviation, the mean alone where there is none, `--` for no result."""
        if self.summary is None:
            return MISSING
        decimals = METRICS[self.cell.metric].decimals
        mean = mean_text(self.summary.mean, decimals).replace("-", "−")
        return f"{mean} ± {self.summary.std:.{decimals}f}" if math.isfinite(self.summary.std) else mean


def mean_text(mean: float, decimals: int) -> str:
    """A mean as printed and ranked; what rounds to minus zero is zero."""
    return f"{mean:z.{decimals}f}"


def ranks(printed: Sequence[float | None], best: Literal["low", "high", "zero"]) -> list[int | None]:
    """1 for the best of the printed numbers, 2 for the next distinct one, None for all others.

    Equal numbers share a rank. One number alone has no rank: it competes with nothing.
    """
    order = {"low": lambda number: number, "high": lambda number: -number, "zero": abs}[best]
    keys = [None if number is None else order(number) for number in printed]
    present = [key for key in keys if key is not None]
    places = {key: place for place, key in enumerate(sorted(set(present))[:2], start=1)}
    return [None if key is None or len(present) < 2 else places.get(key) for key in keys]


@dataclass(frozen=True)
class Seeds:
    """How many seeds stand behind the entries of a table."""

    counts: tuple[int, ...]
    """Of each entry that has a result."""
    planned: int

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Self:
        """The seeds of some entries."""
        counts = tuple(entry.summary.n for entry in entries if entry.summary)
        return cls(counts, max(len(entry.cell.paths) for entry in entries))

    def printed(self, entry: Entry) -> Printed:
        """An entry as printed, with its seeds where they are fewer than those of others."""
        n = entry.summary.n if entry.summary else self.planned
        return Printed(entry.text, entry.rank, n if n < self.planned and len(set(self.counts)) > 1 else None)

    @property
    def sentence(self) -> str:
        """What a caption says of them."""
        if not self.counts:
            return "No results yet."
        lead = "Mean ± sample standard deviation over" if max(self.counts) > 1 else "Single runs:"
        fewer = (
            f"; a superscript states n where it is below {self.planned}" if len(set(self.counts)) > 1 else ""
        )
        return f"{lead} {seeds_text(self.counts, self.planned)}{fewer}."


def says_nothing(spec: TableSpec, cell: Cell) -> bool:
    """Whether a cell would be 0 whatever its runs say: a Top-5 error of few classes."""
    few = {name for name, _ in spec.few_classes}
    return cell.metric in TOP_ERRORS and any(path.partition("/")[0] in few for path in cell.paths)


def entry_of(spec: TableSpec, cell: Cell, results: Path) -> Entry:
    """An unranked entry; without a result where its runs have none, or could say nothing."""
    return Entry(cell, None if says_nothing(spec, cell) else summarise(cell, results))


def few_classes_note(spec: TableSpec) -> str:
    """What a caption says of Top-5 errors that are not shown."""
    labels = ", ".join(label for _, label in spec.few_classes)
    return f"No Top-5 error of {labels}: among {TOP} classes or fewer it is always 0." if labels else ""


def fill(spec: TableSpec, results: Path) -> list[list[Entry]]:
    """The entries of every row, ranked by their printed means among those of the same block and column."""
    grid = [[entry_of(spec, cell, results) for cell in row.cells] for row in spec.rows]
    for block in dict.fromkeys(row.block for row in spec.rows):
        rows = [entries for entries, row in zip(grid, spec.rows, strict=True) if row.block == block]
        for column in range(len(spec.columns)):
            rivals = [entries[column] for entries in rows]
            metric = METRICS[rivals[0].cell.metric]
            means = [float(mean_text(r.summary.mean, metric.decimals)) if r.summary else None for r in rivals]
            places = ranks(means, metric.best)
            for entries, place in zip(rows, places, strict=True):
                entries[column] = replace(entries[column], rank=place)
    return grid


def numbers(spec: TableSpec, results: Path) -> tuple[Sheet, pd.DataFrame]:
    """The printed table, and one record a cell."""
    grid = fill(spec, results)
    entries = [entry for row in grid for entry in row]
    awaited = [entry for entry in entries if not says_nothing(spec, entry.cell)]
    seeds = Seeds.of(entries)
    lines = [
        Line(row.header, row.block, tuple(map(seeds.printed, cells)))
        for row, cells in zip(spec.rows, grid, strict=True)
    ]
    sentences = [
        sentence(spec.caption),
        seeds.sentence if awaited else "",
        "Best in bold, second best underlined." if any(entry.rank for entry in entries) else "",
        few_classes_note(spec),
        "A dash marks a missing result." if 0 < len(seeds.counts) < len(awaited) else "",
    ]
    headers = tuple(map(setting_label, spec.headers))
    sheet = Sheet(spec.name, " ".join(filter(None, sentences)), headers, spec.columns, tuple(lines))
    return sheet, pd.DataFrame(list(_records(spec, grid))).astype({"rank": "Int64"})


def sentence(text: str) -> str:
    """The text with a full stop, unless it is empty or ends like a sentence already."""
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def _records(spec: TableSpec, grid: list[list[Entry]]) -> Iterator[dict[str, object]]:
    for row, entries in zip(spec.rows, grid, strict=True):
        for column, entry in zip(spec.columns, entries, strict=True):
            summary = entry.summary
            yield dict(zip(spec.headers, row.header, strict=True)) | {
                "column": column,
                "metric": entry.cell.metric,
                "scheme": entry.cell.scheme,
                "mean": summary.mean if summary else None,
                "std": summary.std if summary else None,
                "n": summary.n if summary else 0,
                "rank": entry.rank,
            }


def data_sets(spec: DataSetsSpec, data: Path) -> tuple[Sheet, pd.DataFrame]:
    """Table 1 as printed, and one record a data set, from the manifests of what was prepared."""
    counts = [prepared(data, row.prepared) for row in spec.rows]
    categories = [row.category for row in spec.rows]
    lines = [
        Line(
            (row.category.capitalize(), row.label),
            categories.index(row.category),
            tuple(Printed(MISSING if count is None else f"{count:,}") for count in found),
        )
        for row, found in zip(spec.rows, counts, strict=True)
    ]
    headers, columns = ("Category", "Dataset"), tuple(COUNTS.values())
    facts = [(row.category, row.label, *found) for row, found in zip(spec.rows, counts, strict=True)]
    frame = pd.DataFrame(facts, columns=[*headers, *columns]).astype(dict.fromkeys(columns, "Int64"))
    return Sheet(spec.name, spec.caption, headers, columns, tuple(lines)), frame


def prepared(data: Path, folder: str) -> list[int | None]:
    """The `COUNTS` of the data set prepared in that folder of `data`; None each where it is not prepared.

    Raises:
        UserError: the manifest is broken or lacks a count.
    """
    manifest = data / folder / MANIFEST
    if not manifest.exists():
        return [None] * len(COUNTS)
    found = read_json(manifest)
    for key in COUNTS:
        if not isinstance(found.get(key), int):
            raise UserError(
                f"{manifest}: {key} must be a whole number, found {found.get(key)!r}; "
                "prepare the data again with `aikd prepare`"
            )
    return [found[key] for key in COUNTS]

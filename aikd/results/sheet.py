"""A table as it is printed, in LaTeX and in Markdown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aikd.results import text

MISSING = "--"
SYMBOLS = "†‡§¶‖"
"""Signs of footnotes, in order; then doubled."""
NARROW = 65
"""Characters in small type that fit into one column of a two-column page."""
ROOMY = 115
"""Characters that leave room for wider gaps on a whole page."""


@dataclass(frozen=True)
class Printed:
    """A cell's text, its rank (1: best, 2: second best), and its seeds where their number is to be stated."""

    text: str
    rank: int | None = None
    n: int | None = None
    mark: str = ""
    """Sign of a footnote."""


@dataclass(frozen=True)
class Line:
    """A printed row; a rule is drawn between blocks."""

    header: tuple[str, ...]
    block: int
    cells: tuple[Printed, ...]


@dataclass(frozen=True)
class Sheet:
    """A printed table: leading columns, then columns of numbers."""

    name: str
    caption: str
    headers: tuple[str, ...]
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()
    """What stands below the table, footnotes with their signs."""
    blank: int | None = None
    """How many leading columns are blank where they repeat the line above; none: all but the last."""

    @property
    def sparse(self) -> list[tuple[str, ...]]:
        """Headers of the lines, in grouped tables blank where they repeat the line above."""
        grouped = len({line.block for line in self.lines}) > 1
        above: tuple[str, ...] = ()
        headers = []
        for line in self.lines:
            same = _common(above, line.header[:-1][: self.blank]) if grouped else 0
            headers.append(("",) * same + line.header[same:])
            above = line.header
        return headers


def _common(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common start."""
    differ = (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)
    return next(differ, min(len(left), len(right)))


def signed_notes(notes: Iterable[str]) -> dict[str, str]:
    """Distinct notes in order, each with the sign of its footnote."""
    distinct = dict.fromkeys(notes)
    return {note: SYMBOLS[i % len(SYMBOLS)] * (i // len(SYMBOLS) + 1) for i, note in enumerate(distinct)}


def to_latex(sheet: Sheet) -> str:
    """A complete `table` environment (`table*` for a wide one); its document needs only the booktabs package.

    Letters beyond ASCII need the encoding T1 as well.
    """
    characters = _characters(sheet)
    wide = characters > NARROW
    gap = "4pt" if wide and characters < ROOMY else "2.5pt"
    environment, column = ("table*", _stacked) if wide else ("table", text.latex)
    width = len(sheet.headers) + len(sheet.columns)
    body = []
    for i, (line, header) in enumerate(zip(sheet.lines, sheet.sparse, strict=True)):
        if i and line.block != sheet.lines[i - 1].block:
            same = header.count("")
            body.append(rf"\cmidrule{{{same + 1}-{width}}}" if same else r"\midrule")
        body.append(_row([*map(text.latex, header), *map(_latex_cell, line.cells)]))
    return "\n".join(
        [
            rf"\begin{{{environment}}}[tbp]",
            r"  \centering",
            rf"  \caption{{{text.latex(sheet.caption)}}}",
            rf"  \label{{tab:{sheet.name}}}",
            r"  \smallskip",
            r"  \footnotesize",
            rf"  \setlength{{\tabcolsep}}{{{gap}}}",
            rf"  \begin{{tabular}}{{@{{}}{'l' * len(sheet.headers)}{'r' * len(sheet.columns)}@{{}}}}",
            r"    \toprule",
            "    " + _row([*map(text.latex, sheet.headers), *map(column, sheet.columns)]),
            r"    \midrule",
            *(f"    {row}" for row in body),
            r"    \bottomrule",
            r"  \end{tabular}",
            *_latex_notes(sheet.notes),
            rf"\end{{{environment}}}",
            "",
        ]
    )


def _latex_notes(notes: Sequence[str]) -> list[str]:
    if not notes:
        return []
    lines = [rf"    {text.latex(note)}\par" for note in notes]
    return [r"  \par\smallskip", r"  \parbox{\linewidth}{\scriptsize\raggedright", *lines, "  }"]


def _characters(sheet: Sheet) -> int:
    """Characters in the widest line, two for every gap included."""
    rows = [(*line.header, *(cell.text for cell in line.cells)) for line in sheet.lines]
    columns = zip(sheet.headers + sheet.columns, *rows, strict=True)
    return sum(max(map(len, column)) + 2 for column in columns)


def _stacked(name: str) -> str:
    """A column's name in LaTeX on two lines, where it has a space: columns of numbers are narrower than names."""
    spaces = [place for place, character in enumerate(name) if character == " "]
    if not spaces:
        return text.latex(name)
    middle = min(spaces, key=lambda place: abs(place - len(name) / 2))
    return rf"\shortstack[r]{{{text.latex(name[:middle])}\\{text.latex(name[middle + 1 :])}}}"


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _latex_cell(cell: Printed) -> str:
    mean, _, std = text.latex(cell.text).partition(r" $\pm$ ")
    marked = {1: rf"\textbf{{{mean}}}", 2: rf"\underline{{{mean}}}"}.get(cell.rank or 0, mean)
    spread = rf"{{\scriptsize\,$\pm$\,{std}}}" if std else ""
    seeds = f"$^{{({cell.n})}}$" if cell.n else ""
    # The sign takes no width, so that numbers with and without one stay in line.
    sign = rf"\rlap{{\textsuperscript{{{text.latex(cell.mark)}}}}}" if cell.mark else ""
    return marked + spread + seeds + sign


def to_markdown(sheet: Sheet) -> str:
    """The caption, a table as GitHub shows it, in columns that a terminal shows as well, and the notes."""
    rows = [
        [*map(text.markdown, sheet.headers + sheet.columns)],
        *(
            [*map(text.markdown, header), *map(_markdown_cell, line.cells)]
            for line, header in zip(sheet.lines, sheet.sparse, strict=True)
        ),
    ]
    widths = [max(4, *map(len, column)) for column in zip(*rows, strict=True)]
    left = len(sheet.headers)
    rule = [":" + "-" * (w - 1) if i < left else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    padded = [
        [
            cell.ljust(w) if i < left else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    ]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in [padded[0], rule, *padded[1:]])
    parts = [text.markdown(sheet.caption), table, *map(text.markdown, sheet.notes)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _markdown_cell(cell: Printed) -> str:
    printed = text.markdown(cell.text)
    marked = {1: f"**{printed}**", 2: f"<u>{printed}</u>"}.get(cell.rank or 0, printed)
    return marked + (f"<sup>({cell.n})</sup>" if cell.n else "") + cell.mark

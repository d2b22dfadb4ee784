"""How all figures look, and how they are saved: vector PDF with embedded fonts, the same bytes every time."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure

from aikd.errors import UserError
from aikd.files import write_together
from aikd.study.layout import RUNS

RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib, so every machine draws the same
    "mathtext.fontset": "dejavusans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 6,
    "legend.title_fontsize": 6,
    "legend.frameon": True,
    "legend.framealpha": 0.85,
    "legend.edgecolor": "none",
    "legend.borderpad": 0.3,
    "legend.labelspacing": 0.25,
    "legend.handlelength": 1.8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 3,
    "savefig.dpi": 300,
    "savefig.bbox": "tight",  # a title wider than its figure is not cut
    "savefig.pad_inches": 0.03,
    "pdf.fonttype": 42,
    "svg.hashsalt": "aikd",
}


@contextmanager
def styled() -> Iterator[None]:
    """Draws and saves in this style, whatever matplotlibrc the machine has; what was set before comes back."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


WIDTH = 7.0
"""Inches: both columns of a page."""

# Okabe and Ito's colours, which colour-blind readers tell apart; their yellow is too faint on white.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "*")


class Look(NamedTuple):
    """What tells a method, setting or class from the others."""

    colour: str
    marker: str


def look(position: int) -> Look:
    """The look of what stands at a position; when the colours are used up they repeat with other markers."""
    turn, place = divmod(position, len(COLOURS))
    return Look(COLOURS[place], MARKERS[(place + turn) % len(MARKERS)])


def nothing_to_draw(name: str, results: Path) -> UserError:
    """What to raise for a figure without any of its runs."""
    return UserError(
        f"{name}: nothing to draw, {results / RUNS} holds none of its runs; train, predict and calibrate them first"
    )


def save(figure: Figure, out: Path, name: str) -> list[Path]:
    """Writes `<name>.pdf` and `<name>.png` into `out`, without dates in them, and returns their paths."""
    contents = {}
    for kind, metadata in {"pdf": {"CreationDate": None}, "png": {"Software": None}}.items():
        drawn = BytesIO()
        figure.savefig(drawn, format=kind, metadata=metadata)
        figure.set_layout_engine("none")  # laid out once: that takes as long as drawing
        contents[out / f"{name}.{kind}"] = drawn.getvalue()
    write_together(contents)
    return list(contents)

"""Figures 4 and 5: reliability diagrams, accuracy against confidence."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aikd.metrics import ReliabilityBins
from aikd.results.aggregate import reliability_bins, seeds_text, summarise
from aikd.results.figures.style import WIDTH, look, nothing_to_draw
from aikd.results.text import mathtext
from aikd.study.metrics import METRICS
from aikd.study.specs import Cell, Curve, Panel, ReliabilitySpec

COLUMNS = 3


def draw(spec: ReliabilitySpec, results: Path) -> Figure:
    """One panel a data set: accuracy against mean confidence, and below it the share of images in every bin.

    Raises:
        UserError: none of the runs is there, or runs of one curve have different numbers of bins.
    """
    panels = [(panel, [d for curve in panel.curves if (d := read(curve, results))]) for panel in spec.panels]
    if not any(curves for _, curves in panels):
        raise nothing_to_draw(spec.name, results)
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    width = WIDTH if columns == COLUMNS else columns * WIDTH / 2
    figure = Figure(figsize=(width, rows * 3.1), layout="constrained")
    grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=(4, 1) * rows)
    for place, (panel, curves) in enumerate(panels):
        row, column = divmod(place, columns)
        axes, strip = grid[2 * row : 2 * row + 2, column]
        _draw_panel(axes, spec, panel, curves)
        _draw_strip(strip, spec, curves)
        if column == 0:
            axes.set_ylabel("Accuracy")
            strip.set_ylabel("Images (%)", fontsize="small")
        if place + columns >= len(panels):
            strip.set_xlabel("Confidence")
    for unused in grid[-2:, len(panels) - (rows - 1) * columns :].flat:
        unused.remove()
    return figure


@dataclass(frozen=True)
class Drawn:
    """A curve whose runs are there."""

    curve: Curve
    bins: ReliabilityBins
    """Pooled over seeds."""
    ece: float
    """Percent, mean over seeds, as in Table 3."""
    n: int
    """Seeds."""


def read(curve: Curve, results: Path) -> Drawn | None:
    """What the runs of a curve say; None where none is there."""
    ece = summarise(Cell("ece", curve.paths, curve.scheme), results)
    found = [reliability_bins(results, path, curve.scheme) for path in curve.paths]
    pooled = [bins for bins in found if bins]
    return Drawn(curve, ReliabilityBins.pool(pooled), ece.mean, ece.n) if ece else None


def _draw_panel(axes: Axes, spec: ReliabilitySpec, panel: Panel, curves: list[Drawn]) -> None:
    axes.plot([0, 1], [0, 1], ls=(0, (4, 3)), color="0.4", lw=0.8)
    for drawn in curves:
        filled = drawn.bins.count > 0
        axes.plot(
            drawn.bins.confidence[filled],
            drawn.bins.accuracy[filled],
            label=f"{mathtext(drawn.curve.label)}: {drawn.ece:.{METRICS['ece'].decimals}f}",
            clip_on=False,
            **_line(spec, drawn.curve),
        )
    axes.set(title=mathtext(panel.title), xlim=(0, 1), ylim=(0, 1))
    axes.tick_params(labelbottom=False)
    if curves:
        planned = max(len(curve.paths) for curve in panel.curves)
        axes.legend(title=f"ECE (%), {seeds_text([drawn.n for drawn in curves], planned)}")
    else:
        axes.text(0.5, 0.25, "no results", ha="center", va="center", color="0.4")


def _draw_strip(axes: Axes, spec: ReliabilitySpec, curves: list[Drawn]) -> None:
    for drawn in curves:
        count = drawn.bins.count
        share = np.where(count > 0, 100 * count / count.sum(), np.nan)
        line = _line(spec, drawn.curve)
        axes.stairs(share, np.linspace(0, 1, len(share) + 1), color=line["color"], ls=line["ls"], lw=0.9)
    axes.set(xlim=(0, 1), yscale="log", ylim=(0.03, 100), yticks=(0.1, 1, 10, 100))
    axes.set_yticks([], minor=True)
    axes.yaxis.set_major_formatter("{x:g}")


def _line(spec: ReliabilitySpec, curve: Curve) -> dict[str, Any]:
    """A method's colour and marker; calibrated curves are dashed with open markers."""
    colour, marker = look(spec.methods.index(curve.method))
    if curve.scheme == "none":
        return {"color": colour, "marker": marker, "ls": "-"}
    return {"color": colour, "marker": marker, "ls": "--", "markerfacecolor": "white"}

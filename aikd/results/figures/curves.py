"""Figure 7b: a metric along single settings."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aikd.results.aggregate import Summary, seeds_text, summarise
from aikd.results.figures.style import Look, look, nothing_to_draw
from aikd.results.text import mathtext
from aikd.study.metrics import METRICS
from aikd.study.specs import CurvesSpec, Line


def draw(spec: CurvesSpec, results: Path) -> Figure:
    """One line a setting: means with bars and a band of ± one standard deviation; missing points are skipped.

    Raises:
        UserError: none of the runs is there.
    """
    figure = Figure(figsize=(3.4, 2.6), layout="constrained")
    axes = figure.subplots()
    present = [s for i, line in enumerate(spec.lines) for s in _draw_line(axes, line, look(i), results)]
    if not present:
        raise nothing_to_draw(spec.name, results)
    whole = all(value.is_integer() for line in spec.lines for value in line.values)
    axes.locator_params(axis="x", integer=whole)
    axes.set_xlabel(", ".join(mathtext(line.label) for line in spec.lines))
    axes.set_ylabel(METRICS[spec.lines[0].cells[0].metric].label)
    planned = max(len(cell.paths) for line in spec.lines for cell in line.cells)
    axes.set_title(f"{mathtext(spec.title)} ({seeds_text([s.n for s in present], planned)})")
    axes.legend(title="mean ± std" if any(s.n > 1 for s in present) else None)
    return figure


def _draw_line(axes: Axes, line: Line, style: Look, results: Path) -> list[Summary]:
    found = {
        value: summary
        for value, cell in sorted(zip(line.values, line.cells, strict=True), key=lambda point: point[0])
        if (summary := summarise(cell, results))
    }
    summaries = list(found.values())
    if summaries:
        values, label = list(found), mathtext(line.label)
        means = np.array([summary.mean for summary in summaries])
        std = np.array([summary.std for summary in summaries])
        axes.errorbar(
            values, means, std, color=style.colour, marker=style.marker, label=label,
            elinewidth=0.6, capsize=1.5, capthick=0.6,
        )  # fmt: skip
        axes.fill_between(values, means - std, means + std, color=style.colour, alpha=0.15, linewidth=0)
    return summaries

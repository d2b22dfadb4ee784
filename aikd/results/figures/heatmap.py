"""Figure 7a: the mean of a metric over a grid of two settings."""

from pathlib import Path

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from aikd.results.aggregate import seeds_text, summarise
from aikd.results.figures.style import nothing_to_draw
from aikd.results.tables import mean_text, ranks
from aikd.results.text import mathtext
from aikd.study.metrics import METRICS
from aikd.study.specs import HeatmapSpec

BEST = "#D55E00"
"""Colour of the outline of the best cell."""


def draw(spec: HeatmapSpec, results: Path) -> Figure:
    """The grid with its means written in; cells that print the best one are outlined, missing ones blank.

    Raises:
        UserError: none of the runs is there.
    """
    summaries = [summarise(cell, results) for row in spec.cells for cell in row]
    counts = [summary.n for summary in summaries if summary]
    if not counts:
        raise nothing_to_draw(spec.name, results)
    metric = METRICS[spec.cells[0][0].metric]
    means = np.array([summary.mean if summary else np.nan for summary in summaries])
    printed = [None if np.isnan(mean) else float(mean_text(mean, metric.decimals)) for mean in means]
    height, width = len(spec.y_values), len(spec.x_values)

    figure = Figure(figsize=(0.65 * width + 1.2, 0.55 * height + 0.9), layout="constrained")
    axes = figure.subplots()
    sns.heatmap(
        means.reshape(height, width), annot=True, fmt=f"z.{metric.decimals}f", cmap="viridis", linewidths=1,
        xticklabels=spec.x_values, yticklabels=spec.y_values, cbar_kws={"label": metric.label}, ax=axes,
    )  # fmt: skip
    for place, rank in enumerate(ranks(printed, metric.best)):
        if rank == 1:
            y, x = divmod(place, width)
            axes.add_patch(Rectangle((x, y), 1, 1, fill=False, ec=BEST, lw=2, clip_on=False))
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.tick_params(length=0, labelrotation=0)
    axes.set(xlabel=mathtext(spec.x_label), ylabel=mathtext(spec.y_label))
    planned = max(len(cell.paths) for row in spec.cells for cell in row)
    axes.set_title(f"{mathtext(spec.title)} ({seeds_text(counts, planned)})")
    return figure

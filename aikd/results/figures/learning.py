"""Learning curves: errors, losses and the critic's state over epochs, so that what went wrong is seen."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aikd.errors import UserError
from aikd.results.aggregate import seeds_text
from aikd.results.figures.style import WIDTH, Look, look, nothing_to_draw
from aikd.results.histories import CRITIC, label, panels, read_history
from aikd.results.text import mathtext, setting_label
from aikd.study.specs import Group, LearningSpec

COLUMNS = 4
FEW = 15
"""Points up to which each is marked."""
UNBOUND = ("adversarial", *CRITIC)
HIGH = 20
"""Where a critic without constraint reaches beyond, its axes are logarithmic outside ±1: others stay to be seen."""
HEALTHY = {"gradient_norm": 1.0, "distance": 0.0}
"""Where a line shows what to compare with: a trained critic's gradient has norm 1 (eq. 6)."""


def draw(spec: LearningSpec, results: Path) -> Figure:
    """One panel a column of `history.csv`: means over seeds with a band of ± one standard deviation.

    Raises:
        UserError: none of the runs is there, or a history is damaged.
    """
    found = {group: _histories(group, results) for group in spec.groups}
    present = {group: histories for group, histories in found.items() if histories}
    if not present:
        raise nothing_to_draw(spec.name, results)
    there = panels([history for histories in present.values() for history in histories])
    for name in (name for name in spec.columns if name not in there):
        raise UserError(
            f"{spec.name}: no run has a column {name!r} in its history; there are: {', '.join(there)}"
        )
    names = spec.columns or there
    rows = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(WIDTH, 1.45 * rows + 0.7), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False).flat
    epochs = max(len(history) for histories in present.values() for history in histories)
    for i, (axes, name) in enumerate(zip(grid, names, strict=False)):
        _draw_panel(axes, name, spec, present)
        axes.set_xlim(1 - 0.02 * epochs, epochs * 1.02)
        if i + COLUMNS >= len(names):
            axes.set_xlabel("Epoch", labelpad=1)
    for unused in grid[len(names) :]:
        unused.remove()
    handles = [
        Line2D([], [], label=_name(group), **_line(look(i)))
        for i, group in enumerate(spec.groups)
        if group in present
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)))
    counts = [len(histories) for histories in present.values()]
    planned = max(len(group.paths) for group in spec.groups)
    spread = "; mean ± std" if max(counts) > 1 else ""
    figure.suptitle(f"{mathtext(spec.title)} ({seeds_text(counts, planned)}{spread})", fontsize="medium")
    return figure


def _histories(group: Group, results: Path) -> list[pd.DataFrame]:
    return [history for path in group.paths if (history := read_history(results, path)) is not None]


def _name(group: Group) -> str:
    parts = (part.partition("=") for part in group.label.split(", "))
    return mathtext(", ".join(f"{setting_label(key)}{sign}{value}" for key, sign, value in parts))


def _line(style: Look) -> dict[str, Any]:
    return {"color": style.colour, "marker": style.marker, "markersize": 2, "linewidth": 1}


def _draw_panel(axes: Axes, name: str, spec: LearningSpec, present: dict[Group, list[pd.DataFrame]]) -> None:
    for i, group in enumerate(spec.groups):
        columns = [history[name] for history in present.get(group, []) if name in history]
        if not columns:
            continue
        # Only epochs that all of them looked at: the mean over other seeds at other epochs would be no curve.
        over = pd.concat(columns, axis=1).dropna()
        mean, std = over.mean(axis=1), over.std(axis=1).fillna(0.0)
        line = _line(look(i)) | ({} if len(mean) <= FEW else {"marker": ""})
        axes.plot(mean.index, mean, **line)
        axes.fill_between(mean.index, mean - std, mean + std, color=line["color"], alpha=0.15, linewidth=0)
    if name in HEALTHY:
        axes.axhline(HEALTHY[name], color="0.4", lw=0.8, ls=(0, (4, 3)), zorder=0)
    reach = max(abs(axes.dataLim.y0), abs(axes.dataLim.y1)) if axes.lines else 0
    if name in UNBOUND and reach > HIGH:
        axes.set_yscale("symlog", linthresh=1)
    axes.set_title(label(name))
    axes.locator_params(axis="x", integer=True, nbins=5)

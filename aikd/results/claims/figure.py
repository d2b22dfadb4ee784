"""The claims as a forest plot: our effects with intervals, the published ones beside them, what is claimed behind."""

from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from aikd.messages import counted
from aikd.results.claims.ledger import Finding
from aikd.results.claims.verdicts import Verdict
from aikd.results.figures.style import WIDTH
from aikd.results.text import mathtext

LOOKS: dict[Verdict, tuple[str, str]] = {
    "holds": ("#009E73", "o"),
    "inconclusive": ("0.45", "s"),
    "fails": ("#D55E00", "X"),
}
"""Colour and marker: told apart without colour, too."""
PUBLISHED = "0.1"
DIAMOND: dict[str, Any] = {
    "marker": "D",
    "markersize": 2.4,
    "markerfacecolor": "white",
    "markeredgewidth": 0.5,
}
CLAIMED = "#DCEAF7"
ROW, HEAD, FOOT, TOP = 0.135, 0.17, 0.19, 0.52
"""Inches: a claim, a group's title, its axis, the legend."""
CORRECTION = "Intervals are not corrected for the number of claims; verdicts are, within each panel (Holm)"
LABELS, GAP = 1.85, 0.12
"""Inches for the names of claims, and to the right of a panel."""
PRINT, FITTING = 5.5, 42
"""Points of small print, and how many letters of it fit before a panel; longer names are set smaller."""
ONE_COLUMN = 4.5
"""Inches that panels may stand high in one column."""


def draw(found: Sequence[Finding]) -> Figure:
    """One row a claim that was checked, one panel a group; at least one must have been.

    Intervals that a panel cannot show end in arrows.
    """
    checked = [finding for finding in found if finding.estimate]
    names = dict.fromkeys(finding.bound.claim.group for finding in checked)
    groups = [[finding for finding in checked if finding.bound.claim.group == name] for name in names]
    columns = _columns(groups) if sum(map(_height, groups)) > ONE_COLUMN else [groups]
    height = max(sum(map(_height, column)) for column in columns) + TOP
    figure = Figure(figsize=(WIDTH, height))
    width = WIDTH / len(columns)
    for i, column in enumerate(columns):
        top = height - TOP
        for group in column:
            left, bottom = i * width + LABELS, top - HEAD - len(group) * ROW
            box = left / WIDTH, bottom / height, (width - LABELS - GAP) / WIDTH, len(group) * ROW / height
            _draw_group(figure.add_axes(box), group)
            place = (i * width + GAP) / WIDTH, (top - HEAD + 0.03) / height
            figure.text(*place, _title(group), fontsize=6, fontweight="bold", va="bottom")
            top -= _height(group)
    _draw_legend(figure, found, height)
    return figure


def _height(group: Sequence[Finding]) -> float:
    return HEAD + len(group) * ROW + FOOT


def _columns(groups: Sequence[list[Finding]]) -> list[list[list[Finding]]]:
    """Two columns in the order given, as equal in height as can be."""
    heights = [_height(group) for group in groups]
    cut = min(range(1, len(groups) + 1), key=lambda i: max(sum(heights[:i]), sum(heights[i:])))
    return [column for column in (list(groups[:cut]), list(groups[cut:])) if column]


def _draw_group(axes: Axes, group: Sequence[Finding]) -> None:
    low, high = _limits(group)
    axes.set_xlim(low, high)
    axes.set_ylim(len(group) - 0.5, -0.5)
    for row, finding in enumerate(group):
        _draw_claim(axes, row, finding)
    if low < 0 < high:
        axes.axvline(0, color="0.3", linewidth=0.5, zorder=1.5)
    labels = [finding.bound.label for finding in group]
    axes.set_yticks(range(len(group)), map(mathtext, labels), fontsize=PRINT)
    for drawn, label in zip(axes.get_yticklabels(), labels, strict=True):
        drawn.set_fontsize(PRINT * min(1.0, FITTING / len(label)))
    axes.tick_params(axis="x", labelsize=PRINT, pad=1.5, length=2)
    axes.tick_params(axis="y", length=0, pad=2)
    axes.grid(visible=False, axis="y")
    axes.locator_params(axis="x", nbins=5)
    axes.spines["left"].set_visible(False)


def _title(group: Sequence[Finding]) -> str:
    claim = group[0].bound.claim
    unit = "fraction" if claim.metric == "f1" else "points" if claim.contrasts[0].minus else "%"
    return f"{mathtext(claim.group)} ({unit})"


def _limits(group: Sequence[Finding]) -> tuple[float, float]:
    """What a panel shows: effects, ours and published, the bounds of what is claimed, intervals up to some width."""
    points: list[float] = []
    ends: list[float] = []
    for finding in group:
        for estimate in filter(None, (finding.estimate, finding.published)):
            points.append(estimate.mean)
            ends += estimate.interval or ()
        contrast = finding.contrast
        points += [end for end in (contrast.low, contrast.high) if end is not None] if contrast else []
    low, high = min(points), max(points)
    room = (high - low) or 1.0
    shown = [min(max(end, low - room), high + room) for end in ends]
    low, high = min([low, *shown]), max([high, *shown])
    return low - 0.06 * (high - low or room), high + 0.06 * (high - low or room)


def _draw_claim(axes: Axes, row: int, finding: Finding) -> None:
    low, high = axes.get_xlim()
    contrast, ours, theirs = finding.contrast, finding.estimate, finding.published
    if contrast:
        start = low if contrast.low is None else contrast.low
        end = high if contrast.high is None else contrast.high
        axes.add_patch(
            Rectangle((start, row - 0.42), end - start, 0.84, color=CLAIMED, linewidth=0, zorder=0.6)
        )
    if theirs:
        _bar(axes, row + 0.2, theirs.interval, PUBLISHED, 0.4)
        axes.plot(theirs.mean, row + 0.2, color=PUBLISHED, **DIAMOND)
    if ours:
        colour, marker = LOOKS[finding.verdict]
        _bar(axes, row - 0.16, ours.interval, colour, 1.0)
        axes.plot(ours.mean, row - 0.16, marker, color=colour, markersize=3.4, markeredgewidth=0)


def _bar(axes: Axes, y: float, interval: tuple[float, float] | None, colour: str, width: float) -> None:
    """An interval; an end that lies outside of the panel is an arrow at its edge."""
    if interval is None:
        return
    low, high = axes.get_xlim()
    ends = max(interval[0], low), min(interval[1], high)
    axes.plot(ends, (y, y), color=colour, linewidth=width, solid_capstyle="butt")
    for end, edge, arrow in ((interval[0], low, "<"), (interval[1], high, ">")):
        if end < low or end > high:
            axes.plot(edge, y, arrow, color=colour, markersize=2.6, markeredgewidth=0, clip_on=False)


def _draw_legend(figure: Figure, found: Sequence[Finding], height: float) -> None:
    counts = {verdict: sum(f.verdict == verdict for f in found) for verdict in (*LOOKS, "not run")}
    handles: list[Artist] = [
        Line2D(
            [],
            [],
            color=colour,
            marker=marker,
            markersize=3.4,
            markeredgewidth=0,
            label=f"{name} ({counts[name]})",
        )
        for name, (colour, marker) in LOOKS.items()
    ]
    if any(finding.published for finding in found if finding.estimate):
        handles += [Line2D([], [], linewidth=0.4, label="published", color=PUBLISHED, **DIAMOND)]
    handles += [Patch(color=CLAIMED, linewidth=0, label="where the claim has it")]
    elsewhere = any(f.printed and f.bound.scope in ("reduced", "other") for f in found)
    title = "Effect that decides each claim, mean over seeds with its 95 % interval"
    title += ", not under the paper's conditions" if elsewhere else ""
    title += f" ({counted(counts['not run'], 'claim')} not run)" if counts["not run"] else ""
    title += f"\n{CORRECTION}"
    figure.legend(
        handles=handles, loc="upper center", ncols=len(handles), bbox_to_anchor=(0.5, 1 - 0.02 / height), title=title,
        borderaxespad=0,
    )  # fmt: skip

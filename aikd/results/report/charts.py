"""Small drawings within the page: SVG that takes its colours from the page, light or dark."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd
from markupsafe import Markup

WIDTH, HEIGHT = 120, 28
POINTS = 60
"""Most points of a line: a page of 312 runs should stay a page."""
STRIP = 640, 200
EDGE = 36
"""Room for the labels of the vertical axis."""


@dataclass(frozen=True)
class Range:
    """What a vertical axis spans."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Range":
        """The range of all values that are there; something around them where they are all one."""
        found = np.asarray([value for value in values if np.isfinite(value)], float)
        if not len(found):
            return cls(0.0, 1.0)
        low, high = float(found.min()), float(found.max())
        room = 0.04 * (high - low) or 0.5
        return cls(low - room, high + room)

    def place(self, value: float, height: float) -> float:
        """Distance from the top, in units of the drawing."""
        return height * (self.high - value) / (self.high - self.low)


def sparkline(lines: dict[str, "pd.Series[float]"], span: Range, said: str) -> Markup:
    """Lines over epochs, without axes: all that share `span` can be compared by eye.

    Args:
        lines: by class name of the page's style; missing values are skipped.
        said: what a reader who cannot see it is told.
    """
    drawn = "".join(
        f'<polyline class="{name}" points="{_points(line, span)}"/>' for name, line in lines.items()
    )
    return Markup(
        f'<svg class="spark" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(said)}">{drawn}</svg>'
    )


def _points(line: "pd.Series[float]", span: Range) -> str:
    found = line.dropna()
    if len(found) > POINTS:
        found = found.iloc[np.linspace(0, len(found) - 1, POINTS).round().astype(int)]
    first, last = float(line.index[0]), float(line.index[-1])
    epochs = (found.index.to_numpy(float) - first) / (last - first or 1.0)
    return " ".join(
        f"{WIDTH * x:.4g},{span.place(float(y), HEIGHT):.4g}" for x, y in zip(epochs, found, strict=True)
    )


def strip(frame: pd.DataFrame, said: str) -> Markup:
    """Classes in the order of their differences, each with its interval; what stands below zero is helped.

    Args:
        frame: rows of `classes.csv` of one comparison.
    """
    width, height = STRIP
    ordered = frame.sort_values(["difference", "class"])
    span = Range.of([0.0, *ordered["difference"], *ordered["low"], *ordered["high"]])
    step = (width - EDGE - 8) / len(ordered)
    marks = [_axis(value, span) for value in _ticks(span)]
    for i, row in enumerate(ordered.to_dict("records")):
        x, y = EDGE + 4 + step * (i + 0.5), span.place(row["difference"], height)
        side = "down" if row["difference"] < 0 else "up" if row["difference"] > 0 else "none"
        if np.isfinite(row["low"]):
            low, high = span.place(row["low"], height), span.place(row["high"], height)
            marks.append(f'<path class="whisker" d="M{x:.1f} {low:.1f}V{high:.1f}"/>')
        title = f"{row['class']}: {row['difference']:+.2f}"
        marks.append(
            f'<circle class="{side}" cx="{x:.1f}" cy="{y:.1f}" r="{min(4.0, max(1.6, step / 3)):.1f}">'
        )
        marks.append(f"<title>{escape(title)}</title></circle>")
    return Markup(
        f'<svg class="strip" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(said)}">'
        f"{''.join(marks)}</svg>"
    )


def _ticks(span: Range) -> list[float]:
    """Round numbers within the range, zero among them."""
    rough = (span.high - span.low) / 4
    power = 10 ** np.floor(np.log10(rough))
    unit = float(min((u * power for u in (1, 2, 5, 10)), key=lambda u: abs(u - rough)))
    return [unit * i for i in range(int(np.ceil(span.low / unit)), int(np.floor(span.high / unit)) + 1)]


def _axis(value: float, span: Range) -> str:
    y = span.place(value, STRIP[1])
    kind = "zero" if value == 0 else "line"
    text = f"{value:+g}".replace("-", "−") if value else "0"
    return (
        f'<path class="{kind}" d="M{EDGE} {y:.1f}H{STRIP[0]}"/>'
        f'<text x="{EDGE - 4}" y="{min(max(y + 4, 10), STRIP[1] - 2):.1f}">{text}</text>'
    )

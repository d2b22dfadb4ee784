"""What a run wrote down of itself, epoch by epoch."""

import csv
import io
import math
from pathlib import Path
from typing import Any

from aikd.files import write_text

LEADING = ("epoch", "learning_rate", "loss")
TRAILING = ("train_error", "test_error", "seconds", "images_per_second")
RESERVED = frozenset(LEADING + TRAILING)
"""Columns that no loss term can be called."""


def write_history(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write `history.csv`: one row an epoch (from 1), errors in percent, one column for each loss term.

    `test_error` is empty in epochs without a look at the evaluation set.
    """
    terms = [key for key in rows[0] if key not in LEADING + TRAILING]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [*LEADING, *terms, *TRAILING], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, buffer.getvalue())


def first_not_finite(names: list[str], values: list[list[float]]) -> tuple[str, int] | None:
    """The first term that turned NaN or infinite, and the step (from 1) where it did; None if all is well.

    `values` is one row a step, one number for each name.
    """
    for step, row in enumerate(values, 1):
        for name, value in zip(names, row, strict=True):
            if not math.isfinite(value):
                return name, step
    return None

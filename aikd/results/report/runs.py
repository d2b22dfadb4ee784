"""Every run of the study: what came out, how it went, what it took."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from markupsafe import Markup

from aikd.records import read_summary
from aikd.results.aggregate import all_runs, costs
from aikd.results.histories import read_history
from aikd.results.report.charts import Range, sparkline
from aikd.study import beside
from aikd.study.layout import RUNS
from aikd.study.schema import Study


@dataclass(frozen=True)
class Curve:
    """A small drawing, and the value at its end."""

    chart: Markup
    last: float


@dataclass(frozen=True)
class Entry:
    """A row of the list of runs; what a run does not have is None."""

    name: str
    link: str
    done: bool
    error: float | None
    ece: float | None
    epochs: int | None
    seconds: float | None
    interruptions: int
    errors: Markup | None
    """Test and training error over epochs."""
    distance: Curve | None
    norm: Curve | None
    """The critic's, of runs that have one."""


@dataclass(frozen=True)
class Block:
    """The runs of one data set and model."""

    title: str
    entries: list[Entry]
    done: int


@dataclass(frozen=True)
class Cost:
    """What the runs of one method took."""

    title: str
    method: str
    runs: int
    seconds: float
    images_per_second: float
    memory_mb: float | None
    device_memory_mb: float | None


@dataclass(frozen=True)
class Found:
    """All that there is to say of runs."""

    blocks: list[Block]
    costs: list[Cost]
    planned: int
    done: int
    seconds: float
    provenance: list[tuple[str, list[tuple[str, int]]]]
    """What was recorded of all runs: the name of it, and each value with the number of runs that have it."""


PROVENANCE = {
    "revision": "Revision of the code",
    "device": "Device",
    "python": "Python",
    "torch": "PyTorch",
    "torchvision": "torchvision",
    "numpy": "NumPy",
}


def collect(study: Study, results: Path, paths: Sequence[str]) -> Found:
    """Reads all runs.

    Raises:
        UserError: a file of a run is damaged, or does not belong to it or beside the others.
    """
    frame = all_runs(results, paths).merge(costs(results, paths), on="run")
    present = frame[frame["seconds"].notna()]
    blocks = []
    for pair, rows in frame.groupby(["dataset", "model"], sort=False):
        title = _title(study, pair)
        entries = list(_entries(results, rows))
        blocks.append(Block(title, entries, sum(entry.done for entry in entries)))
    return Found(
        blocks,
        list(_costs(study, present)),
        len(frame),
        len(present),
        float(present["seconds"].sum()),
        list(_provenance(present)),
    )


def _provenance(present: pd.DataFrame) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    for column, label in (PROVENANCE | {"precision": "Precision"}).items():
        counts = present[column].dropna().astype(str).value_counts(sort=False)
        if len(counts):
            yield label, [(str(value), int(count)) for value, count in sorted(counts.items())]


def _costs(study: Study, present: pd.DataFrame) -> Iterator[Cost]:
    for (*pair, method), rows in present.groupby(["dataset", "model", "method"], sort=False):
        yield Cost(
            _title(study, pair),
            str(method),
            len(rows),
            float(rows["seconds"].sum()),
            float(rows["images_per_second"].median()),
            _most(rows["memory_mb"]),
            _most(rows["device_memory_mb"]),
        )


def _title(study: Study, pair: Any) -> str:
    dataset, model = pair
    return beside.title(study, (dataset, model))


def _most(column: "pd.Series[Any]") -> float | None:
    return float(column.max()) if column.notna().any() else None


def _entries(results: Path, rows: pd.DataFrame) -> Iterator[Entry]:
    histories = {run: read_history(results, run) for run in rows["run"]}
    present = [history for history in histories.values() if history is not None]
    spans = {
        name: Range.of([x for history in present if name in history for x in history[name]])
        for name in ("distance", "gradient_norm")
    }
    # Early training errors, which are high everywhere, are cut off: they would flatten all the rest.
    errors = Range.of([0.0, *(x for history in present for x in history["test_error"])])
    for row in rows.to_dict("records"):
        run, history = row["run"], histories[row["run"]]
        summary = read_summary(results, run) or {}
        yield Entry(
            name="/".join(run.split("/")[2:]),
            link=quote(f"{RUNS}/{run}/", safe="/=,"),
            done=history is not None,
            error=_number(row.get("top1_error")),
            ece=_number(row.get("ece")),
            epochs=None if pd.isna(row["epochs"]) else int(row["epochs"]),
            seconds=_number(row["seconds"]),
            interruptions=len(summary.get("resumed_at") or ()),
            errors=None if history is None else _errors(history, errors),
            distance=_curve(history, "distance", spans, 0.0),
            norm=_curve(history, "gradient_norm", spans, 1.0),
        )


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _errors(history: pd.DataFrame, span: Range) -> Markup:
    test = history["test_error"].dropna()
    said = f"Test error {test.iloc[0]:.1f} to {test.iloc[-1]:.1f} %" if len(test) else "No test error"
    return sparkline({"train": history["train_error"], "test": history["test_error"]}, span, said)


def _curve(history: pd.DataFrame | None, name: str, spans: dict[str, Range], wanted: float) -> Curve | None:
    """A line over epochs, with another where a healthy critic would be."""
    if history is None or name not in history:
        return None
    line = history[name]
    span = spans[name]
    span = Range(min(span.low, wanted - 0.05 * (span.high - span.low)), max(span.high, wanted * 1.05))
    said = f"{name.replace('_', ' ')} {line.iloc[0]:.3g} to {line.iloc[-1]:.3g}"
    ideal = pd.Series(np.full(len(line), wanted), index=line.index).iloc[[0, -1]]
    return Curve(sparkline({"ideal": ideal, "critic": line}, span, said), float(line.iloc[-1]))

"""From the files of runs to numbers over seeds: a missing run is a missing value, a broken file an error."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from aikd.errors import UserError
from aikd.files import write_together
from aikd.messages import plural
from aikd.metrics import ReliabilityBins
from aikd.records import read_metrics, read_summary, same_training
from aikd.study.layout import METRICS, RUNS, SUMMARY
from aikd.study.metrics import MetricName, Scheme
from aikd.study.run import Run
from aikd.study.specs import Cell

AGAIN = "delete it and calibrate the run again"


@dataclass(frozen=True)
class Summary:
    """A metric over seeds, in the metric's own unit."""

    mean: float
    std: float
    """Sample standard deviation (ddof=1); nan for a single seed."""
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """The summary of at least one value."""
        std = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
        return cls(float(np.mean(values)), std, len(values))


def run_file(results: Path, run: str, name: str) -> Path:
    """Where a run keeps one of its files, for example `metrics.json`."""
    return results / RUNS / run / name


def _entry(path: Path, found: Any, *keys: str) -> Any:
    """What a JSON file, of which the content was found, holds under nested keys; None where there is no file."""
    if found is None:
        return None
    for depth, key in enumerate(keys):
        if not isinstance(found, dict) or key not in found:
            there = ", ".join(found) if isinstance(found, dict) else repr(found)
            raise UserError(
                f"{path}: {'.'.join(keys[: depth + 1])} is missing; found {there or 'nothing'}; {AGAIN}"
            )
        found = found[key]
    return found


def metric_value(results: Path, run: str, metric: MetricName, scheme: Scheme = "none") -> float | None:
    """One metric of one run in its own unit (errors, ECE and gap: percent); None where the run has none.

    Raises:
        UserError: `metrics.json` is broken, not of the run's last training, lacks the metric, or holds something
            that is not a finite number.
    """
    path, found = run_file(results, run, METRICS), read_metrics(results, run)
    key = metric if scheme == "none" else f"{metric}_{scheme}"
    value = _entry(path, found, "metrics", key)
    return None if found is None else _finite(path, key, value)


def _finite(path: Path, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{path}: metrics.{key} must be a finite number, found {value!r}; {AGAIN}")
    return float(value)


def reliability_bins(results: Path, run: str, scheme: Scheme = "none") -> ReliabilityBins | None:
    """The reliability diagram of one run; None where the run has no metrics.

    Raises:
        UserError: `metrics.json` is broken, not of the run's last training, or lacks the bins.
    """
    path, found = run_file(results, run, METRICS), read_metrics(results, run)
    stored = _entry(path, found, "bins", scheme)
    if found is None:
        return None
    try:
        return ReliabilityBins.from_json(stored)
    except (UserError, TypeError, ValueError) as error:
        raise UserError(f"{path}: bins.{scheme}: {error}; {AGAIN}") from None


def summarise(cell: Cell, results: Path) -> Summary | None:
    """Mean and spread of a cell over those of its seeds that are there; None where none is.

    Raises:
        UserError: see `metric_value`.
    """
    values = [metric_value(results, run, cell.metric, cell.scheme) for run in cell.paths]
    present = [value for value in values if value is not None]
    return Summary.of(present) if present else None


def seeds_text(counts: Sequence[int], planned: int) -> str:
    """How many seeds stand behind numbers: `n = 3 seeds`, or `n = 1–3 of 3 seeds` where some are missing."""
    low, high = min(counts), max(counts)
    n = f"{low}" if low == high else f"{low}–{high}"
    of = "" if low == planned else f" of {planned}"
    return f"n = {n}{of} {plural(planned, 'seed')}"


def all_runs(results: Path, paths: Sequence[str]) -> pd.DataFrame:
    """One row a run, in the order given: what it is, every metric, and how its training went.

    Metrics keep their units (errors, ECE and gap: percent). What a run does not have is missing. Nothing here
    differs between two runs of the same settings on the same machine: what does stands in `costs`.

    Raises:
        UserError: not the path of a run, or a file that is broken or does not belong.
    """
    same_training(results, paths)
    rows = [_identity(path) | _measured(results, path) | _training(results, path) for path in paths]
    columns = dict.fromkeys(name for row in rows for name in row if name not in _TRAINING)
    frame = pd.DataFrame(rows, columns=[*columns, *_TRAINING])
    return frame.astype({name: "Int64" for name in _WHOLE_NUMBERS if name in frame})


_TRAINING = {
    "epochs": ("epochs",),
    "parameters": ("parameters",),
    "final_train_error": ("final", "train_error"),
    "final_test_error": ("final", "test_error"),
    "best_epoch": ("best", "epoch"),
    "best_test_error": ("best", "test_error"),
    "precision": ("precision",),
}
"""Columns of `all_runs` and where `train.json` holds them."""
_WHOLE_NUMBERS = ("seed", "images", "epochs", "parameters", "best_epoch")


def costs(results: Path, paths: Sequence[str]) -> pd.DataFrame:
    """One row a run, in the order given: what its training took, where, and with which versions.

    `seconds` is wall time, `*_mb` the peak of main and of device memory in MB (1,000,000 bytes). What a run does
    not say of itself is missing.

    Raises:
        UserError: not the path of a run, or a file that is broken or another run's.
    """
    rows = []
    for path in paths:
        summary = read_summary(results, path)
        noted = {column: _noted(summary, *keys) for column, keys in _COSTS.items()}
        rows.append({"run": Run.from_path(path, written=True).path} | noted)
    frame = pd.DataFrame(rows, columns=["run", *_COSTS])
    whole_numbers = ("threads", "memory_mb", "device_memory_mb")
    return frame.astype(dict.fromkeys(whole_numbers, "Int64"))


_COSTS = {
    "seconds": ("seconds",),
    "images_per_second": ("images_per_second",),
    "device": ("device",),
    "threads": ("threads",),
    "memory_mb": ("peak_memory", "host_mb"),
    "device_memory_mb": ("peak_memory", "device_mb"),
    "revision": ("revision",),
    "python": ("versions", "python"),
    "torch": ("versions", "torch"),
    "torchvision": ("versions", "torchvision"),
    "numpy": ("versions", "numpy"),
}
"""Columns of `costs` and where `train.json` holds them, if it does."""


def _noted(found: Any, *keys: str) -> Any:
    """What stands under nested keys; None where it does not."""
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _identity(path: str) -> dict[str, Any]:
    run = Run.from_path(path, written=True)
    return {
        "run": run.path,
        "dataset": run.dataset,
        "model": run.model,
        "method": run.method,
        "settings": next((part for part in run.path.split("/")[3:-1] if "=" in part), ""),
        "augmentation": run.augmentation,
        "seed": run.seed,
    }


def _measured(results: Path, run: str) -> dict[str, Any]:
    path, found = run_file(results, run, METRICS), read_metrics(results, run)
    metrics = _entry(path, found, "metrics") or {}
    return {"images": _entry(path, found, "images")} | {
        key: _finite(path, key, x) for key, x in metrics.items()
    }


def _training(results: Path, run: str) -> dict[str, Any]:
    path, found = run_file(results, run, SUMMARY), read_summary(results, run)
    return {column: _entry(path, found, *keys) for column, keys in _TRAINING.items()}


def write_all_runs(results: Path, paths: Sequence[str], out: Path) -> None:
    """Writes `all_runs` and `costs` as the CSV files of these names into `out`, both or none."""
    frames = {"all_runs.csv": all_runs(results, paths), "costs.csv": costs(results, paths)}
    write_together({out / name: csv_text(frame).encode() for name, frame in frames.items()})


def csv_text(frame: pd.DataFrame) -> str:
    """A table as CSV with every digit of its numbers and no index."""
    return frame.to_csv(index=False, lineterminator="\n")

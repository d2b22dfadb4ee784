"""What the paper prints, found by what was run and not by what it is called.

`published.csv` holds every number of Tables 1 to 7 under the paper's own names. Its column `note` says what is wrong
with a number. A row without a number is a remark on all those that its other columns name.
"""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Self

from aikd.results.aggregate import Summary
from aikd.study.methods import VARIED
from aikd.study.metrics import MetricName, Scheme
from aikd.study.run import STANDARD, Run

RUNS = 3
"""Runs behind each of the paper's means (section 4)."""

DATA_SETS = {
    "CIFAR-100": "cifar100",
    "Tiny-ImageNet": "tiny_imagenet",
    "CUB200-2011": "cub200",
    "Stanford Dogs": "stanford_dogs",
    "MIT67": "mit67",
    "FGVC Aircraft": "fgvc_aircraft",
}
METHODS = {"Baseline": "baseline", "CS-KD": "cskd", "TF-KD": "tfkd", "PS-KD": "pskd", "AI-KD": "aikd"}
METRICS: dict[str, MetricName] = {
    "Top-1 error (%)": "top1_error",
    "Top-5 error (%)": "top5_error",
    "F1 macro": "f1",
    "ECE (%)": "ece",
}
COUNTS = {"classes": "classes", "train images": "train", "valid images": "test"}
CALIBRATED = "+TS"
VARIANTS: dict[str, dict[str, float]] = {
    "": {},
    "full": {},
    "Baseline": {},
    CALIBRATED: {},
    "No Adv": {"omega": 0},
    "Only Progressive": {"alpha_g": 0, "omega": 0},
    "Only Guide": {"alpha_p": 0, "omega": 0},
}
"""Variants with a name (decision on Table 4); those of Tables 5 to 7 say their settings, as in `omega=0.25`."""


@dataclass(frozen=True)
class Experiment:
    """What a number tells of; equal for a cell of ours and the number of the paper that it remakes."""

    dataset: str
    family: str
    method: str
    settings: tuple[tuple[str, float], ...]
    augmentation: str
    metric: MetricName
    calibrated: bool

    @classmethod
    def of(cls, run: Run, family: str, metric: MetricName, scheme: Scheme) -> Self:
        """The experiment that a metric of a run belongs to; `family` as the paper calls the network."""
        varied = tuple((key, value) for key, value in run.settings if key in VARIED)
        calibrated = scheme != "none"
        return cls(run.dataset, family, run.method, varied, run.augmentation, metric, calibrated)


@dataclass(frozen=True)
class Published:
    """A number of the paper in the unit of our metric (errors and ECE: percent; F1: a fraction)."""

    summary: Summary
    """The standard deviation is nan where none is printed."""
    note: str
    """What is wrong with this number; mostly empty."""
    remarks: tuple[str, ...]
    """What is to be known of the part of the table in which it stands."""


@cache
def numbers(table: int) -> dict[Experiment, Published]:
    """The numbers of one of Tables 2 to 7."""
    return {_experiment(row): published for row, published in _rows(table)}


@cache
def counts() -> dict[tuple[str, str], Published]:
    """Table 1: by data set and count (`classes`, `train`, `test`)."""
    return {(DATA_SETS[row["dataset"]], COUNTS[row["metric"]]): published for row, published in _rows(1)}


def _rows(table: int) -> Iterator[tuple[dict[str, str], Published]]:
    text = files("aikd.results").joinpath("published.csv").read_text(encoding="utf-8")
    rows = [row for row in csv.DictReader(text.splitlines()) if row["table"] == str(table)]
    remarks = [row for row in rows if not row["mean"]]
    for row in (row for row in rows if row["mean"]):
        about = tuple(remark["note"] for remark in remarks if _concerns(remark, row))
        summary = Summary(float(row["mean"]), float(row["std"] or math.nan), RUNS)
        yield row, Published(summary, row["note"], about)


def _concerns(remark: dict[str, str], row: dict[str, str]) -> bool:
    return all(remark[key] in ("", row[key]) for key in remark if key != "note")


def _experiment(row: dict[str, str]) -> Experiment:
    settings, augmentation = _variant(row["variant"])
    run = Run(DATA_SETS[row["dataset"]], row["model"], METHODS[row["method"]], settings, augmentation)
    scheme: Scheme = "crossfit" if row["variant"] == CALIBRATED else "none"
    return Experiment.of(run, row["model"], METRICS[row["metric"]], scheme)


def _variant(name: str) -> tuple[dict[str, float], str]:
    """Settings and augmentation behind the paper's name of a variant."""
    if name in VARIANTS:
        return VARIANTS[name], STANDARD
    said = dict(pair.split("=") for pair in name.split(";"))
    augmentation = said.pop("aug", "none").lower()
    settings = {key.lower(): float(value) for key, value in said.items()}
    return settings, STANDARD if augmentation == "none" else augmentation

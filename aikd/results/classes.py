"""Where a method helps: its errors class by class, against those of the Baseline of the same seeds.

One class has few images and few seeds, so a spread of its own would say little. That of a class's error is taken to be
proportional to the binomial one, p (1 - p) / images, by one factor φ for all classes of a comparison, which is
estimated from how the differences scatter over the seeds (the quasi-binomial model of McCullagh and Nelder,
Generalized Linear Models, section 4.5, in its paired form).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from aikd.errors import UserError
from aikd.files import read_json, write_text
from aikd.records import read_predictions, same_training
from aikd.results.aggregate import csv_text
from aikd.results.intervals import LEVEL
from aikd.study.layout import MANIFEST
from aikd.study.specs import ClassesSpec, Contest

Floats = NDArray[np.float64]
COLUMNS = {
    "dataset": "str", "model": "str", "method": "str", "class": "str", "images": "Int64", "seeds": "Int64",
    "reference_error": "float", "error": "float", "difference": "float", "std_error": "float",
    "low": "float", "high": "float", "p": "float", "p_adjusted": "float",
}  # fmt: skip
"""Columns of `classes.csv`: errors in percent, means over the seeds; differences in points, method − reference."""


@dataclass(frozen=True)
class Differences:
    """Method − reference for every class, in percent points, means over seeds."""

    mean: Floats
    std_error: Floats
    """nan for a single seed, or where nothing scatters at all."""
    freedom: int
    """Degrees of freedom of the standard errors."""

    @classmethod
    def of(cls, reference: Floats, method: Floats, images: NDArray[np.int64]) -> "Differences":
        """The differences between errors (percent, [seeds, classes]) on `images` of each class."""
        seeds, classes = reference.shape
        wrong = (reference + method).mean(0) / 200 * images
        share = (wrong + 0.5) / (images + 1)  # a class without errors is not without spread
        scale = 100 * np.sqrt(share * (1 - share) / images)
        difference = method - reference
        mean, freedom = difference.mean(0), classes * (seeds - 1)
        if freedom == 0:
            return cls(mean, np.full(classes, math.nan), 0)
        factor = float((((difference - mean) / scale) ** 2).sum() / freedom)
        error = scale * math.sqrt(factor / seeds)
        return cls(mean, error if factor > 0 else np.full(classes, math.nan), freedom)

    @property
    def half_width(self) -> Floats:
        """Of the 95 % intervals, each for its own class alone."""
        half: Floats = self.std_error * stats.t.ppf((1 + LEVEL) / 2, max(self.freedom, 1))
        return half

    @property
    def p(self) -> Floats:
        """Two-sided p of no difference, class by class."""
        p: Floats = 2 * stats.t.sf(np.abs(self.mean) / self.std_error, max(self.freedom, 1))
        return p

    @property
    def p_adjusted(self) -> Floats:
        """The same after Benjamini and Hochberg: of those below .05, 5 % are expected to be false."""
        if not np.isfinite(self.p).all():
            return np.full(len(self.p), math.nan)
        adjusted: Floats = stats.false_discovery_control(self.p)
        return adjusted


def all_equal(mean: Floats, std_error: Floats, freedom: int) -> float | None:
    """p of the F test that all classes gain the same; None where there is nothing to test."""
    if len(mean) < 2 or freedom < 1 or not np.isfinite(std_error).all():
        return None
    weights = std_error**-2
    common = (weights * mean).sum() / weights.sum()
    statistic = (weights * (mean - common) ** 2).sum() / (len(mean) - 1)
    return float(stats.f.sf(statistic, len(mean) - 1, freedom))


def class_errors(results: Path, run: str) -> tuple[Floats, NDArray[np.int64]] | None:
    """Top-1 error (percent) and number of evaluation images of each class; None where there are no predictions.

    Raises:
        UserError: the predictions are damaged, or do not belong to the run's last training.
    """
    found = read_predictions(results, run)
    if found is None:
        return None
    logits, labels = found[0]["logits"], found[0]["labels"]
    classes = logits.shape[1]
    images = np.bincount(labels, minlength=classes)
    wrong = np.bincount(labels[logits.argmax(1) != labels], minlength=classes)
    return 100 * wrong / np.maximum(images, 1), images


def compare(contest: Contest, results: Path, data: Path) -> list[pd.DataFrame]:
    """One table a method, with the `COLUMNS`: one row a class. Seeds that lack one of the two runs are left out.

    Raises:
        UserError: a file that is read is broken or does not belong.
    """
    paths = [*contest.reference.paths, *(path for other in contest.others for path in other.paths)]
    same_training(results, paths)
    errors = {path: class_errors(results, path) for path in dict.fromkeys(paths)}
    frames = []
    for other in contest.others:
        pairs = [
            (ours, theirs)
            for path, reference in zip(other.paths, contest.reference.paths, strict=True)
            if (ours := errors[path]) and (theirs := errors[reference])
        ]
        if not pairs:
            continue
        images = pairs[0][0][1]
        if any(not np.array_equal(images, found[1]) for pair in pairs for found in pair):
            raise UserError(f"{contest.dataset}/{contest.model}: its runs were evaluated on different images")
        method, reference = (np.stack([pair[side][0] for pair in pairs]) for side in (0, 1))
        difference = Differences.of(reference, method, images)
        frames.append(
            pd.DataFrame(
                {
                    "dataset": contest.dataset,
                    "model": contest.model,
                    "method": other.label,
                    "class": class_names(data / contest.prepared, len(images)),
                    "images": images,
                    "seeds": len(pairs),
                    "reference_error": reference.mean(0),
                    "error": method.mean(0),
                    "difference": difference.mean,
                    "std_error": difference.std_error,
                    "low": difference.mean - difference.half_width,
                    "high": difference.mean + difference.half_width,
                    "p": difference.p,
                    "p_adjusted": difference.p_adjusted,
                }
            )
        )
    return frames


def class_names(folder: Path, classes: int) -> list[str]:
    """Names of the classes from the manifest in `folder`; their numbers where it is not there."""
    manifest = folder / MANIFEST
    names: Any = read_json(manifest).get("class_names") if manifest.exists() else None
    fits = isinstance(names, list) and len(names) == classes
    return [str(name) for name in names] if fits else [str(i) for i in range(classes)]


def write_classes(spec: ClassesSpec, results: Path, data: Path, out: Path) -> None:
    """Writes `classes.csv` into `out`.

    Raises:
        UserError: see `compare`.
    """
    frames = [frame for contest in spec.contests for frame in compare(contest, results, data)]
    whole = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))
    write_text(out / "classes.csv", csv_text(whole))

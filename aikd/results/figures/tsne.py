"""Figure 6: t-SNE of penultimate features: students by class, and students with their superior models."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from aikd.errors import UserError
from aikd.records import read_predictions
from aikd.results.aggregate import run_file
from aikd.results.figures.style import WIDTH, look, nothing_to_draw
from aikd.results.text import mathtext
from aikd.study.layout import PREDICTIONS
from aikd.study.specs import TsneSpec

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
FEWEST = 4
"""Images below which a map says nothing."""
MODELS = {"superior": "#0072B2", "student": "#D55E00"}
"""Models of the lower row with their colours, in the order drawn."""


def draw(spec: TsneSpec, results: Path) -> Figure:
    """One column a method: above its student's features by class, below together with its superior model's.

    Every map shows the same images; a map whose runs are not there stays empty.

    Raises:
        UserError: no student is there, runs disagree about the labels, or a file is broken.
    """
    runs = {path: run for path in spec.runs if (run := read_features(results, path))}
    if not any(column.path in runs for column in spec.columns):
        raise nothing_to_draw(spec.name, results)
    images = select(common_labels(runs), spec.classes, spec.images_per_class, spec.seed)
    if len(images) < FEWEST:
        raise UserError(
            f"{spec.name}: {len(images)} images are too few for t-SNE, at least {FEWEST} are needed; "
            "raise its classes or images_per_class"
        )
    figure = Figure(figsize=(WIDTH * max(len(spec.columns), 2) / 4, 4.1), layout="constrained")
    figure.suptitle(mathtext(spec.title), fontsize="medium")
    grid = figure.subplots(2, len(spec.columns), squeeze=False)
    for column, (above, below) in zip(spec.columns, grid.T, strict=True):
        above.set_title(mathtext(column.label))
        student, superior = runs.get(column.path), runs.get(column.superior)
        _draw_classes(above, spec, student, images)
        _draw_models(below, spec, student, superior, images)
    grid[0, 0].set_ylabel("Student, by class")
    grid[1, 0].set_ylabel("Student and superior")
    _legend(figure, grid[1])
    return figure


@dataclass(frozen=True, eq=False)
class Features:
    """What a run's model computed of the evaluation images."""

    path: Path
    features: Floats
    """[N, F] inputs of the last layer."""
    labels: Integers
    """[N]"""


def read_features(results: Path, run: str) -> Features | None:
    """Features and labels of a run; None where it has no predictions.

    Raises:
        UserError: `predictions.safetensors` is broken, not of the run's last training, or cannot be drawn.
    """
    path, found = run_file(results, run, PREDICTIONS), read_predictions(results, run)
    if found is None:
        return None
    tensors, _ = found
    features, labels = tensors["features"].astype(np.float32), tensors["labels"]
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise UserError(
            f"{path}: found features {list(features.shape)} but labels {list(labels.shape)}; predict the run again"
        )
    if not np.isfinite(features).all():
        raise UserError(
            f"{path}: features are not finite, so no map can be made of them; train the run again"
        )
    return Features(path, features, labels)


def common_labels(runs: dict[str, Features]) -> Integers:
    """The labels [N], which all runs must share: they saw the same images in the same order.

    Raises:
        UserError: the labels of two runs differ, or the numbers of their features, as of two architectures.
    """
    first, *others = runs.values()
    for other in others:
        if (f := first.features.shape[1]) != (g := other.features.shape[1]):
            raise UserError(f"{first.path} and {other.path} hold {f} and {g} features; predict both again")
        if not np.array_equal(first.labels, other.labels):
            raise UserError(
                f"{first.path} and {other.path} hold labels of different images; predict both again"
            )
    return first.labels


def select(labels: Integers, classes: int, images_per_class: int | None, seed: int) -> Integers:
    """Indices of the images shown: of classes drawn by the seed, each class's first images in file order.

    Args:
        labels: [N]
        classes: how many classes; all where there are fewer.
        images_per_class: None for all.
    """
    there = np.unique(labels)
    drawn = np.random.default_rng(seed).choice(there, size=min(classes, len(there)), replace=False)
    return np.concatenate([np.flatnonzero(labels == c)[:images_per_class] for c in np.sort(drawn)])


def embed(features: Floats, perplexity: float, seed: int) -> Floats:
    """The t-SNE map [P, 2] of features [P, F]; a perplexity beyond (P - 1) / 3 is lowered to that."""
    perplexity = min(perplexity, (len(features) - 1) / 3)
    # Sums over several threads differ in the last digit, which t-SNE blows up to another map.
    with threadpool_limits(limits=1):
        model = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed, n_jobs=1)
        return np.asarray(model.fit_transform(features), dtype=np.float32)


def _draw_classes(axes: Axes, spec: TsneSpec, student: Features | None, images: Integers) -> None:
    _bare(axes, empty=student is None)
    if student is None:
        return
    points, labels = embed(student.features[images], spec.perplexity, spec.seed), student.labels[images]
    for position, label in enumerate(np.unique(labels)):
        x, y = points[labels == label].T
        colour, marker = look(position)
        axes.scatter(x, y, s=5, color=colour, marker=marker, linewidths=0, alpha=0.8)


def _draw_models(
    axes: Axes, spec: TsneSpec, student: Features | None, superior: Features | None, images: Integers
) -> None:
    _bare(axes, empty=student is None or superior is None)
    if student is None or superior is None:
        return
    both = np.concatenate([superior.features[images], student.features[images]])
    parts = np.split(embed(both, spec.perplexity, spec.seed), 2)
    for (x, y), (label, colour) in zip((part.T for part in parts), MODELS.items(), strict=True):
        axes.scatter(x, y, s=4, color=colour, linewidths=0, alpha=0.6, label=label)


def _bare(axes: Axes, empty: bool) -> None:
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set(visible=True, color="0.7")
    axes.set_aspect("equal", adjustable="datalim")
    if empty:
        axes.text(0.5, 0.5, "no results", ha="center", va="center", color="0.4", transform=axes.transAxes)


def _legend(figure: Figure, row: NDArray[np.object_]) -> None:
    entries = {
        label: handle for axes in row for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if entries:
        figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=2, markerscale=2)

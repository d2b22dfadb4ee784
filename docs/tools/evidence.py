"""Tables and figures of what finished runs of a study came to, from the files of those runs in docs/evidence.

usage: python -m docs.tools.evidence STUDY, for example critic

Draws the learning curves that the study's `figures` ask for into docs/images. Tables are parts of pages, which
`python -m docs.tools` writes.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from aikd.results.figures import draw, style
from aikd.results.histories import read_history
from aikd.results.text import signed
from aikd.study import queries
from aikd.study.load import load_study
from aikd.study.metrics import MetricName
from aikd.study.run import Run
from aikd.study.schema import Study
from aikd.study.specs import Group, LearningSpec, TableSpec
from docs.tools.paired import NOTHING, Values, by_seed, differences, markdown

ROOT = Path(__file__).parents[2]
CAUGHT_UP = 0.9
"""The gradient norm from which on a critic counts as having the slope that its penalty asks for, which is 1."""


def part(what: str) -> str:
    """`STUDY/TABLE/METRIC/REFERENCE`: a metric beside a reference row; `critic` for METRIC: what the critic did.

    REFERENCE is the label of a row with underscores for spaces. `STUDY+STUDY` puts the seeds of two studies together,
    which have none in common, in the rows that both have.
    """
    names, table, kind, reference = what.split("/")
    reference = reference.replace("_", " ")
    tables = [_table(name, table) for name in names.split("+")]
    if kind == "critic":
        ((groups, results),) = tables
        return mechanics(groups, results, reference)
    metric = cast(MetricName, kind)
    studies = [{g.label: by_seed(results, g.paths, metric) for g in groups} for groups, results in tables]
    return differences(together(studies), reference, metric)


def together(studies: Sequence[Mapping[str, Values]]) -> Mapping[str, Values]:
    """The rows that all studies have, each with the seeds of all."""
    merged: dict[str, Values] = {}
    for label in studies[0]:
        if all(label in study for study in studies):
            parts = [study[label] for study in studies]
            merged[label] = {seed: value for part in parts for seed, value in part.items()}
            assert len(merged[label]) == sum(map(len, parts)), f"{label}: a seed is in two studies"
    return merged


def mechanics(groups: Sequence[Group], results: Path, reference: str) -> str:
    """What the critic did in the course of training, beside what it cost; one line of each row that has one.

    All are means over seeds, and but for the first over epochs: the epoch in which the gradient norm is first above
    0.9, the percentage of epochs with a distance below 0, cosine and share of the adversarial push, by how much the
    student's logits are longer than the reference row's at the same seed, and by how much its held-out Top-1 error
    is higher.
    """
    found = {group.label: _histories(results, group.paths) for group in groups}
    errors = {group.label: by_seed(results, group.paths, "holdout_top1_error") for group in groups}
    rows = []
    for label, histories in found.items():
        together = list(histories.values())
        if not together or "distance" not in together[0]:
            continue
        slope = pd.concat([history["gradient_norm"] for history in together], axis=1).mean(axis=1)
        below = 100 * _mean((history["distance"] < 0).mean() for history in together)
        cosine = _mean(history["adversarial_cosine"].mean() for history in together)
        share = 100 * _mean(history["adversarial_share"].mean() for history in together)
        rows.append(
            [
                label,
                str(len(together)),
                str(slope.index[slope > CAUGHT_UP].min()) if (slope > CAUGHT_UP).any() else "never",
                f"{below:.0f}",
                signed(cosine, 2),
                f"{share:.0f}",
                _above(_lengths(histories), _lengths(found[reference]), 1),
                _above(errors[label], errors[reference], 2),
            ]
        )
    head = [
        "", "n", "slope from epoch", "distance below 0 (% of epochs)", "cosine", "share (%)",
        "logits longer by", "Top-1, held out",
    ]  # fmt: skip
    return markdown(head, rows)


def _lengths(histories: Mapping[int, pd.DataFrame]) -> Values:
    return {seed: float(history["logit_norm"].mean()) for seed, history in histories.items()}


def _above(values: Values, reference: Values, places: int) -> str:
    """The mean paired difference, over the seeds that both have."""
    both = values.keys() & reference.keys()
    return signed(_mean(values[seed] - reference[seed] for seed in sorted(both)), places) if both else NOTHING


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _histories(results: Path, paths: Sequence[str]) -> dict[int, pd.DataFrame]:
    """The histories that are there, by their seed."""
    found = {Run.from_path(path).seed: read_history(results, path) for path in paths}
    return {seed: history for seed, history in found.items() if history is not None}


def figures(name: str) -> None:
    """Write docs/images/STUDY_FIGURE.png for each figure of learning curves of a study."""
    study, results = _found(name)
    for spec in (queries.figure(study, figure) for figure in study.figures):
        if isinstance(spec, LearningSpec):
            with style.styled():
                image = ROOT / "docs/images" / f"{name}_{spec.name}.png"
                draw(spec, results).savefig(image, dpi=160, metadata={"Software": None})


def _table(name: str, table: str) -> tuple[Sequence[Group], Path]:
    """The rows of a study's table of numbers, and the folder of its evidence."""
    study, results = _found(name)
    spec = queries.table(study, table)
    assert isinstance(spec, TableSpec)
    return queries.variants(spec), results


def _found(name: str) -> tuple[Study, Path]:
    """A study, and the folder of its evidence, which is laid out as that of its results."""
    return load_study(ROOT / f"workflow/studies/{name}.yaml"), ROOT / "docs/evidence" / name


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    figures(sys.argv[1])

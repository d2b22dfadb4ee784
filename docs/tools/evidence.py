"""Tables and figures of what finished runs of a study came to, from the files of those runs in docs/evidence.

usage: python -m docs.tools.evidence STUDY, for example critic

Draws the learning curves that the study's `figures` ask for into docs/images. Tables are parts of pages, which
`python -m docs.tools` writes.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pandas as pd

from aikd.results.figures import draw, style
from aikd.results.histories import read_history
from aikd.results.text import signed
from aikd.study import queries
from aikd.study.load import load_study
from aikd.study.metrics import MetricName
from aikd.study.schema import Study
from aikd.study.specs import Group, LearningSpec, TableSpec
from docs.tools.paired import differences, markdown

ROOT = Path(__file__).parents[2]
MECHANICS = {
    "distance": ("distance", 2),
    "gradient_norm": ("gradient norm", 2),
    "adversarial_cosine": ("cosine", 3),
    "adversarial_share": ("share", 3),
    "logit_norm": ("length of logits", 1),
}
"""Columns of histories: how tables call them, and to how many places."""


def part(what: str) -> str:
    """`STUDY/TABLE/METRIC/REFERENCE`: errors beside a reference row; `STUDY/TABLE/epochs/1,30`: how the critic did.

    REFERENCE is the label of a row with underscores for spaces.
    """
    name, table, kind, rest = what.split("/")
    study, results = _found(name)
    spec = queries.table(study, table)
    assert isinstance(spec, TableSpec)
    groups = queries.variants(spec)
    if kind == "epochs":
        return mechanics(groups, results, [int(epoch) for epoch in rest.split(",")])
    rows = {group.label: group.paths for group in groups}
    return differences(rows, results, rest.replace("_", " "), cast(MetricName, kind))


def mechanics(groups: Sequence[Group], results: Path, epochs: Sequence[int]) -> str:
    """Columns of the histories at some epochs, as means over seeds; one line an epoch of each row that has a critic."""
    rows = []
    for group in groups:
        histories = [h for path in group.paths if (h := read_history(results, path)) is not None]
        if not any("distance" in history for history in histories):
            continue
        for epoch in epochs:
            at = pd.DataFrame([history.loc[epoch] for history in histories]).mean()
            cells = (signed(float(at[name]), places) for name, (_, places) in MECHANICS.items())
            rows.append([group.label, str(len(histories)), str(epoch), *(c.removeprefix("+") for c in cells)])
    return markdown(["", "n", "epoch", *(name for name, _ in MECHANICS.values())], rows)


def figures(name: str) -> None:
    """Write docs/images/STUDY_FIGURE.png for each figure of learning curves of a study."""
    study, results = _found(name)
    for spec in (queries.figure(study, figure) for figure in study.figures):
        if isinstance(spec, LearningSpec):
            with style.styled():
                image = ROOT / "docs/images" / f"{name}_{spec.name}.png"
                draw(spec, results).savefig(image, dpi=160, metadata={"Software": None})


def _found(name: str) -> tuple[Study, Path]:
    """A study, and the folder of its evidence, which is laid out as that of its results."""
    return load_study(ROOT / f"workflow/studies/{name}.yaml"), ROOT / "docs/evidence" / name


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    figures(sys.argv[1])

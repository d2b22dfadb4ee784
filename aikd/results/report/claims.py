"""The paper's claims and how they fared, where the study has judged them."""

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aikd.errors import UserError
from aikd.results.report.pictures import Picture, picture
from aikd.results.text import p_value
from aikd.study.metrics import METRICS

FILE = "claims.csv"
NOT_RUN = "not run"
ORDER = ("holds", "fails", "inconclusive", NOT_RUN)
NEEDED = ("text", "verdict")


@dataclass(frozen=True)
class Claim:
    """A claim that was judged; what its file does not say is empty."""

    text: str
    verdict: str
    effect: str
    interval: str
    p: str
    corrected: str
    n: str
    published: str


@dataclass(frozen=True)
class Group:
    """Claims under one heading."""

    name: str
    claims: list[Claim]
    """Those that were judged."""
    not_run: int


@dataclass(frozen=True)
class Claims:
    """The ledger and its figure."""

    counts: list[tuple[str, int]]
    """How many claims have each verdict."""
    groups: list[Group]
    figure: Picture


def read(results: Path) -> Claims | None:
    """The claims of a study; None where nobody has judged any.

    Raises:
        UserError: the file is damaged.
    """
    path = results / FILE
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if any(row.get(name) is None for row in rows for name in NEEDED):
        raise UserError(f"{path}: lacks {' or '.join(NEEDED)}; delete it and run `snakemake` again")
    headings: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        headings.setdefault(row.get("group") or "Claims", []).append(row)
    found = Counter(row["verdict"] for row in rows)
    counts = [
        (verdict, found[verdict]) for verdict in (*ORDER, *sorted(found.keys() - ORDER)) if found[verdict]
    ]
    figure = picture(results, "claims", "Claims.", "What the study says of each of the paper's claims.")
    return Claims(counts, [_group(name, rows) for name, rows in headings.items()], figure)


def _group(name: str, rows: Iterable[dict[str, str]]) -> Group:
    judged = [row for row in rows if row["verdict"] != NOT_RUN]
    return Group(name, [_claim(row) for row in judged], sum(row["verdict"] == NOT_RUN for row in rows))


def _claim(row: dict[str, str]) -> Claim:
    metric = next((found for name, found in METRICS.items() if name == row.get("metric")), None)
    decimals = metric.decimals if metric else 2

    def number(key: str, places: int = decimals) -> str:
        return f"{float(row[key]):.{places}f}".replace("-", "−") if row.get(key) else ""

    def probability(key: str) -> str:
        return p_value(float(row[key])) if row.get(key) else ""

    ends = [number("low"), number("high")]
    said = [row.get("published_verdict") or "", number("published_effect")]
    return Claim(
        row["text"], row["verdict"], number("effect"), " to ".join(ends) if all(ends) else "",
        probability("p"), probability("p_holm"), row.get("n") or "", " ".join(filter(None, said)),
    )  # fmt: skip

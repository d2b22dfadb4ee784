"""The paper's claims and how they fared, where the study has judged them."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aikd.errors import UserError
from aikd.results.claims.ledger import AWAITED
from aikd.results.claims.pages import caveats, remarks, unchecked
from aikd.results.report.pictures import Picture, picture
from aikd.results.text import p_value, rounded
from aikd.study.metrics import METRICS

FILE = "claims.csv"
NOT_RUN = "not run"
ORDER = ("holds", "fails", "inconclusive", NOT_RUN)
OWN = "own"
"""Kind of the comparisons that are not the paper's."""
CAPTION = (
    "A row is a claim, a panel a heading. Dot: the effect of the comparison that decides, its mean over n seeds (in "
    "the lists). Line: its 95 % interval by Student's t, not corrected for the number of claims; an arrow where it "
    "leaves the panel. Colour and shape: the verdict, after Holm's correction within the panel, so that a claim can be "
    "inconclusive although its line keeps clear of the bound. Diamond: the published effect. Shaded: where the claim "
    "has the effect."
)
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
    remarks: list[str]
    """What a reader of the verdict must know besides."""


@dataclass(frozen=True)
class Group:
    """Claims under one heading."""

    name: str
    claims: list[Claim]
    """Those that were judged."""
    counts: list[tuple[str, int]]
    """How many have each verdict."""


@dataclass(frozen=True)
class Claims:
    """The ledger and its figure."""

    counts: dict[str, list[tuple[str, int]]]
    """How many have each verdict: of the paper's claims, and of comparisons of the study's own methods."""
    groups: list[Group]
    figure: Picture
    like_the_paper: bool
    """Whether any claim was checked under the paper's own conditions."""
    caveats: list[str]
    """What a reader must know before any verdict."""
    unchecked: str
    """What there is to say where no claim was judged."""

    @property
    def judged(self) -> list[Group]:
        """Groups of which something was judged."""
        return [group for group in self.groups if group.claims]


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
    parts = {
        "the paper's claims": [row for row in rows if row.get("kind") != OWN],
        "comparisons of this study's own methods": [row for row in rows if row.get("kind") == OWN],
    }
    counts = {name: _counted(part) for name, part in parts.items() if part}
    groups = [_group(name, rows) for name, rows in headings.items()]
    like_the_paper = any(row.get("scope") == "paper" for row in rows)
    said = caveats(row.get("scope") for row in parts["the paper's claims"] if row["verdict"] != NOT_RUN)
    awaited = sum(row.get("reason") == AWAITED for row in rows)
    figure = replace(picture(results, "claims", "Claims.", CAPTION), name="claims_figure")
    return Claims(counts, groups, figure, like_the_paper, said, unchecked(awaited))


def _counted(rows: Sequence[dict[str, str]]) -> list[tuple[str, int]]:
    found = Counter(row["verdict"] for row in rows)
    return [
        (verdict, found[verdict]) for verdict in (*ORDER, *sorted(found.keys() - ORDER)) if found[verdict]
    ]


def _group(name: str, rows: Sequence[dict[str, str]]) -> Group:
    judged = [row for row in rows if row["verdict"] != NOT_RUN]
    return Group(name, [_claim(row) for row in judged], _counted(rows))


def _claim(row: dict[str, str]) -> Claim:
    metric = next((found for name, found in METRICS.items() if name == row.get("metric")), None)
    decimals = metric.decimals if metric else 2

    def number(key: str, places: int = decimals) -> str:
        return rounded(float(row[key]), places) if row.get(key) else ""

    def probability(key: str) -> str:
        return p_value(float(row[key])) if row.get(key) else ""

    ends = [number("low"), number("high")]
    said = [row.get("published_verdict") or "", number("published_effect")]
    return Claim(
        row["text"], row["verdict"], number("effect"), " to ".join(ends) if all(ends) else "",
        probability("p"), probability("p_holm"), row.get("n") or "", " ".join(filter(None, said)),
        remarks(row.get("ours") or "", row.get("opposite") or ""),
    )  # fmt: skip

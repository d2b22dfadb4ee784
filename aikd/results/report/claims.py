"""The paper's claims and how they fared, where the study has judged them."""

import csv
from dataclasses import dataclass
from pathlib import Path

from aikd.results.report.pictures import Picture, picture

FILE = "claims.csv"


@dataclass(frozen=True)
class Claims:
    """The ledger as it is, and its figure."""

    columns: list[str]
    rows: list[dict[str, str]]
    figure: Picture


def read(results: Path) -> Claims | None:
    """The claims of a study; None where nobody has judged any."""
    path = results / FILE
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    figure = picture(results, "claims", "Claims.", "What the study says of each of the paper's claims.")
    return Claims(list(reader.fieldnames or ()), rows, figure)

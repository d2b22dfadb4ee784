"""What Snakemake notes of each file that it made: by which command, settings and inputs.

Where these records are gone, Snakemake goes by times alone, and a study that is edited later trains nothing again. So
they travel with the results. They are JSON, and are handed on as they are.
"""

import os
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aikd.errors import UserError
from aikd.files import read_json

FOLDER = ".snakemake/metadata"
NAME_MAX = 255
"""Longest name of a file where the system does not tell."""


def read_records(root: Path, outputs: Iterable[str]) -> dict[str, Any]:
    """The records of those of the files, named as rules name them, that have been finished."""
    found = {}
    for output in outputs:
        try:
            record = read_json(record_path(root, output))
        except UserError:  # there is none, or a damaged one, which Snakemake passes over, too
            continue
        if not record.get("incomplete"):
            found[output] = record
    return found


def write_records(root: Path, records: dict[str, str]) -> None:
    """Write records, each a JSON text, to where Snakemake looks for them; one that is half-written it passes over."""
    for output, record in records.items():
        path = record_path(root, output)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record, encoding="utf-8")


def record_path(root: Path, output: str) -> Path:
    """Where Snakemake keeps the record of a file: its name in base 64, cut into folders where that is too long."""
    folder = root / FOLDER
    length = _longest_name(root) - 1
    name = urlsafe_b64encode(output.encode()).decode()
    *folders, last = [name[start : start + length] for start in range(0, len(name), length)]
    return folder.joinpath(*(f"@{part}" for part in folders), last)


def _longest_name(root: Path) -> int:
    try:
        return os.pathconf(root, "PC_NAME_MAX") or NAME_MAX
    except (OSError, ValueError, AttributeError):
        return NAME_MAX

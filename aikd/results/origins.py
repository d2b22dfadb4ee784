"""What a reader must know of the data behind a table, from the manifests of what was prepared."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from aikd.files import read_json
from aikd.results.sheet import Sheet
from aikd.study.layout import MANIFEST
from aikd.study.specs import DataSetsSpec, TableSpecs


def data_sets_of(spec: TableSpecs) -> list[str]:
    """The data sets of a table, each once, in its order."""
    if isinstance(spec, DataSetsSpec):
        return [row.dataset for row in spec.rows]
    return list(dict.fromkeys(path.partition("/")[0] for path in spec.runs))


def with_origins(sheets: Sequence[Sheet], spec: TableSpecs, data: Path) -> list[Sheet]:
    """The sheets with a note below them for each data set of which an archive is not the published one.

    Raises:
        UserError: a manifest is damaged.
    """
    notes = tuple(origins(data, data_sets_of(spec)))
    return [replace(sheet, notes=sheet.notes + notes) for sheet in sheets]


def origins(data: Path, names: Iterable[str]) -> Iterable[str]:
    """One sentence for each data set made of other than the published archives; nothing for data that is not there."""
    for manifest in (data / name / MANIFEST for name in names):
        if not manifest.exists():
            continue
        found = read_json(manifest)
        others = [
            f"{archive} (SHA-256 {facts['sha256'][:16]}…)"
            for archive, facts in found.get("source", {}).get("archives", {}).items()
            if not facts["verified"]
        ]
        if others:
            yield f"{found['name']}: not made of what was published, but of {', '.join(others)}."

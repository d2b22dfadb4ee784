"""What a reader must know of the data behind a table, from the manifests of what was prepared."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aikd.files import read_json
from aikd.records import data_digest
from aikd.results.aggregate import run_file
from aikd.results.sheet import Sheet
from aikd.study.layout import MANIFEST, SUMMARY
from aikd.study.specs import DataSetRow, DataSetsSpec, TableSpecs


def prepared_for(spec: TableSpecs, results: Path) -> dict[str, set[str]]:
    """The prepared data behind a table: of Table 1 what it lists, of others what their runs were trained on.

    Returns:
        Digests that the runs say the data had, by its folder; none where nobody says.

    Raises:
        UserError: the summary of a run is damaged.
    """
    if isinstance(spec, DataSetsSpec):
        return {row.prepared: set() for row in spec.rows}
    found: dict[str, set[str]] = {}
    for path in (run_file(results, run, SUMMARY) for run in spec.runs):
        summary = read_json(path) if path.exists() else {}
        data = summary.get("settings", {}).get("data", {})
        if "prepared" in data:
            found.setdefault(data["prepared"], set()).update(filter(None, [summary.get("data")]))
    return found


def with_origins(sheets: Sequence[Sheet], spec: TableSpecs, results: Path, data: Path) -> list[Sheet]:
    """The sheets with notes below them: where an archive is not the published one, and in Table 1 where not all
    training images are used.

    Raises:
        UserError: a manifest or a run's summary is damaged.
    """
    notes = tuple(origins(data, prepared_for(spec, results)))
    if isinstance(spec, DataSetsSpec):
        notes += tuple(parts(spec.rows))
    return [replace(sheet, notes=sheet.notes + notes) for sheet in sheets]


def origins(data: Path, prepared: Mapping[str, Collection[str]]) -> Iterator[str]:
    """One sentence for each data set made of other than the published archives; nothing for data that is not there.

    Args:
        prepared: digests that its runs say the data had, by its folder.

    Raises:
        UserError: a manifest is damaged.
    """
    for folder, digests in prepared.items():
        manifest = data / folder / MANIFEST
        if not manifest.exists():
            continue
        found = read_json(manifest)
        if digests and not _is_one(found, digests):
            yield f"{found['name']}: prepared otherwise since; what these runs were trained on is not known."
            continue
        others = [
            f"{archive} (SHA-256 {facts['sha256'][:16]}…)"
            for archive, facts in found.get("source", {}).get("archives", {}).items()
            if not facts["verified"]
        ]
        if others:
            yield f"{found['name']}: not made of what was published, but of {', '.join(others)}."


def _is_one(manifest: Mapping[str, Any], digests: Collection[str]) -> bool:
    try:
        return data_digest(manifest) in digests
    except KeyError:
        return False


def parts(rows: Iterable[DataSetRow]) -> Iterator[str]:
    """One sentence for each data set of whose training images only a part is used."""
    for row in rows:
        used = [f"trained on {row.images_per_class} images of each class"] if row.images_per_class else []
        if row.holdout_per_class:
            used.append(f"{row.holdout_per_class} training images of each class are held out")
        if used:
            yield f"{row.label}: {'; '.join(used)}."

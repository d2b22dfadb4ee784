"""What tables say of data that is not the published one."""

import json
from pathlib import Path

from aikd.results.origins import origins
from aikd.results.tables import write_table
from aikd.study.specs import DataSetRow, DataSetsSpec

DIGEST = "0123456789abcdef" * 4


def manifest(data: Path, name: str, verified: bool | None) -> None:
    """A prepared data set as far as tables look; None: it was not made of archives."""
    source = {} if verified is None else {"archives": {"x.tgz": {"sha256": DIGEST, "verified": verified}}}
    (data / name).mkdir(parents=True)
    facts = {"name": name, "classes": 2, "train": 4, "test": 2, "source": source}
    (data / name / "manifest.json").write_text(json.dumps(facts), encoding="utf-8")


def test_an_accepted_archive_is_named_below_every_form_of_the_table(tmp_path: Path) -> None:
    manifest(tmp_path / "data", "cub200", verified=False)
    rows = (DataSetRow("cub200", "CUB", "fine-grained"),)
    paths = write_table(
        DataSetsSpec("table_1", "Data.", rows), tmp_path, tmp_path / "data", tmp_path / "tables"
    )
    texts = {path.suffix: path.read_text(encoding="utf-8") for path in paths}
    for form in (".tex", ".md"):
        assert "cub200: not made of what was published, but of x.tgz" in texts[form]
        assert "(SHA-256 0123456789abcdef" in texts[form]


def test_published_archives_other_sources_and_missing_data_need_no_note(tmp_path: Path) -> None:
    manifest(tmp_path, "cub200", verified=True)
    manifest(tmp_path, "digits", verified=None)
    assert list(origins(tmp_path, ["cub200", "digits", "not_prepared"])) == []

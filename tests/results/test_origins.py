"""What tables say of data that is not the published one, or of which only a part is used."""

import json
from pathlib import Path
from typing import Any

from aikd.records import data_digest
from aikd.results.origins import origins
from aikd.results.tables import write_table
from aikd.study.specs import Cell, DataSetRow, DataSetsSpec, Row, TableSpec

DIGEST = "0123456789abcdef" * 4


def manifest(data: Path, name: str, verified: bool | None) -> None:
    """A prepared data set as far as tables look; None: it was not made of archives."""
    source = {} if verified is None else {"archives": {"x.tgz": {"sha256": DIGEST, "verified": verified}}}
    (data / name).mkdir(parents=True)
    facts = {"name": name.split("/", maxsplit=1)[0], "classes": 2, "train": 4, "test": 2, "source": source}
    (data / name / "manifest.json").write_text(json.dumps(facts), encoding="utf-8")


def forms(spec: Any, root: Path) -> list[str]:
    """LaTeX and Markdown of a table."""
    paths = write_table(spec, root, root / "data", root / "tables")
    return [path.read_text(encoding="utf-8") for path in paths if path.suffix != ".csv"]


def test_an_accepted_archive_is_named_below_every_form_of_the_table(tmp_path: Path) -> None:
    manifest(tmp_path / "data", "cub200/a", verified=False)
    rows = (DataSetRow("cub200", "CUB", "fine-grained", "cub200/a"),)
    for text in forms(DataSetsSpec("table_1", "Data.", rows), tmp_path):
        assert "cub200: not made of what was published, but of x.tgz" in text
        assert "(SHA-256 0123456789abcdef" in text


def test_a_table_of_numbers_speaks_of_the_data_that_its_runs_were_trained_on(tmp_path: Path) -> None:
    """Of whatever preparations of a set there are; of runs not there it cannot know."""
    for name, verified in (("cub200/a", True), ("cub200/b", False), ("mit67/c", False)):
        manifest(tmp_path / "data", name, verified)
    runs = [f"cub200/resnet18/baseline/seed{seed}" for seed in range(3)]

    def trained(run: str, prepared: str) -> None:
        path = tmp_path / "runs" / run / "train.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps({"run": run, "settings": {"data": {"prepared": prepared}}}), encoding="utf-8"
        )

    rows = (Row(("Baseline",), 0, (Cell("top1_error", tuple(runs)),)),)
    spec = TableSpec("table_2", "Errors.", ("Method",), ("CUB",), rows)
    trained(runs[0], "cub200/a")
    assert "not made of what was published" not in "".join(forms(spec, tmp_path))
    for run in runs[:2]:
        trained(run, "cub200/b")
    for text in forms(spec, tmp_path):
        assert text.count("not made of what was published") == 1


def test_data_that_was_prepared_otherwise_since_says_nothing_of_the_runs(tmp_path: Path) -> None:
    manifest(tmp_path, "cub200/a", verified=False)
    path = tmp_path / "cub200/a/manifest.json"
    facts = json.loads(path.read_text()) | {"arrays": {"x": {}}, "mean": [0.5], "std": [0.5]}
    path.write_text(json.dumps(facts))
    now = data_digest(facts)
    for digests, words in (
        ((), "not made of"),
        ((now,), "not made of"),
        ((DIGEST,), "prepared otherwise since"),
    ):
        (note,) = origins(tmp_path, {"cub200/a": digests})
        assert words in note


def test_published_archives_other_sources_and_missing_data_need_no_note(tmp_path: Path) -> None:
    manifest(tmp_path, "cub200", verified=True)
    manifest(tmp_path, "digits", verified=None)
    assert list(origins(tmp_path, {"cub200": (), "digits": (), "not_prepared": ()})) == []


def test_table_1_says_where_only_part_of_the_images_is_used(tmp_path: Path) -> None:
    manifest(tmp_path / "data", "cifar100/a", verified=True)
    for parts, words in (
        ((None, 0), None),
        ((50, 0), "CIFAR: trained on 50 images of each class."),
        ((None, 5), "CIFAR: 5 training images of each class are held out."),
        ((50, 5), "CIFAR: trained on 50 images of each class; 5 training images of each class are held out."),
    ):
        rows = (DataSetRow("cifar100", "CIFAR", "coarse", "cifar100/a", *parts),)
        for text in forms(DataSetsSpec("table_1", "Data.", rows), tmp_path):
            assert (words in text) if words else ("of each class" not in text)

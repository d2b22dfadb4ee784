"""The JSON schema by which editors complete and check study files."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from aikd.cli import main
from tests.conftest import DEMO, GONE, PAPER, ROOT, changed

FILE = ROOT / "workflow/study.schema.json"
SCHEMA: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))


class EditorLoader(yaml.SafeLoader):
    """YAML 1.2, as editors read it: `5e-4` is a number."""


EditorLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def as_an_editor_reads(file: Path) -> Any:
    return yaml.load(file.read_text(encoding="utf-8"), Loader=EditorLoader)


def properties(schema: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key that a study file may hold, with its schema."""
    if isinstance(schema, dict):
        for key, inner in schema.get("properties", {}).items():
            yield f"{place}/{key}", inner
        for key, inner in schema.items():
            yield from properties(inner, f"{place}/{key}")


def test_the_file_is_what_aikd_schema_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == FILE.read_text(encoding="utf-8"), (
        "run: aikd schema > workflow/study.schema.json"
    )


def test_it_is_a_json_schema_in_which_every_key_is_described() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    found = dict(properties(SCHEMA))
    assert len(found) > 60
    assert [place for place, schema in found.items() if not schema.get("description")] == []


@pytest.mark.parametrize("file", [PAPER, DEMO])
def test_both_studies_fit_and_name_the_schema_in_their_first_line(file: Path) -> None:
    Draft202012Validator(SCHEMA).validate(as_an_editor_reads(file))
    first = file.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (file.parent / first.split("=", 1)[1]).resolve() == FILE.resolve()


@pytest.mark.parametrize(
    "changes",
    [
        {"recpe": {}},
        {"name": GONE},
        {"seeds": []},
        {"seeds": [-1]},
        {"recipe/epochs": 0},
        {"recipe/epochs": 1.5},
        {"recipe/learning_rate": 0},
        {"recipe/momentum": 1.1},
        {"recipe/weight_decay": -1},
        {"recipe/nesterov": "always"},
        {"recipe/precision": "fp64"},
        {"calibration/folds": 1},
        {"data/mit67/models": []},
        {"data/mit67/holdout_per_class": -1},
        {"data/mit67/test_fraction": 1},
        {"models/resnet18/blocks": [1, 1, 1]},
        {"methods/cskd/when/0/category": "fine"},
        {"tables/table_2/kind": GONE},
        {"tables/table_2/kind": "heatmap"},
        {"tables/table_2/metrics": ["top1"]},
        {"tables/table_2/rows": []},
        {"figures/figure_7a/x/values": [None]},
        {"figures/figure_6/perplexity": 0},
    ],
)
def test_editors_see_mistakes(changes: dict[str, Any]) -> None:
    study = as_an_editor_reads(PAPER)
    assert Draft202012Validator(SCHEMA).is_valid(study)
    assert not Draft202012Validator(SCHEMA).is_valid(changed(study, changes))


def test_bounds_are_words_that_editors_know() -> None:
    """`gt` and the like are pydantic's own words, which appear where bounds come after the type."""
    found = {word for _, schema in properties(SCHEMA) for word in schema}
    assert "exclusiveMinimum" in found
    assert found & {"gt", "ge", "lt", "le"} == set()

"""The two studies that come with the project."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings

from aikd.study import queries
from aikd.study.load import load_study
from aikd.study.resolve import prepared_folder, resolve_data
from aikd.study.schema import Study
from aikd.study.specs import TableSpec

ROOT = Path(__file__).parents[1]
PAPER = ROOT / "config.yaml"
DEMO = ROOT / "workflow/studies/demo.yaml"

# How long an example takes says nothing: other processes share the machine.
settings.register_profile("unhurried", parent=settings.default, deadline=None)
settings.load_profile("unhurried")

DIGITS_SETTINGS = resolve_data(load_study(DEMO), "digits")
"""How every study prepares the digits."""
DIGITS = prepared_folder(DIGITS_SETTINGS)
"""Where they lie in the folder of all data."""

GONE = object()
"""In `changed`: take the key away."""


def parsed(file: Path) -> dict[str, Any]:
    """A study file as plain YAML, unchecked."""
    data: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return data


def changed(data: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy with values put at places such as `tables/table_5/rows/1`; sections on the way are made."""
    data = copy.deepcopy(data)
    for place, value in changes.items():
        here: Any = data
        *sections, last = place.split("/")
        for section in sections:
            here = here[int(section)] if isinstance(here, list) else here.setdefault(section, {})
        if value is GONE:
            del here[last]
        else:
            here[int(last) if isinstance(here, list) else last] = value
    return data


def numbers(study: Study, name: str) -> TableSpec:
    """A table of numbers in terms of runs."""
    table = queries.table(study, name)
    assert isinstance(table, TableSpec)
    return table


@pytest.fixture(scope="session")
def paper() -> Study:
    return load_study(PAPER)


@pytest.fixture(scope="session")
def demo() -> Study:
    return load_study(DEMO)


@pytest.fixture(params=["paper", "demo"])
def study(request: pytest.FixtureRequest) -> Study:
    """Both studies, one after the other."""
    chosen: Study = request.getfixturevalue(request.param)
    return chosen


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that train in a forked child go first: once autograd has started threads, it refuses to work in one."""
    items.sort(key=lambda item: item.path.name != "test_permissions.py")

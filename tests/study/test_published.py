"""Which tables of a study remake tables of the paper."""

from typing import Any

import pytest

from aikd.errors import UserError
from aikd.study import queries, specs
from aikd.study.load import check_study
from aikd.study.schema import Study
from tests.conftest import PAPER, changed, numbers, parsed


def test_each_table_of_the_paper_s_study_remakes_the_one_of_its_number(paper: Study) -> None:
    assert {name: table.published for name, table in paper.tables.items()} == {
        f"table_{n}": n for n in range(1, 8)
    }
    assert {name: queries.table(paper, name).published for name in paper.tables} == {
        f"table_{n}": n for n in range(1, 8)
    }


def test_the_demo_has_other_data_and_remakes_none(demo: Study) -> None:
    found = [queries.table(demo, name) for name in demo.tables]
    assert {table.published for table in found} == {None}
    assert {table.architectures for table in found if isinstance(table, specs.TableSpec)} == {()}


def test_networks_that_are_the_paper_s_are_known_by_their_architecture(paper: Study) -> None:
    expected = {name: name for name in ("preact_resnet18", "densenet121_3x3", "resnet18", "densenet121")}
    for name in ("table_2", "table_5"):
        assert dict(numbers(paper, name).architectures) == expected
    changes: dict[str, Any] = {
        "models/densenet121/growth": 16,
        "models/resnet18/blocks": [1, 1, 1, 1],
        "models/preact_resnet18/width": 32,
        "models/densenet121_3x3/architecture": "densenet121",
    }
    study = check_study(changed(parsed(PAPER), changes))
    assert dict(numbers(study, "table_2").architectures) == {"densenet121_3x3": "densenet121"}


def test_columns_are_data_sets_or_metrics(paper: Study) -> None:
    found = {name: numbers(paper, name).across for name in ("table_2", "table_3", "table_4", "table_6")}
    assert found == {"table_2": "Dataset", "table_3": "Dataset", "table_4": "Metric", "table_6": "Metric"}


@pytest.mark.parametrize(
    ("table", "number", "words"),
    [
        ("table_1", 2, "less than or equal to 1"),
        ("table_2", 1, "greater than or equal to 2"),
        ("table_4", 8, "less than or equal to 7"),
        ("table_4", "four", "a whole number"),
        ("table_3", 3.5, "a whole number"),
    ],
)
def test_a_number_that_cannot_be_is_refused_by_its_key(table: str, number: Any, words: str) -> None:
    with pytest.raises(UserError) as error:
        check_study(changed(parsed(PAPER), {f"tables/{table}/published": number}))
    assert str(error.value).startswith(f"tables.{table}.published: found ")
    assert words in str(error.value)

"""A study file: how it is read, and what may stand in it."""

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aikd.errors import UserError
from aikd.study.load import check_study, load_study
from aikd.study.queries import runs_of
from aikd.study.schema import Study
from tests.conftest import DEMO, GONE, PAPER, changed, parsed

# Files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a study is a mapping of keys, found NoneType"),
        ("- name", "a study is a mapping of keys, found list"),
        ("name: one\nseeds: [0]\nname: two\n", "not YAML: line 3: the key 'name' stands twice"),
        ("recipe:\n  epochs: 1\n  epochs: 2\n", "not YAML: line 3: the key 'epochs' stands twice"),
        ("recipe: {epochs: 1, decay: 2, epochs: 2}\n", "not YAML: line 1: the key 'epochs' stands twice"),
        ("name: [\n", "not YAML: while parsing a flow node"),
        ("name: one: two\n", "not YAML: mapping values are not allowed here"),
        ("name: *one\n", "not YAML: found undefined alias 'one'"),
        ("name: one\n---\nname: two\n", "not YAML: expected a single document"),
        ("? [name]\n: one\n", "not YAML: while constructing a mapping"),
        ("name: 2024-13-45\n", "not YAML: month must be in 1..12"),
        ("name: !!bool maybe\n", "not YAML: 'maybe'"),
        ("name: !!timestamp now\n", "not YAML: "),
        ("name: !!python/name:os.system\n", "not YAML: could not determine a constructor"),
        ("name: \x07\n", "not YAML: unacceptable character"),
        ("name: " + "[" * 500, "nested too deeply"),
        ("methods: {aikd: {settings: &a {a: *a}}}\nname: a\ndata: {}\nmodels: {}\n", "data: found {}"),
    ],
)
def test_a_file_that_is_no_study_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error, of_a_fresh_process():
        load_study(file)
    first, *more = str(error.value).splitlines()
    assert first.startswith(f"{file}: {message}")
    assert [line for line in more if not line.startswith(f"{file}: ")] == []


@contextmanager
def of_a_fresh_process() -> Iterator[None]:
    """Python's own limit of nested calls, counted from here: tests that ran before may have left another."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 1000)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def test_a_value_that_contains_itself_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    text = DEMO.read_text(encoding="utf-8").replace("aikd: {}", "aikd: {settings: &a {critic: *a}}")
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="contains itself"):
        load_study(file)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00name"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "study.yaml"
    if content:
        file.write_bytes(content)
    with pytest.raises(UserError) as error:
        load_study(file)
    assert str(error.value).startswith(f"{file}: cannot be read (")


def test_a_folder_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_study(tmp_path)


def test_every_line_of_a_long_message_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("nme: paper\n", encoding="utf-8")
    with pytest.raises(UserError) as error:
        load_study(file)
    lines = str(error.value).splitlines()
    assert len(lines) == 5
    assert f"{file}: data: missing, and required" in lines
    assert [line for line in lines if not line.startswith(f"{file}: ")] == []


def test_anchors_and_merge_keys_may_be_used(tmp_path: Path) -> None:
    """A key of one's own beside `<<` is no key given twice."""
    file = tmp_path / "study.yaml"
    text = """
        name: anchors
        data: {digits: {models: [resnet18]}}
        models: {resnet18: {label: ResNet-18}}
        methods: {aikd: {}}
        tables:
          one: &one {kind: ablation, caption: One., data: digits, model: resnet18, rows: [{}]}
          two: {<<: *one, caption: Two.}
    """
    file.write_text(text, encoding="utf-8")
    tables = load_study(file).tables
    assert tables["two"] == tables["one"].model_copy(update={"caption": "Two."})


# Values


@pytest.mark.parametrize(
    ("changes", "recipe"),
    [
        ({"recipe/weight_decay": "5e-4"}, {"weight_decay": 0.0005}),
        (
            {"recipe/weight_decay": "1E-4", "recipe/learning_rate": 1},
            {"weight_decay": 1e-4, "learning_rate": 1.0},
        ),
        ({"recipe/epochs": "300", "recipe/nesterov": "False"}, {"epochs": 300, "nesterov": False}),
        ({"recipe/milestones": ["3", 7]}, {"milestones": [3, 7]}),
        ({"recipe/milestones": []}, {"milestones": []}),
        ({"recipe": {}}, {"epochs": 300, "batch_size": 128, "weight_decay": 0.0005}),
    ],
)
def test_numbers_that_yaml_or_the_command_line_left_as_text_are_numbers(
    changes: dict[str, Any], recipe: dict[str, Any]
) -> None:
    found = check_study(changed(parsed(PAPER), changes)).recipe.model_dump()
    assert {key: found[key] for key in recipe} == recipe
    assert [type(found[key]) for key in recipe] == [type(value) for value in recipe.values()]


def test_settings_given_as_text_name_the_same_runs() -> None:
    text: dict[str, Any] = {"methods/tfkd/when/0/settings": {"alpha": "9e-1", "temperature": "2e1"}}
    text |= {"figures/figure_7a/x/values": ["16", 32, "64", 128], "seeds": ["0", "1", "2"]}
    assert runs_of(check_study(changed(parsed(PAPER), text))) == runs_of(check_study(parsed(PAPER)))


def test_the_least_study_needs_a_name_data_models_and_methods() -> None:
    study = check_study(
        {
            "name": "least",
            "data": {"digits": {"models": ["resnet18"]}},
            "models": {"resnet18": {"label": "ResNet-18"}},
            "methods": {"aikd": {}},
        }
    )
    assert (study.seeds, study.recipe.epochs, study.results) == ([0, 1, 2], 300, Path("results/least"))
    assert runs_of(study) == []


def test_one_method_may_stand_in_a_study_twice_under_names_of_its_own() -> None:
    mine = {"method": "aikd", "label": "Mine", "settings": {"omega": 0}}
    changes = {
        "methods": {"aikd": {}, "mine": mine, "again": {"method": "aikd", "label": "Again"}},
        "tables/table_3/methods": ["mine"],
    }
    study = check_study(changed(parsed(DEMO), changes | {"figures": {}, "tables/table_4": GONE}))
    assert {run.method for run in runs_of(study, ["table_3"])} == {"aikd", "baseline"}
    assert {run.settings for run in runs_of(study, ["table_3"])} == {(), (("omega", 0.0),)}


@pytest.mark.parametrize(
    "changes",
    [
        {"methods/aikd/settings": {"alpha_p": 0.1}, "tables/table_4/rows/0/settings": {"alpha_ce": 0.8}},
        {
            "methods/aikd/settings": {"alpha_p": 0.1},
            "figures/figure_7b/axes/0": {"setting": "alpha_g", "values": [0.8]},
        },
        {
            "figures/figure_7a/x": {"setting": "alpha_p", "values": [0.95]},
            "figures/figure_7a/y": {"setting": "alpha_g", "values": [0, 0.05]},
        },
        {
            "methods/aikd": {"settings": {"alpha_p": 0.1}, "when": [{"settings": {"alpha_g": 0.8}}]},
            "figures": {},
            "tables": {},
        },
        {"figures/figure_7a/x": {"setting": "critic.norm", "values": ["batch", "layer"]}},
    ],
)
def test_settings_are_judged_together_with_those_they_stand_on(changes: dict[str, Any]) -> None:
    check_study(changed(parsed(PAPER), changes))


def test_holdout_calibration_is_accepted_where_every_data_set_keeps_images_for_it() -> None:
    changes = {"calibration/scheme": "holdout", "data/digits/holdout_per_class": 10}
    study = check_study(changed(parsed(DEMO), changes))
    assert study.calibration.scheme == "holdout"


def test_other_labels_and_transforms_than_the_catalogue_s(paper: Study) -> None:
    changes = {"data/cifar100/label": "C100", "data/cifar100/transform": {"padding": 2}}
    entry = check_study(changed(parsed(PAPER), changes)).dataset("cifar100")
    assert (entry.label, entry.transform.padding, entry.transform.size) == ("C100", 2, 32)
    assert (paper.dataset("cifar100").label, paper.dataset("cifar100").transform.padding) == ("CIFAR-100", 4)

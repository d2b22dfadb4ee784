"""Whatever stands in a study file, it is a study or refused with a message."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aikd.errors import UserError
from aikd.study.load import check_study, load_study
from aikd.workflow import Workflow
from tests.conftest import DEMO, PAPER, ROOT, parsed

STUDIES = [parsed(file) for file in (DEMO, ROOT / "workflow/studies/laptop.yaml", PAPER)]
DEMO_LINES = DEMO.read_text(encoding="utf-8").splitlines()


def places(data: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested containers."""
    if isinstance(data, dict):
        items = list(data.items())
    elif isinstance(data, list):
        items = list(enumerate(data))
    else:
        items = []
    return [place] * bool(place) + [inner for key, value in items for inner in places(value, (*place, key))]


def at(data: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        if not isinstance(data, dict | list):
            raise KeyError(key)
        data = data[key]
    return data


PLACES = [places(study) for study in STUDIES]
KEYS = sorted({key for study in PLACES for place in study for key in place if isinstance(key, str)})
SETTINGS = [
    "alpha_ce",
    "alpha_p",
    "alpha_g",
    "critic",
    "critic.norm",
    "critic.fc1",
    "critic.fc1.x",
    "weight",
    "",
]

SCALARS = st.one_of(
    st.sampled_from([None, True, False, 0, 1, -1, 2, 10**400, 1e999, float("nan"), -0.0, 1e-320, "", "none"]),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.datetimes(),
    st.binary(max_size=4),
    st.sampled_from(
        ["5e-4", "1e999", "true", "null", "0x10", "1_000", "٣", "a/b", "..", "%", "\n", "\u2028"]
    ),
    st.sampled_from(KEYS + SETTINGS),
)
NAMES = st.one_of(st.sampled_from(KEYS + SETTINGS), st.text(max_size=5), SCALARS)
CONTAINERS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
VALUES = CONTAINERS | st.sampled_from(PLACES[0]).map(lambda place: at(STUDIES[0], place))


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """One of the studies with up to four places replaced, deleted or given one more key."""
    number = draw(st.sampled_from([0, 0, 1, 1, 2]))  # the paper's takes ten times as long as the others
    data = copy.deepcopy(STUDIES[number])
    for place in draw(st.lists(st.sampled_from(PLACES[number]), min_size=1, max_size=4)):
        try:
            container, here = at(data, place[:-1]), at(data, place)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change has taken this place away
        match draw(st.sampled_from(["replace", "delete", "add"])):
            case "replace":
                container[place[-1]] = copy.deepcopy(draw(VALUES))
            case "delete":
                del container[place[-1]]
            case "add" if isinstance(here, dict):
                here[draw(NAMES)] = copy.deepcopy(draw(VALUES))
            case "add" if isinstance(here, list):
                here.append(copy.deepcopy(draw(VALUES)))
    return data


def assert_clear(error: UserError, start: str = "") -> None:
    message = str(error)
    assert message.startswith(start)
    assert message.removeprefix(start).strip()
    assert [word for word in ("Traceback", "pydantic", "function-", "[key]") if word in message] == []


def ask_everything(workflow: Workflow) -> None:
    """All that the rules ask of a study while Snakemake plans."""
    names = [*workflow.study.tables, *workflow.study.figures]
    for target in workflow.targets():
        workflow.files_of(target)
    for wildcards in (SimpleNamespace(name=name) for name in names):
        assert workflow.spec_json(wildcards)
        workflow.inputs(wildcards)
    workflow.runs_json()
    for path in workflow.all_runs()[::7]:  # seeds are three: all of them come up
        dataset, _, run = path.partition("/")
        run_wildcards = SimpleNamespace(dataset=dataset, run=run)
        assert workflow.memory(run_wildcards, attempt=1) > 0
        workflow.superior(run_wildcards)
    for dataset in workflow.study.data:
        digest = Path(workflow.manifest_of(dataset)).parent.name
        workflow.data_settings(SimpleNamespace(dataset=dataset, digest=digest))
        for archive in workflow.archives(SimpleNamespace(dataset=dataset)):
            name = Path(archive).stem
            workflow.download_options(SimpleNamespace(archive=name), output=None)


@settings(max_examples=1000)
@given(mutated())
def test_a_changed_study_is_valid_or_refused(data: Any) -> None:
    try:
        workflow = Workflow(data)
    except UserError as error:
        assert_clear(error)
        return
    # What has been accepted can be used: no later step fails on it.
    ask_everything(workflow)


@settings(max_examples=200)
@given(CONTAINERS)
def test_any_data_is_a_study_or_refused(data: Any) -> None:
    with pytest.raises(UserError) as error:
        check_study(data)
    assert_clear(error.value)


SYNTAX = [
    "{",
    "}",
    "[",
    "]",
    "- ",
    ": ",
    "? ",
    "&a ",
    "*a",
    "<<: *a",
    "!!int ",
    "!!set ",
    "!x ",
    "'",
    '"',
    "|",
    ">",
]
WORDS = [
    "#",
    "---",
    "...",
    "=",
    "@",
    "%",
    "`",
    "name: a",
    "2024-13-45",
    "0b_",
    "1:2:3",
    "\t",
    "\x00",
    "\ufeff",
    "\u2028",
]
SCRAPS = st.sampled_from(SYNTAX) | st.sampled_from(WORDS)


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(st.integers(0, len(DEMO_LINES) - 1), st.integers(0, 40), SCRAPS), min_size=1, max_size=4
    )
)
@example([(3, 0, "? [a]\n")])
def test_a_file_with_stray_characters_is_a_study_or_refused(
    tmp_path_factory: pytest.TempPathFactory, scraps: list[tuple[int, int, str]]
) -> None:
    lines = list(DEMO_LINES)
    for number, column, scrap in scraps:
        lines[number] = lines[number][:column] + scrap + lines[number][column:]
    file = tmp_path_factory.mktemp("study") / "study.yaml"
    file.write_text("\n".join(lines), encoding="utf-8")
    try:
        load_study(file)
    except UserError as error:
        assert_clear(error, start=f"{file}: ")

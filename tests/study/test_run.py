"""A run is what it is: equal runs are one object with one readable path."""

import contextlib
import dataclasses
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aikd.errors import UserError
from aikd.study.augmentation import AUGMENTATIONS
from aikd.study.fields import flatten
from aikd.study.methods import METHODS
from aikd.study.run import Run

HERE = ("cifar100", "preact_resnet18")


def run(method: str = "aikd", settings: Any = (), augmentation: str = "standard", seed: int = 0) -> Run:
    return Run(*HERE, method, settings, augmentation, seed)


# Random runs, from what the methods themselves say of their settings


def values(schema: dict[str, Any], sections: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Everything that a part of a JSON schema allows."""
    if "$ref" in schema:
        return values(sections[schema["$ref"].rsplit("/", 1)[1]], sections)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    low: Any = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum")
    match schema["type"]:
        case "object":
            keys = {k: values(v, sections) for k, v in schema["properties"].items() if k != "alpha_ce"}
            return st.fixed_dictionaries({}, optional=keys)
        case "integer":
            return st.integers(low, high if high is not None else 2**60)
        case "number":
            open_low, open_high = "exclusiveMinimum" in schema, "exclusiveMaximum" in schema
            high = high if high is not None else schema.get("exclusiveMaximum")
            floats = st.floats(
                low, high, exclude_min=open_low, exclude_max=open_high, allow_nan=False, allow_infinity=False
            )
            whole = st.integers(low + open_low, high if high is not None else 10**20)
            return floats if open_high else floats | whole
    raise AssertionError(f"no strategy for {schema}")


def settings_of(method: str) -> st.SearchStrategy[dict[str, Any]]:
    schema = METHODS[method].settings.model_json_schema()
    return values(schema, schema.get("$defs", {})).map(share_at_most_one)


def share_at_most_one(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, with as much weight taken from α_G as cross-entropy would lack."""
    p, g = settings.get("alpha_p", 0.3), settings.get("alpha_g", 0.1)
    if settings.keys() & {"alpha_p", "alpha_g"} and p + g > 1:
        return settings | {"alpha_g": (1 - p) * g}
    return settings


METHOD_AND_SETTINGS = st.sampled_from(sorted(METHODS)).flatmap(
    lambda method: st.tuples(st.just(method), settings_of(method))
)
RUNS = st.builds(
    lambda chosen, augmentation, seed: run(chosen[0], chosen[1], augmentation, seed),
    METHOD_AND_SETTINGS,
    st.sampled_from(sorted(AUGMENTATIONS)),
    st.integers(0, 2**64),
)


@given(RUNS)
def test_a_path_leads_back_to_its_run(some: Run) -> None:
    again = Run.from_path(some.path)
    assert again == some
    assert hash(again) == hash(some)
    assert again.path == some.path
    assert again.full_settings == some.full_settings


@given(RUNS)
def test_every_path_is_plain_text_that_needs_no_quoting_in_a_shell(some: Run) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_=.,+/-]+", some.path)


@given(RUNS, RUNS)
def test_two_runs_are_equal_exactly_when_their_paths_are(one: Run, other: Run) -> None:
    assert (one == other) is (one.path == other.path)


@given(METHOD_AND_SETTINGS)
def test_nested_dotted_and_completed_settings_are_the_same_run(chosen: tuple[str, dict[str, Any]]) -> None:
    method, nested = chosen
    first = run(method, nested)
    dotted = flatten(nested)
    completed = first.full_settings.model_dump()
    assert first == run(method, dotted) == run(method, dotted | {}) == run(method, completed)
    assert first == run(method, dict(reversed(dotted.items())))


@given(METHOD_AND_SETTINGS)
def test_a_path_names_the_settings_that_differ_and_no_others(chosen: tuple[str, dict[str, Any]]) -> None:
    method, settings = chosen
    defaults = flatten(METHODS[method].defaults.model_dump())
    differing = {key for key, value in flatten(settings).items() if value != {} and value != defaults[key]}
    assert {key for key, _ in run(method, settings).settings} == differing


# Written by hand


@pytest.mark.parametrize(
    ("path", "some"),
    [
        ("aikd/seed0", run()),
        ("baseline/seed2", run("baseline", seed=2)),
        ("aikd/omega=0.25/seed1", run(settings={"omega": 0.25}, seed=1)),
        ("aikd/omega=1/seed1", run(settings={"omega": 1.0}, seed=1)),
        ("aikd/alpha_g=0,omega=0/seed0", run(settings={"omega": 0, "alpha_g": 0})),
        (
            "aikd/critic.fc1=128,critic.norm=layer/seed0",
            run(settings={"critic": {"norm": "layer", "fc1": 128}}),
        ),
        ("aikd/critic.fc1=128,omega=0.5/seed0", run(settings={"omega": 0.5, "critic.fc1": 128})),
        ("aikd/omega=1e-05/seed0", run(settings={"omega": 1e-5})),
        ("aikd/omega=1e+16/seed0", run(settings={"omega": 1e16})),
        ("aikd/previous=memory/seed0", run(settings={"previous": "memory"})),
        ("aikd/mixup/seed0", run(augmentation="mixup")),
        ("aikd/omega=0/cutmix/seed10", run(settings={"omega": 0}, augmentation="cutmix", seed=10)),
        ("tfkd/alpha=0.9,temperature=20/seed0", run("tfkd", {"temperature": 20, "alpha": 0.9})),
        ("cskd/weight=3/seed0", run("cskd", {"weight": 3})),
    ],
)
def test_paths_are_readable(path: str, some: Run) -> None:
    assert some.path == f"cifar100/preact_resnet18/{path}"
    assert Run.from_path(some.path) == some


@pytest.mark.parametrize(
    "settings",
    [
        {"omega": 0.1},
        {"omega": "1e-1"},
        {"tau_g": 3},
        {"tau_g": 3.0, "tau_p": 1},
        {"critic": {}},
        {"critic": {"fc1": 64, "norm": "batch"}},
        {"critic.fc1": 64},
        {"critic": {"penalty": 10}, "critic.norm": "batch"},
        {"alpha_ce": 0.6},
        {"alpha_ce": 0.6, "alpha_g": 0.1, "alpha_p": 0.3},
    ],
)
def test_settings_equal_to_the_defaults_vanish_however_they_are_written(settings: dict[str, Any]) -> None:
    assert run(settings=settings) == run()
    assert run(settings=settings).settings == ()
    assert len({run(settings=settings), run()}) == 1


def test_a_run_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        run().seed = 1  # type: ignore[misc]


def test_runs_are_sorted_by_data_set_model_method_settings_and_seed() -> None:
    ordered = [run("aikd", seed=0), run("aikd", seed=1), run("aikd", {"omega": 0}), run("baseline")]
    assert sorted(set(ordered)) == ordered


@pytest.mark.parametrize(("alpha_p", "alpha_g", "alpha_ce"), [(0.3, 0.1, 0.6), (0.2, 0, 0.8), (0.7, 0.3, 0)])
def test_the_weight_of_cross_entropy_is_what_the_others_leave(
    alpha_p: float, alpha_g: float, alpha_ce: float
) -> None:
    some = run(settings={"alpha_p": alpha_p, "alpha_g": alpha_g})
    assert some.full_settings.model_dump()["alpha_ce"] == alpha_ce
    assert "alpha_ce" not in some.path
    assert some == run(settings={"alpha_p": alpha_p, "alpha_g": alpha_g, "alpha_ce": alpha_ce})


# Superior models


@pytest.mark.parametrize(
    ("method", "settings", "needed"),
    [
        ("baseline", {}, False),
        ("cskd", {}, False),
        ("pskd", {}, False),
        ("tfkd", {}, True),
        ("aikd", {}, True),
        ("aikd", {"omega": 0}, True),
        ("aikd", {"alpha_g": 0}, True),
        ("aikd", {"omega": 0, "alpha_g": 0}, False),
        ("aikd", {"omega": 0, "alpha_p": 0}, True),
    ],
)
def test_the_superior_model_is_the_baseline_run_where_one_is_needed(
    method: str, settings: dict[str, float], needed: bool
) -> None:
    some = run(method, settings, "mixup", seed=2)
    assert some.superior == (run("baseline", seed=2) if needed else None)


# Mistakes


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("aikd/omega=0.10/seed0", ["canonical", "'cifar100/preact_resnet18/aikd/seed0'"]),
        ("aikd/omega=1.0/seed0", ["canonical", "aikd/omega=1/seed0'"]),
        ("aikd/omega=.5/seed0", ["canonical", "aikd/omega=0.5/seed0'"]),
        ("aikd/omega=0,alpha_g=0/seed0", ["canonical", "aikd/alpha_g=0,omega=0/seed0'"]),
        ("aikd/omega=0,omega=0/seed0", ["canonical", "aikd/omega=0/seed0'"]),
        ("aikd/alpha_ce=0.6/seed0", ["canonical", "aikd/seed0'"]),
        ("aikd/alpha_ce=0.7,alpha_p=0.2/seed0", ["canonical", "aikd/alpha_p=0.2/seed0'"]),
        ("aikd/critic={}/seed0", ["canonical", "aikd/seed0'"]),
        ("aikd/standard/seed0", ["canonical", "aikd/seed0'"]),
        ("aikd/previous=%6Demory/seed0", ["canonical", "aikd/previous=memory/seed0'"]),
        ("aikd/mixup/omega=0/seed0", ["expected DATASET/MODEL/METHOD", "omega=0.25/seed1"]),
        ("aikd/seed00", ["expected DATASET/MODEL/METHOD"]),
        ("aikd/seed-1", ["expected DATASET/MODEL/METHOD"]),
        ("aikd", ["expected DATASET/MODEL/METHOD"]),
        ("aikd//seed0", ["expected DATASET/MODEL/METHOD"]),
        (f"aikd/seed1{'0' * 5000}", ["expected DATASET/MODEL/METHOD"]),
        ("aikd/omega/seed0", ["augmentation", '"omega"', "standard, cutout, mixup, cutmix"]),
        ("aikd/omega=/seed0", ["'omega=' is not SETTING=VALUE"]),
        ("aikd/omega=0,/seed0", ["'' is not SETTING=VALUE"]),
        ("aikd/omgea=1/seed0", ["aikd settings.omgea: unknown key (did you mean 'omega'?)"]),
        ("aikd/omega=true/seed0", ["aikd settings.omega: found true", "a number"]),
        ("aikd/omega=NaN/seed0", ["aikd settings.omega: found NaN", "finite"]),
        ("aikd/omega={}/seed0", ["aikd settings.omega: found {}", "a number"]),
        ("aikd/critic=1,critic.fc1=2/seed0", ["aikd settings", "'critic.fc1'"]),
        ("aikd/critic.fc1.x=2/seed0", ["aikd settings.critic.fc1", "a whole number"]),
        ("akd/seed0", ["method", "\"akd\" (did you mean 'aikd'?)", "baseline, cskd, tfkd, pskd, aikd"]),
        ("aikd/mixip/seed0", ["\"mixip\" (did you mean 'mixup'?)"]),
    ],
)
def test_a_wrong_path_is_refused_and_the_right_one_named(path: str, words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        Run.from_path(f"cifar100/preact_resnet18/{path}")
    assert [word for word in words if word not in str(error.value)] == []
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "path", ["", "/", "seed0", "aikd/seed0", "cifar100/preact_resnet18/seed0", "a/b//seed0"]
)
def test_too_short_a_path_is_refused(path: str) -> None:
    with pytest.raises(UserError, match="expected DATASET/MODEL/METHOD"):
        Run.from_path(path)


@given(st.text(alphabet='aikd/=,.%01seed{}[]"-omga \n', max_size=40))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    path = f"cifar100/preact_resnet18/aikd/{text}/seed0"
    with contextlib.suppress(UserError):
        assert Run.from_path(path).path == path


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"alpha_p": 0.9, "alpha_g": 0.2}, "weights must sum to 1"),
        ({"alpha_ce": 0.5}, "alpha_ce 0.5 + alpha_p 0.3 + alpha_g 0.1 = 0.9"),
        ({"critic.fc1": 3, "critic": {"fc1": 4}}, "'critic.fc1' is given more than once"),
        ({"critic": 3, "critic.fc1": 4}, "'critic' has a value already"),
        ({"critic.fc1": 4, "critic": 3}, "'critic' is given more than once"),
        ({"omega": {}}, "settings.omega: found {}"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as error:
        run(settings=settings)
    assert words in str(error.value)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UserError, match="seed: found -1"):
        run(seed=-1)

"""The settings a training command is given: all that decides the outcome, and nothing that does not."""

import json
from typing import Any

import pytest

from aikd.study import methods, queries
from aikd.study.catalogue import Transform
from aikd.study.load import check_study
from aikd.study.methods import CSKDSettings, MethodSpec
from aikd.study.resolve import SETTINGS, resolve
from aikd.study.run import Run
from aikd.study.schema import Recipe, Study
from tests.conftest import DEMO, DIGITS, changed, parsed

RUN = "digits/preact_resnet18/aikd/omega=0.5/cutmix/seed1"

RECIPE: dict[str, Any] = {
    "epochs": 17,
    "batch_size": 49,
    "learning_rate": 0.06,
    "milestones": [8],
    "decay": 0.2,
    "momentum": 0.8,
    "nesterov": False,
    "weight_decay": 1e-4,
    "precision": "bf16",
    "channels_last": False,
}
TRANSFORM: dict[str, Any] = {
    "size": 6,
    "crop": "resized",
    "padding": 2,
    "flip": True,
    "resize": 9,
    "mean": [0.5] * 3,
    "std": [0.5] * 3,
}


# The demo, with numbers of its own: the demo's are free to change.
STUDY = changed(
    parsed(DEMO),
    {
        "recipe": {"epochs": 16, "batch_size": 48, "learning_rate": 0.05, "milestones": [8, 12]},
        "models/preact_resnet18": {"label": "ResNet-18", "width": 8, "blocks": [1, 1, 1, 1]},
    },
)


def resolved(changes: dict[str, Any] | None = None, run: str = RUN) -> dict[str, Any]:
    return resolve(check_study(changed(STUDY, changes or {})), Run.from_path(run))


def test_everything_that_training_needs_is_there_defaults_included() -> None:
    assert tuple(resolved()) == SETTINGS
    assert resolved() == {
        "recipe_version": 1,
        "run": RUN,
        "data": {
            "name": "digits",
            "prepared": DIGITS,
            "classes": 10,
            "transform": {
                "size": 8, "crop": "padded", "padding": 1, "flip": False, "resize": None, "mean": None, "std": None,
            },
            "images_per_class": None,
            "holdout_per_class": 0,
        },
        "model": {"architecture": "preact_resnet18", "width": 8, "growth": None, "blocks": [1, 1, 1, 1]},
        "method": "aikd",
        "settings": {
            "alpha_ce": 0.6, "alpha_p": 0.3, "alpha_g": 0.1, "omega": 0.5, "tau_p": 1, "tau_g": 3,
            "previous": "snapshot",
            "critic": {
                "fc1": 64, "fc2": 32, "norm": "batch", "head": "mean", "input": "logits", "passes": "joint",
                "middle_term": "kept", "steps": 1, "learning_rate": 1e-4, "beta1": 0.5, "beta2": 0.9,
                "penalty": 10, "slope": 0.01,
            },
        },
        "augmentation": {"name": "cutmix", "beta": 1, "probability": 0.5},
        "recipe": {
            "epochs": 16, "batch_size": 48, "learning_rate": 0.05, "milestones": [8, 12], "decay": 0.1,
            "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4, "precision": "fp32", "channels_last": True,
        },
        "superior": "digits/preact_resnet18/baseline/seed1",
        "seed": 1,
    }  # fmt: skip


def test_settings_of_every_run_survive_json(study: Study) -> None:
    for run in queries.runs_of(study):
        found = resolve(study, run)
        assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_equal_runs_resolve_equally_and_different_ones_differently(study: Study) -> None:
    runs = queries.runs_of(study)
    texts = {json.dumps(resolve(study, run), sort_keys=True) for run in runs}
    assert len(texts) == len(runs)
    again = {json.dumps(resolve(study, Run.from_path(run.path)), sort_keys=True) for run in runs}
    assert again == texts


def test_a_run_without_a_superior_model_says_so() -> None:
    assert resolved(run="digits/preact_resnet18/pskd/seed0")["superior"] is None
    assert resolved(run="digits/preact_resnet18/aikd/alpha_g=0,omega=0/seed0")["superior"] is None


def test_an_architecture_may_have_another_name_in_the_study() -> None:
    entry = {"label": "Wide", "architecture": "resnet18", "width": 16}
    changes = {"models/wide": entry, "data/digits/models": ["preact_resnet18", "densenet121_3x3", "wide"]}
    found = resolved(changes, "digits/wide/pskd/seed0")["model"]
    assert found == {"architecture": "resnet18", "width": 16, "growth": None, "blocks": None}


# What trains a run again


@pytest.mark.parametrize("key", Recipe.model_fields)
@pytest.mark.parametrize("place", ["recipe", "data/digits/recipe"])
def test_every_recipe_key_counts(place: str, key: str) -> None:
    found = resolved({f"{place}/{key}": RECIPE[key]})
    assert found != resolved()
    assert found["recipe"] == resolved()["recipe"] | {key: RECIPE[key]}


@pytest.mark.parametrize("key", Transform.model_fields)
def test_every_transform_key_counts(key: str) -> None:
    together = ("mean", "std") if key in ("mean", "std") else (key,)
    found = resolved({"data/digits/transform": {key: TRANSFORM[key] for key in together}})
    assert found["data"]["transform"][key] == TRANSFORM[key]
    assert found != resolved()


@pytest.mark.parametrize(
    "changes",
    [
        {"models/preact_resnet18/width": 9},
        {"models/preact_resnet18/blocks": [1, 1, 1, 2]},
        {"models/preact_resnet18/architecture": "resnet18"},
        {"data/digits/images_per_class": 5},
        {"data/digits/holdout_per_class": 5},
        {"augmentations/cutmix/beta": 0.5},
        {"augmentations/cutmix/probability": 1},
    ],
)
def test_model_data_and_the_run_s_own_augmentation_count(changes: dict[str, Any]) -> None:
    assert resolved(changes) != resolved()


def test_a_new_default_of_a_method_counts_although_the_run_s_path_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = "digits/preact_resnet18/cskd/seed0"
    before = resolved(run=run)

    class Warmer(CSKDSettings):
        temperature: float = 5.0

    spec = methods.METHODS["cskd"]
    monkeypatch.setitem(methods.METHODS, "cskd", MethodSpec(spec.label, Warmer, spec.implementation))
    after = resolved(run=run)
    assert after["run"] == before["run"]
    assert after["settings"] == before["settings"] | {"temperature": 5.0}


# What does not


@pytest.mark.parametrize(
    "changes",
    [
        {"evaluate_every": 3},
        {"threads": 8},
        {"calibration": {"bins": 10, "folds": 3, "scheme": "oracle"}},
        {"tables": {}},
        {"figures": {}},
        {"tables/table_5/caption": "Other."},
        {"seeds": [1]},
        {"name": "other"},
        {"data/digits/label": "Other"},
        {"models/preact_resnet18/label": "Other", "figures/figure_4/family": "Other"},
        {"models/densenet121_3x3/growth": 16},
        {"methods/aikd/label": "Other"},
        {"methods/aikd/settings": {"omega": 0.7}},
        {"methods/tfkd/settings": {"alpha": 0.5}},
        {"augmentations/mixup/alpha": 0.5},
    ],
)
def test_speed_looks_and_other_runs_do_not_count(changes: dict[str, Any]) -> None:
    assert resolved(changes) == resolved()

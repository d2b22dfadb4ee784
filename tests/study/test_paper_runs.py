"""What the paper's study trains: how often, with which settings, and what its tables share."""

from typing import Any

import pytest

from aikd.study import queries
from aikd.study.catalogue import DATA_SETS
from aikd.study.load import check_study
from aikd.study.resolve import resolve
from aikd.study.run import Run
from aikd.study.schema import Study
from tests.conftest import PAPER, changed, numbers, parsed

COARSE = ("cifar100", "tiny_imagenet")
FINE_GRAINED = ("cub200", "stanford_dogs", "mit67", "fgvc_aircraft")


def runs(study: Study, *targets: str) -> set[Run]:
    names = [name for target in targets for name in queries.outputs_of(study, target)]
    return set(queries.runs_of(study, names))


def test_the_whole_paper_is_312_runs_each_named_once(paper: Study) -> None:
    found = queries.runs_of(paper)
    assert len(found) == len(set(found)) == len({run.path for run in found}) == 312


@pytest.mark.parametrize(
    ("target", "count"),
    [
        ("table_1", 0),
        ("table_2", 180),
        ("table_3", 180),
        ("table_4", 15),
        ("table_5", 27),
        ("table_6", 21),
        ("table_7", 15),
        ("figure_4", 90),
        ("figure_5", 90),
        ("figure_6", 5),
        ("figure_7a", 51),
        ("figure_7b", 42),
        ("figure_7", 87),
    ],
)
def test_each_target_needs_as_many_runs_as_its_rows_seeds_and_superior_models(
    paper: Study, target: str, count: int
) -> None:
    assert len(runs(paper, target)) == count


def test_each_experiment_trains_only_what_those_before_it_have_not(paper: Study) -> None:
    known: set[Run] = set()
    added = []
    first = ("table_2", "table_3", "figure_4", "figure_5", "figure_6")
    for targets in (
        first,
        ("table_4",),
        ("table_5",),
        ("table_6",),
        ("table_7",),
        ("figure_7a",),
        ("figure_7b",),
    ):
        found = runs(paper, *targets)
        added.append(len(found - known))
        known |= found
    assert added == [180, 9, 18, 15, 9, 45, 36]


def test_no_adversary_in_table_4_is_omega_0_in_table_5(paper: Study) -> None:
    ablation, weights = numbers(paper, "table_4"), numbers(paper, "table_5")
    [no_adversary] = [row for row in ablation.rows if row.header == ("No Adv",)]
    [omega_0] = [row for row in weights.rows if row.header == ("0",)]
    assert no_adversary.runs == omega_0.runs
    assert len(omega_0.runs) == 3


def test_the_default_run_of_ai_kd_serves_tables_2_to_7_and_figure_7(paper: Study) -> None:
    default = Run("cifar100", "preact_resnet18", "aikd", seed=1)
    for target in (*(f"table_{n}" for n in range(2, 8)), "figure_7a", "figure_7b"):
        assert default in runs(paper, target), target


@pytest.mark.parametrize("name", ["paper", "demo"])
def test_every_superior_model_is_among_the_runs(name: str, request: pytest.FixtureRequest) -> None:
    found = queries.runs_of(request.getfixturevalue(name))
    superiors = {run.superior for run in found if run.superior}
    assert superiors
    assert superiors <= set(found)


def test_the_demo_is_smaller_and_asks_for_every_table_and_figure_of_the_paper(
    paper: Study, demo: Study
) -> None:
    assert [*demo.tables, *demo.figures] == [*paper.tables, *paper.figures]
    assert len(queries.runs_of(demo)) < 100


# Settings by data set and model


@pytest.mark.parametrize("dataset", [*COARSE, *FINE_GRAINED])
def test_methods_have_the_settings_of_their_own_publications(paper: Study, dataset: str) -> None:
    resnet, densenet = paper.data[dataset].models
    weight = 3 if dataset in FINE_GRAINED else 1
    expected: dict[tuple[str, str], dict[str, Any]] = {
        (resnet, "cskd"): {"temperature": 4, "weight": weight},
        (densenet, "cskd"): {"temperature": 4, "weight": weight},
        (resnet, "tfkd"): {"alpha": 0.95, "temperature": 6, "kl_weight": 0.5},
        (densenet, "tfkd"): {"alpha": 0.9, "temperature": 20, "kl_weight": 0.5},
        (resnet, "pskd"): {"alpha": 0.8},
        (densenet, "pskd"): {"alpha": 0.8},
    }
    for (model, method), settings in expected.items():
        run = queries.run_for(paper, dataset, model, method, 0)
        assert run.full_settings.model_dump() == settings, run.path


@pytest.mark.parametrize("dataset", [*COARSE, *FINE_GRAINED])
def test_ai_kd_has_the_paper_s_weights_everywhere(paper: Study, dataset: str) -> None:
    for model in paper.data[dataset].models:
        found = queries.run_for(paper, dataset, model, "aikd", 0).full_settings.model_dump()
        weights = {key: found[key] for key in ("alpha_ce", "alpha_p", "alpha_g", "omega", "tau_p", "tau_g")}
        assert weights == {
            "alpha_ce": 0.6, "alpha_p": 0.3, "alpha_g": 0.1, "omega": 0.1, "tau_p": 1, "tau_g": 3,
        }  # fmt: skip


@pytest.mark.parametrize("dataset", [*COARSE, *FINE_GRAINED])
def test_recipes_are_those_of_section_4_2(paper: Study, dataset: str) -> None:
    assert paper.recipe_for(dataset).model_dump() == {
        "epochs": 300,
        "batch_size": 32 if dataset in FINE_GRAINED else 128,
        "learning_rate": 0.1,
        "milestones": [150, 225],
        "decay": 0.1,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 0.0005,
        "precision": "fp32",
        "channels_last": True,
    }


def test_data_sets_have_the_sizes_of_table_1() -> None:
    """Table 1, with CIFAR-100's 100 classes and Aircraft's 3,333 test images as their publishers count."""
    found = {
        name: (d.category, d.classes, d.train, d.test) for name, d in DATA_SETS.items() if name != "digits"
    }
    assert found == {
        "cifar100": ("coarse", 100, 50_000, 10_000),
        "tiny_imagenet": ("coarse", 200, 100_000, 10_000),
        "cub200": ("fine-grained", 200, 5_994, 5_794),
        "stanford_dogs": ("fine-grained", 120, 12_000, 8_580),
        "mit67": ("fine-grained", 67, 5_360, 1_340),
        "fgvc_aircraft": ("fine-grained", 100, 6_667, 3_333),
    }


@pytest.mark.parametrize(
    ("changes", "dataset", "model", "side"),
    [
        ({}, "cifar100", "preact_resnet18", 8),
        (
            {"data/tiny_imagenet/transform": {"size": 64, "resize": 64}},
            "tiny_imagenet",
            "preact_resnet18",
            16,
        ),
        ({}, "cub200", "resnet18", 56),
        ({"augmentations/cutout/side": 5}, "cub200", "resnet18", 5),
    ],
)
def test_cutout_blanks_a_quarter_of_the_side_unless_told(
    changes: dict[str, Any], dataset: str, model: str, side: int
) -> None:
    study = check_study(changed(parsed(PAPER), changes))
    resolved = resolve(study, Run(dataset, model, "aikd", augmentation="cutout"))
    assert resolved["augmentation"] == {"name": "cutout", "side": side}


def test_table_7_differs_in_augmentation_alone(paper: Study) -> None:
    table = numbers(paper, "table_7")
    found = [(row.header[0], Run.from_path(row.runs[0])) for row in table.rows]
    assert [(label, run.augmentation, run.settings) for label, run in found] == [
        ("AI-KD", "standard", ()),
        ("+ Cutout", "cutout", ()),
        ("+ Mixup", "mixup", ()),
        ("+ CutMix", "cutmix", ()),
    ]


# Settings on top of one another


@pytest.mark.parametrize(
    ("own", "row", "alpha_ce"),
    [
        ({}, {"alpha_g": 0}, 0.7),
        ({"alpha_ce": 0.6}, {"alpha_g": 0}, 0.7),
        ({"alpha_p": 0.1}, {"alpha_g": 0.8}, 0.1),
        ({"alpha_p": 0.1}, {"alpha_ce": 0.8}, 0.8),
        ({"alpha_ce": 0.6, "alpha_p": 0.3, "alpha_g": 0.1}, {"omega": 0}, 0.6),
    ],
)
def test_a_weight_moved_in_a_row_is_taken_from_cross_entropy(
    own: dict[str, float], row: dict[str, float], alpha_ce: float
) -> None:
    changes = {"methods/aikd/settings": own, "tables/table_5/rows": [{"settings": row}]}
    study = check_study(changed(parsed(PAPER), changes))
    [line] = numbers(study, "table_5").rows
    settings = Run.from_path(line.runs[0]).full_settings.model_dump()
    assert settings["alpha_ce"] == pytest.approx(alpha_ce)


def test_of_several_conditions_that_apply_the_last_wins() -> None:
    when = [
        {"category": "coarse", "settings": {"omega": 0.2, "tau_g": 4}},
        {"data": ["cifar100"], "settings": {"omega": 0.3}},
        {"models": ["densenet121_3x3"], "settings": {"omega": 0.4}},
        {"data": ["cifar100"], "models": ["resnet18"], "settings": {"omega": 0.5}},
    ]
    study = check_study(changed(parsed(PAPER), {"methods/aikd": {"settings": {"omega": 0.1}, "when": when}}))

    def settings(dataset: str, model: str) -> dict[str, Any]:
        return queries.settings_for(study, "aikd", dataset, model)

    assert settings("cifar100", "preact_resnet18") == {"omega": 0.3, "tau_g": 4}
    assert settings("cifar100", "densenet121_3x3") == {"omega": 0.4, "tau_g": 4}
    assert settings("tiny_imagenet", "preact_resnet18") == {"omega": 0.2, "tau_g": 4}
    assert settings("cub200", "resnet18") == {"omega": 0.1}


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("figure_7", ["figure_7a", "figure_7b"]),
        ("figure_7a", ["figure_7a"]),
        ("figure_4", ["figure_4"]),
        ("table_1", ["table_1"]),
        ("figure", []),
        ("table_", []),
    ],
)
def test_a_figure_is_asked_for_in_parts_or_whole(paper: Study, target: str, names: list[str]) -> None:
    assert queries.outputs_of(paper, target) == names
    assert (target in queries.targets(paper)) is bool(names)


def test_names_that_only_end_like_parts_of_a_figure_stand_for_themselves() -> None:
    table = {"kind": "datasets"}
    names = ["face", "t1", "t1a", "t1bad", "b"]
    study = check_study(changed(parsed(PAPER), {"tables": dict.fromkeys(names, table), "figures": {}}))
    assert queries.targets(study) == names
    assert queries.outputs_of(study, "t1") == ["t1", "t1a"]
    assert queries.outputs_of(study, "t1bad") == ["t1bad"]

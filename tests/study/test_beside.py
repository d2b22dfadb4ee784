"""Which runs stand side by side in learning curves and class by class."""

import pytest

from aikd.errors import UserError
from aikd.study import beside, queries
from aikd.study.load import check_study
from aikd.study.schema import Study
from aikd.study.specs import ClassesSpec, LearningSpec
from tests.conftest import DEMO, changed, parsed

DIGITS = "digits/preact_resnet18"


def test_the_paper_has_curves_of_every_data_set_and_network_and_of_every_ablation(paper: Study) -> None:
    small = [
        f"{d}_{m}" for d in ("cifar100", "tiny_imagenet") for m in ("preact_resnet18", "densenet121_3x3")
    ]
    fine = ("cub200", "stanford_dogs", "mit67", "fgvc_aircraft")
    large = [f"{d}_{m}" for d in fine for m in ("resnet18", "densenet121")]
    ablations = [f"table_{n}" for n in (4, 5, 6, 7)]
    found = beside.learning_curves(paper)
    assert list(found) == [f"learning_{name}" for name in small + large + ablations]
    assert all(spec.name == name for name, spec in found.items())


def test_two_comparisons_of_the_same_runs_are_one_figure(demo: Study) -> None:
    spec = beside.learning_curves(demo)["learning_digits_preact_resnet18"]
    assert [group.label for group in spec.groups] == ["Baseline", "CS-KD", "TF-KD", "PS-KD", "AI-KD"]
    assert spec.groups[0].paths == tuple(f"{DIGITS}/baseline/seed{seed}" for seed in range(3))
    assert spec.title == "Digits, ResNet-18"


def test_ablations_call_their_rows_by_the_settings_that_lead_the_table(demo: Study) -> None:
    found = beside.learning_curves(demo)
    assert [g.label for g in found["learning_table_5"].groups] == ["omega=0", "omega=0.1", "omega=1"]
    assert found["learning_table_6"].groups[1].label == "alpha_ce=0.6, alpha_g=0.3, alpha_p=0.1"
    assert [g.label for g in found["learning_table_7"].groups] == ["AI-KD", "+ Cutout", "+ Mixup", "+ CutMix"]


def test_names_that_would_collide_do_not() -> None:
    """A comparison on the model `net` of the data `digits`, and an ablation that is called `digits_net`."""
    study = changed(
        parsed(DEMO),
        {
            "models": {"net": {"architecture": "preact_resnet18", "label": "Net"}},
            "data": {"digits": {"models": ["net"]}},
            "methods": {"baseline": {}, "aikd": {}},
            "tables": {
                "digits_net": {
                    "kind": "ablation", "data": "digits", "model": "net", "rows": [{"label": "AI-KD"}],
                },
                "table_2": {"kind": "comparison", "metrics": ["top1_error"]},
            },
            "figures": {},
        },
    )  # fmt: skip
    found = beside.learning_curves(check_study(study))
    assert list(found) == ["learning_digits_net", "learning_digits_net_2"]
    assert [len(spec.groups) for spec in found.values()] == [2, 1]


def test_specs_survive_the_way_through_json(demo: Study) -> None:
    for spec in beside.learning_curves(demo).values():
        assert LearningSpec.from_json(spec.to_json()) == spec
        assert spec.runs == [path for group in spec.groups for path in group.paths]
    classes = beside.classes(demo)
    assert ClassesSpec.from_json(classes.to_json()) == classes


def test_methods_are_set_against_the_baseline_class_by_class(demo: Study) -> None:
    first, second = beside.classes(demo).contests
    assert (first.dataset, first.model, second.model) == ("digits", "preact_resnet18", "densenet121_3x3")
    assert first.reference.label == "Baseline"
    assert [group.label for group in first.others] == ["CS-KD", "TF-KD", "PS-KD", "AI-KD"]
    assert first.prepared.startswith("digits/")


def test_without_a_baseline_there_is_nothing_to_set_against() -> None:
    study = parsed(DEMO)
    for table in ("table_2", "table_3"):
        study["tables"][table]["methods"] = ["cskd", "aikd"]
    assert beside.classes(check_study(study)).contests == ()


def test_a_figure_cannot_take_the_name_of_learning_curves() -> None:
    study = parsed(DEMO)
    study["figures"]["learning_rates"] = study["figures"].pop("figure_7b")
    with pytest.raises(UserError, match="learning_rates: a step of the workflow has this name"):
        check_study(study)


@pytest.mark.parametrize("name", ["report", "paper", "classes", "learning_curves"])
def test_a_table_cannot_take_the_name_of_a_rule(name: str) -> None:
    study = parsed(DEMO)
    study["tables"][name] = study["tables"].pop("table_7")
    with pytest.raises(UserError, match=f"{name}: a step of the workflow has this name"):
        check_study(study)


def learning(**keys: object) -> Study:
    """The demo with one figure more."""
    figure = {"kind": "learning", "table": "table_5", **keys}
    return check_study(changed(parsed(DEMO), {"figures/critic": figure}))


def test_a_figure_draws_chosen_rows_of_an_ablation_and_chosen_columns() -> None:
    study = learning(rows=["omega=1", "omega=0"], columns=["distance"])
    spec = queries.figure(study, "critic")
    assert isinstance(spec, LearningSpec)
    omega = {group.label: group for group in beside.learning_curves(study)["learning_table_5"].groups}
    assert spec.groups == (omega["omega=1"], omega["omega=0"])
    assert (spec.title, spec.columns) == ("Digits, ResNet-18", ("distance",))
    assert LearningSpec.from_json(spec.to_json()) == spec


def test_a_figure_without_choice_draws_the_whole_ablation() -> None:
    spec = queries.figure(learning(), "critic")
    assert isinstance(spec, LearningSpec)
    assert [group.label for group in spec.groups] == ["omega=0", "omega=0.1", "omega=1"]
    assert spec.columns == ()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"table": "table_2"}, r"figures\.critic\.table .*found .table_2..*allowed: table_4, .*table_7"),
        ({"table": "tabel_5"}, r"figures\.critic\.table .*found .tabel_5..*table_5"),
        ({"rows": ["omega=0", "omega=2"]}, r"figures\.critic\.rows\.1: found .omega=2..*omega=0\.1"),
        ({"rows": []}, r"figures\.critic\.rows"),
    ],
)
def test_a_figure_draws_rows_that_an_ablation_has(keys: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        learning(**keys)

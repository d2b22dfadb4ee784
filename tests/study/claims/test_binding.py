"""Claims in a study: which runs they see, under which name, and what is missing."""

from collections.abc import Iterator
from typing import Any

import pytest

from aikd.study import queries, specs
from aikd.study.claims.binding import Bound, bind, claimed_runs
from aikd.study.load import check_study
from aikd.study.schema import Study
from tests.conftest import DEMO, GONE, PAPER, ROOT, changed, parsed

LAPTOP = ROOT / "workflow/studies/laptop.yaml"


def bounds(study: Study) -> dict[str, Bound]:
    return {bound.claim.id: bound for bound in bind(study)}


def paper_with(**changes: Any) -> dict[str, Bound]:
    return bounds(
        check_study(changed(parsed(PAPER), {key.replace("__", "/"): v for key, v in changes.items()}))
    )


@pytest.fixture(scope="module")
def in_paper() -> dict[str, Bound]:
    return paper_with()


@pytest.fixture(scope="module")
def in_laptop() -> dict[str, Bound]:
    return bounds(check_study(parsed(LAPTOP)))


@pytest.fixture(scope="module")
def in_demo() -> dict[str, Bound]:
    return bounds(check_study(parsed(DEMO)))


def cells(item: Any) -> Iterator[specs.Cell]:
    """Every cell of a table or figure."""
    if isinstance(item, specs.Cell):
        yield item
    elif isinstance(item, specs.Curve):
        yield specs.Cell("gap", item.paths, item.scheme)
    elif isinstance(item, specs.Spec):
        for part in vars(item).values():
            yield from cells(part)
    elif isinstance(item, tuple):
        for part in item:
            yield from cells(part)


# The paper's study


def test_every_claim_can_be_checked_in_the_paper_s_study_under_its_conditions(
    in_paper: dict[str, Bound],
) -> None:
    assert {bound.missing for bound in in_paper.values()} == {()}
    assert {bound.scope for bound in in_paper.values()} == {"paper"}


def test_claims_add_no_runs(study: Study) -> None:
    runs = {run.path for run in queries.runs_of(study)}
    claimed = claimed_runs(study)
    assert claimed
    assert set(claimed) <= runs
    assert len(claimed) == len(set(claimed))


def test_a_claim_that_a_table_makes_is_on_the_very_cells_of_that_table(
    paper: Study, in_paper: dict[str, Bound]
) -> None:
    there = {n: set(cells(queries.spec(paper, f"table_{n}"))) for n in range(2, 8)}
    for bound in in_paper.values():
        if bound.claim.table is not None:
            assert set(bound.cells.values()) <= there[bound.claim.table], bound.claim.id


@pytest.mark.parametrize(
    ("claims", "figures"),
    [
        (["critic_best"], ["figure_7a"]),
        (["tau_g_best", "tau_p_best"], ["figure_7b"]),
        (["above_diagonal_r18"], ["figure_4"]),
        (["above_diagonal_d121"], ["figure_5"]),
    ],
)
def test_a_claim_on_a_figure_is_on_all_that_it_draws_of_ai_kd(
    paper: Study, in_paper: dict[str, Bound], claims: list[str], figures: list[str]
) -> None:
    drawn = {cell for name in figures for cell in cells(queries.spec(paper, name)) if cell.scheme == "none"}
    ai_kd = {cell for cell in drawn if cell.paths[0].split("/")[2] == "aikd"}
    bound = [b for name, b in in_paper.items() if name.split(".")[0] in claims]
    assert {cell for b in bound for cell in b.cells.values()} == ai_kd


def test_runs_of_a_claim_by_hand(in_paper: dict[str, Bound]) -> None:
    bound = in_paper["cub_r18_over_second"]
    assert bound.text == (
        "AI-KD is 4.34 points better than the second best, CS-KD, in Top-1 error on CUB-200-2011 with ResNet-18."
    )
    paths = {cell.paths for cell in bound.cells.values()}
    assert paths == {
        tuple(f"cub200/resnet18/{method}/seed{seed}" for seed in range(3))
        for method in ("aikd", "cskd/weight=3")
    }
    [scaled] = [c for c in in_paper["scaling_reduces.mit67.resnet18"].cells.values() if c.scheme != "none"]
    assert (scaled.scheme, scaled.metric) == ("crossfit", "ece")
    assert in_paper["mean_best.resnet18.f1"].data == "6 data sets together"


# Other studies


def test_a_smaller_study_checks_directions_under_its_own_name_and_no_sizes(
    in_laptop: dict[str, Bound],
) -> None:
    bound = in_laptop["top1_best.cifar100.resnet18"]
    assert bound.scope == "reduced"
    assert bound.text == (
        "AI-KD has the lowest Top-1 error on CIFAR-100 (50 images a class, 60 epochs) with ResNet-18 (width 16)."
    )
    assert bound.label == "CIFAR-100: AI-KD best"
    assert in_laptop["critic_helps.top1_error"].scope == "reduced"
    for name in ("cifar_over_pskd", "cifar_error", "progressive_gain"):
        assert (in_laptop[name].scope, in_laptop[name].cells) == (None, {})
        assert in_laptop[name].missing[0].startswith("says how much")


def test_what_a_study_lacks_is_said(in_laptop: dict[str, Bound]) -> None:
    missing = {name: bound.missing for name, bound in in_laptop.items()}
    assert missing["top1_best.cub200.resnet18"] == ("no CUB-200-2011",)
    assert missing["top1_best.cifar100.densenet121"] == ("no DenseNet-121 on CIFAR-100",)
    assert missing["mixup_helps.top1_error"] == ("no runs of AI-KD + Mixup on CIFAR-100 with ResNet-18",)
    assert missing["tau_p_best"][0] == "no runs of AI-KD, tau_p = 2 on CIFAR-100 with ResNet-18"
    assert "no Stanford Dogs" in missing["fine_best_top1"]


def test_a_study_without_the_paper_s_data_gets_the_claims_on_cifar_100(in_demo: dict[str, Bound]) -> None:
    bound = in_demo["critic_helps.top1_error"]
    assert bound.scope == "other"
    assert bound.text == (
        "The adversarial loss lowers AI-KD's Top-1 error on Digits (10 epochs) with "
        "ResNet-18 (width 8, blocks 1-1-1-1)."
    )
    assert {path.split("/")[0] for path in bound.runs} == {"digits"}
    assert in_demo["top1_best.mit67.resnet18"].missing == ("no MIT-67",)
    assert in_demo["mean_best.densenet121.f1"].data == "Digits (10 epochs)"
    joined = in_demo["all_augmentations_help"]
    assert joined.named(joined.contrasts[0]) == "AI-KD + Cutout against AI-KD, Digits, ResNet-18, Top-1 error"


def test_the_mean_over_data_sets_is_over_those_that_the_study_has() -> None:
    gone = dict.fromkeys((f"data__{name}" for name in ("cub200", "stanford_dogs", "mit67")), GONE)
    figures = {"figures__figure_6": GONE}
    bound = paper_with(**gone, **figures)["mean_best.resnet18.top1_error"]
    assert bound.scope == "reduced"
    assert {slot.dataset for slot in bound.cells} == {"cifar100", "tiny_imagenet", "fgvc_aircraft"}


def test_the_mean_over_data_sets_of_a_network_is_the_paper_s_only_if_all_have_that_network() -> None:
    found = paper_with(data__tiny_imagenet__models=["preact_resnet18"])
    assert found["mean_best.resnet18.top1_error"].scope == "paper"
    dense = found["mean_best.densenet121.top1_error"]
    assert dense.scope == "reduced"
    assert len({slot.dataset for slot in dense.cells}) == 5


def test_rounding_and_memory_layout_are_no_other_conditions() -> None:
    found = paper_with(recipe__precision="bf16", recipe__channels_last=False)
    assert found["top1_best.cifar100.resnet18"].scope == "paper"


def test_a_rival_that_is_weaker_than_the_paper_s_is_said() -> None:
    """Without the `when` of config.yaml, CS-KD has its weight for coarse data on fine-grained ones."""
    found = paper_with(methods__cskd={}, methods__tfkd__settings={"alpha": 0.5})
    bound = found["top1_best.cub200.resnet18"]
    assert bound.scope == "reduced"
    assert "on CUB-200-2011 (CS-KD with weight = 1.0, TF-KD with alpha = 0.5)" in bound.text
    assert found["cub_r18_over_second"].scope is None
    assert found["critic_helps.top1_error"].scope == "paper"
    assert "CIFAR-100 (TF-KD with alpha = 0.5)" in found["top1_best.cifar100.resnet18"].text


def test_an_augmentation_with_other_settings_is_another_one() -> None:
    found = paper_with(augmentations__cutout={"side": 4})
    assert found["cutout_helps.top1_error"].scope == "reduced"
    assert "CIFAR-100 (another cutout)" in found["cutout_helps.top1_error"].text
    assert found["mixup_helps.top1_error"].scope == "paper"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe__epochs": 200, "recipe__milestones": [100]}, "on CIFAR-100 (200 epochs) with ResNet-18."),
        ({"models__preact_resnet18__width": 32}, "on CIFAR-100 with ResNet-18 (width 32)."),
        ({"data__cifar100__images_per_class": 9}, "on CIFAR-100 (9 images a class) with ResNet-18."),
        (
            {"data__cifar100__holdout_per_class": 50},
            "on CIFAR-100 (50 images a class held out) with ResNet-18.",
        ),
        (
            {
                "data__cifar100__counts": {"classes": 9, "train": 90, "test": 9},
                "data__cifar100__accept_other": True,
            },
            "on CIFAR-100 (an excerpt) with ResNet-18.",
        ),
        ({"data__cifar100__transform": {"padding": 2}}, "on CIFAR-100 (another transform) with ResNet-18."),
        (
            {"recipe__batch_size": 64, "recipe__learning_rate": 0.05},
            "on CIFAR-100 (batch size 64, learning rate 0.05) with ResNet-18.",
        ),
        ({"recipe__milestones": [100, 200]}, "on CIFAR-100 (milestones [100, 200]) with ResNet-18."),
        (
            {"models__preact_resnet18__architecture": "resnet18"},
            "on CIFAR-100 with ResNet-18 (the paper's for fine-grained data).",
        ),
    ],
)
def test_whatever_is_less_than_the_paper_s_is_said(changes: dict[str, Any], said: str) -> None:
    bound = paper_with(**changes)["top1_best.cifar100.resnet18"]
    assert bound.scope == "reduced"
    assert bound.text.endswith(said)


def test_a_method_with_other_settings_than_those_that_the_paper_varies_is_another_method() -> None:
    found = paper_with(methods__aikd={"settings": {"tau_g": 5}})
    [reason] = found["top1_best.cifar100.resnet18"].missing
    assert reason == "AI-KD has other settings here (cifar100/preact_resnet18/aikd/tau_g=5/seed0)"
    reading = paper_with(methods__aikd={"settings": {"critic.input": "probabilities"}})
    assert reading["top1_best.cifar100.resnet18"].missing == ()


def test_a_method_under_the_paper_s_name_that_is_another_one_is_missing() -> None:
    found = paper_with(methods__pskd={"method": "baseline", "label": "Mine"})
    assert found["top1_best.cifar100.resnet18"].missing == ("no PS-KD",)


def test_top_5_errors_of_few_classes_are_not_compared() -> None:
    few = {"counts": {"classes": 5, "train": 400, "test": 100}, "accept_other": True}
    data = changed(parsed(PAPER), {f"data/cifar100/{key}": value for key, value in few.items()})
    found = bounds(check_study(data))
    assert found["losses_best.top5_error"].missing == ("Top-5 error is always 0 with 5 classes",)
    assert found["losses_best.top1_error"].missing == ()


def test_one_of_something_is_no_plural() -> None:
    changes = {"data__cifar100__images_per_class": 1, "recipe__epochs": 1, "recipe__milestones": []}
    assert "(1 image a class, 1 epoch)" in paper_with(**changes)["top1_best.cifar100.resnet18"].text

"""What a run does, against a study worked out by hand."""

from typing import Any

import pytest

from aikd.study.costs.work import Work, work
from aikd.study.resolve import resolve
from aikd.study.run import Run
from aikd.study.schema import Study


def of(study: Study, run: str, evaluate_every: int = 1) -> Work:
    settings = resolve(study, Run.from_path(run))
    return work(settings, study.dataset(settings["data"]["name"]), evaluate_every)


def test_a_run_of_the_paper_is_worth_its_epochs_evaluations_and_predictions(paper: Study) -> None:
    w = of(paper, "cifar100/preact_resnet18/baseline/seed0")
    forward = w.network.forward
    assert forward == pytest.approx(1.11e9, rel=0.01)
    assert (w.seen, w.steps) == (300 * 50_000, 391)
    assert w.trained_flops == 15_000_000 * (3 * forward - w.network.stem)
    assert w.unlearned_images == 301 * 10_000
    assert w.flops == w.trained_flops + 301 * 10_000 * forward


@pytest.mark.parametrize(
    ("method", "passes"),
    [
        ("baseline", 0),
        ("pskd", 0),
        ("cskd", 300),
        ("tfkd", 300),
        ("aikd", 300 + 299),
        ("aikd/previous=memory", 300),
        ("aikd/omega=0", 300 + 299),
        ("aikd/alpha_g=0", 300 + 299),
        ("aikd/alpha_g=0,omega=0", 299),
        ("aikd/alpha_p=0", 300),
        ("aikd/alpha_g=0,alpha_p=0,omega=0", 0),
    ],
)
def test_methods_pass_images_through_further_networks(paper: Study, method: str, passes: int) -> None:
    assert of(paper, f"cifar100/preact_resnet18/{method}/seed0").passes == passes


@pytest.mark.parametrize(("every", "looks"), [(1, 300), (7, 43), (10, 30), (300, 1), (1000, 1)])
def test_evaluations_are_as_rare_as_the_study_says(paper: Study, every: int, looks: int) -> None:
    assert of(paper, "mit67/resnet18/pskd/seed0", evaluate_every=every).evaluations == looks


def test_the_critic_is_counted_and_negligible(paper: Study) -> None:
    w = of(paper, "cifar100/preact_resnet18/aikd/seed0")
    # FC1 and FC2 of 2 × 100 × 64 and 2 × 64 × 32 operations: in an update 6 and 5 times for each of three batches,
    # and twice for L_A.
    assert w.critic == 3 * (6 * 12_800 + 5 * 4_096) + 2 * (12_800 + 4_096)
    assert w.critic / w.network.training < 1e-3
    assert of(paper, "cifar100/preact_resnet18/aikd/omega=0/seed0").critic == 0


def test_a_part_of_the_images_costs_its_part(paper: Study) -> None:
    data = paper.data["cifar100"].model_copy(update={"images_per_class": 50, "holdout_per_class": 20})
    part = paper.model_copy(update={"data": paper.data | {"cifar100": data}})
    w = of(part, "cifar100/preact_resnet18/baseline/seed0")
    assert (w.images, w.steps, w.predicted, w.test) == (5_000, 40, 12_000, 10_000)
    data = data.model_copy(update={"images_per_class": None})
    part = paper.model_copy(update={"data": paper.data | {"cifar100": data}})
    assert of(part, "cifar100/preact_resnet18/baseline/seed0").images == 48_000


def test_only_what_outlasts_a_state_is_kept_in_one(demo: Study) -> None:
    def states(method: str) -> int:
        return of(demo, f"digits/preact_resnet18/{method}/seed0").states

    tables: dict[str, Any] = {m: states(m) - states("baseline") for m in ("pskd", "aikd", "cskd")}
    assert tables == {"pskd": 3 * 4 * 901 * 10, "aikd": 0, "cskd": 0}
    assert states("aikd/previous=memory") == states("pskd")

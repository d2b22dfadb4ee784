"""Claims on runs whose numbers a test chooses."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from aikd.errors import UserError
from aikd.results.claims.ledger import Finding, ledger
from aikd.study import queries
from aikd.study.load import check_study
from aikd.study.schema import Study
from tests.conftest import PAPER, changed, parsed

T2 = 4.302652729911275
METHODS = ("baseline", "cskd", "tfkd", "pskd", "aikd")
Checked = Callable[..., dict[str, Finding]]


def part(**changes: Any) -> Study:
    """The paper's study with CIFAR-100 and ResNet-18 alone, and its Tables 2 to 4."""
    data = parsed(PAPER)
    kept = {
        "data": {"cifar100": {"models": ["preact_resnet18"]}},
        "tables": {name: data["tables"][name] for name in ("table_2", "table_3", "table_4")},
        "figures": {},
    }
    return check_study(
        changed(data | kept, {key.replace("__", "/"): value for key, value in changes.items()})
    )


@pytest.fixture
def give(folder: Any) -> Callable[..., None]:
    """Gives the runs of a method the values of one metric, seed after seed; all others are 10, or the same before."""
    known: dict[str, dict[str, float]] = {}

    def metrics(method: str, metric: str, *values: float, first: int = 0) -> None:
        for seed, value in enumerate(values, start=first):
            run = f"cifar100/preact_resnet18/{method}/seed{seed}"
            default = {
                "top1_error": 10.0,
                "top5_error": 10.0,
                "f1": 0.5,
                "ece": 10.0,
                "gap": 10.0,
                "ece_crossfit": 10.0,
            }
            known[run] = known.get(run, default) | {metric: value}
            folder.metrics(run, **known[run])

    return metrics


@pytest.fixture
def checked(folder: Any) -> Checked:
    def check(study: Study | None = None) -> dict[str, Finding]:
        return {finding.bound.claim.id: finding for finding in ledger(study or part(), folder.results)}

    return check


def test_differences_are_paired_over_seeds_and_the_least_sure_rival_decides(
    give: Any, checked: Checked
) -> None:
    # Seeds differ by points, methods by tenths: only pairs show it.
    give("aikd", "top1_error", 20.0, 25.0, 30.0)
    give("baseline", "top1_error", 24.0, 29.1, 33.9)
    give("cskd", "top1_error", 22.1, 27.0, 31.9)
    give("tfkd", "top1_error", 23.0, 28.05, 32.95)
    give("pskd", "top1_error", 21.01, 26.0, 30.99)
    finding = checked()["top1_best.cifar100.resnet18"]
    assert (finding.verdict, finding.reason) == ("holds", "")
    assert finding.contrast is not None
    assert (
        finding.contrast.label == "AI-KD against CS-KD"
    )  # 2.1, 2.0, 1.9: fewer times its error than 1.01, 1, .99
    estimate, error = finding.estimate, 0.1 / math.sqrt(3)
    assert estimate is not None
    assert (estimate.n, estimate.mean) == (3, pytest.approx(2.0))
    np.testing.assert_allclose(estimate.interval, [2 - T2 * error, 2 + T2 * error])
    t = 2 / error
    p = 1 - t / math.sqrt(2 + t * t)
    assert finding.p == pytest.approx(p, rel=1e-6)
    assert finding.p_holm is not None
    assert finding.p_holm >= finding.p
    assert finding.published is not None
    assert finding.published.mean == pytest.approx(21.67 - 19.87)


def test_a_rival_that_is_surely_better_makes_the_claim_fail(give: Any, checked: Checked) -> None:
    give("aikd", "top1_error", 20.0, 25.0, 30.0)
    give("cskd", "top1_error", 18.0, 23.01, 27.99)
    for method in ("baseline", "tfkd", "pskd"):
        give(method, "top1_error", 30.0, 35.2, 40.1)
    finding = checked()["top1_best.cifar100.resnet18"]
    assert finding.verdict == "fails"
    assert finding.contrast is not None
    assert finding.contrast.label == "AI-KD against CS-KD"
    assert finding.estimate is not None
    assert finding.estimate.mean == pytest.approx(-2.0)


def test_the_size_of_a_difference_holds_within_half_of_it(give: Any, checked: Checked) -> None:
    give("aikd", "top1_error", 20.0, 25.0, 30.0)
    for method in ("baseline", "cskd", "tfkd"):
        give(method, "top1_error", 30.0, 35.2, 40.1)
    for gains, verdict in (
        ((1.28, 1.30, 1.29), "holds"),
        ((1.60, 1.62, 1.61), "holds"),
        ((2.10, 2.12, 2.11), "fails"),
        ((0.5, 0.52, 0.51), "fails"),
        ((0.3, 1.3, 2.3), "inconclusive"),
    ):
        give(
            "pskd",
            "top1_error",
            *(error + gain for error, gain in zip((20.0, 25.0, 30.0), gains, strict=True)),
        )
        assert checked()["cifar_over_pskd"].verdict == verdict, gains


def test_signs_orders_and_scaling(give: Any, checked: Checked) -> None:
    give("aikd", "gap", -3.0, -3.1, -2.9)
    give("aikd", "ece", 12.0, 12.1, 11.9)
    give("aikd", "ece_crossfit", 2.0, 2.05, 2.1)
    ladder = ("aikd", "aikd/omega=0", "aikd/alpha_g=0,omega=0", "aikd/alpha_p=0,omega=0", "baseline")
    for step, method in enumerate(ladder):
        noise = 0.01 * step
        give(method, "top1_error", 20.0 + 3 * step, 21.0 + 3 * step + noise, 22.0 + 3 * step - noise * step)
    for method in ("cskd", "tfkd", "pskd"):
        give(method, "top1_error", 20.0, 21.0, 22.0)
    verdicts = {name: finding.verdict for name, finding in checked().items()}
    assert verdicts["above_diagonal_r18.cifar100"] == "holds"
    assert verdicts["overconfident_r18.cifar100"] == "fails"
    assert verdicts["scaling_reduces.cifar100.resnet18"] == "holds"
    assert verdicts["scaling_calibrates.cifar100.resnet18"] == "holds"
    for claim in ("best", "second", "worst", "order"):
        assert verdicts[f"losses_{claim}.top1_error"] == "holds"
    assert verdicts["critic_helps.top1_error"] == "holds"
    assert verdicts["losses_order.top5_error"] == "inconclusive"  # all the same there


def test_a_mean_over_data_sets_is_taken_seed_by_seed(folder: Any, checked: Checked) -> None:
    study = part(data__cub200={"models": ["resnet18"]})
    values = {
        "cifar100": {"aikd": (20, 21, 22), "pskd": (22, 23, 24)},
        "cub200": {"aikd": (30, 32, 34), "pskd": (31, 34, 36)},
    }
    for run in queries.runs_of(study):
        error = dict(values[run.dataset]).get(run.method, (50, 51, 52.5))[run.seed]
        folder.metrics(run.path, top1_error=error, f1=0.5, top5_error=1.0, ece=1.0, ece_crossfit=1.0, gap=1.0)
    finding = checked(study)["mean_best.resnet18.top1_error"]
    assert finding.bound.scope == "reduced"
    place = next(i for i, c in enumerate(finding.bound.contrasts) if c.label == "AI-KD against PS-KD")
    # (22 + 31)/2 - (20 + 30)/2 = 1.5, then 2, then 2.
    assert finding.estimates[place].mean == pytest.approx(11 / 6)
    assert finding.published is None  # the paper's mean is over six


# What is not there


def test_one_seed_gives_an_effect_and_no_verdict(give: Any, checked: Checked) -> None:
    for i, method in enumerate((*METHODS, "cskd/weight=3")):
        give(method, "top1_error", 30.0 - i)
    finding = checked(part(seeds=[0]))["top1_best.cifar100.resnet18"]
    assert (finding.verdict, finding.reason, finding.p, finding.p_holm) == (
        "inconclusive",
        "a single seed",
        None,
        None,
    )
    assert finding.estimate is not None
    assert (finding.estimate.mean, finding.estimate.interval, finding.estimate.n) == (
        pytest.approx(1.0),
        None,
        1,
    )


def test_seeds_that_one_side_lacks_are_left_out_and_none_is_not_run(give: Any, checked: Checked) -> None:
    for method in METHODS:
        give(method, "top1_error", 20.0 if method == "aikd" else 22.0, 21.5 if method == "aikd" else 23.0)
    give("aikd", "top1_error", 1.0, first=2)
    found = checked()
    estimate = found["top1_best.cifar100.resnet18"].estimate
    assert estimate is not None
    assert (estimate.n, estimate.mean) == (2, pytest.approx(1.75))
    missing = found["losses_best.top1_error"]
    assert (missing.verdict, missing.reason, missing.estimate) == ("not run", "no metrics yet", None)


def test_equal_differences_are_no_proof(give: Any, checked: Checked) -> None:
    for method in METHODS:
        give(method, "top1_error", *((20.1, 20.2, 20.3) if method == "aikd" else (20.4, 20.5, 20.6)))
    finding = checked()["top1_best.cifar100.resnet18"]
    assert (finding.verdict, finding.reason) == ("inconclusive", "differences that do not vary")


def test_damaged_metrics_and_runs_that_were_not_trained_alike_are_one_message(
    give: Any, checked: Checked, folder: Any
) -> None:
    for method in METHODS:
        give(method, "top1_error", 1.0, 2.0, 3.0)
    path = folder.metrics("cifar100/preact_resnet18/aikd/seed1", top1_error=math.inf)
    with pytest.raises(UserError, match=r"aikd/seed1/metrics\.json"):
        checked()
    path.unlink()
    for method, epochs in (("aikd", 300), ("pskd", 30)):
        folder.train(f"cifar100/preact_resnet18/{method}/seed0", settings={"recipe": {"epochs": epochs}})
    with pytest.raises(UserError, match="not trained like"):
        checked()


# The whole paper, with a truth that is known


def test_a_paper_that_is_true_is_seen_to_be_true_where_its_effects_are_large(
    folder: Any, paper: Study, checked: Checked
) -> None:
    """Every run has its method's true error and seeds have theirs; AI-KD is far ahead, and all the others alike."""
    rng = np.random.default_rng(1)
    luck = {seed: rng.normal(0, 2) for seed in range(3)}
    for run in queries.runs_of(paper):
        lead = 5 if run.method == "aikd" else 0
        error = 30 - lead + luck[run.seed] + rng.normal(0, 0.02)
        calibration = {"ece": error, "ece_crossfit": 2.0 + rng.random(), "gap": -error}
        folder.metrics(run.path, top1_error=error, top5_error=error / 3, f1=1 - error / 100, **calibration)
    found = checked(paper)
    assert {finding.verdict for finding in found.values()} == {"holds", "fails", "inconclusive"}
    holds = {name.split(".")[0] for name, finding in found.items() if finding.verdict == "holds"}
    assert {
        "mean_best",
        "top1_best",
        "fine_best_top1",
        "above_baseline",
        "f1_best",
        "scaling_reduces",
    } <= holds
    for name in ("critic_helps", "omega_best", "critic_best", "tau_g_best", "weights_best"):
        group = [finding.verdict for claim, finding in found.items() if claim.split(".")[0] == name]
        assert set(group) == {"inconclusive"}, name  # no true difference between variants of AI-KD
    assert found["top1_tiny_second.resnet18"].verdict == "fails"  # AI-KD leads there, too
    assert found["overconfident_r18.mit67"].verdict == "fails"

"""The file of claims: what its entries stand for, and what is refused in it."""

from collections import Counter
from typing import Any

import pytest

from aikd.errors import UserError
from aikd.study.claims.arms import arm
from aikd.study.claims.claim import Claim
from aikd.study.claims.entries import FILE, claims_in, opposite_places, paper_claims
from aikd.study.load import parsed
from tests.conftest import GONE, changed

BEST: dict[str, Any] = {
    "id": "best",
    "kind": "best",
    "table": 2,
    "where": "Table 2",
    "group": "{metric}, {network}",
    "text": "AI-KD leads in {metric} on {data} with {model}.",
    "data": ["cub200", "mit67"],
    "networks": ["ResNet-18", "DenseNet-121"],
    "metrics": ["top1_error"],
    "of": "aikd",
    "among": ["cskd", "pskd"],
}


def entry(**changes: Any) -> list[Claim]:
    """The claims of a file with one entry."""
    return list(claims_in({"claims": [BEST | changes]}))


def by_id(name: str) -> Claim:
    return next(claim for claim in paper_claims() if claim.id == name)


def shape(claim: Claim) -> list[tuple[str, float | None, float | None]]:
    return [(contrast.label, contrast.low, contrast.high) for contrast in claim.contrasts]


# What entries stand for


def test_an_entry_is_one_claim_for_each_data_set_and_network() -> None:
    found = entry()
    names = [
        f"best.{data}.{network}" for data in ("cub200", "mit67") for network in ("resnet18", "densenet121")
    ]
    assert [claim.id for claim in found] == names
    assert {len(claim.contrasts) for claim in found} == {2}
    assert found[1].group == "Top-1 error, DenseNet-121"
    assert found[1].text == "AI-KD leads in Top-1 error on {data} with {model}."
    assert {(slot.dataset, slot.network) for slot in found[1].slots} == {("cub200", "DenseNet-121")}


def test_joined_it_is_one_claim_on_all_of_them() -> None:
    [claim] = entry(join="all", metrics=["top1_error", "f1"])
    assert (claim.id, len(claim.contrasts)) == ("best", 2 * 2 * 2 * 2)
    labels = {"cub200": "Birds", "mit67": "Rooms"}
    names = [claim.named(contrast, labels) for contrast in claim.contrasts]
    assert names[0] == "AI-KD against CS-KD, Birds, ResNet-18, Top-1 error"
    assert len(set(names)) == len(names)


def test_the_mean_over_data_sets_is_one_number() -> None:
    first, second = entry(join="mean")
    assert (first.id, second.id) == ("best.resnet18", "best.densenet121")
    assert [slot.dataset for slot in first.contrasts[0].plus] == ["cub200", "mit67"]
    assert first.pooled


def test_a_difference_is_positive_where_the_first_is_better_whichever_way_the_metric_counts() -> None:
    error, f1 = (
        entry(data=["cub200"], networks=["ResNet-18"], metrics=[m])[0].contrasts[0] for m in ("ece", "f1")
    )
    assert [slot.arm.method for slot in (*error.plus, *error.minus)] == ["cskd", "aikd"]
    assert [slot.arm.method for slot in (*f1.plus, *f1.minus)] == ["aikd", "cskd"]


def test_regions_of_each_kind() -> None:
    assert shape(by_id("top1_tiny_second.resnet18")) == [
        ("CS-KD against AI-KD", 0, None),
        ("AI-KD against Baseline", 0, None),
        ("AI-KD against TF-KD", 0, None),
        ("AI-KD against PS-KD", 0, None),
    ]
    assert [s[1:] for s in shape(by_id("top1_tiny_close.resnet18"))] == [(-0.2, None)] * 4
    assert [s[0] for s in shape(by_id("losses_order.top1_error"))] == [
        "AI-KD against No Adv",
        "No Adv against Only Progressive",
        "Only Progressive against Only Guide",
        "Only Guide against Baseline",
    ]
    assert shape(by_id("cub_r18_over_second")) == [("AI-KD against CS-KD", 2.17, pytest.approx(6.51))]
    assert by_id("cub_r18_over_second").contrasts[0].stated == 4.34
    assert [s[1:] for s in shape(by_id("omega_insensitive.top1_error"))] == [(-0.5, 0.5)] * 10
    assert shape(by_id("overconfident_r18.cub200")) == [("AI-KD", 0, None)]
    assert shape(by_id("above_diagonal_r18.cub200")) == [("AI-KD", None, 0)]
    assert shape(by_id("cifar_error")) == [("AI-KD", pytest.approx(18.87), pytest.approx(20.87))]
    assert {s[0].split(" against ")[1] for s in shape(by_id("losses_worst.top1_error"))} == {"Baseline"}


def test_a_grid_is_compared_with_all_its_other_points() -> None:
    critic, tau = by_id("critic_best"), by_id("tau_g_best")
    assert len(critic.contrasts) == 15
    others = {dict(contrast.plus[0].arm.settings)["tau_g"] for contrast in tau.contrasts}
    assert others == {1, 2, 4, 5, 6, 7}


def test_the_claims_of_the_issue_are_all_there() -> None:
    found = Counter(claim.id.split(".")[0] for claim in paper_claims())
    expected = {
        "top1_best": 10, "top1_tiny_second": 2, "top1_tiny_close": 2, "fine_best_top1": 1, "f1_best": 12,
        "cub_r18_over_second": 1, "cub_d121_over_second": 1, "losses_order": 2, "omega_insensitive": 2,
        "weights_best": 2, "critic_best": 1, "tau_g_best": 1, "tau_p_best": 1, "cutout_helps": 2, "mixup_helps": 2,
        "cutmix_helps": 2, "scaling_reduces": 12, "overconfident_r18": 6, "above_diagonal_r18": 6,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


def test_claims_that_share_a_heading_share_a_unit() -> None:
    units: dict[str, set[str]] = {}
    for claim in paper_claims():
        for slot in claim.slots:
            units.setdefault(claim.group, set()).add("fraction" if slot.metric == "f1" else "percent")
    assert {group for group, found in units.items() if len(found) > 1} == set()


def test_methods_as_claims_say_them() -> None:
    assert arm("aikd/alpha_g=0.1,omega=0/cutmix+TS")[1:] == (
        "aikd",
        (("alpha_g", 0.1), ("omega", 0)),
        "cutmix",
        True,
    )
    assert arm("aikd/omega=0").label == "No Adv"
    assert arm("aikd/omega=0.25").label == "AI-KD, omega = 0.25"
    assert arm("aikd/cutout").label == "AI-KD + Cutout"
    assert arm("aikd+TS").label == "AI-KD + TS"


# What is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": ["cifar10"]}, "best.data: found \"cifar10\" (did you mean 'cifar100'?)"),
        ({"data": ["digits"]}, 'best.data: found "digits"'),
        ({"networks": ["ResNet-19"]}, "best.networks: found \"ResNet-19\" (did you mean 'ResNet-18'?)"),
        ({"of": "aikdd"}, "best: method: found \"aikdd\" (did you mean 'aikd'?)"),
        ({"of": "aikd/omgea=1"}, "best: aikd settings.omgea: unknown key (did you mean 'omega'?)"),
        ({"of": "aikd/omega=-1"}, "best: aikd settings.omega: found -1"),
        ({"of": "aikd/omega=x"}, "best: 'aikd/omega=x': expected METHOD"),
        ({"of": "aikd/omega"}, 'best: augmentation: found "omega"'),
        ({"of": "aikd/cutout/mixup"}, "best: 'aikd/cutout/mixup': expected METHOD"),
        ({"metrics": ["gap"]}, "best: gap has no better or worse"),
        (
            {"metrics": ["top2_error"]},
            "claims.0.metrics.0: found \"top2_error\" (did you mean 'top5_error'?)",
        ),
        ({"text": "on {dataset}"}, "best.text: unknown placeholder"),
        ({"kind": "bets"}, "claims.0.kind: found \"bets\" (did you mean 'best'?)"),
        ({"amongst": []}, "claims.0.amongst: unknown key (did you mean 'among'?)"),
        ({"table": 8}, "claims.0.table: found 8"),
        ({"among": []}, "best: compares with nothing"),
        ({"kind": "level", "among": None}, "claims.0.among: unknown key"),
    ],
)
def test_a_mistake_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        entry(**changes)
    assert str(error.value).startswith(message)


def test_a_level_needs_a_bound_and_names_are_used_once() -> None:
    level = {key: BEST[key] for key in BEST if key != "among"} | {"kind": "level"}
    with pytest.raises(UserError, match=r"^claims\.0: above or below: give one of them$"):
        claims_in({"claims": [level]})
    with pytest.raises(UserError, match=r"^best\.cub200\.resnet18: two claims have this name$"):
        claims_in({"claims": [BEST, BEST]})


def test_the_file_in_the_package_is_refused_when_it_is_damaged() -> None:
    damaged = changed(parsed(FILE), {"claims/3/group": GONE})
    with pytest.raises(UserError, match=r"^claims\.3\.group: missing, and required$"):
        claims_in(damaged)


# What is this project's in a claim


def test_a_claim_says_which_margin_or_reading_is_not_the_paper_s() -> None:
    arms = {"arms": ["aikd", "cskd"], "of": GONE, "among": GONE}
    points = {"points": 2, "over": "cskd", "among": GONE}
    for changes, said in (
        ({}, ""),
        ({"reading": "“leads” is said of errors"}, "reading: “leads” is said of errors"),
        ({"kind": "within", "margin": 0.5}, "margin: 0.5 points"),
        ({"kind": "equivalent", "margin": 1} | arms, "margin: 1 point"),
        ({"kind": "gain"} | points, "margin: half of the stated difference"),
        ({"kind": "value", "value": 9, "margin": 2, "among": GONE}, "margin: 2 points"),
        ({"kind": "level", "below": 5, "among": GONE}, ""),
    ):
        found = claims_in({"claims": [changed(BEST, changes)]})
        assert {claim.ours for claim in found} == {said}, changes


def test_whatever_the_paper_says_without_a_number_is_marked_as_read_by_us() -> None:
    ours = {claim.id.split(".")[0] for claim in paper_claims() if claim.ours}
    sized = {claim.id.split(".")[0] for claim in paper_claims() if claim.kind in ("gain", "value")}
    assert ours - sized == {
        "mean_best", "mean_best_top5", "top1_tiny_close", "top5_close_r18", "top5_close_d121", "scaling_calibrates",
        "above_diagonal_r18", "above_diagonal_d121", "omega_insensitive",
    }  # fmt: skip


def test_claims_on_one_number_that_exclude_each_other_know_of_each_other() -> None:
    places = opposite_places()
    data = ("cifar100", "tiny_imagenet", "cub200", "stanford_dogs", "mit67", "fgvc_aircraft")
    names = [f"{name}_r18.{d}" for name in ("overconfident", "above_diagonal") for d in data]
    names += [
        f"{name}_d121.{d}"
        for name in ("overconfident", "above_diagonal")
        for d in data
        if d != "tiny_imagenet"
    ]
    assert sorted(places) == sorted(names)
    assert places["overconfident_r18.mit67"] == "Section 4.3 and Figure 4"
    assert places["above_diagonal_d121.mit67"] == "Section 4.3"
    for name in places:  # both speak of the gap, and each says on which side of 0 it is
        assert ("its confidence exceeds" in by_id(name).text) is name.startswith("over")

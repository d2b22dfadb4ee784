"""Runs that stand side by side were trained on the same images and learnt from the same superior models."""

from collections.abc import Callable
from typing import Any

import pytest

from aikd.errors import UserError
from aikd.records import same_training

SUPERIOR = "digits/net/baseline/seed0"
RUNS = [
    SUPERIOR,
    "digits/net/tfkd/seed0",
    "digits/net/aikd/seed0",
    "digits/net/aikd/seed1",
    "other/net/baseline/seed0",
]


@pytest.fixture
def check(folder: Any) -> Callable[..., None]:
    """Look at five runs, of which some are not as they should be."""

    def run(**changes: dict[str, Any]) -> None:
        for path in RUNS:
            learns, seed = "baseline" not in path, path[-1]
            summary = {
                "settings": {"superior": f"digits/net/baseline/seed{seed}" if learns else None},
                "data": f"{path.split('/')[0]}-" + 40 * "d",
                "model": path + 40 * "m",
            }
            if learns:
                summary["superior"] = f"digits/net/baseline/seed{seed}" + 40 * "m"
            change = changes.get(path.split("/")[2] + seed if path.startswith("digits") else "other", {})
            folder.train(path, **summary | change)
        same_training(folder.results, RUNS)

    return run


def test_runs_that_are_alike_may_stand_together(check: Any) -> None:
    check()
    # Nobody learnt from these two, and the superior model of seed 1 is not among the runs.
    check(other={"model": "n", "data": "another set's"}, aikd1={"superior": "its own"})


def test_other_images_of_the_same_data_set_are_refused(check: Any) -> None:
    with pytest.raises(
        UserError,
        match=r"aikd/seed1/train\.json: not trained like .*/baseline/seed0, .*SHA-256 of the data was",
    ):
        check(aikd1={"data": "prepared again"})


@pytest.mark.parametrize("changed", ["baseline0", "tfkd0", "aikd0"])
def test_students_of_a_superior_model_and_the_model_itself_are_one_family(check: Any, changed: str) -> None:
    key = "model" if changed == "baseline0" else "superior"
    with pytest.raises(
        UserError, match=r"seed0/train\.json: not trained like .*SHA-256 of the superior model was"
    ):
        check(**{changed: {key: "trained again"}})


def test_what_earlier_versions_did_not_write_is_passed_over(check: Any) -> None:
    check(baseline0={"model": None, "data": None}, aikd0={"superior": None})

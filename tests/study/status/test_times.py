"""How long the rest takes."""

from typing import Any

import pytest

from aikd.study import queries
from aikd.study.costs.times import stated
from aikd.study.costs.work import work
from aikd.study.resolve import resolve
from aikd.study.schema import Study
from aikd.study.status.runs import Standing
from aikd.study.status.times import forecast, rests

NET, OTHER = "digits/preact_resnet18", "digits/densenet121_3x3"


@pytest.fixture
def settings(demo: Study) -> dict[str, Any]:
    return {run.path: resolve(demo, run) for run in queries.runs_of(demo)}


def standings(settings: dict[str, Any], **changes: dict[str, Any]) -> dict[str, Standing]:
    """All runs wait, but those named `kind__method__seed`."""
    found = {run: Standing(run, "waiting", "", 10) for run in settings}
    for name, change in changes.items():
        kind, method, seed = name.split("__")
        run = f"{ {'net': NET, 'other': OTHER}[kind] }/{method}/{seed}"
        found[run] = Standing(**{"run": run, "how": "", "epochs": 10} | change)
    return found


def planned(study: Study, settings: dict[str, Any]) -> float:
    done = work(settings, study.dataset("digits"), study.evaluate_every)
    return stated(study.device_tflops, done).training(done)


def test_before_anything_has_run_nothing_is_known(demo: Study, settings: dict[str, Any]) -> None:
    assert set(forecast(demo, settings, standings(settings)).seconds.values()) == {None}
    [rest] = rests(demo, {"table_2": ["table_2"]}, settings, standings(settings), 2)
    assert (rest.left, rest.states, rest.rough) == (None, {"waiting": 30}, False)


def test_waiting_runs_follow_the_median_of_their_kind(demo: Study, settings: dict[str, Any]) -> None:
    base = planned(demo, settings[f"{NET}/baseline/seed0"])
    other = planned(demo, settings[f"{OTHER}/baseline/seed0"])
    seen = standings(
        settings,
        net__baseline__seed0={"state": "done", "whole": 2 * base},
        net__baseline__seed1={"state": "trained", "whole": 9 * base},
        net__baseline__seed2={"state": "running", "whole": 4 * base, "left": 3.0, "epoch": 9},
        other__baseline__seed0={"state": "running", "whole": 70 * other, "left": 60 * other},
    )
    found = forecast(demo, settings, seen)
    assert found.seconds[f"{NET}/baseline/seed0"] == found.seconds[f"{NET}/baseline/seed1"] == 0
    assert found.seconds[f"{NET}/baseline/seed2"] == 3
    for run, factor in ((f"{NET}/pskd/seed0", 4), (f"{NET}/aikd/seed1", 4), (f"{OTHER}/pskd/seed0", 70)):
        assert found.seconds[run] == pytest.approx(factor * planned(demo, settings[run])), run
    assert found.rough == frozenset()


def test_other_networks_are_taken_where_there_are_no_better_ones(
    demo: Study, settings: dict[str, Any]
) -> None:
    base = planned(demo, settings[f"{NET}/baseline/seed0"])
    seen = standings(settings, net__baseline__seed0={"state": "done", "whole": 3 * base})
    found = forecast(demo, settings, seen)
    assert found.seconds[f"{OTHER}/pskd/seed0"] == pytest.approx(
        3 * planned(demo, settings[f"{OTHER}/pskd/seed0"])
    )
    assert found.rough == {run for run in settings if run.startswith(OTHER)}
    rough = {
        rest.target: rest.rough
        for rest in rests(demo, {"table_2": ["table_2"], "table_4": ["table_4"]}, settings, seen, 1)
    }
    assert rough == {"table_2": True, "table_4": False}


def test_a_run_to_be_taken_up_has_only_the_epochs_left_that_are_not_saved(
    demo: Study, settings: dict[str, Any]
) -> None:
    base = planned(demo, settings[f"{NET}/baseline/seed0"])
    seen = standings(
        settings,
        net__baseline__seed0={"state": "done", "whole": base},
        net__baseline__seed1={"state": "interrupted", "epoch": 6},
        net__baseline__seed2={"state": "failed", "epoch": 8, "whole": 3 * base},
    )
    found = forecast(demo, settings, seen)
    assert found.seconds[f"{NET}/baseline/seed1"] == pytest.approx(0.4 * 2 * base)
    assert found.seconds[f"{NET}/baseline/seed2"] == pytest.approx(0.2 * 3 * base)


def test_what_runs_took_beside_training_comes_to_each_that_is_left(
    demo: Study, settings: dict[str, Any]
) -> None:
    base = planned(demo, settings[f"{NET}/baseline/seed0"])
    seen = standings(
        settings,
        net__baseline__seed0={"state": "done", "whole": base, "around": 5.0},
        net__baseline__seed1={"state": "done", "whole": base, "around": 7.0},
        net__baseline__seed2={"state": "running", "whole": base, "left": 3.0},
        net__cskd__seed0={"state": "done", "whole": base},  # by hand
    )
    found = forecast(demo, settings, seen)
    assert found.around == 6
    assert found.seconds[f"{NET}/baseline/seed1"] == 0
    assert found.seconds[f"{NET}/baseline/seed2"] == 9
    run = f"{NET}/cskd/seed1"
    assert found.seconds[run] == pytest.approx(planned(demo, settings[run]) + 6)
    [rest] = rests(demo, {"table_4": ["table_4"]}, settings, seen, 1)
    assert rest.around == 6


def test_a_target_waits_for_superior_models_and_has_so_many_devices(
    demo: Study, settings: dict[str, Any]
) -> None:
    """Figure 6: CS-KD and PS-KD (10 s each), Baseline (20 s), and after it TF-KD and AI-KD (10 s and 30 s)."""
    left = {"baseline": 20.0, "cskd": 10.0, "tfkd": 10.0, "pskd": 10.0, "aikd": 30.0}
    seen = standings(
        settings,
        **{f"net__{m}__seed0": {"state": "running", "left": s, "whole": s} for m, s in left.items()},
    )
    chosen = {"figure_6": ["figure_6"]}
    assert [rests(demo, chosen, settings, seen, n)[0].left for n in (1, 2, 5)] == [80.0, 50.0, 50.0]
    done = {run: Standing(run, "done", "", 10) for run in settings}
    [rest] = rests(demo, chosen, settings, done, 1)
    assert (rest.left, rest.states) == (0.0, {"done": 5})

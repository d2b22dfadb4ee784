"""What is left of a study, against counts of the paper's runs and a results folder half finished."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from aikd.errors import UserError
from aikd.study import queries
from aikd.study.costs import plan
from aikd.study.costs.plan import Row, data_sets, jobs_of, rows, stated_speeds
from aikd.study.schema import Study
from aikd.study.targets import results_of, targets_of
from aikd.workflow import Workflow
from tests.conftest import PAPER, parsed

RUNS = {
    "table_1": 0, "table_2": 180, "table_3": 180, "table_4": 15, "table_5": 27, "table_6": 21, "table_7": 15,
    "figure_4": 90, "figure_5": 90, "figure_6": 5, "figure_7a": 51, "figure_7b": 42, "figure_7": 87,
    "claims": 312, "all": 312,
}  # fmt: skip


def planned(study: Study, *targets: str, devices: int = 1, tflops: float = 5.0) -> dict[str, Row]:
    found = rows(study, targets_of(study, targets), jobs_of(study), stated_speeds(tflops), devices)
    return {row.target: row for row in found}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results are looked for in an empty folder."""
    monkeypatch.chdir(tmp_path)


def finish(study: Study, path: str, **changes: object) -> Path:
    """What a finished run leaves; `changes` are to its settings."""
    folder = study.results / "runs" / path
    folder.mkdir(parents=True)
    settings = jobs_of(study)[path].settings | changes
    (folder / "train.json").write_text(json.dumps({"settings": settings}))
    (folder / "model.safetensors").touch()
    return folder


def test_runs_of_the_paper(paper: Study) -> None:
    found = planned(paper)
    assert {name: row.runs for name, row in found.items()} == RUNS
    assert {name: row.left for name, row in found.items()} == RUNS
    assert {row.done for row in found.values()} == {0}
    assert found["table_2"].shared == found["table_3"].shared == 180


def test_several_targets_are_counted_together_once(paper: Study) -> None:
    found = planned(paper, "table_2", "table_3", "table_4")
    assert list(found) == ["table_2", "table_3", "table_4", "together"]
    assert found["together"].runs == 180 + 9
    jobs = jobs_of(paper)
    added = [jobs[path].work.flops for path in only(paper, "table_4", "table_2")]
    assert len(added) == 9
    assert found["together"].flops == found["table_2"].flops + sum(added)
    assert list(planned(paper, "table_2", "all")) == ["table_2", "all"]


def only(study: Study, name: str, *others: str) -> list[str]:
    """Runs of a table that no other of these needs."""
    rest = {run.path for run in queries.runs_of(study, others)}
    return [run.path for run in queries.runs_of(study, [name]) if run.path not in rest]


def test_shared_runs_are_those_that_somebody_else_needs(demo: Study) -> None:
    # Three seeds: AI-KD itself and No Adv stand in other tables, Baseline, too; the other two rows are its own.
    assert planned(demo, "table_4")["table_4"].shared == 15 - len(
        only(demo, "table_4", *(name for name in (*demo.tables, *demo.figures) if name != "table_4"))
    )
    assert planned(demo, "table_4")["table_4"].shared == 9


def test_what_is_done_costs_nothing(demo: Study) -> None:
    before = planned(demo, "table_4")["table_4"]
    finish(demo, "digits/preact_resnet18/baseline/seed0")
    finish(demo, "digits/preact_resnet18/aikd/seed0")
    finish(demo, "digits/preact_resnet18/pskd/seed0")  # not in the table
    after, job = planned(demo, "table_4")["table_4"], jobs_of(demo)
    done = [job[f"digits/preact_resnet18/{method}/seed0"] for method in ("baseline", "aikd")]
    assert (after.runs, after.done, after.left) == (15, 2, 13)
    assert before.flops - after.flops == sum(j.work.flops for j in done)
    assert before.images - after.images == 2 * 9_010
    assert before.disk - after.disk == sum(j.work.disk for j in done)
    assert after.hours < before.hours


@pytest.mark.parametrize("damage", ["settings", "no model", "no summary", "damaged", "metrics remain"])
def test_a_run_is_done_only_if_it_is_the_same_and_whole(demo: Study, damage: str) -> None:
    path = "digits/densenet121_3x3/pskd/seed1"
    folder = finish(demo, path, **({"recipe_version": 0} if damage == "settings" else {}))
    match damage:
        case "no model" | "metrics remain":
            (folder / "model.safetensors").unlink()
        case "no summary":
            (folder / "train.json").unlink()
        case "damaged":
            (folder / "train.json").write_text("{")
    if damage == "metrics remain":
        (folder / "metrics.json").touch()
    assert jobs_of(demo)[path].done is (damage == "metrics remain")


def test_students_whose_superior_is_done_need_not_wait(demo: Study) -> None:
    one = planned(demo, "table_4", devices=100)["table_4"]
    assert one.parallel == one.chain < one.hours
    for seed in range(3):
        finish(demo, f"digits/preact_resnet18/baseline/seed{seed}")
    later = planned(demo, "table_4", devices=100)["table_4"]
    longest = stated_speeds(5.0)
    times = [longest(j.settings, j.work).training(j.work) for j in jobs_of(demo).values() if not j.done]
    assert later.chain < one.chain
    assert later.chain <= max(times) / 3600


def test_states_of_the_runs_at_once_are_on_the_disk_too(paper: Study) -> None:
    one, two = (planned(paper, "table_4", devices=n)["table_4"].disk for n in (1, 2))
    assert two - one == jobs_of(paper)["cifar100/preact_resnet18/aikd/seed0"].work.states > 2.5e8


def test_an_unknown_target_is_refused_with_those_that_there_are(demo: Study) -> None:
    with pytest.raises(
        UserError, match=r"target: found \"tabel_2\" \(did you mean 'table_2'\?\); allowed: table_1, .*all"
    ):
        targets_of(demo, ["tabel_2"])


@pytest.mark.parametrize("target", ["report", "paper", "all_runs", "all"])
def test_what_shows_the_whole_study_needs_every_run(paper: Study, target: str) -> None:
    found = planned(paper, target)
    assert list(found) == [target]
    assert found[target].runs == len(Workflow(parsed(PAPER)).all_runs()) == 312
    assert list(planned(paper, target, "table_4")) == [target, "table_4"]


@pytest.mark.parametrize(
    "target", ["learning_curves", "learning_table_4", "learning_cifar100_preact_resnet18"]
)
def test_learning_curves_need_the_runs_whose_histories_they_are_drawn_from(paper: Study, target: str) -> None:
    workflow = Workflow(parsed(PAPER))
    figures = workflow.learning if target == "learning_curves" else [target]
    drawn = {file for name in figures for file in workflow.inputs(SimpleNamespace(name=name))}
    names = targets_of(paper, [target])[target]
    shown = {path for name in names for path in results_of(paper, name)}
    assert {f"results/runs/{path}/history.csv" for path in shown} == drawn
    assert planned(paper, target)[target].runs >= len(drawn) > 0
    used = {path.split("/")[0] for path in shown}
    assert set(data_sets(paper, names, jobs_of(paper))) == used


def test_learning_curves_that_are_not_there_are_refused(paper: Study) -> None:
    with pytest.raises(
        UserError,
        match=r'^target: found "learning_table_9".*, learning_curves, report, .*, all$',
    ):
        targets_of(paper, ["learning_table_9"])


def test_data_sets_are_those_of_the_runs_left_and_of_table_1(paper: Study) -> None:
    jobs = jobs_of(paper)
    assert data_sets(paper, ["table_5"], jobs) == ["cifar100"]
    assert data_sets(paper, ["table_1"], jobs) == list(paper.data)
    done = {path: plan.Job(job.settings, job.work, job.memory, True) for path, job in jobs.items()}
    assert data_sets(paper, ["table_5"], done) == []

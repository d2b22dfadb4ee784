"""The workflow on a real Slurm: through to its tables, and through all that ends jobs there."""

import csv
import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.cluster import slurm
from tests.cluster.projects import ClusterProject, another, finished_project
from tests.cluster.slurm import until

RUNS = "results/tiny/runs/digits/preact_resnet18"

# The first attempt of a run stays at the end of its third epoch until a signal comes.
STAY = """attempt.keep()
        while len(trainer.history) == 3 and not attempt.resumed_at:
            time.sleep(0.1)
            attempt.check()"""


def summary(project: ClusterProject, run: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((project.root / RUNS / run / "train.json").read_text())
    return found


def queue() -> list[list[str]]:
    """Number, state and comment of every job that Slurm knows."""
    said = subprocess.run(
        ["squeue", "-h", "--states=all", "--format=%i|%T|%k"], capture_output=True, text=True, check=True
    )
    return [line.split("|") for line in said.stdout.splitlines()]


def states() -> list[str]:
    """States of the jobs that are not over."""
    return [state for _, state, _ in queue() if state in ("PENDING", "RUNNING")]


def job(rule: str, run: str) -> str:
    """Number of the last job that trains a run; its comment says which."""
    comment = f"rule_{rule}_wildcards_digits_preact_resnet18_{run.replace('/', '_')}"
    return max((number for number, _, said in queue() if said == comment), key=int)


def leases(project: ClusterProject) -> list[str]:
    """The GPUs that processes have taken, with repetitions."""
    return [path.name.split(".")[1] for path in (project.root / "locks").glob("*.*.*.*")]


def trained(project: ClusterProject, run: str, epochs: int) -> bool:
    log = project.root / f"results/tiny/logs/train/digits/preact_resnet18/{run}.log"
    return log.exists() and f"epoch {epochs}/6" in log.read_text()


def model(run: str) -> str:
    return f"{RUNS}/{run}/model.safetensors"


def a_study_runs_to_its_tables(finished: ClusterProject) -> None:
    results = finished.root / "results/tiny"
    with (results / "tables/table_2.csv").open() as file:
        assert len(list(csv.reader(file))) > 2
    assert len((results / "all_runs.csv").read_text().splitlines()) == 1 + 4
    assert summary(finished, "aikd/seed1")["resumed_at"] == []
    # Everything else was done where Snakemake runs.
    assert set(re.findall(r"slurm_logs/(\w+)/", finished.said)) == {
        "rule_prepare", "rule_pretrain", "rule_train", "group_evaluate_calibrate_predict",
    }  # fmt: skip


def what_ends_a_job_costs_no_epoch(project: ClusterProject) -> None:
    """Three runs, two GPUs: one reaches its time limit, one is cancelled, one is requeued as after preemption."""
    runs = "baseline/seed2", "aikd/seed0", "aikd/seed1"
    ends = {"aikd/seed0": ["scancel"], "aikd/seed1": ["scontrol", "requeue"]}
    undisturbed = {run: (project.root / model(run)).read_bytes() for run in ends}
    for run in undisturbed:
        (project.root / model(run)).unlink()
    project.edit("aikd/engine/jobs.py", "attempt.keep()", STAY)
    # Slurm looks at time limits every 30 seconds, and warns a look ahead: 29 to 59 of the first attempt's 60 seconds.
    warning = {"pretrain.runtime": "attempt", "pretrain.slurm_extra": "'--signal=TERM@1'"}
    project.set_profile(warning)

    snakemake = project.start(*map(model, runs))
    until(lambda: len(leases(project)) == 2, "two runs on GPUs", 120)
    assert sorted(leases(project)) == ["a", "b"]
    assert sorted(states()) == ["PENDING", "RUNNING", "RUNNING"]
    for run, end in ends.items():
        until(lambda run=run: trained(project, run, 3), f"three epochs of {run}", 300)
        subprocess.run([*end, job("train", run)], check=True)

    assert snakemake.wait(timeout=400) == 0, project.said
    assert {run: summary(project, run)["resumed_at"] for run in runs} == {run: [3] for run in runs}
    # The requeued job never ended, as far as Snakemake can see.
    assert set(re.findall(r"SLURM status is: '(\w+)'", project.said)) == {"CANCELLED", "FAILED"}
    assert project.said.count("Trying to restart job") >= 2
    assert {run: (project.root / model(run)).read_bytes() for run in undisturbed} == undisturbed


def a_job_that_fails_is_reported_with_its_log(project: ClusterProject) -> None:
    project.edit("tiny.yaml", "learning_rate: 0.1", "learning_rate: 1.0e+30")
    assert project.run(model("baseline/seed3"), "--retries", "0") == 1
    log = "results/tiny/logs/train/digits/preact_resnet18/baseline/seed3.log"
    reason = (project.root / log).read_text().splitlines()[-1]
    assert reason.startswith("aikd train: ")
    assert "Error in rule pretrain" in project.said
    assert log in project.said
    assert reason in project.said
    assert "SLURM status is: 'FAILED'" in project.said
    (slurm_log,) = (project.root / ".snakemake/slurm_logs/rule_pretrain").rglob("*.log")
    assert str(slurm_log) in project.said
    assert "Error in rule pretrain" in slurm_log.read_text()


@pytest.mark.workflow
def test_on_a_real_slurm(tmp_path: Path, subtests: pytest.Subtests) -> None:
    """One test, so that one process has the one cluster that a machine can have, and no other waits for it."""
    if reason := slurm.hindrance():
        pytest.skip(reason)
    with slurm.cluster():
        (tmp_path / "finished").mkdir()
        finished = finished_project(tmp_path / "finished")
        with subtests.test("a study runs to its tables"):
            a_study_runs_to_its_tables(finished)
        with subtests.test("what ends a job costs no epoch"):
            what_ends_a_job_costs_no_epoch(another(finished, tmp_path / "ended"))
        with subtests.test("a job that fails is reported with its log"):
            a_job_that_fails_is_reported_with_its_log(another(finished, tmp_path / "failing"))

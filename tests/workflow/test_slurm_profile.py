"""The profile for Slurm as far as it can be seen without one, and the signal on which it relies."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from aikd.study.costs.times import LEAST
from tests.cluster.slurm import until
from tests.conftest import ROOT
from tests.workflow.conftest import RULES, Project, copy_project

pytestmark = pytest.mark.workflow

PROFILE: dict[str, Any] = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
ON_GPUS = {"pretrain", "train", "predict"}
SLOW = "results/tiny/runs/digits/preact_resnet18/baseline/seed0"


@pytest.fixture(scope="module")
def plan(fresh: Project) -> str:
    """A dry run of the paper with the profile; Snakemake refuses options that it does not know."""
    done = fresh.snakemake("-n", "--profile", "profiles/slurm", study=None)
    assert done.returncode == 0, done.stdout
    return done.stdout


def planned(plan: str) -> dict[str, list[dict[str, str]]]:
    """Rule → the resources of each of its jobs."""
    jobs: dict[str, list[dict[str, str]]] = {}
    for _, rule, body in re.findall(r"^( *)(?:local)?rule (\w+):\n((?:\1    .*\n)+)", plan, re.MULTILINE):
        said = re.search(r"resources: (.*)", body)
        pairs = (pair.split("=", 1) for pair in (said[1].split(", ") if said else []))
        jobs.setdefault(rule, []).append(dict(pairs))
    return jobs


def test_every_rule_it_names_exists() -> None:
    named = {
        *PROFILE["set-resources"],
        *(entry.split("=")[0] for entry in PROFILE["groups"] + PROFILE["set-threads"]),
    }
    assert named <= RULES
    # Their partition is that of GPUs, though only the prediction that goes before them in their job needs one.
    assert {rule for rule, own in PROFILE["set-resources"].items() if "slurm_partition" in own} == ON_GPUS | {
        "calibrate"
    }


def test_it_has_no_key_in_common_with_the_profile_that_is_always_loaded() -> None:
    always = yaml.safe_load((ROOT / "profiles/default/profile.yaml").read_text())
    assert PROFILE.keys() & always.keys() == set()


def test_jobs_on_gpus_ask_for_all_they_need(plan: str) -> None:
    jobs = planned(plan)
    assert {rule: len(found) for rule, found in jobs.items() if rule in ON_GPUS} == {
        "pretrain": 36, "train": 276, "predict": 312,
    }  # fmt: skip
    longest = int(PROFILE["config"][0].removeprefix("longest_job="))
    for rule in ON_GPUS:
        for job in jobs[rule]:
            assert (job["gpu"], job["slurm_partition"]) == ("1", "gpu")
            assert job["slurm_extra"] == "--signal=TERM@120"
            assert 2 * 120 < 60 * LEAST < 60 * int(job["runtime"]) <= 60 * longest
            assert int(job["mem_mb"]) > 1000
    # Some runs of the paper need more than a day: the limit is in force.
    assert max(int(job["runtime"]) for job in jobs["train"]) == longest


def test_all_other_jobs_ask_for_no_gpu(plan: str) -> None:
    jobs = planned(plan)
    for rule in RULES - ON_GPUS:
        assert all("gpu" not in job and "mem_mb" in job and "runtime" in job for job in jobs[rule]), rule


def test_only_the_profile_tries_again() -> None:
    assert PROFILE["retries"] > 0
    for file in (ROOT / "workflow/rules").glob("*.smk"):
        assert "retries" not in file.read_text()


@pytest.fixture
def saving(tmp_path: Path) -> Project:
    """A copy that trains for hours, and takes three seconds to save."""
    project = copy_project(tmp_path)
    project.edit("tiny.yaml", "epochs: 2", "epochs: 100000")
    save = "self.states.save(*self._latest)"
    project.edit("aikd/engine/attempt.py", save, f"time.sleep(3)\n            {save}")
    return project


def test_a_job_ends_after_its_training_has_saved(saving: Project) -> None:
    """Schedulers signal all processes of a job, and kill the rest when the first, Snakemake, has ended."""
    command = [sys.executable, "-m", "snakemake", f"{SLOW}/model.safetensors", "--cores", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "AIKD_DEVICE": "cpu"}
    environment.pop("PYTHONPATH", None)
    job = subprocess.Popen(
        [*command, "--configfile", "tiny.yaml"], cwd=saving.root, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        log = saving.root / f"results/tiny/logs/train/{SLOW.partition('runs/')[2]}.log"
        until(lambda: log.exists() and "epoch " in log.read_text(), "the first epoch", 120)
        os.killpg(job.pid, signal.SIGTERM)
        assert job.wait(timeout=120) == 1
        states = list((saving.root / SLOW / ".state").iterdir())
    finally:
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
    assert "interrupted after epoch" in log.read_text()
    assert states

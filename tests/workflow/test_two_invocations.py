"""Snakemake called while it runs already, and after the study was edited half-way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from aikd.workflow import Workflow
from tests.workflow.conftest import Project

pytestmark = pytest.mark.workflow

RUN = "digits/preact_resnet18/baseline/seed0"
MODEL = f"results/slow/runs/{RUN}/model.safetensors"
LOG = f"results/slow/logs/train/{RUN}.log"


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished study, with a second study that trains for hours."""
    shutil.copytree(finished.root, tmp_path / "copy")
    copy = Project(tmp_path / "copy")
    study = (copy.root / "tiny.yaml").read_text()
    (copy.root / "slow.yaml").write_text(
        study.replace("name: tiny", "name: slow").replace("epochs: 2", "epochs: 100000")
    )
    return copy


@contextmanager
def training(project: Project) -> Iterator[subprocess.Popen[str]]:
    """Snakemake in the middle of a run of the slow study; ends with all it started."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, "-m", "snakemake", MODEL, "--cores", "1", "--configfile", "slow.yaml"]
    process = subprocess.Popen(
        command, cwd=project.root, env=environment, start_new_session=True, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        log, waited = project.root / LOG, time.monotonic()
        while not (log.exists() and "epoch " in log.read_text()):
            assert process.poll() is None
            assert time.monotonic() - waited < 120
            time.sleep(0.1)
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def waiting(project: Project, *arguments: str) -> tuple[str, int, str]:
    """What a command says at first; and its exit code and what it says when it is asked to end."""
    with start(project, *arguments) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.terminate()
        last = process.communicate(timeout=60)[1]
    return first, process.returncode, last


def aikd(project: Project, *arguments: str) -> tuple[int, str]:
    """Exit code of a command, and what it says."""
    with start(project, *arguments) as process:
        said = process.communicate(timeout=300)[1]
    return process.returncode, said


def start(project: Project, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"AIKD_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, "-m", "aikd", *arguments]
    return subprocess.Popen(command, cwd=project.root, env=environment, stderr=subprocess.PIPE, text=True)


def questions(project: Project, study: str) -> Workflow:
    return Workflow(yaml.safe_load((project.root / study).read_text()))


def test_a_second_invocation_is_refused_a_run_is_waited_for_and_another_study_goes_on(
    project: Project,
) -> None:
    settings = questions(project, "slow.yaml").settings_of(RUN)
    with training(project):
        second = project.snakemake(MODEL, study="slow.yaml")
        directly = waiting(project, "train", "--settings", settings, "--results", "results/slow")
        other = project.snakemake("table_3")
    assert second.returncode == 1
    assert "Directory cannot be locked" in second.stdout
    assert "Traceback" not in second.stdout
    folder = f"results/slow/runs/{RUN}"
    said, code, line = directly
    assert said.startswith(f"{folder}: in use by process ")
    assert (code, line) == (75, f"aikd train: {RUN}: interrupted before it began\n")
    assert (other.returncode, "Nothing to be done" in other.stdout) == (0, True), other.stdout
    assert list((project.root / folder / ".state").iterdir())


def test_a_study_edited_half_way_never_mixes_old_runs_with_new_ones(project: Project) -> None:
    project.edit("tiny.yaml", "learning_rate: 0.1", "learning_rate: 0.2")
    metrics = f"results/tiny/runs/{RUN}/metrics.json"
    done = project.snakemake(metrics, "--resources", "gpu=2")
    assert done.returncode == 0, done.stdout
    assert project.planned(metrics) == {}
    # The table of all runs would now mix two recipes: Snakemake trains the others first,
    planned = project.planned("table_3")
    assert (planned["pretrain"], planned["train"], planned["table"]) == (1, 2, 1)
    # and whoever goes around it is told.
    tables = project.root / "results/tiny/tables"
    before = {path.name: path.read_bytes() for path in tables.iterdir()}
    spec = questions(project, "tiny.yaml").spec_json(SimpleNamespace(name="table_3"))
    code, said = aikd(
        project, "table", "--spec", spec, "--results", "results/tiny", "--to", "results/tiny/tables"
    )
    assert code == 1
    assert "recipe.learning_rate was " in said
    assert len(said.splitlines()) == 1
    assert {path.name: path.read_bytes() for path in tables.iterdir()} == before
    # Taken back, only what was made in between is made again.
    project.edit("tiny.yaml", "learning_rate: 0.2", "learning_rate: 0.1")
    settings = json.loads((project.root / f"results/tiny/runs/{RUN}/train.json").read_text())["settings"]
    assert settings["recipe"]["learning_rate"] == 0.2
    planned = project.planned("table_3")
    assert (planned["pretrain"], planned["train"]) == (1, 1)


def test_by_hand_a_finished_run_is_left_alone_and_snakemake_trains_it_where_it_decides_to(
    project: Project,
) -> None:
    folder = project.root / f"results/tiny/runs/{RUN}"
    settings = questions(project, "tiny.yaml").settings_of(RUN)
    by_hand = ("train", "--settings", settings, "--results", "results/tiny")
    words = f"{RUN}: finished, with these settings and data; --again trains it again\n"
    before = (folder / "train.json").read_bytes()
    assert aikd(project, *by_hand) == (0, words)
    model = f"results/tiny/runs/{RUN}/model.safetensors"
    done = project.snakemake(model, "--force", "--resources", "gpu=2")
    assert done.returncode == 0, done.stdout
    log = (project.root / f"results/tiny/logs/train/{RUN}.log").read_text()
    assert log.count("\nepoch ") == 2
    assert (folder / "train.json").read_bytes() != before
    assert aikd(project, *by_hand) == (0, words)

"""What `aikd status` and `aikd why` say of a study that Snakemake runs, beside what Snakemake itself says."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.workflow.conftest import Project

pytestmark = pytest.mark.workflow
NET = "digits/preact_resnet18"
TRAINING = ("pretrain", "train")


def aikd(project: Project, *words: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-m", "aikd", *words, "--study", "tiny.yaml"],
        capture_output=True, text=True, check=True, cwd=project.root, env=environment,
    )  # fmt: skip
    return done.stdout


def states(project: Project, *targets: str) -> dict[str, Any]:
    found = json.loads(aikd(project, "status", *targets, "--json"))
    return {run["run"]: run for run in found["runs"]}


def test_a_finished_study_is_done_and_up_to_date(finished: Project) -> None:
    assert {run["state"] for run in states(finished).values()} == {"done"}
    assert len(states(finished)) == 6
    head = "all: of 6 runs 0 would be trained again, 0 are not trained yet, 6 are up to date"
    assert aikd(finished, "why", "all") == f"{head}\n"


@pytest.mark.parametrize(
    ("old", "new", "words", "again"),
    [
        ("learning_rate: 0.1", "learning_rate: 0.2", "recipe.learning_rate: 0.1 → 0.2", 6),
        ("name: tiny", "name: tiny\naugmentations: {cutout: {side: 3}}", "augmentation.side: 2 → 3", 2),
        ("name: tiny", "name: tiny\nevaluate_every: 2\ntensorboard: true", "0 would be trained again", 0),
    ],
)
def test_it_says_why_snakemake_would_train(
    restored: Callable[[], Project], old: str, new: str, words: str, again: int
) -> None:
    project = restored()
    project.edit("tiny.yaml", old, new)
    planned = project.planned()
    assert sum(planned.get(rule, 0) for rule in TRAINING) == again
    text = aikd(project, "why", "all", "--all")
    assert f"of 6 runs {again} would be trained again" in text
    assert words in text
    assert text.count(f"    {NET}/") == again


def test_a_run_that_fails_is_named_with_its_log(finished: Project, tmp_path: Path) -> None:
    shutil.copytree(finished.root, tmp_path / "copy")
    project = Project(tmp_path / "copy")
    project.edit("tiny.yaml", "values: [0.1]", "values: [0.1, 1.0e+30]")
    done = project.snakemake("figure_7b")
    assert done.returncode != 0
    found = states(project, "figure_7b")
    failed = {run for run in found if found[run]["state"] == "failed"}
    assert failed == {f"{NET}/aikd/omega=1e+30/seed{seed}" for seed in (0, 1)}
    for run in failed:
        assert "epoch 1, step" in found[run]["error"]
        assert found[run]["error"] in (project.root / found[run]["log"]).read_text()
    assert {run["state"] for run in found.values()} == {"failed", "done"}
    lines = aikd(project, "status", "figure_7b").splitlines()
    assert sum(line.startswith("failed ") for line in lines) == 2
    assert f"    log: {found[min(failed)]['log']}" in lines

"""The same study on the same machine, twice, in two folders: the same bytes."""

import os
from pathlib import Path

import pandas as pd
import pytest

from aikd.results.report.latex import missing
from tests.workflow.conftest import Project, copy_project

pytestmark = pytest.mark.workflow

STUDY = """
name: twice
seeds: [0]
recipe: {epochs: 1, batch_size: 256, learning_rate: 0.1, milestones: []}
data:
  digits: {models: [net], images_per_class: 40}
models:
  net: {label: Net, architecture: preact_resnet18, width: 4, blocks: [1, 1, 1, 1]}
methods:
  baseline: {}
  aikd: {}
tables:
  table_1: {kind: datasets, caption: Data.}
  table_3: {kind: comparison, caption: Calibration ≈ 漢字., metrics: [top1_error, f1, ece], calibrated: [aikd]}
figures:
  figure_4: {kind: reliability, caption: Diagrams., family: Net, calibrated: [aikd]}
  figure_6: {kind: tsne, caption: Features., data: digits, model: net, methods: [aikd], images_per_class: 10}
  figure_7a: {kind: heatmap, caption: Critic., data: digits, model: net,
    x: {setting: critic.fc1, values: [64]}, y: {setting: critic.fc2, values: [32]}}
  figure_7b: {kind: curves, caption: Weights., data: digits, model: net, axes: [{setting: omega, values: [0.1]}]}
"""


def made(project: Project) -> dict[str, bytes]:
    """Tables, figures, the document and all runs of a finished study, by name."""
    results = project.root / "results" / "twice"
    files = [*(results / f"{name}.csv" for name in ("all_runs", "classes")), *results.glob("paper.*")]
    files += [results / "claims.csv", results / "claims.md"]
    files += [*results.glob("tables/*"), *results.glob("figures/*")]
    return {str(path.relative_to(results)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> list[Project]:
    """Two copies of the project, in each of which the study has run to its end."""
    copies = [copy_project(tmp_path_factory.mktemp(name)) for name in ("once", "and_again")]
    for project in copies:
        (project.root / "twice.yaml").write_text(STUDY)
        done = project.snakemake("--resources", "gpu=2", study="twice.yaml")
        assert done.returncode == 0, done.stdout
    return copies


def test_all_runs_tables_and_figures_are_the_same_bytes(projects: list[Project]) -> None:
    once, again = (made(project) for project in projects)
    assert {Path(name).suffix for name in once} == {".csv", ".tex", ".md", ".pdf", ".png"}
    documents = 1 if missing() else 2
    assert len(once) == 4 + documents + 2 * 3 + (4 + 1 + 1) * 2
    assert once.keys() == again.keys()
    assert [name for name in once if once[name] != again[name]] == []


def test_costs_have_what_differs(projects: list[Project]) -> None:
    costs = [pd.read_csv(project.root / "results/twice/costs.csv") for project in projects]
    assert costs[0]["run"].tolist() == costs[1]["run"].tolist()
    # Two runs of a tenth of a second, in hundredths: the seconds alone are alike now and then.
    measured = ["seconds", "images_per_second", "memory_mb"]
    assert (costs[0][measured] != costs[1][measured]).any(axis=None)
    assert costs[0][["threads", "device", "torch", "memory_mb"]].notna().all(axis=None)


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_a_latex_that_fails_fails_no_study(
    projects: list[Project], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project = projects[1]
    results = project.root / "results/twice"
    assert (results / "paper.pdf").exists()
    broken = tmp_path / "pdflatex"
    broken.write_text("#!/bin/sh\necho '! Not today.'\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    done = project.snakemake("paper", "--forcerun", "paper", "--resources", "gpu=2", study="twice.yaml")
    assert done.returncode == 0, done.stdout
    assert (results / "paper.tex").exists()
    assert not (results / "paper.pdf").exists()
    assert "not made into a PDF. pdflatex failed: ! Not today." in (results / "logs/paper.log").read_text()

"""Results on another machine: every table and figure is made again from an archive, and nothing is trained."""

import os
import shutil
from pathlib import Path

import pytest

from tests.workflow.conftest import Project, copy_project
from tests.workflow.test_same_bytes import STUDY, made

pytestmark = pytest.mark.workflow

RESTORED = "results/twice/study.yaml"
OUTPUTS = {"table": 2, "figure": 5} | dict.fromkeys(("all_runs", "claims", "classes", "report", "paper"), 1)
MADE_ANEW = {"prepare", "download", "pretrain", "train", "predict"}


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy in which the study has run to its end."""
    project = copy_project(tmp_path_factory.mktemp("origin"))
    (project.root / "twice.yaml").write_text(STUDY)
    done = project.snakemake("--resources", "gpu=2", study="twice.yaml")
    assert done.returncode == 0, done.stdout
    return project


@pytest.fixture(scope="module")
def archive(origin: Project) -> Path:
    done = origin.run("aikd", "archive", "--study", "twice.yaml", "--to", "twice.tar.gz")
    assert done.returncode == 0, done.stdout
    assert "2 of 2 runs of twice" in done.stdout
    return origin.root / "twice.tar.gz"


def elsewhere(folder: Path, archive: Path) -> Project:
    """A fresh copy of the sources, into which results are unpacked."""
    folder.mkdir()
    project = copy_project(folder)
    done = project.run("aikd", "unpack", str(archive))
    assert done.returncode == 0, done.stdout
    return project


@pytest.fixture
def restored(archive: Path, tmp_path: Path) -> Project:
    return elsewhere(tmp_path / "elsewhere", archive)


def without_records(project: Project) -> Project:
    shutil.rmtree(project.root / ".snakemake", ignore_errors=True)
    return project


def test_every_table_and_figure_is_the_same_and_nothing_is_trained(
    origin: Project, restored: Project
) -> None:
    assert restored.planned(study=RESTORED) == OUTPUTS
    done = restored.snakemake(study=RESTORED)
    assert done.returncode == 0, done.stdout
    wanted, found = made(origin), made(restored)
    assert {Path(name).name for name in wanted} >= {
        "all_runs.csv",
        "claims.csv",
        "classes.csv",
        "paper.tex",
    }
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if found[name] != wanted[name]] == []
    costs = "results/twice/costs.csv"
    assert (restored.root / costs).read_bytes() == (origin.root / costs).read_bytes()
    assert not list(restored.root.rglob("model.safetensors"))
    assert not list(restored.root.rglob("*.npy"))
    assert restored.planned(study=RESTORED) == {}


def test_sources_that_are_newer_than_the_results_train_nothing(restored: Project) -> None:
    for part in ("aikd", "workflow"):
        for path in (restored.root / part).rglob("*"):
            os.utime(path)
    assert restored.planned(study=RESTORED) == OUTPUTS


def test_the_study_can_be_edited_as_where_it_was_trained(restored: Project) -> None:
    restored.edit(RESTORED, "name: twice", "name: twice\ncalibration: {bins: 10}")
    planned = restored.planned(study=RESTORED)
    assert planned["calibrate"] == 2
    assert not MADE_ANEW & planned.keys()
    restored.edit(RESTORED, "learning_rate: 0.1", "learning_rate: 0.2")
    planned = restored.planned(study=RESTORED)
    assert (planned["pretrain"], planned["train"], planned["predict"]) == (1, 1, 2)


def test_without_snakemake_s_records_nothing_is_trained_either(restored: Project) -> None:
    """As of runs that were trained by hand."""
    assert without_records(restored).planned(study=RESTORED) == OUTPUTS


def test_predictions_of_figures_alone_are_enough(origin: Project, tmp_path: Path) -> None:
    lines = STUDY.splitlines(keepends=True)
    # Nor a comparison, which is made class by class as well.
    kept = [line for line in lines if "tsne" not in line and "comparison" not in line]
    (origin.root / "no_tsne.yaml").write_text("".join(kept))
    to = str(tmp_path / "small.zip")
    done = origin.run("aikd", "archive", "--study", "no_tsne.yaml", "--predictions", "figures", "--to", to)
    assert done.returncode == 0, done.stdout
    project = elsewhere(tmp_path / "project", Path(to))
    assert not list(project.root.rglob("predictions.safetensors"))
    outputs = OUTPUTS | {"figure": 3, "table": 1}
    assert project.planned(study=RESTORED) == outputs
    assert without_records(project).planned(study=RESTORED) == outputs


def test_unpacking_where_it_was_packed_makes_nothing_again(origin: Project, archive: Path) -> None:
    done = origin.run("aikd", "unpack", str(archive))
    assert done.returncode == 0, done.stdout
    assert (
        "1 files written below ., 9 were there already" in done.stdout
    )  # the study, which now lies in the results
    assert origin.planned(study="twice.yaml") == {}

"""docs/extend.md, run as it is printed: one of each kind of extension, from the files to tables and figures."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import blocks, files
from tests.workflow.conftest import ROOT, Project, copy_project

PAGE = ROOT / "docs/extend.md"
FILES = files(PAGE)
COMMANDS = [
    line.split("#")[0].strip()
    for block in blocks(PAGE)
    if block.language == "sh"
    for line in block.text.splitlines()
]
STUDY = "own.yaml"

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, str]]:
    """A copy of the project in which all commands of the page were called, and what they said."""
    project = copy_project(tmp_path_factory.mktemp("extend"))
    for name, text in FILES.items():
        (project.root / name).write_text(text, encoding="utf-8")
    (project.root / "benchmarks").symlink_to(ROOT / "benchmarks")
    # Where the package is installed from elsewhere, the copy comes first.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(project.root), "OMP_NUM_THREADS": "1"}
    output = {}
    for command in COMMANDS:
        done = subprocess.run(
            command, shell=True, cwd=project.root, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        output[command] = done.stdout
    return project, output


def test_the_page_has_a_file_of_each_kind_and_says_how_to_run_them() -> None:
    assert set(FILES) == {"annealed.py", "small_cnn.py", "contrast.py", "stripes.py", STUDY}
    assert [command.split()[0] for command in COMMANDS] == ["aikd", "aikd", "snakemake", "python"]


def test_everything_stands_in_tables_figures_plans_and_benchmarks(
    said: tuple[Project, dict[str, str]],
) -> None:
    project, output = said
    check, plan, _, benchmark = output.values()
    for line in ("annealed.py: method annealed", "small_cnn.py: architecture small_cnn"):
        assert f"extension {line}\n" in check
    assert "small_cnn is an extension's network" in plan
    assert "| Annealed | 1.33 |" in benchmark
    results = project.root / "results/own"
    rows = list(csv.DictReader((results / "tables/table_2.csv").open(encoding="utf-8")))
    assert {row["Method"] for row in rows} == {"Baseline", "Annealed", "Annealed + TS"}
    for table in (results / "tables").glob("*.md"):
        assert not re.search(r"\| +-- +\|", table.read_text(encoding="utf-8"))
    assert (results / "figures/figure_7b.pdf").stat().st_size > 1000
    runs = list(csv.DictReader((results / "all_runs.csv").open(encoding="utf-8")))
    annealed = {(row["settings"], row["augmentation"]) for row in runs if row["method"] == "annealed"}
    assert annealed == {
        ("start=6", "standard"),
        ("start=2", "standard"),
        ("start=6,weight=0", "standard"),
        ("start=6", "contrast"),
    }
    claims = csv.DictReader((results / "claims.csv").open(encoding="utf-8"))
    [own] = [row for row in claims if row["verdict"] != "not run"]
    assert (own["claim"], own["n"]) == ("own.annealed.baseline.stripes.small", "2")
    report = (results / "report.html").read_text(encoding="utf-8")
    assert "Does Annealed make fewer errors than the Baseline?" in report
    history = (results / "runs/stripes/small/annealed/start=6/seed0/history.csv").read_text()
    assert history.startswith("epoch,learning_rate,loss,ce,guide,train_error")


def test_an_edit_of_the_method_trains_its_runs_again_and_no_others(
    said: tuple[Project, dict[str, str]],
) -> None:
    project, _ = said
    assert project.planned(study=STUDY) == {}
    project.edit("annealed.py", "class Annealed(", "# nothing but a comment\nclass Annealed(")
    assert project.planned(study=STUDY) == {}
    project.edit("annealed.py", "max(1, self.setup.epochs - 1)", "max(2, self.setup.epochs - 1)")
    planned = project.planned(study=STUDY)
    assert planned["train"] == planned["predict"] == planned["calibrate"] == 8
    assert {"pretrain", "prepare"} & planned.keys() == set()
    project.edit("annealed.py", "max(2,", "max(1,")
    project.edit("stripes.py", "default_rng(0)", "default_rng(1)")
    planned = project.planned(study=STUDY)
    assert (planned["prepare"], planned["pretrain"], planned["train"]) == (1, 2, 8)
    project.edit("stripes.py", "default_rng(1)", "default_rng(0)")
    assert project.planned(study=STUDY) == {}


def test_results_are_put_together_where_the_files_are_not(said: tuple[Project, dict[str, str]]) -> None:
    project, _ = said
    runs = [f"stripes/small/annealed/start=6/contrast/seed{seed}" for seed in (0, 1)]
    to, before = project.root / "elsewhere", (project.root / "results/own/all_runs.csv").read_text()
    for name in set(FILES) - {STUDY}:
        (project.root / name).rename(project.root / f"{name}.away")
    try:
        command = ["collect", "--runs", f'{{"runs": ["{runs[0]}", "{runs[1]}"]}}', "--to", str(to)]
        for arguments in (command, ["calibrate", runs[0]]):
            subprocess.run(
                [sys.executable, "-m", "aikd", *arguments, "--results", "results/own"],
                cwd=project.root, check=True,
            )  # fmt: skip
    finally:
        for name in set(FILES) - {STUDY}:
            (project.root / f"{name}.away").rename(project.root / name)
    expected = [line for line in before.splitlines() if line.split(",")[0] in ["run", *runs]]
    assert len(expected) == 3
    assert sorted((to / "all_runs.csv").read_text().splitlines()) == sorted(expected)

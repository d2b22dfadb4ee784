"""A copy of the project in a folder of its own, in which Snakemake runs a study of a few seconds."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "config.yaml", "aikd", "workflow", "profiles", "envs")

STUDY = """
name: tiny
seeds: [0, 1]
recipe: {epochs: 2, batch_size: 256, learning_rate: 0.1, milestones: [1]}
data:
  digits: {models: [preact_resnet18]}
models:
  preact_resnet18: {label: ResNet-18, width: 16, blocks: [1, 1, 1, 1]}
methods:
  baseline: {}
  aikd: {}
tables:
  table_1: {kind: datasets, caption: Data.}
  table_3: {kind: comparison, caption: Calibration., metrics: [top5_error, ece], calibrated: [aikd]}
  table_7:
    kind: ablation
    caption: Augmentation.
    data: digits
    model: preact_resnet18
    rows:
      - {label: AI-KD}
      - {label: + Cutout, augmentation: cutout}
figures:
  figure_7b:
    kind: curves
    data: digits
    model: preact_resnet18
    axes: [{setting: omega, values: [0.1]}]
"""


@dataclass(frozen=True)
class Project:
    """A working copy."""

    root: Path

    def snakemake(self, *arguments: str, study: str | None = "tiny.yaml") -> subprocess.CompletedProcess[str]:
        """Run Snakemake on a study file of the copy (None: config.yaml); returns its exit code and all it said."""
        study_arguments = ["--configfile", study] if study else []
        # Targets stand first: --configfile takes all words that follow.
        return self.run("snakemake", *arguments, "--cores", "2", *study_arguments)

    def run(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a Python module, `aikd` for example, in the copy; returns its exit code and all it said."""
        folder = Path(sys.executable).parent
        environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
        environment.pop("PYTHONPATH", None)
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.root,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )

    def planned(self, *arguments: str, study: str | None = "tiny.yaml") -> dict[str, int]:
        """What a dry run would do: rule → number of jobs, without the targets themselves."""
        done = self.snakemake("-n", *arguments, study=study)
        assert done.returncode == 0, done.stdout
        if "Nothing to be done" in done.stdout:
            return {}
        stats = done.stdout.rpartition("Job stats:")[2]
        counts = {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", stats, re.MULTILINE)}
        return {name: n for name, n in counts.items() if name in RULES}

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace text that must be there in a file of the copy."""
        file = self.root / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))


RULES = {
    "download", "prepare", "pretrain", "train", "predict", "calibrate", "all_runs", "table", "published", "figure",
    "classes", "report", "paper", "claims",
}  # fmt: skip


def copy_project(target: Path) -> Project:
    """A fresh copy of the project's sources."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, target / part, ignore=ignore, dirs_exist_ok=True)
        else:
            shutil.copy(source, target / part)
    (target / "tiny.yaml").write_text(STUDY)
    return Project(target)


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy in which nothing has run."""
    return copy_project(tmp_path_factory.mktemp("fresh"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy in which the tiny study has run to its end, on a machine that seems to have two GPUs."""
    project = copy_project(tmp_path_factory.mktemp("finished"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AIKD_DEVICE", "CUDA_VISIBLE_DEVICES"):
            patch.delenv(name, raising=False)
        patch.setenv("AIKD_FAKE_GPUS", "GPU-a,GPU-b")
        patch.setenv("AIKD_GPU_LOCKS", str(project.root / "locks"))
        done = project.snakemake("--resources", "gpu=2")
    assert done.returncode == 0, done.stdout
    return project


@pytest.fixture
def restored(finished: Project) -> Iterator[Callable[[], Project]]:
    """The finished copy, with its sources put back after the test."""
    yield lambda: finished
    copy_project(finished.root)

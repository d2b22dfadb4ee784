"""Copies of the project, each with a study of seconds, that hand their jobs to a Slurm of this machine."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.cluster import slurm
from tests.workflow.conftest import Project, copy_project

STUDY = """
name: tiny
seeds: [0, 1]
recipe: {epochs: 6, batch_size: 256, learning_rate: 0.1, milestones: [3]}
data:
  digits: {models: [preact_resnet18]}
models:
  preact_resnet18: {label: ResNet-18, width: 4, blocks: [1, 1, 1, 1]}
methods:
  baseline: {}
  aikd: {}
tables:
  table_1: {kind: datasets, caption: Data.}
  table_2: {kind: comparison, caption: Errors., metrics: [top1_error]}
"""

PROFILE = "profiles/slurm/config.yaml"


@dataclass(frozen=True)
class ClusterProject(Project):
    """A copy whose profile suits a cluster of seconds."""

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Snakemake with the profile, on its way; what it says goes to `said`."""
        folder = Path(sys.executable).parent
        environment = os.environ | {
            "PATH": f"{folder}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1", slurm.MARK: str(slurm.BASE),
            "AIKD_FAKE_GPUS": "GPU-a,GPU-b", "AIKD_GPU_LOCKS": str(self.root / "locks"),
        }  # fmt: skip
        for name in ("PYTHONPATH", "AIKD_DEVICE", "CUDA_VISIBLE_DEVICES"):
            environment.pop(name, None)
        command = [sys.executable, "-m", "snakemake", *arguments, "--profile", "profiles/slurm"]
        with (self.root / "said").open("w") as said:
            return subprocess.Popen(
                [*command, "--configfile", "tiny.yaml"], cwd=self.root, env=environment, text=True,
                stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    @property
    def said(self) -> str:
        return (self.root / "said").read_text()

    def run(self, *arguments: str) -> int:
        """Snakemake with the profile, to its end; returns its exit code."""
        return self.start(*arguments).wait(timeout=400)

    def set_profile(self, changes: dict[str, object]) -> None:
        """Change keys of the profile, a rule's resources by `RULE.RESOURCE`."""
        file = self.root / PROFILE
        profile = yaml.safe_load(file.read_text())
        for key, value in changes.items():
            rule, _, resource = key.rpartition(".")
            (profile["set-resources"][rule] if rule else profile)[resource] = value
        file.write_text(yaml.safe_dump(profile))


def finished_project(root: Path) -> ClusterProject:
    """A copy in which the study has run to its end. Its Snakemake looks at jobs from the second second on."""
    project = ClusterProject(copy_project(root).root)
    (root / "tiny.yaml").write_text(STUDY)
    project.set_profile({"slurm-init-seconds-before-status-checks": 2, "latency-wait": 5})
    assert project.run() == 0, project.said
    return project


def another(finished: ClusterProject, root: Path) -> ClusterProject:
    """The finished copy once more, to change."""
    ignored = shutil.ignore_patterns("slurm_logs", "logs", "locks", "said")
    shutil.copytree(finished.root, root, ignore=ignored)
    return ClusterProject(root)

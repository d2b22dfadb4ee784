"""Time before the first step: of a process, of Snakemake with nothing to do, of the plan; and of the whole demo.

usage: python -m benchmarks.starting
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from aikd.study.load import load_study
from aikd.study.resolve import resolve, resolve_data
from aikd.study.run import Run
from benchmarks.networks import DEMO, ROOT
from benchmarks.timing import interleaved, ratios, spread, table

FIRST_STEP = """
import os, sys
from aikd.engine import training
training.Trainer._step = lambda *_: os._exit(0)
from aikd.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""`aikd train` that ends where its first step would begin."""


def main() -> str:
    """All tables, as Markdown."""
    with tempfile.TemporaryDirectory() as place:
        project = Path(place) / "project"
        ignore = shutil.ignore_patterns(".*", "results", "data", "__pycache__")
        shutil.copytree(ROOT, project, ignore=ignore)
        return "\n\n".join([processes(project), workflows(project)])


def processes(project: Path) -> str:
    """A process of `aikd train` up to its first step, beside one that only imports torch."""
    study = load_study(DEMO[0])
    settings = json.dumps(resolve(study, Run("digits", "preact_resnet18", "baseline", {}, "standard", 0)))
    data = json.dumps(resolve_data(study, "digits"))
    _run(project, "-m", "aikd", "prepare", "--settings", data, "--data", "data")
    train = ["train", "--settings", settings, "--results", "first-step", "--data", "data"]
    tasks: dict[str, Callable[[], object]] = {
        "import torch": partial(_run, project, "-c", "import os, torch; os._exit(0)"),
        "first step": partial(_run, project, "-c", FIRST_STEP, *train),
        "calibrate --help": partial(_run, project, "-m", "aikd", "calibrate", "--help"),
    }
    times = interleaved(tasks, 9)
    rows = [[f"`{name}`" if name != "first step" else name, spread(t)] for name, t in times.items()]
    rows.append(["first step over `import torch`", ratios(times["first step"], times["import torch"])])
    return table(["starting a process", "s"], rows)


def workflows(project: Path) -> str:
    """The demo from nothing, then again with nothing to do; and a dry run of the paper."""
    cores = str(len(os.sched_getaffinity(0)))
    demo = ["--cores", cores, "--configfile", "workflow/studies/demo.yaml"]
    tasks: dict[str, Callable[[], object]] = {
        "the demo with nothing to do": partial(_run, project, "-m", "snakemake", *demo),
        "dry run of the paper": partial(_run, project, "-m", "snakemake", "-n", "--quiet", "--cores", cores),
    }
    whole = interleaved({"demo": partial(_run, project, "-m", "snakemake", *demo)}, 1, warm=0)
    times = interleaved(tasks, 5)
    rows = [[f"the whole demo, {cores} cores, once", f"{whole['demo'][0]:.0f}"]]
    return table(["Snakemake", "s"], rows + [[name, spread(t)] for name, t in times.items()])


def _run(project: Path, *arguments: str) -> None:
    """A Python process in the copy of the project, which must succeed."""
    given = {"PYTHONPATH": str(project), "OMP_NUM_THREADS": "1", "AIKD_DEVICE": "cpu"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env=os.environ | given | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(arguments[:4])} … failed:\n{done.stderr[-2000:]}")


if __name__ == "__main__":
    print(main())

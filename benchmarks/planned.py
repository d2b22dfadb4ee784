"""The plan against the truth: time of the CPU that training takes, predicted from ten seconds' measuring, and taken.

usage: python -m benchmarks.planned [STUDY DATA] [--epochs N] [--seeds N] [--targets TARGET…] [--methods METHOD…]

Trains the runs of the study's first seed (without arguments, of the demo's Table 2), each in a process of its own as
the workflow does, in a temporary folder, and compares. All in CPU time (of this process and its children), which other
work on the machine disturbs less than wall time. With --epochs all runs are that short, without milestones, and
predicted as such.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from aikd.engine.measuring import measure
from aikd.engine.sources import prepare
from aikd.errors import UserError
from aikd.study.costs.plan import Job, jobs_of, left
from aikd.study.load import check_study, load_study
from aikd.study.methods import METHODS
from aikd.study.resolve import resolve_data
from aikd.study.schema import Study
from aikd.study.targets import targets_of
from benchmarks.networks import DEMO
from benchmarks.timing import table


def main() -> str:
    """A row for each method and model and one for all, as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, nargs="?", default=DEMO[0])
    parser.add_argument("data", type=Path, nargs="?", help="folder of prepared data; none: prepare them here")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--targets", nargs="+", default=["table_2"])
    parser.add_argument("--methods", nargs="+")
    options = parser.parse_args()
    load_study(options.study)  # what is wrong with the file is said before it is shortened
    config = yaml.safe_load(options.study.read_text(encoding="utf-8"))
    config["seeds"] = config["seeds"][: options.seeds]
    if options.epochs:
        config["recipe"] |= {"epochs": options.epochs, "milestones": []}
    study = check_study(config)
    names = [name for names in targets_of(study, options.targets).values() for name in names]
    jobs = chosen(study, names, options.methods or METHODS)
    speeds, _ = measure([(job.settings, job.work) for job in jobs.values()], study.threads, clock=cpu)
    predicted, taken, counts = Counter[str](), Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or _prepared(study, Path(folder) / "data")
        for path, job in jobs.items():
            model, method = path.split("/")[1:3]
            before = cpu()
            train(study, job, Path(folder), data)
            seconds = cpu() - before
            for row in (f"{model}, {method}", "all"):
                predicted[row] += speeds(job.settings, job.work).training(job.work)
                taken[row] += seconds
                counts[row] += 1
    rows = [
        [row, counts[row], f"{predicted[row]:.0f}", f"{taken[row]:.0f}", f"{predicted[row] / taken[row]:.2f}"]
        for row in sorted(counts, key=lambda row: (row == "all", row))
    ]
    return table([f"study {study.name}, CPU time", "runs", "predicted, s", "taken, s", "ratio"], rows)


def chosen(study: Study, names: Sequence[str], methods: Collection[str]) -> dict[str, Job]:
    """Runs of the named tables and figures with these methods, by their paths, after the superior models they need.

    All are trained in a folder of its own, so it does not matter which of them the study's results hold.
    """
    anew = {path: replace(job, done=False) for path, job in jobs_of(study).items()}
    jobs = {job.settings["run"]: job for job in left(study, names, anew)}
    wanted = {path for path, job in jobs.items() if job.settings["method"] in methods}
    wanted |= {jobs[path].settings["superior"] for path in wanted}
    return {path: job for path, job in jobs.items() if path in wanted}


def _prepared(study: Study, data: Path) -> Path:
    for name in study.data:
        prepare(resolve_data(study, name), data)
    return data


def train(study: Study, job: Job, results: Path, data: Path) -> None:
    """Train a run as its rule does; where that fails, its last line ends the benchmark."""
    command = [
        sys.executable, "-m", "aikd", "train", "--settings", json.dumps(job.settings), "--results", str(results),
        "--data", str(data), "--evaluate-every", str(study.evaluate_every), "--save-every", str(study.save_every),
    ]  # fmt: skip
    # Snakemake tells a job's threads in this way.
    environment = os.environ | {"OMP_NUM_THREADS": str(study.threads)}
    done = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"])[-1]
        sys.exit(f"{job.settings['run']}: {last}")


def cpu() -> float:
    """Seconds of CPU of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


if __name__ == "__main__":
    try:
        print(main())
    except UserError as error:
        sys.exit(str(error))

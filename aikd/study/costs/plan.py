"""What the tables and figures of a study still cost: their runs, which of them are done, and what is left to do."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aikd.errors import UserError
from aikd.files import read_json
from aikd.study import queries, specs
from aikd.study.costs.memory import memory
from aikd.study.costs.schedule import chains, makespan
from aikd.study.costs.times import Speed, stated
from aikd.study.costs.work import Work, work
from aikd.study.layout import METRICS, MODEL, RUNS, SUMMARY
from aikd.study.resolve import resolve
from aikd.study.schema import Study
from aikd.study.targets import runs_of

Speeds = Callable[[dict[str, Any], Work], Speed]
"""How fast the device runs a run, from its resolved settings and its work."""


@dataclass(frozen=True)
class Job:
    """A training run and what it costs."""

    settings: dict[str, Any]
    work: Work
    memory: int
    """Main memory, in MB, that it may take."""
    done: bool


@dataclass(frozen=True)
class Row:
    """A table, a figure, the claims, or several: all that is counted from `flops` on is of the runs left."""

    target: str
    runs: int
    done: int
    shared: int
    """Runs that more than one table or figure of the study needs."""
    left: int
    flops: int
    """Operations."""
    images: int
    """Images that the students are trained on, each as often as it is shown."""
    disk: int
    """Bytes that the runs will hold, and those of the states of as many as run at once."""
    memory: int
    """Main memory, in MB, of the largest job."""
    hours: float
    """On one device."""
    overhead: float
    """Those of `hours` that are not operations over their rate: starts, epochs, and what steps take at any size."""
    parallel: float
    """Hours on as many devices as there are."""
    chain: float
    """Hours of the longest chain: with any number of devices it does not go faster."""


def jobs_of(study: Study) -> dict[str, Job]:
    """All training runs of a study by their paths, superior models included."""
    jobs = {}
    for run in queries.runs_of(study):
        settings, dataset = resolve(study, run), study.dataset(run.dataset)
        done = work(settings, dataset, study.evaluate_every)
        folder = study.results / RUNS / run.path
        jobs[run.path] = Job(settings, done, memory(settings, dataset), is_done(folder, settings))
    return jobs


def is_done(folder: Path, settings: dict[str, Any]) -> bool:
    """Whether a run has been trained with just these settings, and its model or its metrics are there."""
    if not ((folder / MODEL).exists() or (folder / METRICS).exists()):
        return False
    try:
        found = read_json(folder / SUMMARY).get("settings")
    except UserError:
        return False
    same: bool = found == json.loads(json.dumps(settings))
    return same


def left(study: Study, names: Sequence[str], jobs: Mapping[str, Job]) -> list[Job]:
    """Runs that the named tables and figures, or the claims, still need."""
    return [job for run in runs_of(study, names) if not (job := jobs[run.path]).done]


def stated_speeds(tflops: float) -> Speeds:
    """A device that sustains so many 10¹² operations a second on every run."""
    return lambda settings, work: stated(tflops, work)


def rows(
    study: Study, chosen: Mapping[str, list[str]], jobs: Mapping[str, Job], speeds: Speeds, devices: int
) -> list[Row]:
    """One row for each target: what it needs, and what is left of it.

    Args:
        chosen: target → what it is made of, from `targets_of`.
        jobs: the study's runs, from `jobs_of`.
        speeds: of one device.
        devices: how many of them train at once.
    """
    asked = [name for names in chosen.values() for name in names]
    outputs = [*study.tables, *study.figures]
    needed = {
        name: [run.path for run in runs_of(study, [name])] for name in dict.fromkeys([*outputs, *asked])
    }
    # The claims have no runs of their own: they show those of tables and figures.
    uses = Counter(path for name in outputs for path in needed[name])
    wanted = {path for name in asked for path in needed[name]}
    to_do = {path: job for path, job in jobs.items() if path in wanted and not job.done}
    speed = {path: speeds(job.settings, job.work) for path, job in to_do.items()}
    seconds = {
        path: (speed[path].training(job.work), speed[path].overhead(job.work)) for path, job in to_do.items()
    }
    return [
        _row(target, [path for name in names for path in needed[name]], uses, jobs, seconds, devices)
        for target, names in chosen.items()
    ]


def _row(
    target: str,
    needed: Sequence[str],
    uses: Mapping[str, int],
    jobs: Mapping[str, Job],
    seconds: Mapping[str, tuple[float, float]],
    devices: int,
) -> Row:
    runs = dict.fromkeys(needed)
    shared = [path for path in runs if uses[path] > 1]
    to_do = {path: jobs[path] for path in runs if not jobs[path].done}
    times = {path: seconds[path][0] for path in to_do}
    after = {path: superior for path, job in to_do.items() if (superior := job.settings["superior"])}
    states = sorted((job.work.states for job in to_do.values()), reverse=True)
    return Row(
        target=target,
        runs=len(runs),
        done=len(runs) - len(to_do),
        shared=len(shared),
        left=len(to_do),
        flops=sum(job.work.flops for job in to_do.values()),
        images=sum(job.work.seen for job in to_do.values()),
        disk=sum(job.work.disk for job in to_do.values()) + sum(states[:devices]),
        memory=max((job.memory for job in to_do.values()), default=0),
        hours=sum(times.values()) / 3600,
        overhead=sum(seconds[path][1] for path in to_do) / 3600,
        parallel=makespan(times, after, devices) / 3600,
        chain=max(chains(times, after).values(), default=0.0) / 3600,
    )


def data_sets(study: Study, names: Sequence[str], jobs: Mapping[str, Job]) -> list[str]:
    """Data sets that what a target is made of needs: of the runs left, and those that a table lists."""
    found: dict[str, None] = {}
    for name in names:
        if name in study.tables and isinstance(spec := queries.table(study, name), specs.DataSetsSpec):
            found |= dict.fromkeys(row.dataset for row in spec.rows)
        else:
            found |= dict.fromkeys(job.settings["data"]["name"] for job in left(study, [name], jobs))
    return [name for name in study.data if name in found]

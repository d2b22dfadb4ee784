"""How long the rest of a study takes, from what its runs have taken so far."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from aikd.study.costs.schedule import makespan
from aikd.study.costs.times import stated
from aikd.study.costs.work import work
from aikd.study.schema import Study
from aikd.study.status.runs import Standing
from aikd.study.targets import runs_of

FINISHED = ("trained", "done")


@dataclass(frozen=True)
class Rest:
    """What is left of the training of one target."""

    target: str
    states: dict[str, int]
    """State → runs in it."""
    left: float | None
    """Seconds until all of them are trained, if nothing else is trained meanwhile; None: not known."""
    rough: bool
    """Whether some of that follows from runs of other networks or data."""


@dataclass(frozen=True)
class Forecast:
    """Seconds that each run still takes, as far as that is known."""

    seconds: dict[str, float | None]
    rough: frozenset[str]
    """Runs of whose network and data no run has been seen yet."""


def forecast(
    study: Study, settings: Mapping[str, dict[str, Any]], standings: Mapping[str, Standing]
) -> Forecast:
    """What each run still takes: as it says itself; else its planned cost, scaled by how much longer or shorter than
    planned others took: those of its network and data set, or all where there are none.

    Args:
        settings: run → its resolved settings.
        standings: run → where it stands.
    """
    planned = {run: _planned(study, settings[run]) for run in standings}
    factors: dict[tuple[Any, ...], list[float]] = {}
    for run, standing in standings.items():
        if standing.whole:
            factors.setdefault(_kind(run), []).append(standing.whole / planned[run])
    every = [factor for found in factors.values() for factor in found]
    seconds: dict[str, float | None] = {}
    rough = set()
    for run, standing in standings.items():
        if standing.state in FINISHED:
            seconds[run] = 0.0
        elif standing.left is not None:
            seconds[run] = standing.left
        elif standing.whole:
            seconds[run] = standing.whole * (1 - _share(standing))
        elif own := factors.get(_kind(run), every):
            seconds[run] = planned[run] * (1 - _share(standing)) * median(own)
            if _kind(run) not in factors:
                rough.add(run)
        else:
            seconds[run] = None
    return Forecast(seconds, frozenset(rough))


def rests(
    study: Study,
    chosen: Mapping[str, list[str]],
    settings: Mapping[str, dict[str, Any]],
    standings: Mapping[str, Standing],
    devices: int,
) -> list[Rest]:
    """One row for each target.

    Args:
        chosen: target → what it is made of, from `targets_of`.
        devices: runs that are trained at once.
    """
    seen = forecast(study, settings, standings)
    found = []
    for target, names in chosen.items():
        runs = [run.path for run in runs_of(study, names)]
        states: dict[str, int] = {}
        for run in runs:
            states[standings[run].state] = states.get(standings[run].state, 0) + 1
        to_do = {run: seen.seconds[run] for run in runs if standings[run].state not in FINISHED}
        known = {run: seconds for run, seconds in to_do.items() if seconds is not None}
        after = {run: superior for run in to_do if (superior := settings[run]["superior"])}
        left = makespan(known, after, devices) if len(known) == len(to_do) else None
        found.append(Rest(target, states, left, bool(seen.rough & to_do.keys())))
    return found


def _planned(study: Study, settings: dict[str, Any]) -> float:
    done = work(settings, study.dataset(settings["data"]["name"]), study.evaluate_every)
    return stated(study.device_tflops, done).training(done)


def _kind(run: str) -> tuple[str, ...]:
    return tuple(run.split("/")[:2])


def _share(standing: Standing) -> float:
    """How much of its training a run has behind it (fraction)."""
    epoch = standing.epoch + (standing.step / standing.steps if standing.steps else 0)
    return min(1.0, epoch / standing.epochs)

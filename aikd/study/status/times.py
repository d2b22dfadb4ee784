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
    """What is left of one target."""

    target: str
    states: dict[str, int]
    """State → runs in it."""
    left: float | None
    """Seconds until all of them are done, if nothing else is trained meanwhile; None: not known."""
    rough: bool
    """Whether some of that follows from runs of other networks or data."""
    around: float | None
    """Seconds of it for each run that is not training: to start, to predict, to calibrate; None: not known, not in."""


@dataclass(frozen=True)
class Forecast:
    """Seconds that each run still takes, as far as that is known."""

    seconds: dict[str, float | None]
    rough: frozenset[str]
    """Runs of whose network and data no run has been seen yet."""
    around: float | None
    """Seconds of them that a run's jobs take beside training, as those that are done; None: not known, and not in."""


def forecast(
    study: Study, settings: Mapping[str, dict[str, Any]], standings: Mapping[str, Standing]
) -> Forecast:
    """What each run still takes: as it says itself; else its planned cost, scaled by how much longer or shorter than
    planned others took: those of its network and data set, or all where there are none. To each comes what the jobs of
    runs that are done took beside training, which in small studies is most of it.

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
    beside = [standing.around for standing in standings.values() if standing.around is not None]
    around = median(beside) if beside else None
    for run, standing in standings.items():
        if standing.state in FINISHED:
            seconds[run] = 0.0
            continue
        if standing.left is not None:
            training: float | None = standing.left
        elif standing.whole:
            training = standing.whole * (1 - _share(standing))
        elif own := factors.get(_kind(run), every):
            training = planned[run] * (1 - _share(standing)) * median(own)
            if _kind(run) not in factors:
                rough.add(run)
        else:
            training = None
        seconds[run] = None if training is None else training + (around or 0.0)
    return Forecast(seconds, frozenset(rough), around)


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
        found.append(Rest(target, states, left, bool(seen.rough & to_do.keys()), seen.around))
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

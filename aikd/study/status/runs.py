"""Where each run of a study stands."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from aikd.errors import UserError
from aikd.files import read_json
from aikd.progress import Progress, settings_digest
from aikd.records import difference, saved_epochs
from aikd.study.layout import BENCHMARKS, LOGS, METRICS, MODEL, PROGRESS, RUNS, STATES, SUMMARY
from aikd.study.status.signs import life

State = Literal["failed", "interrupted", "stalled?", "running", "trained", "waiting", "done"]
STATES_IN_ORDER: tuple[State, ...] = (
    *("failed", "interrupted", "stalled?", "running", "trained", "waiting", "done"),
)  # fmt: skip
"""What needs somebody first."""

TAIL = 8192
"""Bytes of a log's end that are looked at."""


@dataclass(frozen=True)
class Standing:
    """Where one run stands."""

    run: str
    state: State
    how: str
    """How that is known."""
    epochs: int
    """Of the whole run."""
    epoch: int = 0
    """Epochs that are finished; of a run that has to be taken up again, those that are saved."""
    step: int = 0
    """Steps of the present epoch that are finished."""
    steps: int = 0
    """Of an epoch; 0 where it is not known."""
    images_per_second: float | None = None
    left: float | None = None
    """Seconds until it is trained, as it says itself."""
    whole: float | None = None
    """Seconds of the whole training, all attempts together: measured once it is over, before at its last pace."""
    around: float | None = None
    """Seconds of its jobs beside training, once they are done: to start, to predict, to calibrate."""
    device: str | None = None
    process: str | None = None
    """Which process trains it, and where."""
    error: str | None = None
    """Its last words, where it failed."""
    log: str | None = None
    """The log of the job that failed or was interrupted, if there is one."""
    at: float | None = None
    """When it last wrote, by its own clock."""


def stand(
    results: Path, settings: dict[str, Any], before: float | None = None, now: float | None = None
) -> Standing:
    """Where a run stands.

    Args:
        results: the study's.
        settings: the run's resolved settings, as the study has them now.
        before: the `at` of an earlier look.
        now: seconds since 1970; none: now.
    """
    folder = results / RUNS / settings["run"]
    progress = Progress.read(folder)
    if progress and progress.state == "running":
        sign, how = life(progress, now, moved=before is not None and progress.at != before)
        if sign != "interrupted":
            if progress.settings != settings_digest(settings):
                how += "; with other settings than the study's now (`aikd why`)"
            return _under_way(progress, settings, sign, how)
    else:
        how = ""
    summary, change = _summary(folder, settings)
    if summary is not None and not change:
        return _trained(results, settings, summary)
    stopped = _stopped(results, settings, progress, how)
    if stopped is None:
        how = f"trained with other settings: {change}" if change else "not begun"
        return Standing(settings["run"], "waiting", how, settings["recipe"]["epochs"])
    return stopped


def _under_way(progress: Progress, settings: dict[str, Any], state: State, how: str) -> Standing:
    doing = "" if progress.doing == "trains" else f"{progress.doing}; "
    return Standing(
        settings["run"], state, doing + how, progress.epochs or settings["recipe"]["epochs"],
        progress.epoch, progress.step, progress.steps, progress.images_per_second, progress.left,
        whole=_whole(progress, settings), device=progress.device, process=str(progress.process), at=progress.at,
    )  # fmt: skip


def _whole(progress: Progress, settings: dict[str, Any]) -> float | None:
    """Seconds that a run with these settings takes at the pace of its last attempt; None where nobody can tell."""
    epochs = progress.epoch + (progress.step / progress.steps if progress.steps else 0)
    if progress.left is None or epochs >= progress.epochs or progress.settings != settings_digest(settings):
        return None
    return progress.left / (1 - epochs / progress.epochs)


def _summary(folder: Path, settings: dict[str, Any]) -> tuple[dict[str, Any] | None, str | None]:
    """The summary of a run that has been trained, and in what its settings differ from those of now."""
    if not ((folder / MODEL).exists() or (folder / METRICS).exists()):
        return None, None
    try:
        summary = read_json(folder / SUMMARY)
    except UserError:
        return None, None
    return summary, difference(summary.get("settings"), json.loads(json.dumps(settings)))


def _trained(results: Path, settings: dict[str, Any], summary: Mapping[str, Any]) -> Standing:
    run = settings["run"]
    found = Standing(
        run, "done", f"{METRICS} is there", settings["recipe"]["epochs"], settings["recipe"]["epochs"],
        images_per_second=summary.get("images_per_second"), whole=summary.get("seconds"),
        device=summary.get("device"),
    )  # fmt: skip
    folder = results / RUNS / run
    with suppress(UserError):
        metrics = read_json(folder / METRICS)
        if metrics.get("model") == summary.get("model") or "model" not in summary:
            return replace(found, around=_around(results, run, summary))
    for command in ("predict", "calibrate"):
        log = results / LOGS / command / f"{run}.log"
        if (said := _last_words(log, command)) and _newer(log, folder / SUMMARY):
            return replace(
                found, state="failed", how=f"its log ends so ({command})", error=said, log=str(log)
            )
    return replace(found, state="trained", how=f"{SUMMARY} is there, {METRICS} not yet")


def _around(results: Path, run: str, summary: Mapping[str, Any]) -> float | None:
    """What Snakemake's jobs for a run took beside its training; None where they did not make it in one go."""
    took = [_took(results / BENCHMARKS / rule / f"{run}.jsonl") for rule in ("train", "predict", "calibrate")]
    training, known = summary.get("seconds"), [seconds for seconds in took if seconds is not None]
    if summary.get("resumed_at") or not isinstance(training, int | float) or len(known) < len(took):
        return None
    around = sum(known) - training
    return around if around > 0 else None  # else a record is not of this training


def _took(benchmark: Path) -> float | None:
    try:
        return float(json.loads(benchmark.read_text(encoding="utf-8").splitlines()[-1])["s"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _stopped(results: Path, settings: dict[str, Any], progress: Progress | None, how: str) -> Standing | None:
    """A run whose last attempt did not come to its end; None where there was none."""
    run = settings["run"]
    folder, log = results / RUNS / run, results / LOGS / "train" / f"{run}.log"
    saved = 0
    with suppress(OSError):
        saved = max(saved_epochs(folder / STATES), default=0)
    found = Standing(
        run, "interrupted", how, settings["recipe"]["epochs"], saved, log=str(log) if log.exists() else None
    )
    if progress:
        words: str | None = progress.doing
        state: State = "failed" if progress.state == "failed" else "interrupted"
        if progress.state == "running":
            # Of a process that was killed nobody knows the last words; of one that found no room, its log may.
            words = _last_words(log, "train") if _newer(log, folder / PROGRESS) else None
            if words:
                state, how = _ended(words), "its log ends so"
        return replace(
            found, state=state, how=how or f"{PROGRESS} says so", error=words,
            whole=_whole(progress, settings),
            device=progress.device, process=str(progress.process), at=progress.at,
        )  # fmt: skip
    if said := _last_words(log, "train"):
        return replace(found, state=_ended(said), how="its log ends so", error=said)
    if saved:
        return replace(found, how=f"it has states, and no {PROGRESS}")
    return None


def _ended(words: str) -> State:
    return "interrupted" if ": interrupted " in words else "failed"


def _last_words(log: Path, command: str) -> str | None:
    """The message with which a command ended, or the last line of a traceback; None where there is neither."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            text = file.read().decode(errors="replace")
    except OSError:
        return None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    if lines[-1].startswith(begin := f"aikd {command}: "):
        return lines[-1].removeprefix(begin)
    return lines[-1] if any(line.startswith("Traceback (") for line in lines) else None


def _newer(file: Path, other: Path) -> bool:
    try:
        return file.stat().st_mtime >= other.stat().st_mtime
    except OSError:
        return False

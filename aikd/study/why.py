"""Why a run would be trained again: what has changed since it was trained, from what to what."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from aikd.errors import UserError
from aikd.files import read_json
from aikd.records import MISSING, data_digest, difference, differences, read_metrics, read_summary
from aikd.study.explain import show
from aikd.study.layout import HISTORY, MANIFEST, METRICS, MODEL, PREDICTIONS, RUNS, SUMMARY
from aikd.study.resolve import resolve
from aikd.study.run import Run
from aikd.study.schema import Study


@dataclass(frozen=True)
class Verdict:
    """On one run."""

    run: str
    trained: bool
    """Whether results of a training are there, whatever it was of."""
    reasons: tuple[str, ...]
    """Why it would be trained again, or what it lacks; none: it is up to date."""
    remarks: tuple[str, ...] = ()
    """What else would be made again, or cannot be told."""


class Judge:
    """Compares what runs were trained with to what a study says now, each once.

    Args:
        data: folder of all prepared data.
    """

    def __init__(self, study: Study, data: Path) -> None:
        self.study, self.data = study, data
        self.verdict = cache(self._verdict)
        self._digest_of = cache(self._data_digest)

    def _verdict(self, run: Run) -> Verdict:
        folder = self.study.results / RUNS / run.path
        there = [name for name in (MODEL, HISTORY, SUMMARY) if (folder / name).exists()]
        evaluated = (folder / PREDICTIONS).exists() and (folder / METRICS).exists()
        if not there and not evaluated:
            return Verdict(run.path, False, ("it has not been trained yet",))
        try:
            summary = read_summary(self.study.results, run.path)
        except UserError as error:
            return Verdict(run.path, True, (str(error),))
        reasons, remarks = [], []
        if missing := [name for name in (MODEL, HISTORY, SUMMARY) if name not in there]:
            words = f"missing: {', '.join(missing)}"
            # Without a summary a training began that did not end; a model alone may have been removed for its room.
            if summary is not None and evaluated:
                remarks.append(f"{words}; made again only where somebody asks for it")
            else:
                reasons.append(words)
        if summary is not None:
            reasons += _changes(summary.get("settings"), resolve(self.study, run))
            changed, unknown = self._of_data(run, summary)
            reasons, remarks = reasons + changed, remarks + unknown
            reasons += self._of_superior(run, summary)
        if not reasons:
            remarks += self._of_evaluation(run)
        return Verdict(run.path, True, tuple(reasons), tuple(remarks))

    def _of_data(self, run: Run, summary: dict[str, Any]) -> tuple[list[str], list[str]]:
        prepared = resolve(self.study, run)["data"]["prepared"]
        trained, now = summary.get("data"), self._digest_of(prepared)
        path = self.data / prepared / MANIFEST
        if now is None:
            return [], [f"{path} is not there or damaged: whether the data are the same cannot be told"]
        if trained is not None and trained != now:
            return [f"the data: {trained[:16]}… → {now[:16]}… ({path})"], []
        return [], []

    def _data_digest(self, prepared: str) -> str | None:
        try:
            return data_digest(read_json(self.data / prepared / MANIFEST))
        except (UserError, KeyError):
            return None

    def _of_superior(self, run: Run, summary: dict[str, Any]) -> list[str]:
        superior = run.superior
        if superior is None:
            return []
        verdict = self.verdict(superior)
        if verdict.reasons:
            again = "would be trained again" if verdict.trained else "is not there"
            return [f"its superior model ({superior.model}, Baseline, same seed) {again}"]
        used = summary.get("superior")
        there = (read_summary(self.study.results, superior.path) or {}).get("model")
        if used and there and used != there:
            return [
                f"its superior model ({superior.model}, Baseline, same seed): {used[:16]}… → {there[:16]}…"
            ]
        return []

    def _of_evaluation(self, run: Run) -> list[str]:
        folder = self.study.results / RUNS / run.path
        missing = [name for name in (PREDICTIONS, METRICS) if not (folder / name).exists()]
        if missing:
            return [
                f"missing: {', '.join(missing)}; where a table asks for them they are made, which trains nothing"
            ]
        try:
            read_metrics(self.study.results, run.path)
        except UserError as error:
            return [str(error)]
        return []


def otherwise(study: Study, run: Run, trained: Any) -> str | None:
    """That a run was trained with other settings than the study's, and the first that differs; None: with the same.

    Args:
        trained: the `settings` of its summary.
    """
    change = difference(trained, json.loads(json.dumps(resolve(study, run))))
    return f"not trained as the study says: {change}" if change else None


def _changes(old: Any, new: dict[str, Any]) -> list[str]:
    """Settings that differ, as `recipe.epochs: 60 → 300`."""
    if not isinstance(old, dict):
        return [f"{SUMMARY} says no settings"]
    found = []
    for key, before, after in differences(old, json.loads(json.dumps(new))):
        texts = ["nothing" if value is MISSING else show(value) for value in (before, after)]
        why = " (the mathematics of training has changed)" if key == "recipe_version" else ""
        found.append(f"{key}: {' → '.join(texts)}{why}")
    return found

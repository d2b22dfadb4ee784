"""Whether a run has been trained already, seen from its files: without torch, and without a GPU."""

import json
from pathlib import Path
from typing import Any

from aikd.errors import UserError
from aikd.files import read_json
from aikd.records import data_digest, difference, file_digest, read_summary
from aikd.study.layout import HISTORY, MANIFEST, MODEL, RUNS
from aikd.study.resolve import RECIPE_VERSION


def finished(settings: dict[str, Any], results: Path, data: Path) -> bool:
    """Whether what training with these settings would make is there: of the same settings, of the data and the superior
    model that are there now, with a history and, by its hash, the whole model.

    What is missing or damaged makes it unfinished: training says what it is.

    Args:
        settings: the run's resolved settings.
        results: the study's.
        data: folder of all prepared data.
    """
    try:
        summary = read_summary(results, settings["run"])
        if summary is None or settings["recipe_version"] != RECIPE_VERSION:
            return False
        if difference(summary.get("settings"), json.loads(json.dumps(settings))):
            return False
        folder, inputs = results / RUNS / settings["run"], {"data": _data(settings, data)}
        if settings["superior"]:
            inputs["superior"] = (read_summary(results, settings["superior"]) or {})["model"]
        whole: bool = file_digest(folder / MODEL) == summary["model"] and (folder / HISTORY).exists()
        return whole and all(summary[key] == digest for key, digest in inputs.items())
    except (UserError, OSError, KeyError, TypeError):
        return False


def _data(settings: dict[str, Any], data: Path) -> str:
    return data_digest(read_json(data / settings["data"]["prepared"] / MANIFEST))

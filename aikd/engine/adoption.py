"""What training leaves behind for as long as its run is not predicted with.

Predictions, so that predicting need load neither the model nor torch again; and the last state, from which the
results can be written once more should they be lost: Snakemake deletes those of a job that did not end as it should.
"""

import shutil
from pathlib import Path

from aikd.records import file_digest
from aikd.study.layout import HISTORY, MODEL, PREDICTIONS, STATES, SUMMARY

LEFT_BEHIND = ".predictions.safetensors"

TRAINED = ".trained"
"""Folder of the last state of a run whose results are written."""


def adopt(folder: Path) -> bool:
    """Take up the predictions that training left in a run's folder; False where there are none of its model."""
    from safetensors import SafetensorError, safe_open

    left_behind = folder / LEFT_BEHIND
    try:
        with safe_open(left_behind, framework="np") as file:
            metadata = file.metadata() or {}
        if metadata.get("model") != file_digest(folder / MODEL):
            return False
        left_behind.replace(folder / PREDICTIONS)
    except (OSError, SafetensorError):
        return False
    forget(folder)
    return True


def forget(folder: Path) -> None:
    """The run's predictions are written, which shows that its results were not lost: remove what is left behind."""
    (folder / LEFT_BEHIND).unlink(missing_ok=True)
    shutil.rmtree(folder / TRAINED, ignore_errors=True)


def discard(folder: Path) -> None:
    """Remove a training from a run's folder, so that the run is trained from its first epoch; its predictions stay."""
    for name in (SUMMARY, HISTORY, MODEL):  # without a summary it is unfinished, whatever else is there
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / STATES, ignore_errors=True)  # of a finished run, so it could not be put aside
    forget(folder)

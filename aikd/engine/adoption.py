"""Predictions that training leaves behind, so that predicting need load neither the model nor torch again."""

from pathlib import Path

from aikd.records import file_digest
from aikd.study.layout import MODEL, PREDICTIONS

LEFT_BEHIND = ".predictions.safetensors"


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
    return True

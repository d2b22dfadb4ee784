"""Predictions that training leaves behind, so that predicting need load neither the model nor torch again."""

import hashlib
from pathlib import Path

from aikd.study.layout import MODEL, PREDICTIONS

LEFT_BEHIND = ".predictions.safetensors"


def fingerprint(folder: Path) -> str:
    """SHA-256 of the model in a run's folder: predictions that name it are those of this very model.

    Raises:
        OSError: there is no model, or it cannot be read.
    """
    with (folder / MODEL).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def adopt(folder: Path) -> bool:
    """Take up the predictions that training left in a run's folder; False where there are none of its model."""
    from safetensors import SafetensorError, safe_open

    left_behind = folder / LEFT_BEHIND
    try:
        with safe_open(left_behind, framework="np") as file:
            metadata = file.metadata() or {}
        if metadata.get("model") != fingerprint(folder):
            return False
        left_behind.replace(folder / PREDICTIONS)
    except (OSError, SafetensorError):
        return False
    return True

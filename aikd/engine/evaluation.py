"""From predictions to metrics, without torch."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from aikd.calibration import calibrate
from aikd.errors import UserError
from aikd.files import write_json
from aikd.study.layout import METRICS, PREDICTIONS, RUNS


def read_predictions(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Tensors and metadata of a predictions file.

    Raises:
        UserError: the file is missing, damaged, or not one of predictions.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; predict the run first") from None
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path}: damaged or no predictions ({error}); delete it and predict the run again"
        ) from None
    if missing := {"logits", "features", "labels"} - tensors.keys() or {"run", "dataset"} - metadata.keys():
        raise UserError(f"{path}: lacks {', '.join(sorted(missing))}; delete it and predict the run again")
    return tensors, metadata


def evaluate(run: str, results: Path, bins: int, folds: int) -> None:
    """Write all metrics of a run, before and after temperature scaling, as its `metrics.json`.

    Raises:
        UserError: the predictions are missing, damaged, those of another run, or not finite.
    """
    folder = results / RUNS / run
    path = folder / PREDICTIONS
    tensors, metadata = read_predictions(path)
    if metadata["run"] != run:
        raise UserError(
            f"{path}: holds the predictions of {metadata['run']}; delete it and predict the run again"
        )
    holdout = None
    if "holdout_logits" in tensors:
        holdout = (tensors["holdout_logits"], tensors["holdout_labels"])
    try:
        scores = calibrate(tensors["logits"], tensors["labels"], bins=bins, folds=folds, holdout=holdout)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    write_json(
        folder / METRICS,
        {"run": run, "dataset": metadata["dataset"], "images": len(tensors["labels"])} | scores,
    )

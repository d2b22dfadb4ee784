"""From predictions to metrics, without torch."""

from pathlib import Path

from aikd.calibration import calibrate
from aikd.errors import UserError
from aikd.files import write_json
from aikd.records import read_predictions
from aikd.study.layout import METRICS, PREDICTIONS, RUNS


def evaluate(run: str, results: Path, bins: int, folds: int) -> None:
    """Write all metrics of a run, before and after temperature scaling, as its `metrics.json`.

    Raises:
        UserError: the predictions are missing, damaged, not of this run's last training, or not finite.
    """
    folder = results / RUNS / run
    predictions = read_predictions(results, run)
    if predictions is None:
        raise UserError(f"{folder / PREDICTIONS}: no such file; predict the run first: `aikd predict {run}`")
    tensors, metadata = predictions
    holdout = None
    if "holdout_logits" in tensors:
        holdout = (tensors["holdout_logits"], tensors["holdout_labels"])
    try:
        scores = calibrate(tensors["logits"], tensors["labels"], bins=bins, folds=folds, holdout=holdout)
    except UserError as error:
        raise UserError(f"{folder / PREDICTIONS}: {error}") from None
    facts = {"run": run, "dataset": metadata["dataset"], "images": len(tensors["labels"])}
    if "model" in metadata:
        facts["model"] = metadata["model"]
    write_json(folder / METRICS, facts | scores)

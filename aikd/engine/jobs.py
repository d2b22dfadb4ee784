"""The jobs that need a device: train a run, predict with it."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from aikd.augment import batch_sizes
from aikd.engine.adoption import LEFT_BEHIND, discard, forget
from aikd.engine.attempt import Attempt
from aikd.engine.compiling import check_compiler
from aikd.engine.device import choose_device, device_name
from aikd.engine.history import write_history
from aikd.engine.memory import keep_freed_memory
from aikd.engine.models import load_superior, load_trained, save_model, trained_settings
from aikd.engine.prediction import write_predictions
from aikd.engine.provenance import revision, versions
from aikd.engine.reporting import Reporter
from aikd.engine.signals import Signals
from aikd.engine.store import Prepared
from aikd.engine.tensorboard import Board
from aikd.engine.training import Row, Trainer, holdout_data, precision_of, test_data
from aikd.errors import UserError
from aikd.files import leftovers, write_json
from aikd.messages import say
from aikd.records import file_digest, read_summary
from aikd.study import extensions
from aikd.study.explain import explaining
from aikd.study.layout import HISTORY, MANIFEST, MODEL, PREDICTIONS, RUNS, SUMMARY, TENSORBOARD
from aikd.study.resolve import RECIPE_VERSION, SETTINGS
from aikd.study.run import Run
from aikd.study.schema import Recipe


def train(
    settings: dict[str, Any],
    results: Path,
    data: Path,
    evaluate_every: int,
    save_every: int = 10,
    gpu: str | None = None,
    signals: Signals | None = None,
    compiled: bool = False,
    reporter: Reporter | None = None,
    tensorboard: bool = False,
    anew: bool = False,
    alone: bool = True,
) -> None:
    """Train one run; writes `model.safetensors`, `history.csv` and `train.json` into its folder.

    Where an earlier attempt was interrupted, training goes on from the state that it saved in `.state`, and on a CPU
    ends in the same model as if nothing had happened. The last state stays until `predict` has used the results, so
    that results that are lost before are written again from it.

    Args:
        settings: the run's resolved settings.
        results: the study's results, where the superior model is found, too.
        data: folder of all prepared data.
        evaluate_every: epochs between two looks at the evaluation set.
        save_every: epochs between two states on disk, and what a killed process may lose.
        gpu: name of the GPU that this process has, for the summary.
        signals: those that ask this process to end.
        compiled: whether networks are compiled for the steps of training.
        reporter: is told how far the run is.
        tensorboard: write the history as TensorBoard's files, too, in `tensorboard` within the results.
        anew: remove the results of an earlier training, and what it left behind, before the first epoch.
        alone: whether a lock keeps all others off the run; without one, half-written files, maybe another's, stay.

    Raises:
        UserError: data or superior model do not fit the settings, a loss is not finite, or nothing can be compiled.
        Interrupted: a signal came before the end of the last epoch; the last finished one is saved.
    """
    started = time.monotonic()
    keep_freed_memory()
    _check_settings(settings)
    device = choose_device()
    if compiled:
        check_compiler(device)
    prepared = open_data(settings, data)
    superior, inputs = _inputs(settings, results, prepared)
    folder = results / RUNS / settings["run"]
    folder.mkdir(parents=True, exist_ok=True)
    if alone:
        _tidy(folder)
    trainer = Trainer(settings, prepared, superior, device, evaluate_every, compiled)
    if anew:  # not before it is certain that training can begin
        discard(folder)
    identity, signals = {"settings": settings, "inputs": inputs}, signals or Signals()
    attempt = Attempt(folder, identity, trainer, save_every, started, signals, alone)
    _train(trainer, attempt, reporter, results / TENSORBOARD / settings["run"] if tensorboard else None)
    if reporter:
        reporter.does("writes its results")
    _write_results(folder, trainer, attempt, gpu)
    _leave_predictions(folder, trainer, prepared)


def _inputs(
    settings: dict[str, Any], results: Path, prepared: Prepared
) -> tuple[nn.Module | None, dict[str, str]]:
    """The superior model, if the run learns from one; and the digests of all that it is trained on."""
    if not settings["superior"]:
        return None, {"data": prepared.digest}
    check_data(results, settings["superior"], prepared)
    superior = load_superior(results, settings, prepared)
    digest = file_digest(results / RUNS / settings["superior"] / MODEL)
    return superior, {"data": prepared.digest, "superior": digest}


def _tidy(folder: Path) -> None:
    """Remove what an attempt that was killed while it wrote its results left half-written."""
    for name in (MODEL, HISTORY, SUMMARY, LEFT_BEHIND):
        for path in leftovers(folder / name):
            path.unlink(missing_ok=True)


def _train(trainer: Trainer, attempt: Attempt, reporter: Reporter | None, events: Path | None) -> None:
    """Train what earlier attempts have not."""
    run, epochs = trainer.settings["run"], trainer.recipe["epochs"]
    images, device = len(trainer.train), device_name(trainer.precision.device)
    say(f"{run}: {images} images on {device}")

    def check() -> None:
        attempt.check()
        if reporter:
            reporter.step()

    def finished(row: Row) -> None:
        _report(row, epochs)
        if reporter:
            reporter.epoch(row)
        if board:
            board.add(row)
        attempt.keep()

    attempt.take_up()
    board = Board(events, trainer.history) if events else None
    if reporter:
        steps = len(batch_sizes(images, trainer.recipe["batch_size"]))
        reporter.begins(epochs, len(trainer.history), steps, images, device)
    try:
        trainer.run(finished, check)
    finally:
        if board:
            board.close()


def _write_results(folder: Path, trainer: Trainer, attempt: Attempt, gpu: str | None) -> None:
    model = save_model(folder / MODEL, trainer.student, trainer.settings["run"])
    write_history(folder / HISTORY, trainer.history)
    # Before the summary, with which the run can be predicted with: that removes what was put aside, and nothing else.
    attempt.states.put_aside()
    write_json(folder / SUMMARY, _summary(trainer, attempt, gpu) | {"model": model})


def _leave_predictions(folder: Path, trainer: Trainer, prepared: Prepared) -> None:
    settings, precision = trainer.settings, trainer.precision
    try:
        path, origin = folder / LEFT_BEHIND, _origin(folder, prepared)
        write_predictions(path, trainer.student, settings, trainer.test, trainer.holdout, precision, origin)
    except (OSError, torch.OutOfMemoryError) as error:
        # `aikd predict` does without; a training run is not lost over it.
        say(f"{settings['run']}: predictions were not left behind ({error})")


def _origin(folder: Path, prepared: Prepared) -> dict[str, str]:
    """What predictions are of: the model in a run's folder, and the data."""
    return {"model": file_digest(folder / MODEL), "data": prepared.digest}


def _check_settings(settings: dict[str, Any]) -> None:
    """Settings printed by another version of the project must not train something else under an old name."""
    found = settings.get("recipe_version")
    if found != RECIPE_VERSION:
        raise UserError(
            f"--settings: recipe_version is {found}, this version trains {RECIPE_VERSION}; "
            "`aikd settings RUN` prints the settings anew"
        )
    run = str(settings.get("run"))
    if missing := [key for key in SETTINGS if key not in settings]:
        raise UserError(f"--settings: lacks {', '.join(missing)}; `aikd settings {run}` prints all of them")
    extensions.use(settings, settings["model"], settings["augmentation"])
    Run.of_settings(settings)
    with explaining("--settings: recipe", Recipe):
        Recipe.model_validate(settings.get("recipe"))


def _report(row: Row, epochs: int) -> None:
    test = "" if row["test_error"] is None else f"  test {row['test_error']:6.2f} %"
    say(
        f"epoch {row['epoch']:{len(str(epochs))}}/{epochs}  loss {row['loss']:.4f}  train {row['train_error']:6.2f} %"
        f"{test}  {row['images_per_second']:.0f} images/s"
    )


def _summary(trainer: Trainer, attempt: Attempt, gpu: str | None) -> dict[str, Any]:
    settings, history = trainer.settings, trainer.history
    best = min((row for row in history if row["test_error"] is not None), key=lambda row: row["test_error"])
    return {
        "run": settings["run"],
        "settings": settings,
        **attempt.identity["inputs"],
        "epochs": len(history),
        "images": len(trainer.train),
        "parameters": sum(p.numel() for p in trainer.student.parameters()),
        "final": {key: history[-1][key] for key in ("train_error", "test_error")},
        # Logged for those who want to know; the last epoch is the result.
        "best": {key: best[key] for key in ("epoch", "test_error")},
        "seconds": round(attempt.seconds, 2),
        # Finished epochs from which training went on after an interruption.
        "resumed_at": attempt.resumed_at,
        "images_per_second": round(
            len(trainer.train) * len(history) / sum(row["seconds"] for row in history), 1
        ),
        "device": device_name(trainer.precision.device),
        "gpu": gpu,
        "threads": torch.get_num_threads(),
        "peak_memory": attempt.peak_memory,
        "precision": trainer.precision.name,
        "compiled": trainer.stepping.compiled_batch is not None,
        "revision": revision(),
        "versions": versions(),
    }


def predict(
    run: str,
    results: Path,
    data: Path,
    check: Callable[[], None] = lambda: None,
    files: Sequence[str] = (),
) -> None:
    """Predict the evaluation set with a trained run; writes `predictions.safetensors` into its folder.

    Args:
        files: extensions to be run, for a network of theirs.
        check: called before each batch; what it raises ends predicting.

    Raises:
        UserError: the model is missing or damaged, or the data is not that of the run.
    """
    folder, device = results / RUNS / run, choose_device()
    settings = trained_settings(results, run)
    if files:
        extensions.activate(files)
    prepared = open_data(settings, data)
    check_data(results, run, prepared)
    model = load_trained(results, settings, prepared)
    precision = precision_of(settings, device)
    test = test_data(settings, prepared, precision)
    holdout = holdout_data(settings, prepared, precision)
    write_predictions(
        folder / PREDICTIONS, model, settings, test, holdout, precision, _origin(folder, prepared), check
    )
    forget(folder)


def open_data(settings: dict[str, Any], data: Path) -> Prepared:
    """The prepared data of a run.

    Raises:
        UserError: it is not there, or not what the settings describe.
    """
    where = settings["data"].get("prepared")
    if not isinstance(where, str):
        raise UserError(
            f"{settings['run']}: its settings do not say which prepared data it is of, as those of earlier versions; "
            "train it again"
        )
    if not (data / where / MANIFEST).exists():
        name = settings["data"]["name"]
        raise UserError(f"{data / where / MANIFEST}: no such file; `aikd prepare {name}` makes it")
    prepared = Prepared.open(data / where)
    for key in ("name", "classes"):
        if prepared.manifest[key] != settings["data"][key]:
            raise UserError(
                f"{prepared.folder / MANIFEST}: {key} is {prepared.manifest[key]!r}, but {settings['run']} "
                f"needs {settings['data'][key]!r}"
            )
    return prepared


def check_data(results: Path, run: str, prepared: Prepared) -> None:
    """Refuse data that was prepared otherwise than what the run was trained on.

    Raises:
        UserError: it was.
    """
    trained = (read_summary(results, run) or {}).get("data", prepared.digest)
    if trained != prepared.digest:
        raise UserError(
            f"{prepared.folder / MANIFEST}: found data {prepared.digest[:16]}…, but {run} was trained on "
            f"{trained[:16]}…; prepare the data as it was, or train the run again"
        )

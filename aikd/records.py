"""What a run leaves behind, and how its files show that they belong together.

`train.json` holds the SHA-256 of the model and the digest of the data that it was trained on. Predictions carry both,
and a digest of their own content; `metrics.json` carries the predictions' model. So whoever reads one of them sees
without much work that it is whole, of this run, and of its last training.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from aikd.errors import UserError
from aikd.files import read_json
from aikd.study.layout import METRICS, PREDICTIONS, RUNS, SUMMARY

REQUIRED = ("logits", "features", "labels")
"""Tensors that predictions have."""

MISSING: Any = object()
"""Stands for a value that is not there."""

_STATE = re.compile(r"epoch-(\d+)\.safetensors")


def file_digest(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        OSError: it is not there, or cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_digest(arrays: Mapping[str, Any]) -> str:
    """SHA-256 of the names, types, shapes and bytes of NumPy arrays, in whatever order they come."""
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        found.update(f"\n{name} {array.dtype} {list(array.shape)}\n".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def data_digest(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of all that runs take from prepared data: its arrays, of which the manifest has theirs, and its moments.

    Raises:
        KeyError: it is no manifest.
    """
    taken = {key: manifest[key] for key in ("arrays", "mean", "std")}
    return hashlib.sha256(json.dumps(taken, sort_keys=True).encode()).hexdigest()


def saved_epochs(folder: Path) -> list[int]:
    """Finished epochs of the states in a folder, the newest first; none where there is no such folder.

    Raises:
        OSError: one may not look.
    """
    try:
        found = [_STATE.fullmatch(path.name) for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    return sorted((int(name[1]) for name in found if name), reverse=True)


def read_summary(results: Path, run: str) -> dict[str, Any] | None:
    """`train.json` of a run; None where there is none.

    Raises:
        UserError: it is damaged, or another run's.
    """
    return _of_run(results / RUNS / run / SUMMARY, run, "train that run again")


def read_metrics(results: Path, run: str) -> dict[str, Any] | None:
    """`metrics.json` of a run; None where there is none.

    Raises:
        UserError: it is damaged, another run's, or was measured on another model than the one last trained.
    """
    path = results / RUNS / run / METRICS
    found = _of_run(path, run, "calibrate that run again")
    if found is not None:
        check_training(path, found, ("model",), read_summary(results, run))
    return found


def read_predictions(results: Path, run: str) -> tuple[dict[str, Any], dict[str, str]] | None:
    """Tensors, as NumPy arrays, and metadata of a run's predictions; None where there are none.

    Raises:
        UserError: they are damaged, another run's, or not of the model and data of the last training.
        OSError: there is no permission to read them.
    """
    from safetensors import SafetensorError, safe_open

    path, again = results / RUNS / run / PREDICTIONS, "delete it and predict the run again"
    if not _there(path):
        return None
    path.open("rb").close()  # the library calls all errors of the system the same
    try:
        with safe_open(path, framework="np") as file:
            tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: damaged or no predictions ({error}); {again}") from None
    check_predictions(path, run, tensors, metadata, again)
    check_training(path, metadata, ("model", "data"), read_summary(results, run))
    return tensors, metadata


def check_predictions(
    where: Path | str, run: str, tensors: Mapping[str, Any], metadata: Mapping[str, str], again: str
) -> None:
    """Refuse tensors and metadata that are not the whole predictions of a run.

    Args:
        again: what to do about it, for the message.

    Raises:
        UserError: something is missing or damaged, or they are another run's; begins with `where`.
    """
    if missing := set(REQUIRED) - tensors.keys() or {"run", "dataset"} - metadata.keys():
        raise UserError(f"{where}: lacks {', '.join(sorted(missing))}; {again}")
    if metadata["run"] != run:
        raise UserError(f"{where}: holds the predictions of {metadata['run']}, not of {run}; {again}")
    # Versions of before wrote no digest; theirs is then as good as it was.
    if metadata.get("content", digest := content_digest(tensors)) != digest:
        raise UserError(f"{where}: damaged (its content is not what was written); {again}")


def check_run(where: Path | str, run: str, found: Mapping[str, Any], again: str) -> None:
    """Refuse the summary or metrics of another run.

    Raises:
        UserError: begins with `where`.
    """
    if found.get("run") != run:
        raise UserError(f"{where}: is of the run {found.get('run')}, not of {run}; {again}")


def check_training(
    where: Path | str,
    found: Mapping[str, Any],
    keys: tuple[str, ...],
    trained: Mapping[str, Any] | None,
    again: str = "delete it and predict and calibrate the run again",
) -> None:
    """Refuse what was not made of the model and data that `train.json` names; one of before names none.

    Raises:
        UserError: begins with `where`.
    """
    for key in keys:
        if trained and key in trained and found.get(key) != trained[key]:
            raise UserError(
                f"{where}: was made of the {key} {_short(found.get(key))}, but {SUMMARY} beside it is of "
                f"{_short(trained[key])}; {again}"
            )


def same_training(results: Path, runs: Iterable[str]) -> None:
    """Refuse to set runs side by side that were not trained alike: half of them before the study was edited, say.

    Runs of a data set must share its recipe and images, those of a model its size, those of a superior model that
    very model, and those that differ in their seed alone all else, too. Runs without a summary are passed over.

    Raises:
        UserError: names the first thing that differs, and both runs.
    """
    first: dict[tuple[str, str], tuple[str, Any]] = {}
    for run in runs:
        for what, group, value in _shared(run, read_summary(results, run) or {}):
            other, theirs = first.setdefault((what, group), (run, value))
            if change := difference(theirs, value, f"{what}."):
                raise UserError(
                    f"{results / RUNS / run / SUMMARY}: not trained like {other}, beside which it is to stand: "
                    f"{change}; train the one again that is not as the study says"
                )


def _shared(run: str, summary: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """What a run was trained with that others must have been, too: its name, the group of those others, its value."""
    settings = summary.get("settings")
    if not isinstance(settings, dict):
        return
    for key, depth in _SHARED.items():
        yield key, "/".join(run.split("/")[:depth]), settings.get(key)
    for what, group, digest in (
        ("data", run.split("/", maxsplit=1)[0], summary.get("data")),
        ("superior model", settings.get("superior"), summary.get("superior")),
        ("superior model", run, summary.get("model")),  # as which others learn from it
    ):
        if group and digest:  # earlier versions wrote none
            yield f"SHA-256 of the {what}", group, _short(digest)


_SHARED = {
    "recipe_version": 1,
    "data": 1,
    "recipe": 1,
    "model": 2,
    "settings": -1,
    "augmentation": -1,
    "extension": -1,
}
"""Settings of a run, and by how much of their paths the runs are told that must share them."""


def difference(old: Any, new: Any, place: str = "") -> str | None:
    """The first place at which two pieces of JSON differ, in words; None if they are equal."""
    for key, before, after in differences(old, new, place):
        if before is MISSING or after is MISSING:
            return f"{key} is {'new' if before is MISSING else 'gone'}"
        return f"{key} was {before!r}, now it is {after!r}"
    return None


def differences(old: Any, new: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every place at which two pieces of JSON differ: its dotted key, and both values (`MISSING`: none)."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if key in old and key in new:
                yield from differences(old[key], new[key], f"{place}{key}.")
            else:
                yield f"{place}{key}", old.get(key, MISSING), new.get(key, MISSING)
    # 1 == 1.0 == True in Python; here they are different settings.
    elif type(old) is not type(new) or old != new:
        yield place.rstrip("."), old, new


def _there(path: Path) -> bool:
    """Whether a file is there. `Path.exists`, in newer versions of Python, says no where one may not look."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _of_run(path: Path, run: str, again: str) -> dict[str, Any] | None:
    if not _there(path):
        return None
    found = read_json(path, f"delete it and {again}")
    check_run(path, run, found, f"delete it and {again}")
    return found


def _short(digest: Any) -> str:
    return f"{digest[:16]}…" if isinstance(digest, str) else "that it does not name"

"""A run with everything that decides its outcome, as plain data: what a training command is given."""

import hashlib
import json
from typing import Any

from aikd.study.architectures import ARCHITECTURES
from aikd.study.augmentation import AUGMENTATIONS, CutoutSettings
from aikd.study.catalogue import DATA_SETS, DataSet
from aikd.study.methods import METHODS
from aikd.study.run import Run
from aikd.study.schema import ModelEntry, Study

RECIPE_VERSION = 1
"""Raised by hand when the mathematics of training changes: every run is then trained again."""

SETTINGS = (
    *("recipe_version", "run", "data", "model", "method"),
    *("settings", "augmentation", "recipe", "superior", "seed"),
)
"""Keys of a run's resolved settings."""

DIGITS = 12
"""Of the hexadecimal digest that tells preparations of one data set apart."""


def resolve_data(study: Study, name: str) -> dict[str, Any]:
    """All that decides what a prepared data set holds: what `aikd prepare` is given.

    Test images are stored at just the size that the test transform wants, so that evaluation sees the published
    transform exactly; training images larger, because a random crop enlarges what it finds.
    """
    dataset, entry = study.dataset(name), study.data[name]
    photographs = dataset.stored_side is not None and dataset.transform.crop == "resized"
    source: dict[str, Any] = {"accept_other": entry.accept_other}
    if name in DATA_SETS.own:
        source = DATA_SETS.extension(name)
    if found := entry.scan:
        source = entry.model_dump(mode="json", include={"folder", "test_fraction", "split_seed"})
        source["fingerprint"] = found.fingerprint
    return {
        "name": name,
        "counts": dataset.model_dump(include={"classes", "train", "test"}),
        "sides": {
            "train": dataset.stored_side if photographs else None,
            "test": dataset.transform.resize if photographs else None,
        },
        "source": source,
    }


def prepared_folder(settings: dict[str, Any]) -> str:
    """Where data prepared with these settings lie within the folder of all data: `<name>/<digest>`.

    The name says what, the digest how: whatever is prepared in another way lies elsewhere, so that neither
    preparation can be taken for the other, or overwrite it.

    Args:
        settings: what `resolve_data` gives.
    """
    text = json.dumps(settings, sort_keys=True)
    return f"{settings['name']}/{hashlib.sha256(text.encode()).hexdigest()[:DIGITS]}"


def resolve(study: Study, run: Run) -> dict[str, Any]:
    """All settings of a run, defaults included. Two equal results are the same training.

    What only changes how fast it runs or how often it is looked at (threads, device, `evaluate_every`) is not
    in it, so that turning such a knob retrains nothing. What comes of an extension says so, with its file and its code:
    `extension` beside `method` and in `model` and `augmentation`; of a data set it is part of what names `prepared`.
    """
    dataset, entry, model = study.dataset(run.dataset), study.data[run.dataset], study.models[run.model]
    return {
        "recipe_version": RECIPE_VERSION,
        "run": run.path,
        "data": {
            "name": run.dataset,
            "prepared": prepared_folder(resolve_data(study, run.dataset)),
            "classes": dataset.classes,
            "transform": dataset.transform.model_dump(mode="json"),
            "images_per_class": entry.images_per_class,
            "holdout_per_class": entry.holdout_per_class,
        },
        "model": _model(model, model.architecture or run.model),
        "method": run.method,
        "settings": run.full_settings.model_dump(mode="json"),
        "augmentation": {"name": run.augmentation} | _augmentation(study, run.augmentation, dataset),
        "recipe": study.recipe_for(run.dataset).model_dump(mode="json"),
        "superior": superior.path if (superior := run.superior) else None,
        "seed": run.seed,
    } | METHODS.extension(run.method)


def _augmentation(study: Study, name: str, dataset: DataSet) -> dict[str, Any]:
    settings = study.augmentations.of(name)
    if isinstance(settings, CutoutSettings) and settings.side is None:
        settings = CutoutSettings(side=max(1, dataset.transform.size // 4))
    found = settings.model_dump(mode="json")
    return {"settings": found} | AUGMENTATIONS.extension(name) if name in AUGMENTATIONS.own else found


def _model(model: ModelEntry, architecture: str) -> dict[str, Any]:
    sizes = model.model_dump(mode="json", include={"width", "growth", "blocks"})
    if architecture in ARCHITECTURES.own:
        settings = ARCHITECTURES[architecture].settings.model_validate(model.settings)
        sizes["settings"] = settings.model_dump(mode="json")
    return {"architecture": architecture} | sizes | ARCHITECTURES.extension(architecture)

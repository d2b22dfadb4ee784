"""Where the training of a study is not the paper's (section 4): reports list it, and claims go by it."""

from typing import Any

from aikd.study.catalogue import DATA_SETS, PAPER, Category
from aikd.study.fields import flatten
from aikd.study.queries import settings_for
from aikd.study.run import Run
from aikd.study.schema import ModelEntry, Recipe, Study

BATCHES: dict[Category, int] = {"coarse": 128, "fine-grained": 32}
"""Batch sizes of section 4.2."""

NETWORKS: dict[str, Category] = {
    "preact_resnet18": "coarse",
    "densenet121_3x3": "coarse",
    "resnet18": "fine-grained",
    "densenet121": "fine-grained",
}
"""The paper's architectures, and the kind of data each is trained on there."""

Changes = dict[str, tuple[Any, Any]]
"""What is not as in the paper: its value here, and there, by its key."""


def recipe_changes(recipe: Recipe, category: Category) -> Changes:
    """What differs from section 4.2, of which the schema's defaults are. The memory layout is of no account."""
    here, paper = recipe.model_dump(), Recipe(batch_size=BATCHES[category]).model_dump()
    return {
        key: (here[key], paper[key]) for key in here if here[key] != paper[key] and key != "channels_last"
    }


def other_transform(study: Study, name: str) -> bool:
    """Whether images of a data set of the paper become inputs otherwise than in section 4.1."""
    return name in PAPER and study.dataset(name).transform != DATA_SETS[name].transform


def trained_elsewhere(study: Study, name: str, model: str) -> Category | None:
    """The kind of data that the paper trains a network on, if that of one of its data sets is another."""
    kind = NETWORKS.get(architecture(model, study.models[model]))
    return kind if name in PAPER and kind != study.dataset(name).category else None


def architecture(name: str, model: ModelEntry) -> str:
    """The architecture of a study's model, which may be what it is called."""
    return model.architecture or name


def paper_settings(method: str, category: Category, network: str) -> dict[str, Any]:
    """Settings of a method, dotted, that are not its defaults where the methods' own papers have them so.

    Args:
        method: its code name.
        category: of the data.
        network: architecture.
    """
    if method == "cskd" and category == "fine-grained":
        return {"weight": 3}
    if method == "tfkd" and network in ("densenet121", "densenet121_3x3"):
        return {"alpha": 0.9, "temperature": 20}
    return {}


def method_changes(study: Study, name: str, dataset: str, model: str) -> Changes:
    """Settings of one of the study's methods, dotted, that are not the paper's on a data set and model."""
    code, category = study.methods[name].method or name, study.dataset(dataset).category
    theirs = paper_settings(code, category, architecture(model, study.models[model]))
    here, paper = (
        flatten(Run(dataset, model, code, settings).full_settings.model_dump())
        for settings in (settings_for(study, name, dataset, model), theirs)
    )
    return {key: (here[key], paper[key]) for key in here if here[key] != paper[key]}

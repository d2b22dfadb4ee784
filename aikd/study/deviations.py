"""Where the training of a study is not the paper's (section 4): reports list it, and claims go by it."""

from typing import Any

from aikd.study.catalogue import DATA_SETS, PAPER, Category
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


def recipe_changes(recipe: Recipe, category: Category) -> dict[str, tuple[Any, Any]]:
    """What differs from section 4.2, of which the schema's defaults are: its value here, and the paper's, by its key.

    The memory layout is of no account.
    """
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

"""Which runs are set side by side beyond the tables themselves: in learning curves, and class by class."""

from collections.abc import Callable, Iterator

from aikd.study import outputs, queries
from aikd.study.resolve import prepared_folder, resolve_data
from aikd.study.run import Run
from aikd.study.schema import Study
from aikd.study.specs import ClassesSpec, Contest, FigureSpecs, Group, LearningSpec, TableSpec, TableSpecs

LEARNING = "learning_"
"""What the names of these figures begin with: `learning_cifar100_preact_resnet18`, `learning_table_4`."""

REFERENCE = "baseline"
"""The method that others are compared with, class by class."""
TableOf = Callable[[str], TableSpecs | FigureSpecs]
"""Gives the table of a name."""
Pair = tuple[str, str]
"""Data set and model."""


def learning_curves(study: Study, table: TableOf | None = None) -> dict[str, LearningSpec]:
    """All figures of learning curves, by name: one a data set and model compared, and one an ablation.

    Args:
        table: gives a table in terms of runs, for callers that have it already.
    """
    found: dict[str, LearningSpec] = {}

    def add(name: str, pair: Pair, groups: tuple[Group, ...], what: str = "") -> None:
        while LEARNING + name in found:  # the data sets x and x_y with the models y_z and z
            name += "_2"
        called = title(study, pair)
        caption = f"Learning curves{what}, {called}."
        found[LEARNING + name] = LearningSpec(LEARNING + name, caption, called, groups)

    for pair, groups in compared(study, table).items():
        add("_".join(pair), pair, groups)
    for name, entry, spec in _tables(study, table):
        if isinstance(entry, outputs.AblationTable):
            add(name, (entry.data, entry.model), queries.variants(spec), f" of {name.replace('_', ' ')}")
    return found


def title(study: Study, pair: Pair) -> str:
    """A data set and model as figures call them."""
    dataset, model = pair
    return f"{study.dataset(dataset).label}, {study.models[model].label}"


def compared(study: Study, table: TableOf | None = None) -> dict[Pair, tuple[Group, ...]]:
    """What the study's comparisons compare, in the study's order: the methods on each data set and model.

    Args:
        table: as above.
    """
    found: dict[Pair, dict[Group, None]] = {
        (dataset, model): {} for dataset, entry in study.data.items() for model in entry.models
    }
    for _, entry, spec in _tables(study, table):
        if not isinstance(entry, outputs.ComparisonTable):
            continue
        for row in spec.rows:
            for cell in (cell for cell in row.cells if cell.paths and cell.scheme == "none"):
                run = Run.from_path(cell.paths[0])
                found[run.dataset, run.model][Group(row.header[-1], cell.paths)] = None
    return {pair: tuple(groups) for pair, groups in found.items() if groups}


def classes(study: Study, table: TableOf | None = None) -> ClassesSpec:
    """What is compared class by class: every method of a comparison with the Baseline, where that stands in it."""
    contests = []
    for (dataset, model), groups in compared(study, table).items():
        references = [group for group in groups if Run.from_path(group.paths[0]).method == REFERENCE]
        others = tuple(group for group in groups if group not in references)
        if references and others:
            prepared = prepared_folder(resolve_data(study, dataset))
            contests.append(Contest(dataset, model, prepared, references[0], others))
    return ClassesSpec(tuple(contests))


def _tables(study: Study, table: TableOf | None) -> Iterator[tuple[str, outputs.Table, TableSpec]]:
    """The study's tables of numbers."""
    for name, entry in study.tables.items():
        spec = table(name) if table else queries.table(study, name)
        if isinstance(spec, TableSpec):
            yield name, entry, spec

"""Checks what a schema cannot: that every name in a study refers to something, and every setting is a method's."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from aikd.errors import UserError
from aikd.study import outputs, queries
from aikd.study.architectures import ARCHITECTURES
from aikd.study.augmentation import AUGMENTATIONS
from aikd.study.beside import LEARNING
from aikd.study.catalogue import DATA_SETS, DataSet, Transform
from aikd.study.costs.data import SIDES
from aikd.study.explain import allowed, explaining, located, nearest, show
from aikd.study.fields import flatten, unflatten
from aikd.study.methods import METHODS, method_spec
from aikd.study.metrics import HELD_OUT, METRICS
from aikd.study.queries import CALIBRATION_METRICS
from aikd.study.run import Run
from aikd.study.schema import DataEntry, ModelEntry, Recipe, Study
from aikd.study.specs import PUBLISHED, TableSpec

RULES = {
    "all", "all_runs", "calibrate", "claims", "classes", "download", "figure", "no_such_target", "paper", "predict",
    "prepare", "pretrain", "published", "report", "table", "train",
}  # fmt: skip
"""Names that the workflow's rules have already."""

PREPARE = "prepare_"
"""What the target that prepares a data set begins with: `snakemake prepare_cub200`."""

FOLDERS = {"runs", "tables", "figures", "logs", "benchmarks"}
"""Folders of the paper's own results, beside which the results of other studies lie."""

DATA_FOLDERS = {"downloads", "logs", "benchmarks"}
"""Folders beside those of the data sets."""


def check_references(study: Study) -> None:
    """Check every reference and setting.

    Raises:
        UserError: names the offending key with its full path, what was found and what is allowed.
    """
    if len(set(study.seeds)) < len(study.seeds):
        raise UserError(f"seeds: found {study.seeds}; each seed may stand once")
    if study.name in FOLDERS:
        raise UserError(
            f"name: found {show(study.name)}, which is a folder of the paper's results; choose another"
        )
    for name, model in study.models.items():
        _check_model(f"models.{name}", name, model)
    for name, entry in study.data.items():
        _check_data(study, name, entry)
    _check_methods(study)
    _check_labels("methods", "method", {name: queries.method_label(study, name) for name in study.methods})
    _check_labels("data", "data set", {name: study.dataset(name).label for name in study.data})
    _check_augmentations(study)
    for name in (name for name in study.tables if name.endswith(PUBLISHED)):
        raise UserError(
            f"tables.{name}: names that end in {PUBLISHED} are taken by comparisons; choose another"
        )
    for name in study.tables.keys() & study.figures.keys():
        raise UserError(f"figures.{name}: a table has this name; each table and figure needs its own")
    for name in [*study.tables, *study.figures]:
        if name in RULES or name.startswith((PREPARE, LEARNING)):
            raise UserError(f"{name}: a step of the workflow has this name; a table or figure needs another")
    for name, output in [*study.tables.items(), *study.figures.items()]:
        _check_output(study, f"{'tables' if name in study.tables else 'figures'}.{name}", name, output)


def check_run(study: Study, run: Run) -> None:
    """Check that the study can train a run, whether or not a table asks for it.

    Raises:
        UserError: the study has no such data set, or no such model on it.
    """
    _known("data", [run.dataset], study.data)
    _known(f"data.{run.dataset}.models", [run.model], study.data[run.dataset].models)


def _check_model(where: str, name: str, model: ModelEntry) -> None:
    note = " (a model without `architecture` is named after one)"
    architecture = model.architecture or name
    _known(f"{where}.architecture" if model.architecture else f"{where}{note}", [architecture], ARCHITECTURES)
    spec, own = ARCHITECTURES[architecture], architecture in ARCHITECTURES.own
    for key in ("width", "growth", "blocks") if own else {"width", "growth"} - {spec.scale}:
        if getattr(model, key) is not None:
            scale = "its `settings`" if own else f"{spec.scale} and blocks"
            raise UserError(f"{where}.{key}: {architecture} has none; it is scaled by {scale}")
    if model.settings and not own:
        raise UserError(f"{where}.settings: {architecture} has none; it is scaled by {spec.scale} and blocks")
    with explaining(f"{where}.settings", spec.settings):
        spec.settings.model_validate(model.settings)


def _check_data(study: Study, name: str, entry: DataEntry) -> None:
    where = f"data.{name}"
    if entry.folder is None:
        note = " (any other name needs a `folder`)"
        _known(f"data{note}", [name], DATA_SETS)
    elif name in DATA_SETS:
        kind = "an extension's" if name in DATA_SETS.own else "a published"
        raise UserError(f"{where}.folder: {name} is {kind} data set; give your own another name")
    if name not in DATA_SETS.built_in:
        _check_new_name(study, where, name)
    _check_foreign_keys(where, name, entry)
    _known(f"{where}.models", entry.models, study.models)
    with explaining(f"{where}.recipe", Recipe):
        study.recipe_for(name)
    with explaining(f"{where}.transform", Transform), located(where):
        dataset = study.dataset(name)
    if entry.scan and (split := entry.scan.split):
        for key in sorted({"test_fraction", "split_seed"} & entry.model_fields_set):
            raise UserError(f"{where}.{key}: {entry.folder} has its test images in {split}/; take it out")
    _check_sizes(where, name, entry, dataset)
    if dataset.test < study.calibration.folds:
        raise UserError(
            f"calibration.folds: found {study.calibration.folds}, more than the {dataset.test} test images of {name}"
        )
    if study.calibration.scheme == "holdout" and not entry.holdout_per_class:
        raise UserError(
            f"{where}.holdout_per_class: found 0, but calibration.scheme is holdout and needs some"
        )
    labels = [study.models[model].label for model in entry.models]
    if len(set(labels)) < len(labels):
        raise UserError(
            f"{where}.models: two models share a label ({', '.join(labels)}); give them their own"
        )


def _check_new_name(study: Study, where: str, name: str) -> None:
    if name in DATA_FOLDERS:
        raise UserError(
            f"{where}: the folder data/{name} serves another purpose; give your data another name"
        )
    if name in RULES or name.startswith((PREPARE, LEARNING)) or name in queries.targets(study):
        raise UserError(f"{where}: a target of the workflow has this name; give your data another name")


def _check_foreign_keys(where: str, name: str, entry: DataEntry) -> None:
    """Refuse what would be without effect: such as keys of a folder on a published set."""
    own = entry.folder is not None or name in DATA_SETS.own
    foreign = {"accept_other", "counts"} if own else set[str]()
    foreign |= {"test_fraction", "split_seed"} if entry.folder is None else set()
    foreign |= {"stored_side"} if name in DATA_SETS.own else set()
    kind = "a data set of one's own" if own else "a published data set"
    for key in sorted(foreign & entry.model_fields_set):
        raise UserError(f"{where}.{key}: has no meaning for {kind}; take it out")
    if entry.counts and not entry.accept_other:
        raise UserError(
            f"{where}.counts: an excerpt is not the published archive; it needs `accept_other: true`"
        )


def _check_sizes(where: str, name: str, entry: DataEntry, dataset: DataSet) -> None:
    transform, side = dataset.transform, dataset.stored_side
    if entry.stored_side and transform.crop == "padded":
        raise UserError(
            f"{where}.stored_side: has no meaning for padded crops, for which images keep their size"
        )
    if side is not None and transform.crop == "padded" and entry.folder is None:
        raise UserError(
            f'{where}.transform.crop: found "padded", but the images of {name} differ in size; allowed for them is '
            '"resized"'
        )
    if side is not None and transform.crop == "resized" and side < (transform.resize or transform.size):
        raise UserError(
            f"{where}.stored_side: found {side}, but the test transform needs {transform.resize or transform.size}"
        )
    if name in SIDES and transform.resize is None and transform.size > SIDES[name]:
        raise UserError(
            f"{where}.transform.size: found {transform.size}, but a centre crop of that size does not fit into a test "
            f"image of {SIDES[name]} pixels; lower it or set `resize` to at least {transform.size}"
        )
    kept = (entry.images_per_class or 1) + entry.holdout_per_class
    most, found = dataset.smallest, "its smallest class has {}"
    if most is None:
        # At best they are spread evenly; training looks again.
        most, found = dataset.train // dataset.classes, "its classes have {} on average"
    if kept > most:
        raise UserError(
            f"{where}: images_per_class and holdout_per_class need {kept} training images of every class; "
            f"{found.format(most)}"
        )


def _check_methods(study: Study) -> None:
    for name, entry in study.methods.items():
        where, method = f"methods.{name}", entry.method or name
        _known(where if entry.method is None else f"{where}.method", [method], METHODS)
        _check_settings(f"{where}.settings", method, entry.settings, {})
        for i, when in enumerate(entry.when):
            _known(f"{where}.when.{i}.data", when.data or [], study.data)
            _known(f"{where}.when.{i}.models", when.models or [], study.models)
            _check_settings(f"{where}.when.{i}.settings", method, when.settings, entry.settings)


def _check_labels(section: str, kind: str, labels: dict[str, str]) -> None:
    """Refuse a second one of the same label, from which no table could tell it apart."""
    known: dict[str, str] = {}
    for name, label in labels.items():
        seen = unicodedata.normalize("NFC", " ".join(label.split()))
        if seen in known:
            raise UserError(
                f"{section}.{name}.label: {show(seen)} is that of {section}.{known[seen]}, too; "
                f"give each {kind} its own"
            )
        known[seen] = name


def _check_augmentations(study: Study) -> None:
    for name, settings in study.augmentations.of_extensions.items():
        where = f"augmentations.{name}"
        if name not in AUGMENTATIONS.own:
            raise UserError(
                f"{where}: unknown key{nearest(name, AUGMENTATIONS)}; allowed: {', '.join(sorted(AUGMENTATIONS))}"
            )
        with explaining(where, AUGMENTATIONS[name]):
            AUGMENTATIONS[name].model_validate(settings)


def _check_settings(where: str, method: str, settings: dict[str, Any], under: dict[str, Any]) -> None:
    """Check settings on top of those `under` them, which may need each other: weights sum to 1 only together."""
    spec = method_spec(method)
    with explaining(where, spec.settings):
        spec.check(unflatten(queries.on_top(spec, flatten(unflatten(under)), settings)))


def _check_output(study: Study, where: str, name: str, output: outputs.Table | outputs.Figure) -> None:
    if isinstance(output, outputs.LearningFigure):
        _check_learning(study, where, output)
        return
    names: dict[str, Iterable[str]] = {"data": study.data, "model": study.models}
    names |= dict.fromkeys(("method", "methods", "calibrated"), study.methods)
    for field, known in names.items():
        found = getattr(output, field, None) or []
        _known(f"{where}.{field}", [found] if isinstance(found, str) else found, known)
    _check_metrics(study, where, output)
    match output:
        case outputs.ComparisonTable() if output.calibrated and not CALIBRATION_METRICS & set(output.metrics):
            blocks = ", ".join(metric for metric in METRICS if metric in CALIBRATION_METRICS)
            raise UserError(
                f"{where}.calibrated: has rows only in blocks of {blocks}; metrics has none of them"
            )
        case outputs.ReliabilityFigure(data=[*chosen]):
            for data in chosen:
                there = dict.fromkeys(study.models[model].label for model in study.data[data].models)
                _known(f"{where}.family (on data.{data})", [output.family], there)
        case outputs.ReliabilityFigure():
            models = [model for entry in study.data.values() for model in entry.models]
            _known(f"{where}.family", [output.family], dict.fromkeys(study.models[m].label for m in models))
        case outputs.OneModel() | outputs.TsneFigure():
            here = f"{where}.model (on data.{output.data})"
            _known(here, [output.model], study.data[output.data].models)
    if isinstance(output, outputs.AblationTable):
        _check_rows(study, where, output)
    if isinstance(output, outputs.HeatmapFigure | outputs.CurvesFigure):
        _check_axes(study, where, output)
    # Settings that are fine each on its own may not go together: building the runs tells.
    with located(where):
        spec = queries.spec(study, name)
    if isinstance(output, outputs.AblationTable) and isinstance(spec, TableSpec):
        _check_headers(where, output, [row.header for row in spec.rows])


def _check_metrics(study: Study, where: str, output: outputs.Table | outputs.Figure) -> None:
    """Refuse errors on held-out images where none are held out."""
    metric = getattr(output, "metric", None)
    wanted = [f"{where}.metric"] if metric in HELD_OUT else []
    wanted += [f"{where}.metrics.{i}" for i, m in enumerate(getattr(output, "metrics", [])) if m in HELD_OUT]
    data = getattr(output, "data", None) or list(study.data)
    without = [
        name for name in ([data] if isinstance(data, str) else data) if not study.data[name].holdout_per_class
    ]
    if wanted and without:
        raise UserError(f"{wanted[0]}: needs held-out images, but data.{without[0]}.holdout_per_class is 0")


def _check_rows(study: Study, where: str, table: outputs.AblationTable) -> None:
    for i, row in enumerate(table.rows):
        name = row.method or table.method
        _known(f"{where}.rows.{i}.method", [name], study.methods)
        if row.label and table.settings:
            raise UserError(
                f"{where}.rows.{i}.label: the table's rows are called by their settings; take one of the two out"
            )
        _known(f"{where}.rows.{i}.augmentation", [row.augmentation], AUGMENTATIONS)
        method = study.methods[name].method or name
        under = queries.settings_for(study, name, table.data, table.model)
        _check_settings(f"{where}.rows.{i}.settings", method, row.settings, under)
        _known(f"{where}.settings", table.settings, _setting_names(method))


def _check_headers(where: str, table: outputs.AblationTable, headers: Sequence[tuple[str, ...]]) -> None:
    """Refuse a second row that is called as another is: nobody could tell them apart, here or in learning curves."""
    for i, header in enumerate(headers):
        if (first := headers.index(header)) < i:
            own = "settings that the table shows" if table.settings else "label"
            raise UserError(
                f"{where}.rows.{i}: {show(', '.join(header))} is what rows.{first} is called, too; "
                f"give each row its own {own}"
            )


def _check_axes(study: Study, where: str, figure: outputs.HeatmapFigure | outputs.CurvesFigure) -> None:
    method = study.methods[figure.method].method or figure.method
    if isinstance(figure, outputs.HeatmapFigure):
        axes = {"x": figure.x, "y": figure.y}
    else:
        axes = {f"axes.{i}": axis for i, axis in enumerate(figure.axes)}
    for key, axis in axes.items():
        _known(f"{where}.{key}.setting", [axis.setting], _setting_names(method))
        for i, value in enumerate(axis.values):
            if isinstance(figure, outputs.CurvesFigure) and not isinstance(value, int | float):
                raise UserError(
                    f"{where}.{key}.values.{i}: found {show(value)}; a curve is drawn over numbers"
                )
    if isinstance(figure, outputs.HeatmapFigure) and figure.x.setting == figure.y.setting:
        raise UserError(f"{where}.y.setting: found {show(figure.y.setting)} on both axes; each needs its own")


def _check_learning(study: Study, where: str, figure: outputs.LearningFigure) -> None:
    ablations = [name for name, entry in study.tables.items() if isinstance(entry, outputs.AblationTable)]
    _known(f"{where}.table (an ablation)", [figure.table], ablations)
    drawn = queries.table(study, figure.table)
    assert isinstance(drawn, TableSpec)
    rows = [group.label for group in queries.variants(drawn)]
    for i, label in enumerate(figure.rows or ()):
        _known(f"{where}.rows.{i}", [label], rows)


def _setting_names(method: str) -> list[str]:
    return list(flatten(method_spec(method).defaults.model_dump()))


def _known(where: str, found: Iterable[str], names: Iterable[str]) -> None:
    for name in found:
        if name not in names:
            allowed(where, name, names)

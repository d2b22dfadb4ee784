"""Tables and figures as queries over runs."""

from collections.abc import Sequence
from typing import Any

from aikd.study import outputs, specs
from aikd.study.fields import Scalar, flatten, unflatten
from aikd.study.methods import MethodSpec, method_spec
from aikd.study.metrics import METRICS, MetricName, Scheme, always_zero
from aikd.study.resolve import prepared_folder, resolve_data
from aikd.study.run import STANDARD, Run
from aikd.study.schema import Study

CALIBRATION_METRICS: frozenset[MetricName] = frozenset({"ece", "gap", "nll", "brier"})
ARROWS = {"low": "↓", "high": "↑", "zero": "→ 0"}


def method_label(study: Study, name: str) -> str:
    """What tables call a method of the study."""
    entry = study.methods[name]
    return entry.label or method_spec(entry.method or name).label


def metric_label(metric: MetricName) -> str:
    """A metric's label with its direction."""
    return f"{METRICS[metric].label} {ARROWS[METRICS[metric].best]}"


def settings_for(study: Study, name: str, dataset: str, model: str) -> dict[str, Any]:
    """The study's settings of a method on a data set and model: its own, then every `when` that applies (dotted)."""
    entry = study.methods[name]
    spec, merged = method_spec(entry.method or name), flatten(unflatten(entry.settings))
    for when in entry.when:
        applies = (
            (when.data is None or dataset in when.data)
            and (when.category is None or study.dataset(dataset).category == when.category)
            and (when.models is None or model in when.models)
        )
        if applies:
            merged = on_top(spec, merged, when.settings)
    return merged


def on_top(method: MethodSpec, settings: dict[str, Any], further: dict[str, Any]) -> dict[str, Any]:
    """Dotted settings of a method with further ones on top, dotted too.

    What follows from a setting that is moved is dropped: a weight of AI-KD takes from, or gives to, cross-entropy.
    """
    further = flatten(unflatten(further))
    moved = {key for key, others in method.settings.derived.items() if others & further.keys()}
    return {key: value for key, value in settings.items() if key not in moved} | further


def run_for(
    study: Study,
    dataset: str,
    model: str,
    name: str,
    seed: int,
    settings: dict[str, Any] | None = None,
    augmentation: str = STANDARD,
) -> Run:
    """The run of a method of the study, with further settings on top."""
    method = study.methods[name].method or name
    merged = on_top(method_spec(method), settings_for(study, name, dataset, model), settings or {})
    return Run(dataset, model, method, merged, augmentation, seed)


def superior_models(study: Study, runs: Sequence[Run]) -> list[Run]:
    """The runs together with the superior models they learn from, each once."""
    return list(dict.fromkeys([s for run in runs if (s := run.superior)] + list(runs)))


def table(study: Study, name: str) -> specs.TableSpecs:
    """The table `name` in terms of runs."""
    match study.tables[name]:
        case outputs.DataSetsTable() as t:
            rows = tuple(_facts(study, d) for d in t.data or study.data)
            return specs.DataSetsSpec(name, t.caption, rows, t.published)
        case outputs.ComparisonTable() as t:
            return _comparison(study, name, t)
        case outputs.AblationTable() as t:
            return _ablation(study, name, t)


def figure(study: Study, name: str) -> specs.FigureSpecs:
    """The figure `name` in terms of runs."""
    match study.figures[name]:
        case outputs.ReliabilityFigure() as f:
            return _reliability(study, name, f)
        case outputs.TsneFigure() as f:
            return _tsne(study, name, f)
        case outputs.HeatmapFigure() as f:
            return _heatmap(study, name, f)
        case outputs.CurvesFigure() as f:
            return _curves(study, name, f)
        case outputs.LearningFigure() as f:
            return _learning(study, name, f)


def variants(spec: specs.TableSpec) -> tuple[specs.Group, ...]:
    """The rows of an ablation, called by their settings where these lead its columns."""

    def label(header: tuple[str, ...]) -> str:
        pairs = zip(spec.headers, header, strict=True)
        return ", ".join(value if key == "Method" else f"{key}={value}" for key, value in pairs)

    return tuple(dict.fromkeys(specs.Group(label(row.header), row.cells[0].paths) for row in spec.rows))


def spec(study: Study, name: str) -> specs.TableSpecs | specs.FigureSpecs:
    """The table or figure `name`."""
    return table(study, name) if name in study.tables else figure(study, name)


def runs_of(study: Study, names: Sequence[str] | None = None) -> list[Run]:
    """Every training run that the named tables and figures (none: all) need, superior models included."""
    names = [*study.tables, *study.figures] if names is None else names
    paths = dict.fromkeys(path for name in names for path in spec(study, name).runs)
    return superior_models(study, [Run.from_path(path) for path in paths])


def outputs_of(study: Study, target: str) -> list[str]:
    """Names of the tables or figures that a target stands for: `figure_7` means `figure_7a` and `figure_7b`."""
    names = [*study.tables, *study.figures]
    return [name for name in names if target in (name, _number(name))]


def targets(study: Study) -> list[str]:
    """What can be asked for by name: every table and figure, and figures by their number."""
    names = [*study.tables, *study.figures]
    return list(dict.fromkeys(names + [_number(name) for name in names]))


def _number(name: str) -> str:
    """The number that a part of a figure stands under: `figure_7` for `figure_7a`; itself for any other name."""
    return name[:-1] if name[-1].isalpha() and name[-2:-1].isdigit() else name


def _paths(study: Study, dataset: str, model: str, name: str, **further: Any) -> tuple[str, ...]:
    return tuple(run_for(study, dataset, model, name, seed, **further).path for seed in study.seeds)


def _families(study: Study, data: Sequence[str]) -> dict[str, dict[str, str]]:
    """Model label → data set → the model of that label trained on it."""
    families: dict[str, dict[str, str]] = {}
    for dataset in data:
        for model in study.data[dataset].models:
            families.setdefault(study.models[model].label, {})[dataset] = model
    return families


def _facts(study: Study, name: str) -> specs.DataSetRow:
    dataset, entry = study.dataset(name), study.data[name]
    prepared = prepared_folder(resolve_data(study, name))
    used = entry.images_per_class, entry.holdout_per_class
    return specs.DataSetRow(name, dataset.label, dataset.category, prepared, *used)


def _comparison(study: Study, name: str, t: outputs.ComparisonTable) -> specs.TableSpec:
    data = t.data or list(study.data)
    rows: list[specs.Row] = []
    blocks = [(metric, family) for metric in t.metrics for family in _families(study, data).items()]
    for block, (metric, (family, models)) in enumerate(blocks):

        def row(method: str, suffix: str = "", scheme: Scheme = "none") -> specs.Row:
            cells = tuple(
                specs.Cell(metric, _paths(study, d, models[d], method) if d in models else (), scheme)  # noqa: B023
                for d in data
            )
            header = (metric_label(metric), family, method_label(study, method) + suffix)  # noqa: B023
            return specs.Row(header, block, cells)  # noqa: B023

        rows += [row(method) for method in t.methods or study.methods]
        if metric in CALIBRATION_METRICS:
            rows += [row(method, " + TS", study.calibration.scheme) for method in t.calibrated]
    columns = tuple(study.dataset(d).label for d in data)
    return specs.TableSpec(
        name, t.caption, ("Metric", "Model", "Method"), columns, tuple(rows),
        "Dataset", t.published, _architectures(study, t), _few_classes(study, data, t.metrics),
    )  # fmt: skip


def _ablation(study: Study, name: str, t: outputs.AblationTable) -> specs.TableSpec:
    rows = []
    for r in t.rows:
        method = r.method or t.method
        further = {"settings": r.settings, "augmentation": r.augmentation}
        paths = _paths(study, t.data, t.model, method, **further)
        full = flatten(Run.from_path(paths[0]).full_settings.model_dump())
        header = tuple(_value(full[key]) for key in t.settings) or (r.label or method_label(study, method),)
        rows.append(specs.Row(header, 0, tuple(specs.Cell(metric, paths) for metric in t.metrics)))
    columns = tuple(metric_label(metric) for metric in t.metrics)
    return specs.TableSpec(
        name, t.caption, tuple(t.settings) or ("Method",), columns, tuple(rows),
        "Metric", t.published, _architectures(study, t), _few_classes(study, [t.data], t.metrics),
    )  # fmt: skip


def _architectures(
    study: Study, t: outputs.ComparisonTable | outputs.AblationTable
) -> tuple[tuple[str, str], ...]:
    """What published numbers are found by. A narrower or shorter network is none of the paper's and has none."""
    if t.published is None:
        return ()
    whole = {name: m for name, m in study.models.items() if not (m.width or m.growth or m.blocks)}
    return tuple((name, model.architecture or name) for name, model in whole.items())


def _few_classes(
    study: Study, data: Sequence[str], metrics: Sequence[MetricName]
) -> tuple[tuple[str, str], ...]:
    """The data sets on which one of the metrics is always 0, with their labels."""
    sets = {name: study.dataset(name) for name in data}
    return tuple(
        (name, known.label)
        for name, known in sets.items()
        if any(always_zero(metric, known.classes) for metric in metrics)
    )


def _reliability(study: Study, name: str, f: outputs.ReliabilityFigure) -> specs.ReliabilitySpec:
    data = f.data or list(study.data)
    models = _families(study, data).get(f.family, {})
    panels = []
    for dataset in (d for d in data if d in models):

        def curve(method: str, suffix: str = "", scheme: Scheme = "none") -> specs.Curve:
            paths = _paths(study, dataset, models[dataset], method)  # noqa: B023
            return specs.Curve(method_label(study, method) + suffix, method, paths, scheme)

        curves = [curve(method) for method in f.methods or study.methods]
        curves += [curve(method, " + TS", study.calibration.scheme) for method in f.calibrated]
        panels.append(specs.Panel(study.dataset(dataset).label, tuple(curves)))
    return specs.ReliabilitySpec(name, f.caption, tuple(study.methods), tuple(panels))


def _tsne(study: Study, name: str, f: outputs.TsneFigure) -> specs.TsneSpec:
    seed = study.seeds[f.seed % len(study.seeds)]
    columns = []
    for method in f.methods:
        run = run_for(study, f.data, f.model, method, seed)
        superior = Run(f.data, f.model, "baseline", seed=seed)
        columns.append(specs.TsneColumn(method_label(study, method), run.path, superior.path))
    return specs.TsneSpec(
        name, f.caption, _title(study, f.data, f.model), tuple(columns),
        f.classes, f.images_per_class, f.perplexity, f.seed,
    )  # fmt: skip


def _heatmap(study: Study, name: str, f: outputs.HeatmapFigure) -> specs.HeatmapSpec:
    def cell(x: Scalar, y: Scalar) -> specs.Cell:
        settings = {f.x.setting: x, f.y.setting: y}
        return specs.Cell(f.metric, _paths(study, f.data, f.model, f.method, settings=settings))

    return specs.HeatmapSpec(
        name, f.caption, _title(study, f.data, f.model),
        f.x.label or f.x.setting, tuple(map(_value, f.x.values)),
        f.y.label or f.y.setting, tuple(map(_value, f.y.values)),
        tuple(tuple(cell(x, y) for x in f.x.values) for y in f.y.values),
    )  # fmt: skip


def _curves(study: Study, name: str, f: outputs.CurvesFigure) -> specs.CurvesSpec:
    lines = []
    for axis in f.axes:
        cells = tuple(
            specs.Cell(f.metric, _paths(study, f.data, f.model, f.method, settings={axis.setting: value}))
            for value in axis.values
        )
        lines.append(specs.Line(axis.label or axis.setting, tuple(map(float, axis.values)), cells))
    return specs.CurvesSpec(name, f.caption, _title(study, f.data, f.model), tuple(lines))


def _learning(study: Study, name: str, f: outputs.LearningFigure) -> specs.LearningSpec:
    entry, drawn = study.tables[f.table], table(study, f.table)
    assert isinstance(entry, outputs.AblationTable)
    assert isinstance(drawn, specs.TableSpec)  # as `check` made sure
    groups = {group.label: group for group in variants(drawn)}
    chosen = tuple(groups[label] for label in f.rows or groups)
    return specs.LearningSpec(
        name, f.caption, _title(study, entry.data, entry.model), chosen, tuple(f.columns or ())
    )


def _title(study: Study, dataset: str, model: str) -> str:
    return f"{study.dataset(dataset).label}, {study.models[model].label}"


def _value(value: Scalar) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)

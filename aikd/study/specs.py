"""Tables and figures in terms of runs: all that is needed to draw one, as plain data that travels as JSON."""

from dataclasses import asdict, dataclass, fields, is_dataclass
from types import GenericAlias
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

from aikd.study.metrics import MetricName, Scheme

PUBLISHED = "_published"
"""What the name of a table is followed by where ours stands beside the published one."""


@dataclass(frozen=True)
class Spec:
    """Base: every spec is plain data, converts to and from JSON, and knows the runs it reads."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        hints = get_type_hints(cls)
        return cls(**{f.name: _build(hints[f.name], data[f.name]) for f in fields(cls)})

    @property
    def runs(self) -> list[str]:
        """Paths of all runs read, each once, in order of appearance."""
        return list(dict.fromkeys(_walk_runs(self)))


@dataclass(frozen=True)
class Cell(Spec):
    """One number: a metric over the seeds of one setting."""

    metric: MetricName
    paths: tuple[str, ...]
    """Run paths, one a seed."""
    scheme: Scheme = "none"
    """Temperature scaling applied."""


@dataclass(frozen=True)
class Row(Spec):
    """A line of a table; cells of one block and column compete for best and second."""

    header: tuple[str, ...]
    block: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class TableSpec(Spec):
    """A table of numbers (Tables 2 to 7)."""

    name: str
    caption: str
    headers: tuple[str, ...]
    """Names of the leading columns."""
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    across: Literal["Dataset", "Metric"] = "Metric"
    """What the columns are: data sets or metrics."""
    published: int | None = None
    """The table of the paper that it remakes."""
    architectures: tuple[tuple[str, str], ...] = ()
    """Models of the study that are the paper's networks, with their architectures; empty unless `published`."""
    few_classes: tuple[tuple[str, str], ...] = ()
    """Data sets of so few classes that a Top-5 error says nothing, with their labels; empty where none is asked for."""


@dataclass(frozen=True)
class DataSetRow(Spec):
    """A data set by its names; its counts are read from its manifest."""

    dataset: str
    label: str
    category: str
    prepared: str
    """Its folder within that of all data (`prepared_folder`)."""
    images_per_class: int | None = None
    """As in the study: how many training images of each class are trained on; none: all."""
    holdout_per_class: int = 0
    """As in the study: how many training images of each class are held out."""


@dataclass(frozen=True)
class DataSetsSpec(Spec):
    """Table 1; the counts come from what was really prepared."""

    name: str
    caption: str
    rows: tuple[DataSetRow, ...]
    published: int | None = None
    """The table of the paper that it remakes."""


@dataclass(frozen=True)
class Curve(Spec):
    """One line of a reliability diagram; its seeds are pooled."""

    label: str
    method: str
    """Name in the study: gives the colour, which a method keeps over all figures."""
    paths: tuple[str, ...]
    scheme: Scheme


@dataclass(frozen=True)
class Panel(Spec):
    """The reliability diagram of one data set."""

    title: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class ReliabilitySpec(Spec):
    """Figures 4 and 5."""

    name: str
    caption: str
    methods: tuple[str, ...]
    """All methods of the study, in order."""
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class TsneColumn(Spec):
    """A method's run, and the superior model it is shown against."""

    label: str
    path: str
    superior: str
    """Path of the Baseline run with the same seed."""


@dataclass(frozen=True)
class TsneSpec(Spec):
    """Figure 6."""

    name: str
    caption: str
    title: str
    columns: tuple[TsneColumn, ...]
    classes: int
    images_per_class: int | None
    perplexity: float
    seed: int


@dataclass(frozen=True)
class HeatmapSpec(Spec):
    """Figure 7a: `cells[y][x]`."""

    name: str
    caption: str
    title: str
    x_label: str
    x_values: tuple[str, ...]
    y_label: str
    y_values: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Line(Spec):
    """A metric along the values of one setting, one cell a value."""

    label: str
    values: tuple[float, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class CurvesSpec(Spec):
    """Figure 7b."""

    name: str
    caption: str
    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Group(Spec):
    """Runs that differ in their seed alone."""

    label: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class LearningSpec(Spec):
    """Learning curves of runs of one data set and model."""

    name: str
    caption: str
    title: str
    groups: tuple[Group, ...]
    columns: tuple[str, ...] = ()
    """Columns of `history.csv` that are drawn; empty: all that there are."""


@dataclass(frozen=True)
class Contest(Spec):
    """Methods that are compared with a reference, class by class, on one data set and model."""

    dataset: str
    model: str
    prepared: str
    """Folder of the data set, whose manifest names the classes, within that of all data."""
    reference: Group
    others: tuple[Group, ...]


@dataclass(frozen=True)
class ClassesSpec(Spec):
    """What the per-class comparison is made of."""

    contests: tuple[Contest, ...]


TableSpecs = TableSpec | DataSetsSpec
FigureSpecs = ReliabilitySpec | TsneSpec | HeatmapSpec | CurvesSpec | LearningSpec


def _build(hint: Any, value: Any) -> Any:
    if isinstance(hint, type) and not isinstance(hint, GenericAlias) and issubclass(hint, Spec):
        return hint.from_json(value)
    if get_origin(hint) is tuple:
        return tuple(_build(get_args(hint)[0], item) for item in value)
    return value


def _walk_runs(item: Any) -> list[str]:
    if isinstance(item, TsneColumn):
        return [item.path, item.superior]
    if isinstance(item, Cell | Curve | Group):
        return list(item.paths)
    if isinstance(item, tuple):
        return [path for part in item for path in _walk_runs(part)]
    if is_dataclass(item):
        return [path for f in fields(item) for path in _walk_runs(getattr(item, f.name))]
    return []

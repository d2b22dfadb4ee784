"""What a study's tables and figures contain."""

from typing import Annotated, Any, Literal

from pydantic import Field, Strict

from aikd.study.fields import (
    Caption,
    Count,
    Label,
    Name,
    Names,
    Positive,
    Section,
    SettingValue,
    Typed,
    Whole,
)
from aikd.study.metrics import MetricName

Metrics = Annotated[list[MetricName], Field(min_length=1)]
CountsTable = Annotated[int, Strict(), Field(ge=1, le=1), Typed]
NumbersTable = Annotated[int, Strict(), Field(ge=2, le=7), Typed]


class _Output(Section):
    caption: Caption = ""
    """Caption of the table or figure."""


class DataSetsTable(_Output):
    """Facts of the data sets (Table 1)."""

    kind: Literal["datasets"]
    """Chooses this kind of table."""
    published: CountsTable | None = None
    """1: remakes the paper's Table 1 and is set beside it, too; none: stands alone."""
    data: Names | None = None
    """Data sets, in order; none: all of the study."""


class ComparisonTable(_Output):
    """Methods against data sets (Tables 2 and 3)."""

    kind: Literal["comparison"]
    """Chooses this kind of table."""
    published: NumbersTable | None = None
    """Number of the paper's table that it remakes and is set beside, too; none: stands alone."""
    metrics: Metrics
    """One block of rows each."""
    data: Names | None = None
    """Data sets, one column each; none: all of the study."""
    methods: Names | None = None
    """Methods, one row each; none: all of the study."""
    calibrated: list[Name] = []
    """Methods that get one more row, after temperature scaling, in blocks of calibration metrics."""


class AblationRow(Section):
    """One row of an ablation: a method with some of its settings changed."""

    label: Label | None = None
    """What the row is called; none: the method's label."""
    method: Name | None = None
    """None: the table's method."""
    settings: dict[str, Any] = {}
    """Settings on top of the study's own for this method."""
    augmentation: Name = "standard"
    """On top of the data set's own crop and flip."""


class OneModel(_Output):
    """What one data set, model and method share."""

    data: Name
    """Data set."""
    model: Name
    """Model."""
    method: Name = "aikd"
    """Method that is varied."""


class AblationTable(OneModel):
    """Variants of a method on one data set and model (Tables 4 to 7)."""

    kind: Literal["ablation"]
    """Chooses this kind of table."""
    published: NumbersTable | None = None
    """Number of the paper's table that it remakes and is set beside, too; none: stands alone."""
    metrics: Metrics = ["top1_error", "top5_error"]
    """One column each."""
    settings: list[str] = []
    """Settings shown as leading columns, dotted (`critic.fc1`); none: one column of row labels."""
    rows: Annotated[list[AblationRow], Field(min_length=1)]
    """Variants, from top to bottom."""


class ReliabilityFigure(_Output):
    """Reliability diagrams, one panel a data set (Figures 4 and 5)."""

    kind: Literal["reliability"]
    """Chooses this kind of figure."""
    family: str
    """Label of the models shown: on each data set the model that carries it."""
    data: Names | None = None
    """Data sets, one panel each; none: all of the study that have such a model."""
    methods: Names | None = None
    """Methods, one curve each; none: all of the study."""
    calibrated: list[Name] = []
    """Methods drawn once more after temperature scaling."""


class TsneFigure(_Output):
    """t-SNE of penultimate features: methods by class, and student against superior (Figure 6)."""

    kind: Literal["tsne"]
    """Chooses this kind of figure."""
    data: Name
    """Data set."""
    model: Name
    """Model."""
    methods: Names
    """One column each."""
    classes: Count = 20
    """Number of classes shown, chosen by the seed, the same for every method."""
    images_per_class: Count | None = None
    """Evaluation images of each class; none: all."""
    perplexity: Positive = 30.0
    """Effective number of neighbours of a point in t-SNE."""
    seed: Whole = 0
    """Chooses the classes, the start of the optimisation, and the run (its place in the study's seeds)."""


class Axis(Section):
    """Values that one setting takes."""

    setting: str
    """Dotted name of the method's setting."""
    label: Label | None = None
    """How plots call it; none: its name."""
    values: Annotated[list[SettingValue], Field(min_length=1)]
    """Its values, in order."""


class HeatmapFigure(OneModel):
    """Mean metric over a grid of two settings (Figure 7a)."""

    kind: Literal["heatmap"]
    """Chooses this kind of figure."""
    metric: MetricName = "top1_error"
    """Shown by colour and number, as the mean over the seeds."""
    x: Axis
    """Setting from left to right."""
    y: Axis
    """Setting from bottom to top."""


class CurvesFigure(OneModel):
    """A metric with its spread along single settings, the others at the study's values (Figure 7b)."""

    kind: Literal["curves"]
    """Chooses this kind of figure."""
    metric: MetricName = "top1_error"
    """Shown as the mean with its spread over the seeds."""
    axes: Annotated[list[Axis], Field(min_length=1)]
    """One curve each."""


class LearningFigure(_Output):
    """Learning curves of chosen rows of an ablation: columns of `history.csv` over epochs."""

    kind: Literal["learning"]
    """Chooses this kind of figure."""
    table: Name
    """Ablation whose rows are drawn."""
    rows: Annotated[list[str], Field(min_length=1)] | None = None
    """Labels of its rows, one line each; none: all."""
    columns: Names | None = None
    """Columns of `history.csv`, one panel each; none: all that there are."""


Table = Annotated[DataSetsTable | ComparisonTable | AblationTable, Field(discriminator="kind")]
Figure = Annotated[
    ReliabilityFigure | TsneFigure | HeatmapFigure | CurvesFigure | LearningFigure,
    Field(discriminator="kind"),
]

"""What a study's tables and figures contain."""

from typing import Annotated, Any, Literal

from pydantic import Field

from aikd.study.fields import Count, Name, Positive, Scalar, Section, Whole
from aikd.study.metrics import MetricName


class _Output(Section):
    caption: str = ""
    """Caption of the table or figure."""


class DataSetsTable(_Output):
    """Facts of the data sets (Table 1)."""

    kind: Literal["datasets"] = "datasets"
    data: list[Name] | None = None
    """Data sets, in order; none: all of the study."""


class ComparisonTable(_Output):
    """Methods against data sets (Tables 2 and 3)."""

    kind: Literal["comparison"] = "comparison"
    metrics: list[MetricName]
    """One block of rows each."""
    data: list[Name] | None = None
    """Data sets, one column each; none: all of the study."""
    methods: list[Name] | None = None
    """Methods, one row each; none: all of the study."""
    calibrated: list[Name] = []
    """Methods that get one more row, after temperature scaling, in blocks of calibration metrics."""


class AblationRow(Section):
    """One row of an ablation: a method with some of its settings changed."""

    label: str | None = None
    """What the row is called; none: the method's label."""
    method: Name | None = None
    """None: the table's method."""
    settings: dict[str, Any] = {}
    """Settings on top of the study's own for this method."""
    augmentation: Name = "standard"


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

    kind: Literal["ablation"] = "ablation"
    metrics: list[MetricName] = ["top1_error", "top5_error"]
    """One column each."""
    settings: list[str] = []
    """Settings shown as leading columns, dotted (`critic.fc1`); none: one column of row labels."""
    rows: Annotated[list[AblationRow], Field(min_length=1)]


class ReliabilityFigure(_Output):
    """Reliability diagrams, one panel a data set (Figures 4 and 5)."""

    kind: Literal["reliability"] = "reliability"
    family: str
    """Label of the models shown: on each data set the model that carries it."""
    data: list[Name] | None = None
    methods: list[Name] | None = None
    calibrated: list[Name] = []
    """Methods drawn once more after temperature scaling."""


class TsneFigure(_Output):
    """t-SNE of penultimate features: methods by class, and student against superior (Figure 6)."""

    kind: Literal["tsne"] = "tsne"
    data: Name
    model: Name
    methods: Annotated[list[Name], Field(min_length=1)]
    """One column each."""
    classes: Count = 20
    """Number of classes shown, chosen by the seed, the same for every method."""
    images_per_class: Count | None = None
    """Evaluation images of each class; none: all."""
    perplexity: Positive = 30.0
    seed: Whole = 0
    """Chooses the classes, the start of the optimisation, and the run (its place in the study's seeds)."""


class Axis(Section):
    """Values that one setting takes."""

    setting: str
    """Dotted name of the method's setting."""
    label: str | None = None
    """How plots call it; none: its name."""
    values: Annotated[list[Scalar], Field(min_length=1)]


class HeatmapFigure(OneModel):
    """Mean metric over a grid of two settings (Figure 7a)."""

    kind: Literal["heatmap"] = "heatmap"
    metric: MetricName = "top1_error"
    x: Axis
    y: Axis

    @property
    def axes(self) -> list[Axis]:
        """Both axes."""
        return [self.x, self.y]


class CurvesFigure(OneModel):
    """A metric with its spread along single settings, the others at the study's values (Figure 7b)."""

    kind: Literal["curves"] = "curves"
    metric: MetricName = "top1_error"
    axes: Annotated[list[Axis], Field(min_length=1)]
    """One curve each."""


Table = Annotated[DataSetsTable | ComparisonTable | AblationTable, Field(discriminator="kind")]
Figure = Annotated[ReliabilityFigure | TsneFigure | HeatmapFigure | CurvesFigure, Field(discriminator="kind")]

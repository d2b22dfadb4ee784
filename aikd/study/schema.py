"""The study file: everything that is trained, evaluated, tabulated and drawn."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, Strict, WithJsonSchema, model_validator

from aikd.study.architectures import ARCHITECTURES
from aikd.study.augmentation import Augmentations
from aikd.study.catalogue import DATA_SETS, PHOTOGRAPHS, STORED_SIDE, Category, DataSet
from aikd.study.fields import (
    Blocks,
    Count,
    Flag,
    Fraction,
    Label,
    Mirror,
    Name,
    Names,
    NonNegative,
    Positive,
    Section,
    Several,
    Typed,
    Whole,
)
from aikd.study.folders import Scan, scan_or_kept
from aikd.study.outputs import Figure, Table

Seeds = Annotated[list[Whole], Field(min_length=1)]
Share = Annotated[float, Strict(), Field(gt=0, lt=1, allow_inf_nan=False), Typed]


look = cache(scan_or_kept)
"""A folder as it was when the study was read: one look, as a study asks for it again and again."""


class Recipe(Section):
    """How every run is trained (section 4.2)."""

    epochs: Count = 300
    """Passes over the training images."""
    batch_size: Several = 128
    """Images of a step; at least two, for BatchNorm."""
    learning_rate: Positive = 0.1
    """Initial learning rate of SGD."""
    milestones: list[Count] = [150, 225]
    """0-based epochs from which the learning rate is multiplied by `decay` once more."""
    decay: Positive = 0.1
    """Factor on the learning rate at each milestone."""
    momentum: Fraction = 0.9
    """Momentum of SGD."""
    nesterov: Flag = True
    """Nesterov's form of the momentum."""
    weight_decay: NonNegative = 5e-4
    """L2 penalty of all parameters, as SGD's weight decay."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the networks' forward and backward; losses and the critic are always fp32."""
    channels_last: Flag = True
    """Memory layout of images and convolutions."""

    @model_validator(mode="after")
    def _milestones_inside(self) -> Self:
        if self.milestones != sorted(set(self.milestones)) or any(m >= self.epochs for m in self.milestones):
            raise ValueError(
                f"milestones {self.milestones} must rise and lie below epochs ({self.epochs}): "
                "give both when you change one"
            )
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class Counts(Section):
    """Classes and images of a data set; preparing it fails where they differ."""

    classes: Several
    """Classes, each with images in both splits."""
    train: Count
    """Training images."""
    test: Count
    """Evaluation images."""


class DataEntry(Section):
    """A data set in the study: a published one by its name, or a folder of images under any other name."""

    models: Names
    """Models trained on it."""
    label: Label | None = None
    """Name in tables and figures, which no other data set of the study has; none: the catalogue's."""
    recipe: dict[str, Any] = {}
    """Recipe keys that differ on this data set."""
    transform: dict[str, Any] = {}
    """Transform keys that differ from the catalogue's. A `size` without `resize` scales the catalogue's with it."""
    images_per_class: Count | None = None
    """Train on that many images of each class; none: on all."""
    holdout_per_class: Whole = 0
    """Training images of each class kept away from training, for calibration or model choice."""
    folder: Path | None = None
    """A folder of one's own images: `train/<class>/…` and `test/<class>/…`, or `<class>/…` to be split."""
    test_fraction: Share = 0.2
    """Of a folder without `test/`: share of each class's images that are for testing."""
    split_seed: Whole = 0
    """Of a folder without `test/`: which images those are. The same for all seeds."""
    category: Category | None = None
    """Coarse or fine-grained; none: the catalogue's, and coarse for a folder."""
    stored_side: Count | None = None
    """Short side, in pixels, to which larger training images are reduced in the store; none: the catalogue's."""
    accept_other: Flag = False
    """Take archives that are not the published ones, where somebody placed them; the results say so."""
    counts: Counts | None = None
    """What the data set must have, in place of the published counts: for an excerpt."""

    @property
    def scan(self) -> Scan | None:
        """What the folder holds; None for a published data set.

        Raises:
            UserError: the folder cannot be read as a data set.
        """
        return look(self.folder, self.test_fraction) if self.folder else None

    @property
    def own(self) -> dict[str, Any]:
        """What the entry says of the data set itself, where it differs from the catalogue."""
        said = {"label": self.label, "category": self.category, "stored_side": self.stored_side}
        counts = self.counts.model_dump() if self.counts else {}
        return {key: value for key, value in said.items() if value is not None} | counts


Architecture = Annotated[
    Name, WithJsonSchema({"anyOf": [{"enum": list(ARCHITECTURES)}, {"type": "string"}], "type": "string"})
]


class ModelEntry(Section):
    """A network."""

    label: Label
    """Name in tables; models that share it are one family (`ResNet-18` is PreAct on 32-pixel sets)."""
    architecture: Architecture | None = None
    """None: the entry's own name."""
    width: Count | None = None
    """Channels of the first stage of a ResNet; none: 64."""
    growth: Count | None = None
    """Growth rate of a DenseNet; none: 32."""
    blocks: Annotated[list[Blocks], Field(min_length=4, max_length=4)] | None = None
    """Blocks in each of the four stages; none: the architecture's own."""
    settings: dict[str, Any] = {}
    """Settings of an extension's network."""


class When(Section):
    """Settings for some data sets or models only."""

    data: Names | None = None
    """On these data sets; none: on all."""
    category: Category | None = None
    """On data sets of this category; none: of both."""
    models: Names | None = None
    """On these models; none: on all."""
    settings: dict[str, Any]
    """Settings that hold there, on top of the method's own."""


class MethodEntry(Section):
    """A method in the study; its key is what tables and figures refer to."""

    method: Name | None = None
    """The method's code name; none: the entry's own key."""
    label: Label | None = None
    """Name in tables, which no other method of the study has; none: the method's own."""
    settings: dict[str, Any] = {}
    """Settings that differ from the method's defaults."""
    when: list[When] = []
    """Further settings, each on some data sets or models; later ones win."""


class Calibration(Section):
    """How confidence is measured and scaled (section 4.3, Table 3)."""

    bins: Count = 15
    """Equal-width bins of the expected calibration error."""
    folds: Several = 5
    """Folds of the cross-fitted temperature."""
    scheme: Literal["crossfit", "oracle", "holdout"] = "crossfit"
    """Which temperature the +TS rows show; the others stand in all_runs.csv."""


class Study(Section):
    """A study: what is trained, how, and what is made of it."""

    name: Name
    """`paper` writes to results/, any other name to results/<name>/."""
    extensions: list[str] = []
    """Python files of one's own, relative to the working directory: methods, networks, augmentations, data sets."""
    seeds: Seeds = [0, 1, 2]
    """Every result is a mean over runs with these seeds."""
    recipe: Recipe = Recipe()
    """How every run is trained."""
    data: Annotated[dict[Name, DataEntry], Field(min_length=1)]
    """Data sets, in the order of tables and figures."""
    models: Annotated[dict[Name, ModelEntry], Field(min_length=1)]
    """Networks, by the names that data sets, tables and figures use."""
    methods: Annotated[dict[Name, MethodEntry], Field(min_length=1)]
    """Methods, in the order of tables and figures."""
    augmentations: Augmentations = Augmentations()
    """Settings of Cutout, Mixup and CutMix."""
    calibration: Calibration = Calibration()
    """How confidence is measured and scaled."""
    evaluate_every: Count = 1
    """Epochs between two looks at the evaluation set while training; the last epoch is always evaluated.
    Changing it retrains nothing."""
    save_every: Count = 10
    """Epochs between two states saved to resume from, and what a killed run may lose. Changing it retrains nothing."""
    threads: Count = 1
    """CPU threads of a training or prediction job. Changing it retrains nothing."""
    compile: Flag = False
    """Whether networks are compiled (`torch.compile`) before training: minutes at the start of each job, for GPUs.
    Results agree within rounding. Changing it retrains nothing."""
    runs_per_gpu: Count = 1
    """Runs that share one GPU of a workstation: small networks leave most of it idle. Changing it retrains nothing."""
    tensorboard: Flag = False
    """Write each run's history for TensorBoard, too, in tensorboard/ within the results. Needs the package, which
    `pip install -e '.[tensorboard]'` gets. Changing it retrains nothing."""
    device_tflops: Positive = 5.0
    """Sustained training throughput of one device in 10¹² floating-point operations a second, by which times are
    planned and asked of a cluster. An assumption to be replaced by a measurement. Changing it retrains nothing."""
    longest_job: Count | None = None
    """Minutes that a cluster allows a job; none: any. No job that trains or predicts asks for more, and a run that
    needs more goes on in its next attempt. Changing it retrains nothing."""
    mirror: Mirror | None = None
    """Folder or base URL that holds the archives under their published names; the only place then asked."""
    tables: dict[Name, Table] = {}
    """Tables, each a target of its own: `snakemake table_2`."""
    figures: dict[Name, Figure] = {}
    """Figures, each a target of its own; `figure_7` stands for `figure_7a` and `figure_7b`."""

    @property
    def results(self) -> Path:
        """Folder of everything the study produces."""
        return Path("results") if self.name == "paper" else Path("results") / self.name

    def dataset(self, name: str) -> DataSet:
        """The data set as the study wants it: the catalogue's or the folder's facts under the entry's own.

        Raises:
            UserError: the folder cannot be read as a data set.
        """
        entry = self.data[name]
        found = entry.scan
        base = DATA_SETS[name] if found is None else _folder(name, found)
        transform = base.transform.changed(entry.transform)
        changed = base.model_copy(update=entry.own | {"transform": transform})
        # How an excerpt spreads over its classes is seen when it is there.
        return changed.model_copy(update={"smallest": None}) if changed.train != base.train else changed

    def recipe_for(self, dataset: str) -> Recipe:
        """The recipe on one data set."""
        return Recipe.model_validate(self.recipe.model_dump() | self.data[dataset].recipe)


def _folder(name: str, found: Scan) -> DataSet:
    """A folder's images as a data set."""
    return DataSet(
        label=name, category="coarse", classes=len(found.classes), train=found.train, test=found.test,
        smallest=min(found.classes.values()), transform=PHOTOGRAPHS, stored_side=STORED_SIDE,
    )  # fmt: skip

"""What a reader must know before believing a number: on what, how often and how long, and how far from the paper."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aikd.messages import counted, plural
from aikd.results import published
from aikd.results.origins import origins
from aikd.study.catalogue import PAPER
from aikd.study.deviations import (
    NETWORKS,
    Changes,
    architecture,
    method_changes,
    other_transform,
    recipe_changes,
    trained_elsewhere,
)
from aikd.study.methods import AIKDSettings
from aikd.study.queries import method_label
from aikd.study.resolve import prepared_folder, resolve_data
from aikd.study.run import Run
from aikd.study.schema import Calibration, ModelEntry, Study
from aikd.study.specs import CurvesSpec, FigureSpecs, HeatmapSpec, LearningSpec, ReliabilitySpec, TsneSpec

LOGITS = (
    "AI-KD's critic reads raw logits here, as section 4.2 has it. On real CIFAR-100 at a small scale the default of "
    "these pushed the student's logits slightly away from the superior model's in two of three epochs, and AI-KD's "
    "Top-1 error was about one point higher with it than without (two studies, nine seeds; 95 % interval 0.5 to 1.7). "
    "Whether that holds at other scales or settings is not known (docs/critic.md of the project)."
)
"""Said wherever AI-KD's numbers stand that come of it."""


@dataclass(frozen=True)
class Deviation:
    """A way in which a study is not the paper's experiment."""

    text: str
    dataset: str | None = None
    """Where it holds; None: wherever the others let it."""
    model: str | None = None
    method: str | None = None

    def concerns(self, runs: Iterable[Run]) -> bool:
        """Whether it holds for one of some runs."""
        return any(
            self.dataset in (None, run.dataset)
            and self.model in (None, run.model)
            and self.method in (None, run.method)
            for run in runs
        )


def deviations(study: Study, data: Path) -> list[Deviation]:
    """All ways in which a study's experiments are known not to be the paper's: one a data set, a network, a method.

    Raises:
        UserError: a manifest is damaged.
    """
    found = [Deviation(f"{counted(len(study.seeds), 'seed')} instead of {published.RUNS}")]
    found = [] if len(study.seeds) == published.RUNS else found
    for dataset in study.data:
        if said := list(_of_data(study, dataset, data)):
            found.append(Deviation(f"{study.dataset(dataset).label}: {'; '.join(said)}", dataset))
    found += [
        Deviation(f"{model.label} ({name}): {text}", model=name)
        for name, model in study.models.items()
        for text in _of_model(name, model)
    ]
    found += _of_methods(study)
    if (bins := study.calibration.bins) != (usual := Calibration().bins):
        found.append(Deviation(f"{counted(bins, 'bin')} of the calibration error instead of {usual}"))
    return found


def _of_data(study: Study, name: str, data: Path) -> Iterator[str]:
    dataset, entry = study.dataset(name), study.data[name]
    if name not in PAPER:
        yield "not among the paper's data sets"
    if other_transform(study, name):
        yield "another transform of the images"
    if entry.counts:
        yield f"an excerpt of {dataset.train:,} training and {dataset.test:,} test images"
    if entry.images_per_class:
        yield f"trained on {counted(entry.images_per_class, 'image')} of each class"
    if entry.holdout_per_class:
        yield f"{counted(entry.holdout_per_class, 'training image')} of each class held out"
    if foreign := [model for model in entry.models if trained_elsewhere(study, name, model)]:
        yield f"a network that the paper trains on other data ({', '.join(foreign)})"
    for key, (here, paper) in recipe_changes(study.recipe_for(name), dataset.category).items():
        yield f"{key.replace('_', ' ')} {_said(here)} instead of {_said(paper)}"
    for note in origins(data, {prepared_folder(resolve_data(study, name)): ()}):
        yield note.partition(": ")[2].rstrip(".")


def _of_methods(study: Study) -> Iterator[Deviation]:
    """Settings that are not the paper's: of a method, or only of its runs on a data set or a model."""
    places = [(dataset, model) for dataset, entry in study.data.items() for model in entry.models]
    for name, method in study.methods.items():
        code, label = method.method or name, method_label(study, name)
        found = {place: _with(method_changes(study, name, *place)) for place in places}
        everywhere = set(found.values())
        if len(everywhere) == 1:
            text = everywhere.pop()
            found = {}
            if text:
                yield Deviation(f"{label}: {text}", method=code)
        for (dataset, model), text in found.items():
            where = f"{study.dataset(dataset).label} with {study.models[model].label} ({model})"
            if text:
                yield Deviation(f"{label} on {where}: {text}", dataset, model, code)


def _with(changes: Changes) -> str:
    said = (f"{key} = {_said(here)} instead of {_said(paper)}" for key, (here, paper) in changes.items())
    return f"with {', '.join(said)}" if changes else ""


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _of_model(name: str, model: ModelEntry) -> Iterator[str]:
    if architecture(name, model) not in NETWORKS:
        yield "not one of the paper's networks"
    sizes = model.model_dump(include={"width", "growth", "blocks"}, exclude_none=True)
    if sizes:
        yield "another size (" + "; ".join(f"{key} {_said(value)}" for key, value in sizes.items()) + ")"


def readings(runs: Iterable[Run]) -> list[str]:
    """What the paper leaves open and some runs had to settle, where the choice is known to matter."""
    settings = (run.full_settings for run in runs)
    literal = any(isinstance(s, AIKDSettings) and s.omega and s.critic.input == "logits" for s in settings)
    return [LOGITS] if literal else []


def about(study: Study, paths: Sequence[str], deviating: Mapping[int, Deviation] | None = None) -> str:
    """One or two sentences on the runs behind a table or figure: data, seeds, epochs.

    Args:
        deviating: deviations by the numbers under which the reader has them; those that hold are named.
    """
    runs = [Run.from_path(path) for path in paths]
    if not runs:
        return ""
    sets = dict.fromkeys(run.dataset for run in runs)
    data = ", ".join(_counted(study, name) for name in sets)
    seeds = ", ".join(map(str, sorted({run.seed for run in runs})))
    epochs = list(dict.fromkeys(study.recipe_for(name).epochs for name in sets))
    said = (
        f"{data}; {plural(len({run.seed for run in runs}), 'seed')} {seeds}; {', '.join(map(str, epochs))} "
        f"{plural(max(epochs), 'epoch')}, the last is evaluated."
    )
    told = [number for number, deviation in (deviating or {}).items() if deviation.concerns(runs)]
    return said + (f" {plural(len(told), 'Deviation')} {', '.join(map(str, told))}." if told else "")


def how_to_read(spec: FigureSpecs) -> str:
    """What the marks of a figure stand for, and the units that it does not print itself."""
    match spec:
        case ReliabilitySpec():
            return (
                "Dot: the images of one bin of confidence, of all n seeds together, their accuracy against their mean "
                "confidence; on the dashed line the two are equal. Below: the share of images in each bin. ECE: mean "
                "over the n seeds."
            )
        case TsneSpec():
            return "Dot: an evaluation image, as networks of a single seed (n = 1) see it. The axes have no unit."
        case HeatmapSpec():
            return "Number and colour: mean over n seeds. Outlined: the best."
        case CurvesSpec():
            return "Dot: mean over n seeds. Bar and band: ± one sample standard deviation (none for n = 1)."
        case LearningSpec():
            return (
                "Line: mean over n seeds, of a value an epoch; band: ± one sample standard deviation (none for n = 1). "
                "Errors: percent of the images. Loss and its terms: nats, each term before its weight; critic's loss "
                "and distance, adversarial term: in the unit of what the critic reads. All others have no unit."
            )


def _counted(study: Study, name: str) -> str:
    dataset = study.dataset(name)
    return f"{dataset.label} ({trained_on(study, name):,} training, {dataset.test:,} test images)"


def trained_on(study: Study, name: str) -> int:
    """How many training images of a data set the study uses."""
    dataset, entry = study.dataset(name), study.data[name]
    if entry.images_per_class:
        return dataset.classes * entry.images_per_class
    return dataset.train - dataset.classes * entry.holdout_per_class

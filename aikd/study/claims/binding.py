"""What a claim is checked on in a study: which runs, under which conditions, or what the study lacks for it.

Claims ask for no runs of their own. They see those that the study's tables and figures need anyway.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Literal

from aikd.messages import counted
from aikd.study import queries
from aikd.study.augmentation import Augmentations
from aikd.study.catalogue import DATA_SETS, FAMILIES, PAPER
from aikd.study.claims.arms import PAPER_METHODS, Arm, arm
from aikd.study.claims.claim import Claim, Contrast, Slot, short
from aikd.study.claims.entries import paper_claims
from aikd.study.deviations import method_changes, other_transform, recipe_changes, trained_elsewhere
from aikd.study.explain import show
from aikd.study.methods import VARIED
from aikd.study.metrics import MetricName, always_zero
from aikd.study.run import Run
from aikd.study.schema import Recipe, Study
from aikd.study.specs import Cell

Scope = Literal["paper", "reduced", "other"]
"""The paper's own networks, images and epochs; its data sets under other conditions; other data sets."""

EPOCHS: int = Recipe.model_fields["epochs"].default
"""As the paper trains (section 4.2)."""
SIZED = "says how much, which only the paper's own networks, images and epochs can show"
OWN: MetricName = "top1_error"
"""What methods of the study's own are compared by."""


@dataclass(frozen=True)
class Bound:
    """A claim in a study."""

    claim: Claim
    scope: Scope | None
    """None where it cannot be checked."""
    data: str
    """Data sets that it is checked on, and what sets them apart from the paper's."""
    model: str
    """Networks, likewise."""
    contrasts: tuple[Contrast, ...]
    """Those of the claim, on the data sets of the study."""
    cells: dict[Slot, Cell]
    """The runs behind each number; empty where the claim cannot be checked."""
    missing: tuple[str, ...]
    """What the study lacks."""
    labels: dict[str, str]
    """What tables call the data sets of the study."""

    @property
    def text(self) -> str:
        """The claim in words, with what it is checked on."""
        return self.claim.text.format(data=self.data, model=self.model)

    @property
    def label(self) -> str:
        """The claim in few words."""
        return self.claim.label.format(data=self.data.split(" (")[0], model=self.model.split(" (")[0])

    def named(self, contrast: Contrast) -> str:
        """The label of one of its contrasts, as far as needed with the data set and network of this study."""
        return self.claim.named(contrast, self.labels)

    @property
    def runs(self) -> list[str]:
        """Paths of the runs that it is checked on, each once."""
        return list(dict.fromkeys(path for cell in self.cells.values() for path in cell.paths))


def bind(study: Study) -> list[Bound]:
    """Every claim of the paper, and comparisons for the study's own methods, in the study."""
    binder = _Binder(study)
    return [binder.bound(claim) for claim in [*paper_claims(), *own_claims(study)]]


def claimed_runs(study: Study) -> list[str]:
    """Paths of all runs that claims are checked on in a study, each once."""
    return list(dict.fromkeys(run for bound in bind(study) for run in bound.runs))


def own_claims(study: Study) -> Iterator[Claim]:
    """For each method that is not the paper's: better than AI-KD, and than the Baseline, on what it is trained on."""
    rivals = [name for name in ("aikd", "baseline") if name in study.methods]
    for name in (name for name in study.methods if name not in PAPER_METHODS):
        own = Arm(queries.method_label(study, name), name)
        places = [(d, n, m) for d in study.data for n, m in networks(study, d).items()]
        for (dataset, network, model), rival in product(places, rivals):
            slug = network.lower().replace("-", "") if network in FAMILIES.values() else model
            theirs, ours = ((Slot(dataset, network, side, OWN),) for side in (arm(rival), own))
            label = f"{own.label} against {arm(rival).label}"
            yield Claim(
                f"own.{name}.{rival}.{dataset}.{slug}", "own", "this study", None,
                f"Methods of this study's own: {short(OWN)}",
                f"{own.label} has a lower {short(OWN)} than {arm(rival).label} on {{data}} with {{model}}.",
                f"{label}, {{data}}, {{model}}", OWN, (Contrast(label, theirs, ours, low=0.0),),
            )  # fmt: skip


def networks(study: Study, dataset: str) -> dict[str, str]:
    """What the paper calls the networks trained on a data set, and the first model of the study that is each.

    A network that the paper does not have goes by its label, and so does a second model of one.
    """
    found: dict[str, str] = {}
    for model in study.data[dataset].models:
        entry = study.models[model]
        name = FAMILIES.get(entry.architecture or model, entry.label)
        found[f"{entry.label} ({model})" if name in found else name] = model
    return found


class _Binder:
    """Finds the runs of a study, each looked for once."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.here = [name for name in PAPER if name in study.data]
        self.labels = {name: study.dataset(name).label for name in study.data}
        self.networks = {name: networks(study, name) for name in study.data}
        self.found: dict[tuple[str, str, Arm], tuple[str, ...] | str] = {}

    @cached_property
    def trained(self) -> frozenset[str]:
        """Paths of all runs that the study's tables and figures need."""
        return frozenset(run.path for run in queries.runs_of(self.study))

    def bound(self, claim: Claim) -> Bound:
        """The claim on the runs of the study."""
        contrasts = tuple(self._placed(claim, contrast) for contrast in claim.contrasts)
        slots = list(dict.fromkeys(slot for contrast in contrasts for slot in contrast.slots))
        found = {slot: self._cell(slot) for slot in slots}
        missing = [reason for reason in found.values() if isinstance(reason, str)]
        data, model = self._data(slots), self._models(slots)
        scope = None if missing else self._scope(claim, slots)
        if scope and claim.sized and scope != "paper":
            missing, scope = [SIZED], None
        cells = {slot: cell for slot, cell in found.items() if isinstance(cell, Cell)} if scope else {}
        return Bound(claim, scope, data, model, contrasts, cells, tuple(dict.fromkeys(missing)), self.labels)

    def _placed(self, claim: Claim, contrast: Contrast) -> Contrast:
        """The contrast on data sets of the study. One that has none of the paper's gets claims on CIFAR-100."""
        if claim.pooled:
            places = [d for d in self.here or self.study.data if contrast.plus[0].network in self.networks[d]]
            first, second = contrast.plus[:1], contrast.minus[:1]
            plus = tuple(slot._replace(dataset=place) for place in places for slot in first)
            minus = tuple(slot._replace(dataset=place) for place in places for slot in second)
            return replace(contrast, plus=plus or contrast.plus, minus=minus or contrast.minus)
        if self.here:
            return contrast
        stand_in = {PAPER[0]: next(iter(self.study.data))}
        plus, minus = (
            tuple(slot._replace(dataset=stand_in.get(slot.dataset, slot.dataset)) for slot in side)
            for side in (contrast.plus, contrast.minus)
        )
        return replace(contrast, plus=plus, minus=minus)

    def _cell(self, slot: Slot) -> Cell | str:
        """The runs behind a number, or what is missing."""
        paths = self._paths(slot.dataset, slot.network, slot.arm._replace(scaled=False))
        if isinstance(paths, str):
            return paths
        if always_zero(slot.metric, classes := self.study.dataset(slot.dataset).classes):
            return f"{short(slot.metric)} is always 0 with {classes} classes"
        return Cell(slot.metric, paths, self.study.calibration.scheme if slot.arm.scaled else "none")

    def _paths(self, dataset: str, network: str, arm: Arm) -> tuple[str, ...] | str:
        key = dataset, network, arm._replace(label="")
        if key not in self.found:
            self.found[key] = self._search(dataset, network, arm)
        return self.found[key]

    def _search(self, dataset: str, network: str, arm: Arm) -> tuple[str, ...] | str:
        study = self.study
        if dataset not in study.data:
            return f"no {DATA_SETS[dataset].label}"
        label = self.labels[dataset]
        if network not in self.networks[dataset]:
            return f"no {network} on {label}"
        entry = study.methods.get(arm.method)
        if entry is None or (arm.method in PAPER_METHODS and entry.method not in (None, arm.method)):
            return f"no {arm.label}"
        model, settings = self.networks[dataset][network], dict(arm.settings)
        runs = [
            queries.run_for(study, dataset, model, arm.method, seed, settings, arm.augmentation)
            for seed in study.seeds
        ]
        if arm.method in PAPER_METHODS and _varied(runs[0]) != _varied(
            Run(dataset, model, arm.method, settings)
        ):
            return f"{arm.label} has other settings here ({runs[0].path})"
        if not self.trained.issuperset(paths := tuple(run.path for run in runs)):
            return f"no runs of {arm.label} on {label} with {network}"
        return paths

    def _scope(self, claim: Claim, slots: Sequence[Slot]) -> Scope:
        if any(slot.dataset not in PAPER for slot in slots):
            return "other"
        whole = not claim.pooled or {slot.dataset for slot in slots} == set(PAPER)
        return "paper" if whole and not any(self._changes(slot) for slot in slots) else "reduced"

    def _changes(self, slot: Slot) -> list[str]:
        return self._changes_of_data(slot.dataset, [slot]) + self._changes_of_model(slot)

    def _data(self, slots: Sequence[Slot]) -> str:
        on: dict[str, list[Slot]] = {}
        for slot in slots:
            on.setdefault(slot.dataset, []).append(slot)
        changes = {name: self._changes_of_data(name, there) for name, there in on.items()}
        if len(on) > 2:
            kinds = {tuple(found) for found in changes.values()}
            same = next(iter(kinds)) if len(kinds) == 1 else ("not all as in the paper",)
            return _said(f"{len(on)} data sets together", same)
        known = self.labels | {name: DATA_SETS[name].label for name in on if name not in self.study.data}
        return " and ".join(_said(known[name], found) for name, found in changes.items())

    def _models(self, slots: Sequence[Slot]) -> str:
        labels: dict[str, None] = {}
        for slot in slots:
            model = self._model(slot)
            label = self.study.models[model].label if model else slot.network
            labels[_said(label, self._changes_of_model(slot))] = None
        return " and ".join(labels)

    def _model(self, slot: Slot) -> str | None:
        return self.networks.get(slot.dataset, {}).get(slot.network)

    def _changes_of_data(self, name: str, slots: Sequence[Slot]) -> list[str]:
        """What is not as in the paper of the images of a data set, and of the training on them."""
        entry = self.study.data.get(name)
        if entry is None:
            return []
        used, held, recipe = entry.images_per_class, entry.holdout_per_class, self.study.recipe_for(name)
        changes = [f"{counted(used, 'image')} a class"] if used else []
        changes += [f"{counted(held, 'image')} a class held out"] if held else []
        changes += ["an excerpt"] if entry.counts else []
        changes += ["another transform"] if other_transform(self.study, name) else []
        changes += [counted(recipe.epochs, "epoch")] if recipe.epochs != EPOCHS else []
        if name not in PAPER:
            return changes
        found = recipe_changes(recipe, self.study.dataset(name).category)
        # Milestones come with the epochs, and rounding is no other training.
        implied = {"epochs", "precision", *(["milestones"] if "epochs" in found else [])}
        changes += [
            f"{key.replace('_', ' ')} {show(here)}" for key, (here, _) in found.items() if key not in implied
        ]
        ours, paper = self.study.augmentations, Augmentations()
        added = dict.fromkeys(slot.arm.augmentation for slot in slots)
        changes += [f"another {kind}" for kind in added if ours.of(kind) != paper.of(kind)]
        return changes + self._changes_of_rivals(slots)

    def _changes_of_rivals(self, slots: Sequence[Slot]) -> list[str]:
        """Settings of the other methods that are not the paper's. AI-KD's own are asked for by claims, or readings."""
        found: dict[str, None] = {}
        for slot in slots:
            model, name = self._model(slot), slot.arm.method
            if model and name in self.study.methods and name in PAPER_METHODS and name != "aikd":
                for key, (here, _) in method_changes(self.study, name, slot.dataset, model).items():
                    found[f"{slot.arm.label} with {key} = {show(here)}"] = None
        return list(found)

    def _changes_of_model(self, slot: Slot) -> list[str]:
        """What sets a network apart from the paper's."""
        model = self._model(slot)
        if model is None:
            return []
        entry = self.study.models[model]
        changes = [f"width {entry.width}"] if entry.width else []
        changes += [f"growth {entry.growth}"] if entry.growth else []
        changes += ["blocks " + "-".join(map(str, entry.blocks))] if entry.blocks else []
        kind = trained_elsewhere(self.study, slot.dataset, model)
        return changes + ([f"the paper's for {kind} data"] if kind else [])


def _varied(run: Run) -> list[tuple[str, object]]:
    return [(key, value) for key, value in run.settings if key in VARIED]


def _said(label: str, changes: Sequence[str]) -> str:
    return f"{label} ({', '.join(changes)})" if changes else label

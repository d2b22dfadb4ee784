"""What the workflow's rules ask of a study: inputs, targets and settings, each computed once."""

import hashlib
import json
import shlex
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from aikd.engine.archives import archives_of, wanted_from
from aikd.errors import UserError
from aikd.results.report.latex import missing
from aikd.study import queries, specs
from aikd.study.beside import LEARNING, classes, learning_curves
from aikd.study.catalogue import DATA_SETS
from aikd.study.check import check_run
from aikd.study.claims.binding import claimed_runs
from aikd.study.costs.data import prepared_bytes
from aikd.study.costs.memory import memory
from aikd.study.costs.times import minutes, stated
from aikd.study.costs.work import work
from aikd.study.explain import nearest
from aikd.study.layout import HISTORY, MANIFEST, METRICS, MODEL, PREDICTIONS, RUNS
from aikd.study.load import check_study
from aikd.study.resolve import prepared_folder, resolve, resolve_data
from aikd.study.run import Run
from aikd.study.schema import Study
from aikd.study.targets import file_of

DATA = "data"
SNAKEMAKE = 300
"""MB that Snakemake itself takes within a cluster's job (measured: 260 in two processes)."""
PREPARING = 1200
"""MB that preparing takes at most: 0.98 GiB were measured, for photographs of 50 megapixels."""
KNOBS = (
    *("evaluate_every", "save_every", "threads", "compile", "tensorboard", "runs_per_gpu"),
    *("device_tflops", "longest_job", "mirror"),
)
"""Keys of a study that only change how fast or when its results come."""
_KINDS: dict[type, str] = {
    specs.DataSetsSpec: "datasets",
    specs.TableSpec: "numbers",
    specs.ReliabilitySpec: "reliability",
    specs.TsneSpec: "tsne",
    specs.HeatmapSpec: "heatmap",
    specs.CurvesSpec: "curves",
    specs.LearningSpec: "learning",
}


class _Needs(NamedTuple):
    """What a run's jobs need."""

    memory: int
    """Main memory, in MB."""
    training: float
    """Seconds that training is planned to take."""
    predicting: float
    """Seconds that predicting is planned to take."""


class Workflow:
    """A study as files. Methods that take wildcards serve as Snakemake's input and params functions.

    Raises:
        UserError: something in the configuration is not allowed.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.study: Study = check_study(config)
        self.study_json = json.dumps(
            config, default=str
        )  # in its own order, which is that of tables and figures
        self.results = str(self.study.results)
        self.runs = f"{self.results}/{RUNS}"
        self.spec = cache(self._spec)
        self.settings_of = cache(self._settings_of)
        self.needs_of = cache(self._needs_of)
        self.manifest_of = cache(self._manifest_of)

    @cached_property
    def learning(self) -> dict[str, specs.LearningSpec]:
        """The figures of learning curves, by name."""
        return learning_curves(self.study, self.spec)

    def _spec(self, name: str) -> specs.TableSpecs | specs.FigureSpecs:
        if name.startswith(LEARNING) and name in self.learning:
            return self.learning[name]
        known = [*self.study.tables, *self.study.figures]
        if name not in known:
            raise SystemExit(f"{name}: the study has no such table or figure; it has: {', '.join(known)}")
        return queries.spec(self.study, name)

    def folder(self, wildcards: Any, input: Any) -> str:
        """The folder of the results, as a param that Snakemake does not compare (it asks for `input`)."""
        return self.results

    def train_options(self, wildcards: Any, threads: int) -> str:
        """How to train what the settings say: not compared (it asks for `threads`), so it retrains nothing."""
        study = self.study
        return (
            (
                f"--evaluate-every {study.evaluate_every} --save-every {study.save_every}"
                f" --runs-per-gpu {study.runs_per_gpu}"
            )
            + (" --compile" if study.compile else "")
            + (" --tensorboard" if study.tensorboard else "")
        )

    def predict_options(self, wildcards: Any, threads: int) -> str:
        """How to predict; not compared, as above."""
        settings = json.loads(self.settings(wildcards))
        extension = settings["model"].get("extension")
        options = f"--runs-per-gpu {self.study.runs_per_gpu}"
        return f"{options} --extension {shlex.quote(extension['file'])}" if extension else options

    def _settings_of(self, path: str) -> str:
        run = Run.from_path(path)
        check_run(self.study, run)
        return json.dumps(resolve(self.study, run), sort_keys=True)

    def settings(self, wildcards: Any) -> str:
        """The run's resolved settings as one JSON text: what makes Snakemake train it again when they change.

        Ends the program with a message where somebody asked for a run that cannot be.
        """
        try:
            return self.settings_of(f"{wildcards.dataset}/{wildcards.run}")
        except UserError as error:
            # Any other exception would reach the user as a traceback through Snakemake's internals.
            raise SystemExit(f"{wildcards.dataset}/{wildcards.run}: {error}") from None

    def _manifest_of(self, dataset: str) -> str:
        if dataset not in self.study.data:
            known = ", ".join(self.study.data)
            raise SystemExit(f"{dataset}: the study has no such data set; it has: {known}")
        return f"{DATA}/{prepared_folder(resolve_data(self.study, dataset))}/{MANIFEST}"

    def manifest(self, wildcards: Any) -> str:
        """The manifest of the data that a run is trained on."""
        return self.manifest_of(wildcards.dataset)

    def data_settings(self, wildcards: Any) -> str:
        """What a data set is prepared from and how, as one JSON text; its digest names the folder."""
        wanted, found = f"{DATA}/{wildcards.dataset}/{wildcards.digest}/{MANIFEST}", self.manifest(wildcards)
        if wanted != found:
            raise SystemExit(f"{wanted}: not what the study prepares; that is {found}")
        return json.dumps(resolve_data(self.study, wildcards.dataset), sort_keys=True)

    def archives(self, wildcards: Any) -> list[str]:
        """Receipts of the archives that a data set is made of."""
        return [f"{DATA}/downloads/{name}.json" for name in archives_of(wildcards.dataset)]

    def download_options(self, wildcards: Any, output: Any) -> str:
        """Where to look for an archive and what to accept; not compared (it asks for `output`)."""
        mirror, accept_other = wanted_from(self.study, wildcards.archive)
        option = f" --mirror {shlex.quote(mirror)}" if mirror else ""
        return option + (" --accept-other" if accept_other else "")

    def prepare_memory(self, wildcards: Any, attempt: int) -> int:
        """Main memory, in MB, that preparing a data set may take; more with each attempt.

        Archives and folders are read image by image. An extension has its whole data set in memory, twice while it is
        put together.
        """
        name = wildcards.dataset
        arrays = 2 * prepared_bytes(name, self.study.dataset(name)) // 10**6 if name in DATA_SETS.own else 0
        return attempt * (PREPARING + arrays) + SNAKEMAKE

    def memory(self, wildcards: Any, attempt: int) -> int:
        """Main memory, in MB, that training or predicting a run may take; more with each attempt."""
        return attempt * self._needs(wildcards).memory + SNAKEMAKE

    def runtime(self, wildcards: Any, attempt: int) -> int:
        """Minutes that training a run may take, start-up included; more with each attempt."""
        return self._allowed(minutes(self._needs(wildcards).training, attempt))

    def predict_runtime(self, wildcards: Any, attempt: int) -> int:
        """Minutes that predicting with a run may take; more with each attempt."""
        return self._allowed(minutes(self._needs(wildcards).predicting, attempt))

    def _allowed(self, wanted: int) -> int:
        return min(wanted, self.study.longest_job or wanted)

    def _needs(self, wildcards: Any) -> _Needs:
        self.settings(wildcards)  # ends the program with a message where there is no such run
        return self.needs_of(f"{wildcards.dataset}/{wildcards.run}")

    def _needs_of(self, path: str) -> _Needs:
        settings: dict[str, Any] = json.loads(self.settings_of(path))
        dataset = self.study.dataset(settings["data"]["name"])
        done = work(settings, dataset, self.study.evaluate_every)
        speed = stated(self.study.device_tflops, done)
        return _Needs(memory(settings, dataset), speed.training(done), speed.predicting(done))

    def superior(self, wildcards: Any) -> list[str]:
        """The superior model that a run learns from, or nothing."""
        superior = json.loads(self.settings(wildcards))["superior"]
        return [f"{self.runs}/{superior}/{MODEL}"] if superior else []

    def spec_json(self, wildcards: Any) -> str:
        """A table or figure in terms of runs, as one JSON text."""
        spec = self.spec(wildcards.name)
        return json.dumps({"kind": _KINDS[type(spec)]} | spec.to_json(), sort_keys=True)

    def inputs(self, wildcards: Any) -> list[str]:
        """The files that a table or figure is made of."""
        spec = self.spec(wildcards.name)
        if isinstance(spec, specs.DataSetsSpec):
            return [self.manifest_of(row.dataset) for row in spec.rows]
        return self.metrics(spec.runs, file_of(spec))

    @cached_property
    def classes(self) -> specs.ClassesSpec:
        """What is compared class by class."""
        return classes(self.study, self.spec)

    def classes_json(self) -> str:
        """The same as one JSON text."""
        return json.dumps({"kind": "classes"} | self.classes.to_json(), sort_keys=True)

    def class_files(self) -> list[str]:
        """The files that the per-class comparison is made of."""
        manifests = [f"{DATA}/{contest.prepared}/{MANIFEST}" for contest in self.classes.contests]
        return [*dict.fromkeys(manifests), *self.metrics(self.classes.runs, PREDICTIONS)]

    def everything(self) -> list[str]:
        """What report and document are both made of: tables, figures, and what runs say of themselves."""
        files = [file for name in [*self.study.tables, *self.study.figures] for file in self.files_of(name)]
        files += [file for name in self.learning for file in self.files_of(name)]
        files += [f"{self.results}/{name}.csv" for name in ("all_runs", "costs", "classes")]
        return files + self.metrics(self.all_runs(), HISTORY)

    def whole_study(self, wildcards: Any, input: Any) -> str:
        """The study as one JSON text; not compared (it asks for `input`), as much in it changes no result."""
        return self.study_json

    def shown(self, wildcards: Any) -> str:
        """A digest of what the report and the paper show of the study beyond the files that they are made of."""
        names = [*self.study.tables, *self.study.figures, *self.learning]
        parts = [self.study.name, *(json.dumps(self.spec(name).to_json()) for name in names)]
        parts += map(self.settings_of, self.all_runs())
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def lacking(self, wildcards: Any) -> str:
        """What this machine lacks to set the document as a PDF: once it is there, the document is made again.

        Nothing where there is a PDF: one that was made elsewhere is not given up for what is missing here.
        """
        return "" if Path(f"{self.results}/paper.pdf").exists() else missing() or ""

    def metrics(self, runs: list[str], file: str = METRICS) -> list[str]:
        """One file of each run."""
        return [f"{self.runs}/{run}/{file}" for run in runs]

    def all_runs(self) -> list[str]:
        """Paths of all runs of the study."""
        return [run.path for run in queries.runs_of(self.study)]

    def runs_json(self) -> str:
        """Paths of all runs as one JSON text."""
        return json.dumps({"runs": self.all_runs()})

    def claims_spec(self, wildcards: Any) -> str:
        """The study as one JSON text, without what changes no result: speed knobs, and defaults written out."""
        study = self.study.model_dump(mode="json", exclude_defaults=True, exclude=set(KNOBS))
        for name, entry in study["methods"].items():
            differing = Run("", "", entry.get("method", name), entry.pop("settings", {})).settings
            if differing:
                entry["settings"] = dict(differing)
        return json.dumps(study)

    @cached_property
    def claimed_runs(self) -> list[str]:
        """Paths of the runs that the paper's claims are checked on."""
        return claimed_runs(self.study)

    def claimed(self, wildcards: Any) -> list[str]:
        """The files that the paper's claims are checked on."""
        return self.metrics(self.claimed_runs)

    def claims_files(self) -> list[str]:
        """The files that say which of the paper's claims hold. Where none can be checked, nothing is drawn."""
        kinds = ("pdf", "png") if self.claimed_runs else ()
        figures = [f"{self.results}/figures/claims.{kind}" for kind in kinds]
        return [f"{self.results}/claims.csv", f"{self.results}/claims.md", *figures]

    def learning_targets(self) -> dict[str, list[str]]:
        """What learning curves can be asked for by, and the files of each: all at once, or each figure."""
        each = {name: self.files_of(name) for name in self.learning}
        return {"learning_curves": [file for files in each.values() for file in files]} | each

    def targets(self) -> list[str]:
        """Names that can be asked for on the command line."""
        return queries.targets(self.study)

    def files_of(self, target: str) -> list[str]:
        """The files of a target."""
        files = []
        for name in [target] if target in self.learning else queries.outputs_of(self.study, target):
            table = self.study.tables.get(name)
            folder, kinds = ("tables", ("tex", "csv", "md")) if table else ("figures", ("pdf", "png"))
            stems = [name, name + specs.PUBLISHED] if table and table.published else [name]
            files += [f"{self.results}/{folder}/{stem}.{kind}" for stem in stems for kind in kinds]
        return files


def no_such_target(name: str, known: Sequence[str]) -> NoReturn:
    """Ends the program with a message that names the nearest of the `known` rules."""
    raise SystemExit(
        f"{name}: the study has no such target{nearest(name, known)}; it has: {', '.join(known)}"
    )


def code(*patterns: str) -> list[str]:
    """Source files that a rule's results depend on, so that a change in them makes those results again.

    Training and prediction name none: a new version of the mathematics is announced by RECIPE_VERSION, so that a
    comment cannot cost a GPU-month.
    """
    package = Path(__file__).parent
    root = package.parent
    return sorted(str(path.relative_to(root)) for pattern in patterns for path in package.glob(pattern))

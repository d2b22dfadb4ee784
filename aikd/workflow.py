"""What the workflow's rules ask of a study: inputs, targets and settings, each computed once."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from aikd.errors import UserError
from aikd.study import queries, specs
from aikd.study.check import check_run
from aikd.study.layout import MANIFEST, METRICS, MODEL, PREDICTIONS, RUNS
from aikd.study.load import check_study
from aikd.study.resolve import resolve
from aikd.study.run import Run
from aikd.study.schema import Study

DATA = "data"
_KINDS: dict[type, str] = {
    specs.DataSetsSpec: "datasets",
    specs.TableSpec: "numbers",
    specs.ReliabilitySpec: "reliability",
    specs.TsneSpec: "tsne",
    specs.HeatmapSpec: "heatmap",
    specs.CurvesSpec: "curves",
}


class Workflow:
    """A study as files. Methods that take wildcards serve as Snakemake's input and params functions.

    Raises:
        UserError: something in the configuration is not allowed.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.study: Study = check_study(config)
        self.results = str(self.study.results)
        self.runs = f"{self.results}/{RUNS}"
        self.spec = cache(self._spec)
        self.settings_of = cache(self._settings_of)

    def _spec(self, name: str) -> specs.TableSpecs | specs.FigureSpecs:
        known = [*self.study.tables, *self.study.figures]
        if name not in known:
            raise SystemExit(f"{name}: the study has no such table or figure; it has: {', '.join(known)}")
        return queries.spec(self.study, name)

    def folder(self, wildcards: Any, input: Any) -> str:
        """The folder of the results, as a param that Snakemake does not compare (it asks for `input`)."""
        return self.results

    def evaluate_every(self, wildcards: Any, threads: int) -> int:
        """Epochs between evaluations: not compared either (it asks for `threads`), so it retrains nothing."""
        return self.study.evaluate_every

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
            return [f"{DATA}/{row.dataset}/{MANIFEST}" for row in spec.rows]
        return self.metrics(spec.runs, PREDICTIONS if isinstance(spec, specs.TsneSpec) else METRICS)

    def metrics(self, runs: list[str], file: str = METRICS) -> list[str]:
        """One file of each run."""
        return [f"{self.runs}/{run}/{file}" for run in runs]

    def all_runs(self) -> list[str]:
        """Paths of all runs of the study."""
        return [run.path for run in queries.runs_of(self.study)]

    def runs_json(self) -> str:
        """Paths of all runs as one JSON text."""
        return json.dumps({"runs": self.all_runs()})

    def targets(self) -> list[str]:
        """Names that can be asked for on the command line."""
        return queries.targets(self.study)

    def files_of(self, target: str) -> list[str]:
        """The files of a target."""
        tables, names = self.study.tables, queries.outputs_of(self.study, target)
        made = [
            ("tables", ("tex", "csv", "md")) if name in tables else ("figures", ("pdf", "png"))
            for name in names
        ]
        return [
            f"{self.results}/{folder}/{name}.{kind}"
            for name, (folder, kinds) in zip(names, made, strict=True)
            for kind in kinds
        ]


def code(*patterns: str) -> list[str]:
    """Source files that a rule's results depend on, so that a change in them makes those results again.

    Training and prediction name none: a new version of the mathematics is announced by RECIPE_VERSION, so that a
    comment cannot cost a GPU-month.
    """
    package = Path(__file__).parent
    root = package.parent
    return sorted(str(path.relative_to(root)) for pattern in patterns for path in package.glob(pattern))

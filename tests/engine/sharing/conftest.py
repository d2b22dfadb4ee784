"""A small study with two finished runs, as a project's folder."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from aikd.engine import jobs
from aikd.engine.evaluation import evaluate
from aikd.engine.sharing.packing import pack
from aikd.engine.sharing.snakemake_records import record_path
from aikd.engine.sources import prepare
from aikd.files import write_json
from aikd.study import queries
from aikd.study.load import load_study
from aikd.study.resolve import resolve, resolve_data

STUDY = """
name: shared
seeds: [0]
recipe: {epochs: 1, batch_size: 256, learning_rate: 0.1, milestones: []}
data:
  digits: {models: [net], images_per_class: 40}
models:
  net: {label: Net, architecture: preact_resnet18, width: 4, blocks: [1, 1, 1, 1]}
methods:
  baseline: {}
  pskd: {}
tables:
  table_1: {kind: datasets, caption: Data.}
  table_2: {kind: ablation, caption: Errors., metrics: [top1_error], data: digits, model: net, method: pskd,
    rows: [{label: Baseline, method: baseline}, {label: PS-KD}]}
figures:
  figure_6: {kind: tsne, caption: Features., data: digits, model: net, methods: [baseline]}
"""
BASELINE, PSKD = "digits/net/baseline/seed0", "digits/net/pskd/seed0"
FILES = ("train.json", "history.csv", "predictions.safetensors", "metrics.json")


@dataclass(frozen=True)
class Home:
    """A project's folder."""

    root: Path

    @property
    def study(self) -> Path:
        return self.root / "mine.yaml"

    @property
    def results(self) -> Path:
        return self.root / "results" / "shared"

    def file(self, run: str, name: str) -> Path:
        return self.results / "runs" / run / name


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The study, run to its end by hand, with records as Snakemake leaves them."""
    home = Home(tmp_path_factory.mktemp("made"))
    home.study.write_text(STUDY)
    study, data = load_study(home.study), home.root / "data"
    prepare(resolve_data(study, "digits"), data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIKD_DEVICE", "cpu")
        for run in queries.runs_of(study):
            jobs.train(resolve(study, run), home.results, data, 1)
            jobs.predict(run.path, home.results, data)
            evaluate(run.path, home.results, 15, 5)
            for name in (*FILES, "model.safetensors"):
                output = f"results/shared/runs/{run.path}/{name}"
                write_json(
                    record_path(home.root, output), {"rule": "made", "incomplete": False, "of": output}
                )
    return home


@pytest.fixture(scope="session")
def archive(made: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("archives") / "shared.tar"
    pack(made.study, made.results, made.root / "data", target, root=made.root)
    return target


@pytest.fixture
def home(made: Home, tmp_path: Path) -> Home:
    """A copy of it, to damage."""
    return Home(Path(shutil.copytree(made.root, tmp_path / "home")))

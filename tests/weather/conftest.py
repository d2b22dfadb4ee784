"""A small finished study to which bad things happen."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aikd.cli import main
from aikd.engine.store import write_prepared
from aikd.study.methods import METHODS
from aikd.study.resolve import resolve
from aikd.study.run import Run
from aikd.study.schema import Study
from aikd.study.specs import Cell, CurvesSpec, Line, Row, TableSpec, TsneColumn, TsneSpec
from tests.conftest import DIGITS
from tests.weather import rooms

EPOCHS = 4
NET = {"label": "Net", "architecture": "preact_resnet18", "width": 4, "blocks": [1, 1, 1, 1]}
BASELINE, STUDENT = "digits/net/baseline/seed0", "digits/net/tfkd/seed0"
OTHER = "digits/net/baseline/seed1"
RUNS = (BASELINE, OTHER)


@dataclass(frozen=True)
class Project:
    """Results and data, and the commands that work on them."""

    root: Path

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def data(self) -> Path:
        return self.root / "data"

    def file(self, run: str, name: str) -> Path:
        return self.results / "runs" / run / name

    def settings(self, run: str, **recipe: Any) -> dict[str, Any]:
        study = Study.model_validate(
            {
                "name": "weather",
                "recipe": {"epochs": EPOCHS, "milestones": [2], "batch_size": 8, "learning_rate": 0.01}
                | recipe,
                "data": {"digits": {"models": ["net"]}},
                "models": {"net": NET},
                "methods": {name: {} for name in METHODS},
            }
        )
        return resolve(study, Run.from_path(run))

    def train(self, run: str, *options: str, **recipe: Any) -> list[str]:
        settings = json.dumps(self.settings(run, **recipe))
        return ["train", "--settings", settings, *self.places(), *options]

    def predict(self, run: str) -> list[str]:
        return ["predict", run, *self.places()]

    def calibrate(self, run: str) -> list[str]:
        return ["calibrate", run, "--results", str(self.results)]

    def table(self) -> list[str]:
        cells = (Cell("top1_error", RUNS), Cell("ece", RUNS))
        spec = TableSpec("table_2", "Results.", ("Method",), ("Top-1", "ECE"), (Row(("A",), 0, cells),))
        return ["table", *self.spec("numbers", spec), *self.places(), "--to", str(self.results / "tables")]

    def curves(self) -> list[str]:
        line = Line("ω", (0.0, 1.0), (Cell("top1_error", RUNS), Cell("top1_error", RUNS[:1])))
        return self.figure("curves", CurvesSpec("figure_7b", "", "Digits", (line,)))

    def tsne(self) -> list[str]:
        columns = (TsneColumn("Baseline", OTHER, BASELINE),)
        return self.figure("tsne", TsneSpec("figure_6", "", "Digits", columns, 10, None, 30.0, 0))

    def figure(self, kind: str, spec: Any) -> list[str]:
        results = str(self.results)
        return ["figure", *self.spec(kind, spec), "--results", results, "--to", f"{results}/figures"]

    def collect(self) -> list[str]:
        runs = json.dumps({"runs": RUNS})
        return ["collect", "--runs", runs, "--results", str(self.results), "--to", str(self.results)]

    def spec(self, kind: str, spec: Any) -> list[str]:
        return ["--spec", json.dumps({"kind": kind} | spec.to_json())]

    def places(self) -> list[str]:
        return ["--results", str(self.results), "--data", str(self.data)]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two Baseline runs on 40 images, with all that is made of them."""
    project = Project(tmp_path_factory.mktemp("template"))
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (80, 3, 8, 8), dtype=np.uint8), np.arange(80) % 10
    splits: Any = {"train": (images[:40], labels[:40]), "test": (images[40:], labels[40:])}
    write_prepared(project.data / DIGITS, "digits", [str(digit) for digit in range(10)], splits, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIKD_DEVICE", "cpu")
        for run in RUNS:
            for command in (project.train(run), project.predict(run), project.calibrate(run)):
                assert main(command) == 0
        for command in (project.table(), project.curves(), project.collect()):
            assert main(command) == 0
    return project.root


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of the finished study."""
    monkeypatch.setenv("AIKD_DEVICE", "cpu")
    shutil.copytree(template, tmp_path / "project")
    return Project(tmp_path / "project")


@pytest.fixture(params=["limit", "small disk"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[rooms.Room]:
    """A folder in which room can run out, in two ways."""
    if request.param == "small disk":
        with rooms.small(tmp_path / "disk") as disk:
            yield disk
    else:
        (tmp_path / "disk").mkdir()
        limited = rooms.Limited(tmp_path / "disk")
        yield limited
        limited.relent()


@pytest.fixture
def cramped(room: rooms.Room, template: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of the finished study on that disk."""
    monkeypatch.setenv("AIKD_DEVICE", "cpu")
    shutil.copytree(template, room.folder / "project")
    return Project(room.folder / "project")


Refused = Callable[[list[str]], str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that ends with 1 and one line; returns what it says after its name."""

    def run(command: list[str]) -> str:
        capsys.readouterr()
        code = main(command)
        shown = capsys.readouterr()
        *progress, line = shown.err.splitlines()
        assert (code, shown.out) == (1, ""), shown
        assert line.startswith(f"aikd {command[0]}: ")
        assert all(said.startswith(("epoch ", "digits")) for said in progress), shown.err
        return line.removeprefix(f"aikd {command[0]}: ")

    return run

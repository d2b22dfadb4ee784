"""What Snakemake asks for the report, the document, learning curves and the comparison class by class."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aikd.commands.results import _spec
from aikd.results.report.latex import missing
from aikd.study.specs import ClassesSpec
from aikd.workflow import Workflow
from tests.conftest import DEMO, PAPER, changed, parsed

RUNS = "results/demo/runs/digits"


@pytest.fixture(scope="module")
def demo() -> Workflow:
    return Workflow(parsed(DEMO))


def shown(**changes: Any) -> str:
    return Workflow(changed(parsed(DEMO), changes)).shown(SimpleNamespace())


def test_learning_curves_are_made_of_histories(demo: Workflow) -> None:
    inputs = demo.inputs(SimpleNamespace(name="learning_table_5"))
    weights = ("omega=0/", "", "omega=1/")
    runs = [f"preact_resnet18/aikd/{weight}seed{seed}" for weight in weights for seed in range(3)]
    assert inputs == [f"{RUNS}/{run}/history.csv" for run in runs]
    assert json.loads(demo.spec_json(SimpleNamespace(name="learning_table_5")))["kind"] == "learning"


def test_learning_curves_can_be_asked_for_one_by_one_or_all_at_once(demo: Workflow) -> None:
    targets = demo.learning_targets()
    pairs = [f"digits_{model}" for model in ("preact_resnet18", "densenet121_3x3")]
    names = [f"learning_{name}" for name in [*pairs, *(f"table_{n}" for n in (4, 5, 6, 7))]]
    assert list(targets) == ["learning_curves", *names]
    each = [[f"results/demo/figures/{name}.{kind}" for kind in ("pdf", "png")] for name in names]
    assert list(targets.values()) == [[file for files in each for file in files], *each]
    assert not set(targets) & set(demo.targets())


def test_class_by_class_is_made_of_the_predictions_of_what_is_compared(demo: Workflow) -> None:
    manifest, *predictions = demo.class_files()
    small, dense = (
        ["baseline", "cskd", "tfkd", "pskd", "aikd"],
        ["baseline", "cskd", "tfkd/alpha=0.9,temperature=20"],
    )
    runs = [f"preact_resnet18/{method}" for method in small]
    runs += [f"densenet121_3x3/{method}" for method in [*dense, "pskd", "aikd"]]
    assert manifest == demo.manifest(SimpleNamespace(dataset="digits"))
    assert predictions == [
        f"{RUNS}/{r}/seed{seed}/predictions.safetensors" for r in runs for seed in range(3)
    ]
    assert _spec(demo.classes_json(), {"classes": ClassesSpec}) == demo.classes


def test_the_report_is_made_of_every_table_figure_and_history() -> None:
    paper = Workflow(parsed(PAPER))
    files = paper.everything()
    assert len(files) == len(set(files))
    for target in (*paper.targets(), *paper.learning):
        assert set(paper.files_of(target)) <= set(files)
    assert {f"results/{name}.csv" for name in ("all_runs", "costs", "classes")} <= set(files)
    assert sum(file.endswith("history.csv") for file in files) == 312


def test_the_study_fits_on_a_command_line() -> None:
    """Linux takes 128 KiB in one argument."""
    paper = Workflow(parsed(PAPER))
    for text in (paper.study_json, paper.classes_json(), *map(json.dumps, paper.learning)):
        assert len(text.encode()) < 100_000


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"tables/table_5/caption": "Other words."},
        {"figures/figure_6/images_per_class": 20},
        {"data/digits/label": "Numerals"},
        {"recipe/learning_rate": 0.1},
        {"seeds": [0, 1]},
        {"methods/aikd": {"label": "Ours"}},
    ],
)
def test_what_is_seen_makes_the_report_again(changes: dict[str, Any]) -> None:
    assert shown(**changes) != shown()


@pytest.mark.parametrize(
    "changes",
    [
        {"evaluate_every": 1},
        {"threads": 2},
        {"device_tflops": 1.0},
        {"methods/aikd": {"settings": {"omega": 0.1}}},  # its default
        {},
    ],
)
def test_what_is_not_seen_does_not(changes: dict[str, Any]) -> None:
    assert shown(**changes) == shown()


def test_what_a_machine_lacks_to_set_the_document_is_compared(
    demo: Workflow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # where no document was made before
    assert demo.lacking(None) == (missing() or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert demo.lacking(None).startswith("LaTeX is not installed")
    Path(demo.results).mkdir(parents=True)
    Path(demo.results, "paper.pdf").touch()
    assert demo.lacking(None) == ""

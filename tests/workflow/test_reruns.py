"""What Snakemake makes again, and above all what it does not. Every test asks a finished study for a dry run."""

import json
import os
import re
import shutil
from collections.abc import Callable

import pandas as pd
import pytest

from tests.workflow.conftest import ROOT, Project

pytestmark = pytest.mark.workflow
Restored = Callable[[], Project]


def test_a_study_runs_from_data_to_tables_and_figures(finished: Project) -> None:
    results = finished.root / "results" / "tiny"
    made = {
        str(p.relative_to(results)) for p in results.rglob("*") if p.is_file() and "runs" not in p.parts[:-1]
    }
    for name in ("table_1", "table_3", "table_7"):
        assert {f"tables/{name}.{kind}" for kind in ("tex", "csv", "md")} <= made
    assert {"figures/figure_7b.pdf", "figures/figure_7b.png", "all_runs.csv"} <= made
    assert {"claims.csv", "claims.md", "figures/claims.pdf", "figures/claims.png"} <= made
    runs = pd.read_csv(results / "all_runs.csv")
    assert sorted(zip(runs["method"], runs["augmentation"], runs["seed"], strict=True)) == [
        ("aikd", "cutout", 0),
        ("aikd", "cutout", 1),
        ("aikd", "standard", 0),
        ("aikd", "standard", 1),
        ("baseline", "standard", 0),
        ("baseline", "standard", 1),
    ]
    assert runs["top1_error"].between(0, 100).all()


def test_every_job_leaves_a_log_and_a_benchmark(finished: Project) -> None:
    results = finished.root / "results" / "tiny"
    run = "digits/preact_resnet18/aikd/cutout/seed1"
    assert "epoch 2/2" in (results / "logs" / "train" / f"{run}.log").read_text()
    benchmark = pd.read_json(results / "benchmarks" / "train" / f"{run}.jsonl", lines=True)
    assert benchmark["s"].iloc[0] > 0


def test_a_run_is_predicted_with_before_the_next_one_is_trained(finished: Project) -> None:
    """Until then its last state is on the disk."""
    log = min((finished.root / ".snakemake" / "log").iterdir())
    waiting, most = 0, 0
    for rule in re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", log.read_text()):
        waiting += {"pretrain": 1, "train": 1, "predict": -1}.get(rule, 0)
        most = max(most, waiting)
    assert most <= 2
    assert waiting == 0
    assert not list(finished.root.rglob(".trained"))


def test_nothing_is_left_to_do(finished: Project) -> None:
    assert finished.planned() == {}


def test_touching_every_file_makes_nothing_again(restored: Restored) -> None:
    project = restored()
    for part in (project.root / "aikd", project.root / "workflow"):
        for path in part.rglob("*"):
            os.utime(path)
    for path in (project.root / "Snakefile", project.root / "config.yaml", project.root / "tiny.yaml"):
        os.utime(path)
    models = list((project.root / "results").rglob("model.safetensors"))
    for path in [*(project.root / "data").rglob("*"), *models]:
        os.utime(path)
    # Of files above a megabyte Snakemake compares times alone, unless it is told otherwise.
    assert min(path.stat().st_size for path in models) > 1_000_000
    assert project.planned() == {}


def test_every_run_had_one_of_the_machine_s_gpus(finished: Project) -> None:
    summaries = list((finished.root / "results").rglob("train.json"))
    assert len(summaries) == 6
    assert {json.loads(path.read_text())["gpu"] for path in summaries} <= {"GPU-a", "GPU-b"}
    assert list((finished.root / "locks").iterdir()) == []


def test_checking_out_the_sources_again_makes_nothing_again(restored: Restored) -> None:
    project = restored()
    shutil.rmtree(project.root / "aikd")
    shutil.copytree(ROOT / "aikd", project.root / "aikd", copy_function=shutil.copyfile)
    assert project.planned() == {}


def test_a_comment_anywhere_retrains_nothing(restored: Restored) -> None:
    project = restored()
    files = [*(project.root / "aikd").rglob("*.py"), *(project.root / "workflow" / "rules").glob("*.smk")]
    for path in [*files, project.root / "Snakefile", project.root / "tiny.yaml"]:
        path.write_text(path.read_text() + "\n# a comment\n")
    assert not {"prepare", "pretrain", "train", "predict"} & project.planned().keys()


def test_a_setting_of_one_augmentation_retrains_its_runs_alone(restored: Restored) -> None:
    project = restored()
    project.edit("tiny.yaml", "name: tiny", "name: tiny\naugmentations: {cutout: {side: 3}}")
    planned = project.planned()
    assert planned["train"] == planned["predict"] == planned["calibrate"] == 2
    assert "pretrain" not in planned


def test_a_new_value_of_a_setting_trains_that_run_alone(restored: Restored) -> None:
    project = restored()
    project.edit("tiny.yaml", "values: [0.1]", "values: [0.1, 0.5]")
    assert project.planned("figure_7b") == {"train": 2, "predict": 2, "calibrate": 2, "figure": 1}


def test_a_default_written_out_is_the_same_run(restored: Restored) -> None:
    project = restored()
    project.edit("tiny.yaml", "  aikd: {}", "  aikd: {settings: {omega: 0.1, critic: {fc1: 64}}}")
    assert project.planned() == {}


def test_the_recipe_retrains_everything(restored: Restored) -> None:
    project = restored()
    project.edit("tiny.yaml", "learning_rate: 0.1", "learning_rate: 0.2")
    planned = project.planned()
    assert (planned["pretrain"], planned["train"], planned["predict"]) == (2, 4, 6)


def test_a_bumped_recipe_version_retrains_everything(restored: Restored) -> None:
    project = restored()
    project.edit("aikd/study/resolve.py", "RECIPE_VERSION = 1", "RECIPE_VERSION = 1000")
    planned = project.planned()
    assert (planned["pretrain"], planned["train"], planned["predict"]) == (2, 4, 6)


@pytest.mark.parametrize(
    "knob",
    [
        "evaluate_every: 2",
        "save_every: 2",
        "threads: 2",
        "runs_per_gpu: 2",
        "compile: true",
        "tensorboard: true",
    ],
)
def test_a_knob_that_changes_no_result_retrains_nothing(restored: Restored, knob: str) -> None:
    project = restored()
    project.edit("tiny.yaml", "name: tiny", f"name: tiny\n{knob}")
    assert project.planned() == {}


def test_table_code_makes_tables_alone(restored: Restored) -> None:
    project = restored()
    path = project.root / "aikd" / "results" / "tables.py"
    path.write_text(path.read_text() + "\nCHANGED = True\n")
    assert project.planned(*(f"table_{n}" for n in (1, 3, 7))) == {"table": 3}
    assert not {"prepare", "pretrain", "train", "predict", "calibrate"} & project.planned().keys()


def test_code_of_claims_makes_claims_and_what_shows_them_alone(restored: Restored) -> None:
    project = restored()
    for name in ("results/claims/verdicts.py", "study/claims/binding.py", "results/claims/figure.py"):
        path = project.root / "aikd" / name
        path.write_text(path.read_text() + "\nCHANGED = True\n")
    assert project.planned() == {"claims": 1, "report": 1, "paper": 1}
    assert project.planned("claims") == {"claims": 1}


def test_metric_code_makes_metrics_again_and_trains_nothing(restored: Restored) -> None:
    project = restored()
    path = project.root / "aikd" / "metrics.py"
    path.write_text(path.read_text() + "\nCHANGED = True\n")
    planned = project.planned()
    assert planned["calibrate"] == 6
    assert not {"prepare", "pretrain", "train", "predict"} & planned.keys()


def test_another_number_of_bins_evaluates_again_and_trains_nothing(restored: Restored) -> None:
    project = restored()
    project.edit("tiny.yaml", "name: tiny", "name: tiny\ncalibration: {bins: 10}")
    planned = project.planned()
    assert planned["calibrate"] == 6
    assert not {"prepare", "pretrain", "train", "predict"} & planned.keys()


def test_a_deleted_model_is_trained_again_alone(restored: Restored) -> None:
    project = restored()
    model = project.root / "results/tiny/runs/digits/preact_resnet18/aikd/cutout/seed0/model.safetensors"
    content = model.read_bytes()
    model.unlink()
    try:
        # Its metrics are there, so only the model itself, asked for by name, is made again.
        assert project.planned(str(model.relative_to(project.root))) == {"train": 1}
    finally:
        model.write_bytes(content)

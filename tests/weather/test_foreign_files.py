"""Files that are damaged, of another run, of another training or other data: refused by name, never computed with."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from aikd.cli import main
from aikd.records import content_digest
from aikd.study.layout import PROGRESS
from tests.conftest import DIGITS
from tests.weather.conftest import BASELINE, OTHER, STUDENT, Project, Refused
from tests.weather.rooms import files

Command = Callable[[Project], list[str]]

CALIBRATE: Command = lambda project: project.calibrate(BASELINE)  # noqa: E731
PREDICT: Command = lambda project: project.predict(BASELINE)  # noqa: E731
FROM_METRICS = pytest.mark.parametrize("command", [Project.table, Project.curves, Project.collect])
FROM_PREDICTIONS = pytest.mark.parametrize("command", [CALIBRATE, Project.tsne])
TOGETHER = pytest.mark.parametrize("command", [Project.table, Project.curves, Project.collect, Project.tsne])


@pytest.fixture
def unchanged(project: Project, refused: Refused) -> Callable[[Command], str]:
    """Have a command refuse its work; returns the message. No file may have changed, but how training ended."""

    def run(command: Command) -> str:
        before = results_of(project)
        said = refused(command(project))
        assert results_of(project) == before
        return said

    def results_of(project: Project) -> dict[str, bytes]:
        return {name: found for name, found in files(project.root).items() if not name.endswith(PROGRESS)}

    return run


@pytest.fixture
def retrained(project: Project, tmp_path: Path) -> Project:
    """The same run, trained with another recipe elsewhere, and evaluated."""
    other = Project(tmp_path / "other")
    shutil.copytree(project.data, other.data)
    for command in (
        other.train(BASELINE, learning_rate=0.02),
        other.predict(BASELINE),
        other.calibrate(BASELINE),
    ):
        assert main(command) == 0
    return other


def flip(path: Path, place: int = -1) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def rewrite(path: Path, metadata: dict[str, str | None] | None = None, **tensors: Any) -> None:
    """Predictions with some of their content changed, whole as a file."""
    with safe_open(path, framework="np") as file:
        content = {name: file.get_tensor(name) for name in file.keys()} | tensors  # noqa: SIM118
        notes = file.metadata() | {"content": content_digest(content)} | (metadata or {})
    save_file(content, path, {key: value for key, value in notes.items() if value is not None})


def edit(path: Path, **changes: Any) -> None:
    """A JSON file with some keys changed, or gone where they are None."""
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def predictions(project: Project, run: str = BASELINE) -> dict[str, Any]:
    with safe_open(project.file(run, "predictions.safetensors"), framework="np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


# Models


def test_a_model_with_one_wrong_bit_predicts_nothing(project: Project, unchanged: Any) -> None:
    path = project.file(BASELINE, "model.safetensors")
    flip(path)
    said = unchanged(PREDICT)
    assert said.startswith(f"{path}: found SHA-256 ")
    assert said.endswith(f"delete it and train {BASELINE} again")


def test_a_model_of_the_same_run_from_another_training_predicts_nothing(
    project: Project, retrained: Project, unchanged: Any
) -> None:
    path = project.file(BASELINE, "model.safetensors")
    shutil.copy(retrained.file(BASELINE, "model.safetensors"), path)
    assert unchanged(PREDICT).startswith(f"{path}: found SHA-256 ")


@pytest.mark.parametrize("name", ["model.safetensors", "train.json"])
def test_nobody_learns_from_a_damaged_superior_model(project: Project, unchanged: Any, name: str) -> None:
    path = project.file(BASELINE, name)
    flip(path, 0 if name == "train.json" else -1)
    said = unchanged(lambda project: project.train(STUDENT))
    assert said.startswith(f"{path}: ")
    path.unlink()
    assert f"{BASELINE}" in unchanged(lambda project: project.train(STUDENT))


def test_a_run_predicts_no_other_data_than_it_was_trained_on(project: Project, unchanged: Any) -> None:
    path = project.data / DIGITS / "manifest.json"
    edit(path, mean=[0.5, 0.5, 0.5])
    for command in (PREDICT, lambda project: project.train(STUDENT)):
        said = unchanged(command)
        assert said.startswith(f"{path}: found data ")
        assert f"{BASELINE} was trained on " in said


# Predictions


@FROM_PREDICTIONS
@pytest.mark.parametrize("tensor", ["logits", "features", "labels"])
def test_predictions_with_one_wrong_bit_are_refused(
    project: Project, unchanged: Any, command: Command, tensor: str
) -> None:
    path = project.file(BASELINE, "predictions.safetensors")
    place = path.read_bytes().index(predictions(project)[tensor].tobytes())
    flip(path, place)
    assert unchanged(command) == (
        f"{path}: damaged (its content is not what was written); delete it and predict the run again"
    )


@FROM_PREDICTIONS
def test_features_of_another_model_among_the_predictions_are_refused(
    project: Project, unchanged: Any, command: Command
) -> None:
    path = project.file(BASELINE, "predictions.safetensors")
    with safe_open(path, framework="np") as file:
        digest = file.metadata()["content"]
    rewrite(path, {"content": digest}, features=predictions(project, OTHER)["features"])
    assert unchanged(command).startswith(f"{path}: damaged (")


@FROM_PREDICTIONS
def test_predictions_of_another_run_are_refused(project: Project, unchanged: Any, command: Command) -> None:
    path = project.file(BASELINE, "predictions.safetensors")
    shutil.copy(project.file(OTHER, "predictions.safetensors"), path)
    assert unchanged(command).startswith(f"{path}: holds the predictions of {OTHER}, not of {BASELINE}; ")


@FROM_PREDICTIONS
def test_predictions_of_another_training_of_the_run_are_refused(
    project: Project, retrained: Project, unchanged: Any, command: Command
) -> None:
    path = project.file(BASELINE, "predictions.safetensors")
    shutil.copy(retrained.file(BASELINE, "predictions.safetensors"), path)
    said = unchanged(command)
    assert said.startswith(f"{path}: was made of the model ")
    assert "…, but train.json beside it is of " in said


@FROM_PREDICTIONS
@pytest.mark.parametrize(
    ("data", "found"), [("0" * 64, "0000000000000000…"), (None, "that it does not name")]
)
def test_predictions_of_other_data_are_refused(
    project: Project, unchanged: Any, command: Command, data: str | None, found: str
) -> None:
    path = project.file(BASELINE, "predictions.safetensors")
    rewrite(path, {"data": data})
    assert unchanged(command).startswith(f"{path}: was made of the data {found}, but train.json beside it ")


@pytest.mark.parametrize(
    ("command", "change", "words"),
    [
        (CALIBRATE, {"logits": np.full((40, 10), np.nan, np.float32)}, "logits must be finite; 400 of 400 are not"),
        (CALIBRATE, {"logits": np.zeros((39, 10), np.float32)}, "labels must be integers [39]"),
        (CALIBRATE, {"logits": np.zeros((40, 9), np.float32)}, "labels must be 0..8 for 9 classes"),
        (CALIBRATE, {"logits": np.zeros((0, 10), np.float32), "labels": np.zeros(0, np.int64)}, "no images"),
        (CALIBRATE, {"labels": np.zeros(40)}, "labels must be integers [40]"),
        (CALIBRATE, {"labels": np.arange(40) - 1}, "labels must be 0..9 for 10 classes"),
        (Project.tsne, {"features": np.zeros((39, 32), np.float16)}, "found features [39, 32] but labels [40]"),
        (Project.tsne, {"features": np.zeros(40, np.float16)}, "found features [40] but labels [40]"),
        (Project.tsne, {"features": np.full((40, 32), np.inf, np.float16)}, "features are not finite"),
    ],
)  # fmt: skip
def test_predictions_that_cannot_be_scored_or_drawn_are_refused(
    project: Project, unchanged: Any, command: Command, change: dict[str, Any], words: str
) -> None:
    path = project.file(BASELINE, "predictions.safetensors")
    rewrite(path, **change)
    said = unchanged(command)
    assert said.startswith(f"{path}: ")
    assert words in said


def test_predictions_of_another_number_of_features_are_refused(project: Project, unchanged: Any) -> None:
    path = project.file(BASELINE, "predictions.safetensors")
    rewrite(path, features=np.zeros((40, 7), np.float16))
    said = unchanged(Project.tsne)
    assert "hold 32 and 7 features; predict both again" in said
    assert str(path) in said


# Metrics and summaries


@FROM_METRICS
@pytest.mark.parametrize("name", ["metrics.json", "train.json"])
def test_files_that_were_cut_off_are_refused(
    project: Project, unchanged: Any, command: Command, name: str
) -> None:
    path = project.file(BASELINE, name)
    content = path.read_bytes()
    for size in (0, 1, len(content) // 2, len(content) - 3):
        path.write_bytes(content[:size])
        said = unchanged(command)
        assert said.startswith(f"{path}: not readable JSON (")
        assert re.search(r"\); delete it and (train|calibrate) that run again$", said)


@FROM_METRICS
@pytest.mark.parametrize("name", ["metrics.json", "train.json"])
def test_files_of_another_run_are_refused(
    project: Project, unchanged: Any, command: Command, name: str
) -> None:
    path = project.file(BASELINE, name)
    shutil.copy(project.file(OTHER, name), path)
    assert unchanged(command).startswith(f"{path}: is of the run {OTHER}, not of {BASELINE}; ")


@FROM_METRICS
def test_metrics_of_another_training_of_the_run_are_refused(
    project: Project, retrained: Project, unchanged: Any, command: Command
) -> None:
    path = project.file(BASELINE, "metrics.json")
    shutil.copy(retrained.file(BASELINE, "metrics.json"), path)
    assert unchanged(command).startswith(f"{path}: was made of the model ")


@TOGETHER
def test_runs_that_were_trained_with_different_settings_do_not_stand_side_by_side(
    project: Project, retrained: Project, unchanged: Any, command: Command
) -> None:
    folder = project.file(BASELINE, ".")
    shutil.rmtree(folder)
    shutil.copytree(retrained.file(BASELINE, "."), folder)
    said = unchanged(command)
    assert "/train.json: not trained like digits/net/baseline/seed" in said
    assert "recipe.learning_rate was 0.0" in said


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("recipe_version", 0, False),
        ("model", {"architecture": "preact_resnet18", "width": 8}, False),
        ("augmentation", {"name": "standard", "side": 3}, False),
        ("settings", {"omega": 0.5}, False),
        ("seed", 7, True),
        ("superior", "another", True),
    ],
)
def test_seeds_of_a_run_share_all_but_what_comes_with_the_seed(
    project: Project, refused: Refused, key: str, value: Any, allowed: bool
) -> None:
    path = project.file(OTHER, "train.json")
    settings = json.loads(path.read_text())["settings"]
    edit(path, settings=settings | {key: value})
    if allowed:
        assert main(project.table()) == 0
    else:
        assert refused(project.table()).startswith(f"{path}: not trained like {BASELINE}, ")


def test_files_of_versions_before_that_name_no_origin_are_still_read(project: Project) -> None:
    for run in (BASELINE, OTHER):
        edit(project.file(run, "train.json"), model=None, data=None)
        rewrite(project.file(run, "predictions.safetensors"), {"data": None, "content": None})
        assert main(project.predict(run)) == 0
        rewrite(project.file(run, "predictions.safetensors"), {"data": None, "content": None})
        assert main(project.calibrate(run)) == 0
        edit(project.file(run, "metrics.json"), model=None)
    for command in (project.table(), project.curves(), project.collect(), project.tsne()):
        assert main(command) == 0


# Settings


def test_settings_that_lack_something_train_nothing(project: Project, unchanged: Any) -> None:
    """Cut out of another file, or written by hand."""
    whole = project.settings(BASELINE)
    for missing in ([key] for key in whole if key not in ("recipe_version", "run")):
        check_lacking(unchanged, whole, missing)
    check_lacking(unchanged, whole, ["data", "superior", "seed"])


def check_lacking(unchanged: Any, whole: dict[str, Any], missing: list[str]) -> None:
    given = json.dumps({key: value for key, value in whole.items() if key not in missing})
    said = unchanged(lambda project: ["train", "--settings", given, *project.places()])
    assert said == f"--settings: lacks {', '.join(missing)}; `aikd settings {BASELINE}` prints all of them"

"""`aikd train` on a run that is finished: it is left alone, unless something of it is missing or other, or told so."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aikd.cli import main
from aikd.engine.adoption import forget
from aikd.engine.finished import finished
from aikd.engine.store import write_prepared
from tests.conftest import DIGITS
from tests.engine.resuming import RECIPE, same_results, stop_after, summary

pytestmark = pytest.mark.usefixtures("on_the_cpu")
Make = Callable[..., dict[str, Any]]

BASELINE, TFKD = "digits/net/baseline/seed0", "digits/net/tfkd/seed0"


@pytest.fixture
def made(tmp_path: Path, undisturbed: Path) -> Path:
    """Results of a Baseline and of a TF-KD run, which were predicted with, so that nothing is left behind."""
    for run in (BASELINE, TFKD):
        shutil.copytree(undisturbed / "runs" / run, tmp_path / "results/runs" / run)
        forget(tmp_path / "results/runs" / run)
    return tmp_path / "results"


def train(settings: dict[str, Any], results: Path, data: Path, *options: str) -> int:
    places = ["--results", str(results), "--data", str(data)]
    return main(["train", "--settings", json.dumps(settings), *places, *options])


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("method", ["baseline", "tfkd"])
def test_a_finished_run_is_said_to_be_so_and_left_alone(
    made: Path, tiny: Path, make_settings: Make, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, before = make_settings(method, **RECIPE), files(made)
    assert train(settings, made, tiny) == 0
    said = capsys.readouterr().err
    assert said == f"{settings['run']}: finished, with these settings and data; --again trains it again\n"
    assert files(made) == before


@pytest.mark.parametrize("lost", ["train.json", "history.csv", "model.safetensors"])
def test_what_lacks_a_file_is_trained(
    made: Path, undisturbed: Path, tiny: Path, make_settings: Make, lost: str
) -> None:
    (made / "runs" / TFKD / lost).unlink()
    assert train(make_settings("tfkd", **RECIPE), made, tiny) == 0
    same_results(made / "runs" / TFKD, undisturbed / "runs" / TFKD)


def test_other_settings_are_trained(made: Path, tiny: Path, make_settings: Make) -> None:
    other = make_settings("baseline", **RECIPE | {"learning_rate": 0.02})
    assert train(other, made, tiny) == 0
    assert summary(made / "runs" / BASELINE)["settings"]["recipe"]["learning_rate"] == 0.02


def _damage(results: Path, data: Path, settings: dict[str, Any]) -> None:
    model = results / "runs" / TFKD / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-1] + b"x")


def _other_data(results: Path, data: Path, settings: dict[str, Any]) -> None:
    labels = np.arange(50) % 10
    images = np.zeros((50, 3, 8, 8), np.uint8)
    splits: Any = {"train": (images[:41], labels[:41]), "test": (images[41:], labels[41:])}
    write_prepared(data / DIGITS, "digits", [str(digit) for digit in range(10)], splits, {})


def _other_superior(results: Path, data: Path, settings: dict[str, Any]) -> None:
    path = results / "runs" / BASELINE / "train.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model": "f" * 64}))


def _no_superior(results: Path, data: Path, settings: dict[str, Any]) -> None:
    shutil.rmtree(results / "runs" / BASELINE)


def _other_version(results: Path, data: Path, settings: dict[str, Any]) -> None:
    settings["recipe_version"] = 0
    path = results / "runs" / TFKD / "train.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"settings": settings}))


def _of_before(results: Path, data: Path, settings: dict[str, Any]) -> None:
    """Versions of before did not note the hash of the model."""
    path = results / "runs" / TFKD / "train.json"
    found = json.loads(path.read_text())
    del found["model"]
    path.write_text(json.dumps(found))


@pytest.mark.parametrize(
    "change", [_damage, _other_data, _other_superior, _no_superior, _other_version, _of_before]
)
def test_a_run_is_finished_only_where_training_would_make_the_same(
    made: Path, tiny: Path, tmp_path: Path, make_settings: Make, change: Callable[..., None]
) -> None:
    shutil.copytree(tiny, tmp_path / "data")
    settings = make_settings("tfkd", **RECIPE)
    assert finished(settings, made, tmp_path / "data")
    change(made, tmp_path / "data", settings)
    assert not finished(settings, made, tmp_path / "data")


def test_told_so_it_is_trained_from_the_first_epoch(
    tmp_path: Path,
    undisturbed: Path,
    tiny: Path,
    baseline: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Even where its last state lies there, from which lost results would be written without training."""
    assert train(baseline, tmp_path, tiny) == 0
    capsys.readouterr()
    assert train(baseline, tmp_path, tiny, "--again") == 0
    assert capsys.readouterr().err.count("\nepoch ") == 6
    assert summary(tmp_path / "runs" / BASELINE)["resumed_at"] == []
    same_results(tmp_path / "runs" / BASELINE, undisturbed / "runs" / BASELINE)


@pytest.mark.parametrize("option", [(), ("--again",)])
def test_what_is_trained_again_and_interrupted_goes_on(
    made: Path, undisturbed: Path, tiny: Path, baseline: dict[str, Any], option: tuple[str, ...]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 3)
        assert train(baseline, made, tiny, "--again") == 75
    assert train(baseline, made, tiny, *option) == 0
    assert summary(made / "runs" / BASELINE)["resumed_at"] == [3]
    same_results(made / "runs" / BASELINE, undisturbed / "runs" / BASELINE)


def test_what_cannot_be_trained_again_keeps_its_results(
    made: Path, tiny: Path, tmp_path: Path, make_settings: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    (made / "runs" / BASELINE / "model.safetensors").unlink()  # removed for its room
    before = files(made / "runs" / TFKD)
    assert train(make_settings("tfkd", **RECIPE), made, tiny, "--again") == 1
    assert "no such model" in capsys.readouterr().err
    after = files(made / "runs" / TFKD)
    assert {path: after[path] for path in before} == before

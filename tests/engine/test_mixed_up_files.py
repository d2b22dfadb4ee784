"""Whole and well-formed files in the wrong place: refused by name, because wrong numbers would look like right ones."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aikd.cli import main
from aikd.engine import jobs
from aikd.engine.store import Prepared
from aikd.errors import UserError
from tests.conftest import DIGITS

Make = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIKD_DEVICE", "cpu")


def test_arrays_that_are_not_the_manifest_s_are_refused(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / DIGITS, tmp_path / "digits")
    path = tmp_path / "digits" / "test_images.npy"
    np.save(path, np.zeros_like(np.load(path)))
    with pytest.raises(UserError, match=r"test_images\.npy: is not the array that the manifest describes"):
        Prepared.open(tmp_path / "digits").images("test")


def test_the_weights_of_another_seed_are_refused(data: Path, tmp_path: Path, make_settings: Make) -> None:
    settings = make_settings("baseline")
    other = settings | {"seed": 1, "run": settings["run"].replace("seed0", "seed1")}
    for each in (settings, other):
        jobs.train(each, tmp_path, data, evaluate_every=1)
    folders = [tmp_path / "runs" / each["run"] for each in (settings, other)]
    shutil.copy(folders[1] / "model.safetensors", folders[0])
    with pytest.raises(UserError, match=r"seed0/model\.safetensors: holds the weights of \S+seed1, not of"):
        jobs.predict(settings["run"], tmp_path, data)


@pytest.mark.parametrize("start", ["../../", "/tmp/", "/"])
def test_no_run_leads_out_of_the_results(
    start: str, data: Path, tmp_path: Path, make_settings: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    run = f"{start}digits/net/baseline/seed0"
    with pytest.raises(UserError):
        jobs.train(make_settings("baseline") | {"run": run}, tmp_path / "results", data, evaluate_every=1)
    assert main(["train", "--settings", json.dumps({"run": run}), "--results", str(tmp_path)]) == 1
    assert main(["predict", run, "--results", str(tmp_path), "--data", str(data)]) == 1
    assert main(["calibrate", run, "--results", str(tmp_path)]) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not Path("/digits").exists()
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(("key", "value"), [("epochs", "ten"), ("epochs", 0), ("batch_size", 1)])
def test_an_edited_recipe_is_checked_before_training(
    key: str, value: Any, data: Path, tmp_path: Path, make_settings: Make
) -> None:
    settings = make_settings("baseline")
    settings["recipe"] = settings["recipe"] | {key: value}
    with pytest.raises(UserError, match=rf"--settings: recipe\.{key}: found"):
        jobs.train(settings, tmp_path, data, evaluate_every=1)

"""Predictions left behind by training: taken up when they are of the model that is there, and only then."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from aikd.cli import main
from aikd.engine import jobs
from aikd.engine.adoption import LEFT_BEHIND, TRAINED, adopt, discard
from aikd.engine.state import States
from aikd.study.layout import STATES

RUN = "digits/net/baseline/seed0"


@pytest.fixture
def trained(
    tmp_path: Path, data: Path, make_settings: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The folder of a run that was just trained."""
    monkeypatch.setenv("AIKD_DEVICE", "cpu")
    jobs.train(make_settings("baseline"), tmp_path, data, evaluate_every=1)
    return tmp_path / "runs" / RUN


def test_what_training_left_is_what_predicting_computes(trained: Path, data: Path) -> None:
    left = load_file(trained / LEFT_BEHIND)
    assert adopt(trained)
    adopted = load_file(trained / "predictions.safetensors")
    jobs.predict(RUN, trained.parents[3].parent, data)
    computed = load_file(trained / "predictions.safetensors")
    assert left.keys() == adopted.keys() == computed.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], adopted[name])
        np.testing.assert_allclose(adopted[name].astype(float), computed[name], atol=1e-3)
    assert not (trained / LEFT_BEHIND).exists()


def test_predictions_of_another_model_are_not_taken_up(trained: Path) -> None:
    model = trained / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    assert not adopt(trained)
    assert not (trained / "predictions.safetensors").exists()


@pytest.mark.parametrize("damage", [lambda f: f.unlink(), lambda f: f.write_bytes(f.read_bytes()[:100])])
def test_missing_or_damaged_predictions_are_not_taken_up(
    trained: Path, damage: Callable[[Path], Any]
) -> None:
    damage(trained / LEFT_BEHIND)
    assert not adopt(trained)


def test_taking_up_needs_no_torch(trained: Path, data: Path) -> None:
    arguments = ["predict", RUN, "--results", str(trained.parents[3].parent), "--data", str(data)]
    code = (
        f"import sys; from aikd.cli import main\nassert main({arguments!r}) == 0\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)
    assert (trained / "predictions.safetensors").exists()


def test_a_full_disk_after_training_loses_nothing(
    tmp_path: Path,
    data: Path,
    make_settings: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("AIKD_DEVICE", "cpu")
    monkeypatch.setattr(jobs, "write_predictions", full)
    jobs.train(make_settings("baseline"), tmp_path, data, evaluate_every=1)
    assert (tmp_path / "runs" / RUN / "train.json").exists()
    assert "No space left on device" in capsys.readouterr().err


def test_again_begins_anew_even_where_the_last_state_could_not_be_put_aside(trained: Path) -> None:
    (trained / TRAINED).rename(trained / STATES)
    discard(trained)
    assert not (trained / STATES).exists()
    assert not (trained / "model.safetensors").exists()


@pytest.mark.parametrize("alone", [True, False])
def test_half_written_files_are_removed_only_where_a_lock_says_that_they_are_nobodys(
    tmp_path: Path,
    data: Path,
    make_settings: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    alone: bool,
) -> None:
    folder = tmp_path / "runs" / RUN
    half = [
        folder / ".model.0123456789ab.safetensors",
        folder / STATES / ".epoch-0001.0123456789ab.safetensors",
    ]
    for path in half:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    there: list[list[bool]] = []

    def look(*_: object) -> None:
        there.append([path.exists() for path in half])

    monkeypatch.setenv("AIKD_DEVICE", "cpu")
    monkeypatch.setattr(jobs, "save_model", lambda *_: look())
    monkeypatch.setattr(States, "put_aside", lambda self: None)
    jobs.train(make_settings("baseline"), tmp_path, data, evaluate_every=1, save_every=1, alone=alone)
    assert there == [[not alone, not alone]]


def test_evaluating_every_zero_epochs_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--settings", "{}", "--evaluate-every", "0"])
    assert "--evaluate-every" in capsys.readouterr().err

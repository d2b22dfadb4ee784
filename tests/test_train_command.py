"""`aikd train RUN`: trained as the study says, and as its jobs do."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aikd.cli import main
from tests.conftest import DIGITS
from tests.test_status_command import STUDY, images

RUN = "digits/net/baseline/seed0"
Asked = dict[str, Any]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIKD_DEVICE", "cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    Path("study.yaml").write_text(f"{STUDY}\nevaluate_every: 3\nsave_every: 2\nruns_per_gpu: 4\nthreads: 1\n")
    images(Path("data") / DIGITS, 0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Asked]:
    """What training is asked for, by name."""
    from aikd.engine import jobs

    def train(*words: str) -> Asked:
        found: Asked = {}
        names = ("settings", "results", "data", "evaluate_every", "save_every", "gpu", "signals", "compiled")
        with monkeypatch.context() as patch:
            patch.setattr(jobs, "train", lambda *given: found.update(zip(names, given, strict=False)))
            assert main(["train", *words]) == 0
        return found

    return train


def test_a_run_of_a_study_is_trained_as_the_study_says(
    asked: Callable[..., Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    found = asked(RUN, "--study", "study.yaml")
    assert main(["settings", RUN, "--study", "study.yaml"]) == 0
    assert found["settings"] == json.loads(capsys.readouterr().out)
    assert (found["results"], found["evaluate_every"], found["save_every"]) == (Path("results/small"), 3, 2)
    assert found["compiled"] is False
    found = asked(RUN, "--study", "study.yaml", "--evaluate-every", "1", "--results", "elsewhere")
    assert (found["results"], found["evaluate_every"], found["save_every"]) == (Path("elsewhere"), 1, 2)


def test_settings_alone_are_trained_as_a_study_that_says_nothing(
    asked: Callable[..., Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["settings", RUN, "--study", "study.yaml"]) == 0
    found = asked("--settings", capsys.readouterr().out)
    assert (found["results"], found["evaluate_every"], found["save_every"]) == (Path("results"), 1, 10)


def test_it_has_as_many_threads_as_in_the_workflow(
    asked: Callable[..., Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    asked(RUN, "--study", "study.yaml")
    assert os.environ["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    asked(RUN, "--study", "study.yaml")
    assert os.environ["OMP_NUM_THREADS"] == "2"


def test_its_history_is_the_one_that_the_study_asks_for() -> None:
    assert main(["train", RUN, "--study", "study.yaml"]) == 0
    with Path(f"results/small/runs/{RUN}/history.csv").open(newline="") as file:
        looked = [row["epoch"] for row in csv.DictReader(file) if row["test_error"]]
    assert looked == ["3", "4"]


@pytest.mark.parametrize("words", [[], [RUN, "--settings", "{}"]])
def test_a_run_or_settings_and_not_both(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", *words])
    assert "usage: aikd train" in capsys.readouterr().err


def test_a_run_that_the_study_does_not_have_is_refused_with_the_study_s_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", "digits/nett/baseline/seed0", "--study", "study.yaml"]) == 1
    assert capsys.readouterr().err == (
        "aikd train: study.yaml: data.digits.models: found \"nett\" (did you mean 'net'?); allowed: net\n"
    )

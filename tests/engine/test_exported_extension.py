"""A student whose network is an extension's: its file is run where it is named, and must be the one of training."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aikd.cli import main
from aikd.engine.exported import load
from aikd.errors import UserError
from aikd.study import extensions
from tests.engine.exports import digit_files

NETWORK = """
from aikd.extend import model

@model("thin")
def thin(classes, channels, settings):
    from torch import nn
    return nn.Sequential(nn.Flatten(), nn.Linear(64 * channels, 8), nn.ReLU(), nn.Linear(8, classes))
"""
STUDY = """
name: own
extensions: [thin.py]
seeds: [0]
recipe: {epochs: 1, milestones: []}
data: {digits: {models: [thin]}}
models: {thin: {label: Thin}}
methods: {baseline: {}}
"""
RUN = "digits/thin/baseline/seed0"


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An exported student, in a process that has read no extension."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIKD_DEVICE", "cpu")
    Path("thin.py").write_text(NETWORK)
    Path("study.yaml").write_text(STUDY)
    named = ["--study", "study.yaml"]
    for command in (
        ["prepare", "digits", *named],
        ["train", RUN, *named],
        ["predict", RUN, "--results", "results/own", "--extension", "thin.py"],
        ["calibrate", RUN, "--results", "results/own"],
        ["export", RUN, *named, "--to", "student"],
    ):
        assert main(command) == 0
    digit_files(tmp_path / "images")
    extensions.activate([])
    yield tmp_path / "student"
    extensions.activate([])


def test_its_file_is_run_only_where_it_is_named(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["classify", "student", "images", "--top", "1"]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "student: its network thin is an extension's, a program that is run only if you name it" in said
    assert "--extension thin.py" in said
    assert main([*command, "--extension", "thin.py"]) == 0
    assert capsys.readouterr().out.count(" %  ") == len(list(Path("images").iterdir()))
    card = (exported / "README.md").read_text()
    assert "aikd classify student IMAGE --extension thin.py" in card
    assert "load(\"student\", extensions=['thin.py'])" in card


def test_a_file_that_was_edited_since_is_refused(exported: Path) -> None:
    assert load(exported, extensions=["thin.py"]).facts.run == RUN
    Path("thin.py").write_text(NETWORK.replace("ReLU", "Tanh"))
    with pytest.raises(UserError, match=r"thin\.py: found the code .*, but student was trained with .*"):
        load("student", extensions=["thin.py"])

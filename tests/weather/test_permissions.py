"""Folders that may not be read or written: the system's own words and the path, and nothing taken for missing."""

import io
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from aikd.cli import main
from aikd.study.layout import PROGRESS
from tests.weather.conftest import BASELINE, EPOCHS, OTHER, STUDENT, Project
from tests.weather.rooms import files

NOBODY = 65534
Command = Callable[[Project], list[str]]

COMMANDS: dict[str, Command] = {
    "train": lambda project: project.train(STUDENT),
    "predict": lambda project: project.predict(BASELINE),
    "calibrate": lambda project: project.calibrate(BASELINE),
    "table": Project.table,
    "curves": Project.curves,
    "tsne": Project.tsne,
    "collect": Project.collect,
}


@pytest.fixture
def project(template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A copy of the finished study that belongs to somebody whom permissions bind."""
    monkeypatch.setenv("AIKD_DEVICE", "cpu")
    # pytest's own folder is closed to other users.
    root = Path(tempfile.mkdtemp(prefix="aikd-"))
    shutil.copytree(template, root, dirs_exist_ok=True)
    if os.geteuid() == 0:
        for path in (root, *root.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    yield Project(root)
    for path in (root, *root.rglob("*")):
        path.chmod(0o700)
    shutil.rmtree(root)


def run(command: list[str]) -> tuple[int, str]:
    """Exit code and messages of a command in a process without root's rights."""
    reader, writer = os.pipe()
    if not (child := os.fork()):
        said, code = io.StringIO(), -1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            with redirect_stderr(said), redirect_stdout(said):
                code = main(command)
        except BaseException as error:
            said.write(f"Traceback: {error!r}")
        finally:
            os.write(writer, json.dumps([code, said.getvalue()]).encode())
            sys.stderr = None  # type: ignore[assignment]
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        code, text = json.load(file)
    os.waitpid(child, 0)
    return code, text


def refused(command: list[str]) -> str:
    code, said = run(command)
    *progress, line = said.splitlines()
    assert code == 1, said
    assert all(words.startswith("digits/") for words in progress), said
    assert line.startswith(f"aikd {command[0]}: "), said
    return line.removeprefix(f"aikd {command[0]}: ")


def test_the_commands_work_without_root_s_rights(project: Project) -> None:
    for command in COMMANDS.values():
        code, said = run(command(project))
        assert code == 0, said


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_of_a_run_that_may_not_be_read_is_not_a_missing_run(project: Project, name: str) -> None:
    before = files(project.root)
    folder = project.file(BASELINE, ".")
    folder.chmod(0)
    said = refused(COMMANDS[name](project))
    assert str(folder) in said
    assert "Permission denied" in said
    folder.chmod(0o700)
    # An attempt at training leaves its last words.
    assert {
        name: found for name, found in files(project.root).items() if not name.endswith(PROGRESS)
    } == before


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("predict", "model.safetensors"),
        ("predict", "train.json"),
        ("calibrate", "predictions.safetensors"),
        ("tsne", "predictions.safetensors"),
        ("table", "metrics.json"),
        ("table", "train.json"),
        ("collect", "train.json"),
    ],
)
def test_a_file_that_may_not_be_read_is_named_and_not_called_damaged(
    project: Project, name: str, file: str
) -> None:
    path = project.file(BASELINE, file)
    path.chmod(0)
    said = refused(COMMANDS[name](project))
    assert said.startswith(f"{path}: ")
    assert "Permission denied" in said
    assert "delete" not in said


@pytest.mark.parametrize("closed", ["", f"epoch-{EPOCHS:04}.safetensors"], ids=["folder", "file"])
@pytest.mark.parametrize("place", [".state", ".trained"])
def test_a_state_that_may_not_be_read_is_neither_missing_nor_damaged(
    project: Project, place: str, closed: str
) -> None:
    folder = project.file(OTHER, ".")
    assert run(project.train(OTHER, "--again"))[0] == 0
    (folder / "train.json").unlink()  # else it is finished, and no state is looked at
    (folder / ".trained").rename(folder / place)
    (folder / place / closed).chmod(0)
    said = refused(project.train(OTHER))
    assert said == f"{folder / '.state' / closed}: Permission denied"
    (folder / ".state" / closed).chmod(0o700)
    code, said = run(project.train(OTHER))
    assert code == 0
    assert f"{OTHER}: continues after epoch {EPOCHS} of {EPOCHS}\n" in said


@pytest.mark.parametrize("name", COMMANDS)
def test_results_that_may_not_be_written_stay_as_they_are(project: Project, name: str) -> None:
    for path in (project.results, *project.results.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = files(project.root)
    said = refused(COMMANDS[name](project))
    assert said.startswith(str(project.results))
    assert "Permission denied" in said
    assert files(project.root) == before


@pytest.mark.parametrize("name", ["table", "curves", "collect", "train"])
def test_a_file_where_the_results_should_be_is_named(project: Project, name: str) -> None:
    shutil.rmtree(project.results)
    project.results.touch()
    said = refused(COMMANDS[name](project))
    assert str(project.results) in said


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_results_are_for_those_for_whom_the_user_s_umask_is(
    project: Project, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(project.results)
    before = os.umask(umask)
    try:
        for one in (BASELINE, OTHER):
            for command in (project.train(one), project.predict(one), project.calibrate(one)):
                assert main(command) == 0
        for command in (project.table(), project.curves(), project.collect()):
            assert main(command) == 0
    finally:
        os.umask(before)
    written = [path for path in project.results.rglob("*") if path.is_file()]
    assert len(written) == 2 * 5 + 3 + 2 + 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o666 & ~umask}

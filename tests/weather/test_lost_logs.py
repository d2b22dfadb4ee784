"""A log that takes no more words, as its disk is full or its reader has gone, costs no work."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aikd.cli import main
from aikd.engine import jobs
from tests.conftest import ROOT
from tests.weather.conftest import BASELINE, EPOCHS, OTHER, Project

LOGS = ["full disk", "no reader"]


@contextmanager
def lost(log: str) -> Iterator[int]:
    """A file descriptor to which nothing can be written."""
    if log == "full disk":
        descriptor = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, descriptor = os.pipe()
        os.close(reader)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def code_of(log: str, *command: str) -> int:
    with lost(log) as stderr:
        return subprocess.run([sys.executable, *command], stderr=stderr, cwd=ROOT, check=False).returncode


@pytest.mark.parametrize("log", LOGS)
def test_training_and_predicting_go_on(project: Project, log: str) -> None:
    for name in ("train.json", "predictions.safetensors"):
        project.file(BASELINE, name).unlink()
    for command, name in (
        (project.train(BASELINE), "train.json"),
        (project.predict(BASELINE), "predictions.safetensors"),
    ):
        assert code_of(log, "-m", "aikd", *command) == 0
        assert project.file(BASELINE, name).exists()
    assert len(project.file(BASELINE, "history.csv").read_text(encoding="utf-8").splitlines()) == 1 + EPOCHS


@pytest.mark.parametrize("log", LOGS)
def test_a_failure_stays_a_failure(project: Project, log: str) -> None:
    project.file(OTHER, "predictions.safetensors").unlink()
    assert code_of(log, "-m", "aikd", *project.calibrate(OTHER)) == 1


@pytest.mark.parametrize("log", LOGS)
def test_more_words_than_any_buffer_holds_are_dropped(log: str) -> None:
    words = (
        "import sys; from aikd.messages import drop_rest, say\n"
        "for _ in range(3000): say('x' * 79)\n"
        "drop_rest(sys.stderr)"
    )
    assert code_of(log, "-c", words) == 0


def test_words_that_can_be_written_are(tmp_path: Path) -> None:
    words = "import sys; from aikd.messages import drop_rest, say\nsay('a'); say('b', end=''); drop_rest(sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", words], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "a\nb")


@pytest.mark.parametrize("command", ["schema", "check"])
def test_output_that_nobody_reads_is_no_failure_but_a_full_disk_is(command: str) -> None:
    """`aikd schema | head`, `aikd schema > FILE`; one is longer than the buffer, the other is not."""
    arguments = [sys.executable, "-m", "aikd", command]
    found = []
    for log in LOGS:
        with lost(log) as stdout:
            done = subprocess.run(
                arguments, stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False
            )
        found.append((done.returncode, done.stderr))
    assert found == [(1, f"aikd {command}: [Errno 28] No space left on device\n"), (0, "")]


def test_another_broken_pipe_is_a_failure(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(jobs, "train", broken)
    assert main(project.train(BASELINE, "--again")) == 1
    assert capsys.readouterr().err == "aikd train: [Errno 32] Broken pipe\n"

"""Runs that Snakemake started, ended from outside in every way: they go on, and end as if nothing had happened.

A test takes up to half a minute, as Snakemake and PyTorch have to start several times.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.engine.resuming import contents, history
from tests.workflow.conftest import STUDY, Project

pytestmark = pytest.mark.workflow

EPOCHS = 40
LONG = STUDY.replace("name: tiny", "name: long\nsave_every: 5").replace("epochs: 2", f"epochs: {EPOCHS}")
LONG = LONG.replace("batch_size: 256", "batch_size: 32").replace("18]}", "18], images_per_class: 40}")
RUN = "digits/preact_resnet18/aikd/seed0"
FOLDER, LOG = f"results/long/runs/{RUN}", f"results/long/logs/train/{RUN}.log"
PREDICTIONS = f"{FOLDER}/predictions.safetensors"


class Workplace(Project):
    """A copy of the project in which one AI-KD run is wanted, its superior model being there."""

    @contextmanager
    def started(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """Snakemake on its way to the run's predictions; ends with all that it started."""
        environment = os.environ | {"OMP_NUM_THREADS": "1", "AIKD_DEVICE": "cpu"}
        environment.pop("PYTHONPATH", None)
        command = [
            sys.executable,
            "-m",
            "snakemake",
            PREDICTIONS,
            "--cores",
            "1",
            "--configfile",
            "long.yaml",
            *options,
        ]
        with (self.root / "said").open("w") as said:
            process = subprocess.Popen(
                command, cwd=self.root, env=environment, stdout=said, stderr=said, start_new_session=True,
                # A shell that runs tests in the background has SIGINT ignored.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,  # noqa: PLW1509
            )  # fmt: skip
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def log(self) -> str:
        path = self.root / LOG
        return path.read_text() if path.exists() else ""

    def said(self) -> str:
        return (self.root / "said").read_text()

    def trainer(self) -> int:
        """The process that trains, as the lock names it."""
        found = re.match(r"process (\d+) on ", (self.root / FOLDER / ".lock").read_text())
        assert found
        return int(found[1])

    def until(self, epoch: int, process: subprocess.Popen[bytes] | None = None) -> int:
        """Wait until the run has finished so many epochs; returns the process that trains."""

        def reached() -> bool:
            return any(int(n) >= epoch for n in re.findall(r"^epoch +(\d+)/", self.log(), re.MULTILINE))

        wait(reached, process, self.said)
        return self.trainer()

    def results(self) -> tuple[bytes, object, object]:
        """Model and predictions to the bit, and the history without times."""
        folder = self.root / FOLDER
        return (
            (folder / "model.safetensors").read_bytes(),
            contents(self.root / PREDICTIONS),
            history(folder),
        )

    def resumed_at(self) -> list[int]:
        found: list[int] = json.loads((self.root / FOLDER / "train.json").read_text())["resumed_at"]
        return found


def wait(
    condition: Callable[[], object],
    process: subprocess.Popen[bytes] | None = None,
    said: Callable[[], str] = str,
) -> None:
    started = time.monotonic()
    while not condition():
        assert process is None or process.poll() is None, said()
        assert time.monotonic() - started < 180, said()
        time.sleep(0.05)


def alive(number: int) -> bool:
    stat = Path(f"/proc/{number}/stat")
    return stat.exists() and stat.read_text().rpartition(") ")[2][0] != "Z"


@pytest.fixture(scope="module")
def undisturbed(fresh: Project, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A copy in which the run was trained in one go."""
    place = Workplace(tmp_path_factory.mktemp("undisturbed") / "copy")
    shutil.copytree(fresh.root, place.root)
    (place.root / "long.yaml").write_text(LONG)
    with place.started() as process:
        assert process.wait() == 0, place.said()
    return place


@pytest.fixture
def place(undisturbed: Workplace, tmp_path: Path) -> Workplace:
    """A copy in which the run is still to be trained."""
    shutil.copytree(undisturbed.root, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / FOLDER)
    shutil.rmtree((tmp_path / "copy" / LOG).parent)
    return Workplace(tmp_path / "copy")


def test_retried_jobs_go_on_from_their_states(place: Workplace, undisturbed: Workplace) -> None:
    with place.started("--retries", "2") as process:
        os.kill(place.until(5, process), signal.SIGTERM)
        os.kill(place.until(16, process), signal.SIGKILL)  # says so before it saves the state after epoch 16
        assert process.wait() == 0, place.said()
    first, second = place.resumed_at()
    assert first >= 5
    assert second >= 15
    assert second in (first, *range(0, EPOCHS, 5))
    assert place.results() == undisturbed.results()
    assert place.said().count("Trying to restart job") == 2


def test_after_ctrl_c_the_next_invocation_goes_on(place: Workplace, undisturbed: Workplace) -> None:
    with place.started() as process:
        trainer = place.until(5, process)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait() == 1
        wait(lambda: not alive(trainer))
    assert "Traceback" not in place.log() + place.said()
    assert "interrupted after epoch" in place.log()
    with place.started() as process:
        assert process.wait() == 0, place.said()
    (epoch,) = place.resumed_at()
    assert epoch >= 5
    assert place.results() == undisturbed.results()


def test_a_run_that_outlives_snakemake_is_waited_for(place: Workplace, undisturbed: Workplace) -> None:
    with place.started() as process:
        trainer = place.until(5, process)
        process.kill()
        process.wait()
        os.kill(trainer, signal.SIGSTOP)  # so that it cannot be done before the second one starts
        with place.started() as second:
            assert second.wait() == 1
        assert "Directory cannot be locked" in place.said()
        with place.started("--unlock") as second:
            assert second.wait() == 0
        with place.started() as second:
            wait(lambda: "in use by" in place.log(), second, place.said)
            assert f"{FOLDER}: in use by process {trainer} on " in place.log()
            os.kill(trainer, signal.SIGCONT)
            assert second.wait() == 0, place.said()
    assert not alive(trainer)
    assert ": finished, with these settings and data; " in place.log()
    assert not re.search("^epoch ", place.log(), re.MULTILINE)
    assert place.results() == undisturbed.results()


def test_training_that_had_finished_is_not_lost_with_snakemake(
    place: Workplace, undisturbed: Workplace
) -> None:
    with place.started() as process:
        trainer = place.until(5, process)
        # Snakemake does not get to see that the job ends.
        process.send_signal(signal.SIGSTOP)
        wait(lambda: not alive(trainer))
        assert {"model.safetensors", "train.json"} <= {path.name for path in (place.root / FOLDER).iterdir()}
    with place.started("--unlock") as process:
        assert process.wait() == 0
    (place.root / LOG).unlink()
    with place.started() as process:
        assert process.wait() == 0, place.said()
    assert "Trying to restart job" not in place.said()
    assert f"continues after epoch {EPOCHS} of {EPOCHS}" in place.log()
    assert not re.search("^epoch ", place.log(), re.MULTILINE)
    assert place.resumed_at() == [EPOCHS]
    assert place.results() == undisturbed.results()

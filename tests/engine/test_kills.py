"""Runs ended from outside: by signals that they heed, and by kills at random instants."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aikd.engine import jobs
from aikd.engine.adoption import LEFT_BEHIND, TRAINED
from aikd.engine.locks import LOCK, exclusive
from aikd.engine.signals import heeding
from aikd.engine.state import States
from aikd.engine.training import Trainer
from aikd.errors import Interrupted
from aikd.study.layout import PROGRESS
from tests.conftest import ROOT
from tests.engine.resuming import (
    METHODS,
    RECIPE,
    SIGNALS,
    Make,
    interrupt,
    same_results,
)

pytestmark = pytest.mark.usefixtures("on_the_cpu")


@pytest.mark.parametrize("number", SIGNALS)
def test_signals_are_noted_and_handlers_come_back(number: signal.Signals) -> None:
    own: list[int] = []
    before = signal.signal(number, lambda n, frame: own.append(n))
    try:
        with heeding() as signals:
            signals.check("too early")
            for _ in range(3):
                os.kill(os.getpid(), number)
            with pytest.raises(Interrupted, match="enough"):
                signals.check("enough")
        assert own == []
        os.kill(os.getpid(), number)
        assert own == [number]
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", SIGNALS)
def test_ignored_signals_stay_ignored(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with heeding() as signals:
            os.kill(os.getpid(), number)
        signals.check("noted")
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_another_thread_leaves_signals_alone() -> None:
    before, seen = [signal.getsignal(s) for s in SIGNALS], []

    def look() -> None:
        with heeding():
            seen.append([signal.getsignal(s) for s in SIGNALS])

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]


# Runs, in processes of their own

WORKER = """
import os, signal, sys
def watch(frame, event, argument):
    if event == "call" and f"{frame.f_globals.get('__name__')}:{frame.f_code.co_qualname}" == INSTANT:
        sys.setprofile(None)
        os.kill(os.getpid(), NUMBER)
INSTANT, NUMBER = sys.argv.pop(1), int(sys.argv.pop(1))
from aikd.cli import main
if INSTANT:
    sys.setprofile(watch)
sys.exit(main(sys.argv[1:]))
"""


def start(
    settings: dict[str, Any], results: Path, data: Path, save_every: int = 1, command: str = "train",
    instant: str = "", number: int = 0,
) -> subprocess.Popen[str]:  # fmt: skip
    """`aikd train` or `predict`, which gets a signal when it first calls a function: `instant` is module:name."""
    what = ["--settings", json.dumps(settings), "--save-every", str(save_every)]
    arguments = [command, *(what if command == "train" else [settings["run"]])]
    places = ["--results", str(results), "--data", str(data)]
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, instant, str(number), *arguments, *places],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=unignore,  # noqa: PLW1509
    )


def unignore() -> None:
    """A shell that runs tests in the background has SIGINT ignored, and `nohup` SIGHUP."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def until(process: subprocess.Popen[str], words: str) -> Iterator[str]:
    """Lines of a process up to the one that starts with `words`."""
    assert process.stderr is not None
    for line in process.stderr:
        yield line
        if line.startswith(words):
            return


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_program_with_75_and_the_next_one_continues(
    results: Path, tiny: Path, make_settings: Make, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = make_settings("pskd", **RECIPE | {"epochs": 400})
    with start(chosen, results, tiny, save_every=1000) as process:
        assert list(until(process, "epoch   2/"))
        for _ in range(3):
            process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 75
    (line,) = [line for line in said.splitlines() if not line.startswith("epoch ")]
    (epoch,) = States(results / "runs" / chosen["run"]).epochs()
    run = chosen["run"]
    assert line == (
        f"aikd train: {run}: interrupted after epoch {epoch} of 400; the next attempt continues from there"
    )
    assert epoch >= 2
    interrupt(chosen, results, tiny, epoch)
    assert f"{run}: continues after epoch {epoch} of 400\n" in capsys.readouterr().err


EARLY = (
    "aikd.study.run:Run.from_path", "aikd.engine.lease:_pool", "torch:<module>",
    "aikd.engine.signals:Signals.check",
)  # fmt: skip
LOADING = ("aikd.engine.store:Prepared.open", "aikd.engine.training:Trainer.__init__")
LATE = (
    "aikd.engine.models:save_model", "aikd.files:write_json", "aikd.engine.prediction:write_predictions",
)  # fmt: skip


@pytest.mark.parametrize("instant", [*EARLY, *LOADING])
def test_a_signal_before_the_first_step_ends_with_75_and_a_line(
    tmp_path: Path, tiny: Path, baseline: dict[str, Any], instant: str
) -> None:
    number = SIGNALS[len(instant) % len(SIGNALS)]
    with start(baseline, tmp_path, tiny, instant=instant, number=number) as process:
        said = process.communicate(timeout=120)[1].splitlines()
    run = baseline["run"]
    assert process.returncode == 75, said
    assert said[-1] == (
        f"aikd train: {run}: interrupted before it began"
        if instant in EARLY
        else f"aikd train: {run}: interrupted after epoch 0 of 6; the next attempt starts anew"
    )
    assert all(line.startswith(f"{run}: 41 images on ") for line in said[:-1])
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {PROGRESS}


@pytest.mark.parametrize("instant", LATE)
def test_a_signal_while_results_are_written_lets_them_be_written(
    tmp_path: Path, undisturbed: Path, tiny: Path, baseline: dict[str, Any], instant: str
) -> None:
    number = SIGNALS[len(instant) % len(SIGNALS)]
    with start(baseline, tmp_path, tiny, instant=instant, number=number) as process:
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    same_results(tmp_path / "runs" / baseline["run"], undisturbed / "runs" / baseline["run"])


@pytest.mark.parametrize("instant", ["torch:<module>", "aikd.engine.prediction:write_predictions"])
def test_a_signal_ends_predicting_with_75_and_without_predictions(
    results: Path, tiny: Path, baseline: dict[str, Any], instant: str
) -> None:
    folder = results / "runs" / baseline["run"]
    (folder / LEFT_BEHIND).unlink()
    before = {path.name for path in folder.iterdir()}
    line = f"aikd predict: {baseline['run']}: interrupted before it was predicted\n"
    for where, code, words in ((instant, 75, line), ("", 0, "")):
        assert {path.name for path in folder.iterdir()} == before
        with start(baseline, results, tiny, 1, "predict", where, signal.SIGTERM) as process:
            said = process.communicate(timeout=120)[1]
        assert (process.returncode, said) == (code, words)
    assert {path.name for path in folder.iterdir()} == (before - {TRAINED}) | {"predictions.safetensors"}


@pytest.mark.parametrize("instant", [*LATE, "aikd.engine.state:States.put_aside"])
def test_a_run_that_was_killed_at_its_end_leaves_no_state_once_it_is_predicted_with(
    tmp_path: Path, tiny: Path, baseline: dict[str, Any], monkeypatch: pytest.MonkeyPatch, instant: str
) -> None:
    """Else a later training that is wanted would find it, and train nothing."""
    folder = tmp_path / "runs" / baseline["run"]
    with start(baseline, tmp_path, tiny, instant=instant, number=signal.SIGKILL) as process:
        process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    if not (folder / "train.json").exists():
        monkeypatch.setattr(Trainer, "epoch", lambda *_: pytest.fail("trained"))
        jobs.train(baseline, tmp_path, tiny, 1)
    jobs.predict(baseline["run"], tmp_path, tiny)
    left = {path.name for path in folder.iterdir()} - {LOCK, PROGRESS}
    assert left == {"model.safetensors", "history.csv", "train.json", "predictions.safetensors"}


def test_predicting_leaves_the_states_of_a_newer_training(
    results: Path, tiny: Path, baseline: dict[str, Any]
) -> None:
    folder = results / "runs" / baseline["run"]
    interrupt(baseline | {"recipe": baseline["recipe"] | {"learning_rate": 0.02}}, results, tiny, 2)
    jobs.predict(baseline["run"], results, tiny)
    assert States(folder).epochs() == [2]


@pytest.mark.parametrize("ended", ["the holder", "who waits"])
def test_a_second_process_on_a_run_waits_for_the_first_and_finds_its_work_done(
    tmp_path: Path, undisturbed: Path, tiny: Path, baseline: dict[str, Any], ended: str
) -> None:
    folder = tmp_path / "runs" / baseline["run"]
    folder.mkdir(parents=True)
    with exclusive(folder):
        second = start(baseline, tmp_path, tiny)
        assert second.stderr is not None
        said = second.stderr.readline()
        assert said.startswith(f"{folder}: in use by process {os.getpid()} on ")
        assert said.endswith("; waiting for it\n")
        if ended == "who waits":
            second.send_signal(signal.SIGTERM)
            said = second.communicate(timeout=60)[1]
            assert (second.returncode, said) == (
                75,
                f"aikd train: {baseline['run']}: interrupted before it began\n",
            )
            return
        jobs.train(baseline, tmp_path, tiny, 1)
    said = second.communicate(timeout=60)[1]
    assert said == f"{baseline['run']}: finished, with these settings and data; --again trains it again\n"
    same_results(folder, undisturbed / "runs" / baseline["run"])


def test_a_short_torture_finds_nothing() -> None:
    command = [sys.executable, str(ROOT / "tests/torture.py"), "--kills", "1", "--epochs", "8"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("as if nothing had happened") == len(METHODS)


@pytest.mark.parametrize(("method", "settings"), METHODS, ids=str)
def test_kills_at_random_instants_change_nothing(
    results: Path, undisturbed: Path, tiny: Path, make_settings: Make, method: str, settings: dict[str, Any]
) -> None:
    """Killed twice somewhere between the first epoch and the end, a state being saved in every epoch."""
    chosen, rng = make_settings(method, settings, **RECIPE), random.Random(f"{method} {settings}")
    folder = results / "runs" / chosen["run"]
    if method == "baseline":
        shutil.rmtree(folder)
    for _ in range(2):
        with start(chosen, results, tiny) as process:
            list(until(process, "epoch "))
            time.sleep(rng.uniform(0, 0.25))
            process.kill()
    with start(chosen, results, tiny) as process:
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    same_results(folder, undisturbed / "runs" / chosen["run"])

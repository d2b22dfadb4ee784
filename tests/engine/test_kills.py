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

from aikd.engine.attempt import Attempt
from aikd.engine.state import States
from aikd.errors import Interrupted
from tests.engine.resuming import (
    METHODS,
    RECIPE,
    SIGNALS,
    Make,
    interrupt,
    same_results,
    trainer,
)

pytestmark = pytest.mark.usefixtures("on_the_cpu")


@pytest.fixture
def idle(tmp_path: Path, tiny: Path, baseline: dict[str, Any]) -> Attempt:
    return Attempt(tmp_path, {}, trainer(baseline, tiny), 2, time.monotonic())


@pytest.mark.parametrize("number", SIGNALS)
def test_handlers_come_back(idle: Attempt, number: signal.Signals) -> None:
    own: list[int] = []
    before = signal.signal(number, lambda n, frame: own.append(n))
    try:
        with pytest.raises(Interrupted), idle.heeding_signals():  # noqa: PT012
            for _ in range(3):
                os.kill(os.getpid(), number)
        assert own == []
        os.kill(os.getpid(), number)
        assert own == [number]
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", SIGNALS)
def test_ignored_signals_stay_ignored(idle: Attempt, number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with idle.heeding_signals():
            os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_another_thread_leaves_signals_alone(idle: Attempt) -> None:
    before, seen = [signal.getsignal(s) for s in SIGNALS], []

    def look() -> None:
        with idle.heeding_signals():
            seen.append([signal.getsignal(s) for s in SIGNALS])

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]


# Runs, in processes of their own

WORKER = """
import signal, sys
import torch
from aikd.cli import main
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
    assert signal.getsignal(number) is not signal.SIG_IGN
torch.set_num_threads(1)
print("ready", file=sys.stderr, flush=True)
sys.exit(main(sys.argv[1:]))
"""


def start(settings: dict[str, Any], results: Path, data: Path, save_every: int = 1) -> subprocess.Popen[str]:
    arguments = ["train", "--settings", json.dumps(settings), "--results", str(results), "--data", str(data)]
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, *arguments, "--save-every", str(save_every)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        # A shell that runs tests in the background has SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,  # noqa: PLW1509
    )


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

"""What a training process says of how far it is."""

import json
import os
import pty
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aikd import messages
from aikd.engine import reporting
from aikd.engine.reporting import Reporter, line
from aikd.errors import Interrupted, UserError
from aikd.progress import Process, Progress, settings_digest
from aikd.study.status.runs import stand
from tests.engine.resuming import RECIPE, Make, summary
from tests.engine.test_kills import start, until

SETTINGS = {"run": "digits/net/baseline/seed0"}


class Clock:
    """Time that passes when it is told to, and whenever a file is written."""

    def __init__(self) -> None:
        self.now, self.writing, self.written = 100.0, 0.0, list[float]()

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1e9 + self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock, write = Clock(), Path.write_text

    def slow(path: Path, *arguments: Any, **options: Any) -> int:
        clock.now += clock.writing
        clock.written.append(clock.now)
        return write(path, *arguments, **options)

    monkeypatch.setattr(reporting, "time", SimpleNamespace(monotonic=clock.monotonic, time=clock.time))
    monkeypatch.setattr(Path, "write_text", slow)
    return clock


def steps(reporter: Reporter, clock: Clock, count: int, seconds: float) -> None:
    for _ in range(count):
        reporter.step()
        clock.now += seconds


def row(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "loss": 1 / epoch, "images_per_second": 50.0 * epoch}


def read(folder: Path) -> Progress:
    found = Progress.read(folder)
    assert found is not None
    return found


def test_it_begins_with_a_word_and_ends_with_none(tmp_path: Path) -> None:
    with reporting.reporting(tmp_path, SETTINGS) as reporter:
        found = read(tmp_path)
        assert (found.run, found.state, found.doing) == (SETTINGS["run"], "running", "starts")
        assert found.settings == settings_digest(SETTINGS)
        assert found.process == Process.own()
        assert (found.epochs, found.left, found.images_per_second) == (0, None, None)
        reporter.does("waits for a GPU")
        assert read(tmp_path).doing == "waits for a GPU"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "state", "words"),
    [
        (UserError("a: ce is nan in epoch 1"), "failed", "a: ce is nan in epoch 1"),
        (OSError(28, "no room, the disk is full", "model"), "failed", "model: no room, the disk is full"),
        (RuntimeError("CUDA out of memory"), "failed", "RuntimeError: CUDA out of memory"),
        (MemoryError(), "failed", "MemoryError"),
        (Interrupted("a: interrupted after epoch 3"), "interrupted", "a: interrupted after epoch 3"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
    ],
)
def test_an_attempt_that_ends_leaves_its_last_words(
    tmp_path: Path, error: BaseException, state: str, words: str
) -> None:
    with pytest.raises(type(error)), reporting.reporting(tmp_path, SETTINGS):
        raise error
    found = read(tmp_path)
    assert (found.state, found.doing) == (state, words)


def test_within_an_epoch_it_writes_every_ten_seconds(tmp_path: Path, clock: Clock) -> None:
    reporter = Reporter(tmp_path, SETTINGS)
    reporter.begins(epochs=2, done=0, steps=1000, images=4000, device="cpu")
    clock.written.clear()
    steps(reporter, clock, 121, 0.5)
    assert clock.written == [110, 120, 130, 140, 150, 160]
    found = read(tmp_path)
    # The 121st step has begun: 120 of 2000 took a minute, so that 1880 take 940 s.
    assert (found.epoch, found.step, found.steps, found.left) == (0, 120, 1000, 940.0)
    assert found.images_per_second == 8  # 4 images a step
    assert (found.at, found.every) == (1e9 + 160, 10)


def test_each_epoch_is_written_but_not_for_more_than_a_thousandth_of_the_time(
    tmp_path: Path, clock: Clock
) -> None:
    reporter = Reporter(tmp_path, SETTINGS)
    reporter.begins(epochs=1000, done=0, steps=1, images=4, device="cpu")
    clock.written.clear()
    clock.writing = 1 / 1024  # exact in binary
    for epoch in range(1, 501):
        steps(reporter, clock, 1, 0.125)
        reporter.epoch(row(epoch))
    assert 0.95 * 62.5 < len(clock.written) <= 62.5 / 0.976 + 1
    assert all(b - a >= 0.976 for a, b in pairwise(clock.written[1:]))


def test_a_disk_that_hung_once_does_not_silence_it_for_long(tmp_path: Path, clock: Clock) -> None:
    reporter = Reporter(tmp_path, SETTINGS)
    reporter.begins(epochs=2, done=0, steps=1000, images=4000, device="cpu")
    clock.writing = 30.0
    steps(reporter, clock, 11, 1)
    clock.writing = 0.0
    clock.written.clear()
    steps(reporter, clock, 71, 1)
    assert clock.written[1] - clock.written[0] == 10
    assert clock.written[0] == 140 + 60
    assert read(tmp_path).every == 60


def test_slow_steps_and_looks_at_the_evaluation_set_are_its_rhythm(tmp_path: Path, clock: Clock) -> None:
    reporter = Reporter(tmp_path, SETTINGS)
    reporter.begins(epochs=3, done=0, steps=2, images=4000, device="cpu")
    steps(reporter, clock, 2, 40)
    assert read(tmp_path).every == 40
    clock.now += 100
    reporter.epoch(row(1))
    assert read(tmp_path).every == 140


def test_the_first_epoch_of_an_attempt_is_left_out_of_its_pace_once_there_are_others(
    tmp_path: Path, clock: Clock
) -> None:
    """It warms up, and with AI-KD has no previous student yet; a resumed run counts only the epochs left."""
    reporter = Reporter(tmp_path, SETTINGS)
    reporter.begins(epochs=10, done=4, steps=10, images=40, device="cpu")
    assert read(tmp_path).left is None
    steps(reporter, clock, 10, 1)
    reporter.epoch(row(5))
    assert (read(tmp_path).epoch, read(tmp_path).left) == (5, 5 * 10.0)
    steps(reporter, clock, 10, 3)
    reporter.epoch(row(6))
    assert (read(tmp_path).epoch, read(tmp_path).left) == (6, 4 * 30.0)
    steps(reporter, clock, 6, 3)
    found = read(tmp_path)
    # At the fifth step's beginning, 12 s after the last epoch: 42 s for 14 steps, of which 36 are left.
    assert (found.epoch, found.step, found.left) == (6, 4, 36 * 3.0)
    assert (found.loss, found.images_per_second) == (1 / 6, 300.0)


def test_nothing_that_happens_to_its_file_is_a_reason_to_end(tmp_path: Path, clock: Clock) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    reporter = Reporter(folder, SETTINGS)
    folder.rename(tmp_path / "away")
    reporter.begins(epochs=1, done=0, steps=100, images=400, device="cpu")
    steps(reporter, clock, 100, 1)
    reporter.epoch(row(1))
    reporter.ended(RuntimeError())
    reporter.done()
    assert not folder.exists()


def test_a_full_disk_leaves_the_last_word_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reporter = Reporter(tmp_path, SETTINGS)
    before = read(tmp_path)

    def full(path: Path, text: str, **options: Any) -> None:
        path.write_bytes(text[:9].encode())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    reporter.does("trains")
    assert read(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == [".progress.json"]


# Real runs


def test_a_trained_run_leaves_none(results: Path, tiny: Path, make_settings: Make) -> None:
    process = start(make_settings("aikd", **RECIPE), results, tiny)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert "\r" not in said
    assert "\x1b" not in said
    assert not list(results.rglob(".progress.json*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_stands_so(
    results: Path, tiny: Path, make_settings: Make, number: signal.Signals
) -> None:
    settings = make_settings("pskd", **RECIPE | {"epochs": 4000})
    process = start(settings, results, tiny)
    for _ in until(process, "epoch    2"):
        pass
    living = stand(results, settings)
    assert (living.state, living.epochs, living.steps) == ("running", 4000, 5)
    assert living.process == str(read(results / "runs" / settings["run"]).process)
    assert f"process {process.pid} " in living.process
    os.kill(process.pid, number)
    process.communicate()
    found = stand(results, settings)
    assert found.state == "interrupted"
    assert found.epoch >= 1  # said before it is saved
    if number == signal.SIGKILL:
        assert "gone without a word" in found.how
        assert found.error is None
    else:
        assert found.error is not None
        assert f"interrupted after epoch {found.epoch} of 4000; the next attempt continues" in found.error


def test_a_run_that_fails_stands_so(results: Path, tiny: Path, make_settings: Make) -> None:
    settings = make_settings("pskd", **RECIPE | {"learning_rate": 1e30})
    process = start(settings, results, tiny)
    _, said = process.communicate()
    assert process.returncode == 1
    found = stand(results, settings)
    assert found.state == "failed"
    assert found.error is not None
    assert said.endswith(f"aikd train: {found.error}\n")
    assert "lower recipe.learning_rate" in found.error


def test_training_on_a_terminal_draws_a_bar(
    results: Path, tiny: Path, make_settings: Make, tmp_path: Path
) -> None:
    settings = make_settings(**RECIPE | {"epochs": 60})
    command = [sys.executable, "-m", "aikd", "train", "--settings", json.dumps(settings)]
    command += ["--results", str(tmp_path / "new"), "--data", str(tiny)]
    terminal, end = pty.openpty()
    code = (
        f"from aikd.engine import reporting; reporting.REDRAW = 0; import sys; sys.argv = {command[2:]!r}; "
    )
    code += "from aikd.cli import main; sys.exit(main(sys.argv[1:]))"
    with subprocess.Popen(
        [sys.executable, "-c", code], stderr=end, env=os.environ | {"TERM": "xterm", "COLUMNS": "90"}
    ) as process:
        os.close(end)
        shown = b""
        while True:
            try:
                shown += os.read(terminal, 4096)
            except OSError:  # how the end of a terminal is told
                break
    os.close(terminal)
    assert process.returncode == 0, shown
    text = shown.decode()
    bars = [part for part in text.split("\r\x1b[K") if "left" in part]
    assert len(bars) > 60
    assert max(map(len, bars)) < 90
    # What stays is one line an epoch, as without a terminal.
    stay = [part.rpartition("\x1b[K")[2].strip("\r") for part in text.split("\n")]
    assert [part.split()[1] for part in stay if part.startswith("epoch ")] == [
        f"{n}/60" for n in range(1, 61)
    ]
    assert summary(tmp_path / "new/runs" / settings["run"])["epochs"] == 60


# The bar


def test_the_bar_shows_all_that_fits() -> None:
    found = Progress.model_validate(
        {
            "run": "r", "state": "running", "doing": "trains", "settings": "", "epochs": 300, "epoch": 41,
            "step": 98, "steps": 392, "images_per_second": 1234.5, "loss": 0.98765, "left": 750.0, "seconds": 1.0,
            "device": None, "at": 0.0, "every": 10.0, "process": Process.own(),
        }
    )  # fmt: skip
    shown = line(found, 100)
    assert shown == "epoch  42/300 ██████                    98/392  loss 0.9877  1,234 images/s  12 min left"
    for columns in range(1, 200):
        assert len(line(found, columns)) < columns
        assert (line(found, columns) + " ").split()[:2] == shown[: columns - 1].split()[:2]
        assert ("min left" in line(found, columns)) == (columns > 64)


def test_messages_take_the_place_of_what_was_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    messages.say("before")
    messages.draw("1/2")
    messages.draw("2/2")
    messages.say("after")
    messages.say("last")
    erase = "\r\x1b[K"
    assert capsys.readouterr().err == f"before\n{erase}1/2{erase}2/2{erase}after\nlast\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h"), (172800, "2.0 days")],
)
def test_durations_are_in_the_unit_that_people_would_choose(seconds: float, text: str) -> None:
    assert messages.duration(seconds) == text

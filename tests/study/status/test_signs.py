"""Whether a run that said it trains still does: seen from the same machine, and from another one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from aikd.progress import Process
from aikd.study.status.signs import life
from tests.study.status.conftest import ELSEWHERE, NOW, OWN, progress

HOUR = 3600.0


@contextmanager
def another() -> Iterator[tuple[subprocess.Popen[str], Process]]:
    """A process of this machine, as it names itself."""
    code = "from aikd.progress import Process; print(Process.own().model_dump_json(), flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, Process.model_validate_json(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def test_a_process_of_this_machine_lives_until_it_is_gone() -> None:
    with another() as (process, named):
        assert named.pid == process.pid
        assert named.lives() is True
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet taken away
        assert named.lives() is False
        process.wait()
        assert named.lives() is False


def test_a_later_process_of_the_same_number_is_another_one() -> None:
    assert OWN.lives() is True
    assert OWN.model_copy(update={"born": "1"}).lives() is False


def test_of_another_machine_and_of_one_started_anew_nobody_knows() -> None:
    assert ELSEWHERE.lives() is None
    assert OWN.model_copy(update={"place": "before the reboot"}).lives() is None
    assert OWN.model_copy(update={"place": ""}).lives() is None


@pytest.mark.parametrize(
    ("ago", "state", "words"),
    [
        (5, "running", "wrote 5 s ago"),
        (149, "running", "wrote 2 min ago"),
        (151, "stalled?", "silent for 3 min, where 10 s are usual; process 4711 on node07 (job 123) cannot"),
        (1099, "stalled?", "cannot be looked at from here"),
        (1101, "interrupted", "taken for dead"),
        (3 * 24 * HOUR, "interrupted", "silent for 3.0 days"),
        (-60, "running", "wrote 0 s ago"),
        (-HOUR, "running", "the clock of node07 is ahead"),
    ],
)  # fmt: skip
def test_elsewhere_its_own_rhythm_tells(ago: float, state: str, words: str) -> None:
    found, how = life(progress(ago), NOW)
    assert found == state
    assert words in how


def test_a_run_of_slow_steps_is_given_more_time() -> None:
    assert life(progress(400, every=100.0), NOW)[0] == "running"
    assert life(progress(400, every=10.0), NOW)[0] == "stalled?"
    assert life(progress(2800, every=100.0), NOW)[0] == "stalled?"
    assert life(progress(3000, every=100.0), NOW)[0] == "interrupted"


def test_what_has_moved_since_the_last_look_runs_whatever_the_clocks_say() -> None:
    assert life(progress(2 * HOUR), NOW, moved=True) == ("running", "has written since the last look")


def test_on_this_machine_the_process_decides() -> None:
    assert life(progress(5, OWN), NOW)[0] == "running"
    state, how = life(progress(10 * HOUR, OWN), NOW)
    assert state == "stalled?"
    assert how.endswith(f"process {OWN.pid} on {OWN.host} lives")
    gone = OWN.model_copy(update={"born": "1"})
    for moved in (False, True):
        state, how = life(progress(1, gone), NOW, moved)
        assert state == "interrupted"
        assert "gone without a word" in how

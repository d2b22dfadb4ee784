"""Eight processes on two GPUs, killed again and again: never more holders than allowed, never a GPU that stays taken.

Every process writes down when it has had its lease and when it is about to give it back, the one that kills them when
it is about to do so; the clock is one for all processes. So a lease is certainly held in between, and overlapping
ones are counted.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engine.test_lease_processes import environment

PROCESSES, KILLS, ROUNDS = 8, 12, 3
HARNESS = f"""
import json, os, random, signal, sys, time
from aikd.engine.lease import leased
log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
shares = json.loads(sys.argv[2])

def note(**event):
    os.write(log, (json.dumps(event) + "\\n").encode())

def work(rounds):
    rng = random.Random(os.getpid())
    while rounds:
        rounds -= 1
        share = rng.choice(shares)
        # As another process would be: what CUDA shows belongs to a process.
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        with leased("run", share) as gpu:
            note(what="has", process=os.getpid(), gpu=gpu, share=share, at=time.monotonic())
            time.sleep(rng.uniform(0, 0.02))
            note(what="ends", process=os.getpid(), at=time.monotonic())
        time.sleep(rng.uniform(0, 0.01))

def start(rounds):
    child = os.fork()
    if child:
        return child
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    code = 1
    try:
        work(rounds)
        code = 0
    finally:
        os._exit(code)

rng = random.Random(0)
running = [start(-1) for _ in range({PROCESSES})]
for _ in range({KILLS}):
    for place in rng.sample(range({PROCESSES}), {PROCESSES}):
        time.sleep(rng.uniform(0, 0.02))
        note(what="ends", process=running[place], at=time.monotonic())
        os.kill(running[place], signal.SIGKILL)
        os.waitpid(running[place], 0)
        running[place] = start(-1)
for process in running:
    note(what="ends", process=process, at=time.monotonic())
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
print([os.waitpid(process, 0)[1] for process in [start({ROUNDS}) for _ in range({PROCESSES})]])
"""


def leases(log: Path) -> list[dict[str, Any]]:
    """What was certainly held, with its beginning and its end; what ended before it was noted was not."""
    held: list[dict[str, Any]] = []
    open_ones: dict[int, dict[str, Any]] = {}
    events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    for event in sorted(events, key=lambda event: event["at"]):
        if event["what"] == "has":
            open_ones[event["process"]] = event
        elif event["process"] in open_ones:
            held.append(open_ones.pop(event["process"]) | {"until": event["at"]})
    return held


@pytest.mark.parametrize("shares", [[1], [2], [1, 2, 3]], ids=str)
def test_kills_never_give_a_gpu_to_too_many_and_never_keep_it(tmp_path: Path, shares: list[int]) -> None:
    log, folder = tmp_path / "log", tmp_path / "locks"
    done = subprocess.run(
        [sys.executable, "-c", HARNESS, str(log), json.dumps(shares)],
        env=environment(folder, "GPU-a,GPU-b"), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == (str([0] * PROCESSES), "")
    held, most = leases(log), 0
    for one in held:
        at = one["at"]
        together = [x for x in held if x["gpu"] == one["gpu"] and x["at"] <= at < x["until"]]
        assert all(len(together) <= x["share"] for x in together), together
        most = max(most, len(together))
    assert most >= min(2, max(shares))
    assert {one["gpu"] for one in held} == {"GPU-a", "GPU-b"}
    assert len(held) > PROCESSES * ROUNDS + KILLS
    assert list(folder.iterdir()) == []

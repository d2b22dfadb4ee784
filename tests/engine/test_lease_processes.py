"""GPUs leased by processes that are killed, interrupted, forked, and of other users; stand-ins for the GPUs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from aikd.engine import lease
from aikd.engine.gpus import FAKE
from aikd.engine.lease import FOLDER, JOBS
from aikd.errors import Interrupted, UserError

RUN = "digits/net/baseline/seed0"
HOLD = """
import os, signal, subprocess, sys, time
from aikd.engine.lease import leased
with leased(sys.argv[1]) as gpu:
    print(gpu)
    {then}
    sys.stdin.read()
"""
TRAIN = ("train", "--settings", json.dumps({"run": RUN}))
PREDICT = ("predict", RUN, "--results", "no-such-folder")
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def environment(folder: Path, gpus: str = "GPU-a") -> dict[str, str]:
    gone = {"AIKD_DEVICE", "CUDA_VISIBLE_DEVICES", *(name for names in JOBS for name in names)}
    plain = {key: value for key, value in os.environ.items() if key not in gone}
    return plain | {FOLDER: str(folder), FAKE: gpus, "PYTHONUNBUFFERED": "1"}


class Processes:
    """Python processes that go with the test."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack

    def start(self, *arguments: str, gpus: str = "GPU-a") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=environment(self.folder, gpus), cwd=self.folder.parent,
            # A shell that runs tests in the background has SIGINT ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,  # noqa: PLW1509
        )  # fmt: skip
        self.stack.enter_context(process)
        self.stack.callback(process.kill)
        # What never comes ends the test, not the patience of who runs it.
        deadline = threading.Timer(180, process.kill)
        deadline.daemon = True
        deadline.start()
        self.stack.callback(deadline.cancel)
        return process

    def holder(self, run: str, then: str = "pass") -> subprocess.Popen[str]:
        """A process that has the only GPU, until its standard input ends."""
        process = self.start("-c", HOLD.format(then=then), run)
        assert line(process) == "GPU-a\n"
        return process

    def waiting(self, *arguments: str, holder: str) -> subprocess.Popen[str]:
        """A process of these arguments that has said for whom it waits."""
        process = self.start(*arguments)
        assert process.stderr is not None
        assert holder in process.stderr.readline()
        return process


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with ExitStack() as stack:
        yield Processes(tmp_path / "locks", stack)


def test_a_killed_process_frees_its_gpu_at_once(processes: Processes) -> None:
    first = processes.holder("first")
    second = processes.waiting(
        "-c", HOLD.format(then="pass"), "second", holder=f"first (process {first.pid})"
    )
    first.kill()
    assert line(second) == "GPU-a\n"
    _, said = second.communicate(timeout=60)
    assert said.startswith("second: has GPU-a after ")
    assert list(processes.folder.iterdir()) == []


@pytest.mark.parametrize(
    "child",
    [
        "child = os.fork()\n    if not child: time.sleep(60); os._exit(0)",
        "child = subprocess.Popen(['sleep', '60'], close_fds=False).pid",
    ],
    ids=["forked", "another program"],
)
def test_children_do_not_keep_the_gpu_of_a_killed_process(processes: Processes, child: str) -> None:
    first = processes.holder("first", f"{child}\n    print(child)")
    pid = int(line(first))
    first.kill()
    first.wait()
    try:
        processes.holder("second")
        os.kill(pid, 0)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_forked_child_that_ends_frees_nothing(processes: Processes) -> None:
    first = processes.holder(
        "first", "child = os.fork()\n    if not child: sys.exit()\n    os.wait(); print('over')"
    )
    assert line(first) == "over\n"
    processes.waiting("-c", HOLD.format(then="pass"), "second", holder="first")


@pytest.mark.parametrize(
    ("number", "command"), [*((number, TRAIN) for number in SIGNALS), (signal.SIGTERM, PREDICT)]
)
def test_waiting_ends_with_75_on_a_signal(
    processes: Processes, number: signal.Signals, command: tuple[str, ...]
) -> None:
    processes.holder("first")
    second = processes.waiting("-m", "aikd", *command, holder="first")
    second.send_signal(number)
    said = second.communicate(timeout=60)[1]
    begun = "began" if command == TRAIN else "was predicted"
    assert (second.returncode, said) == (
        75,
        f"aikd {command[0]}: {RUN}: interrupted before it {begun}\n",
    )


def test_a_driver_that_a_signal_ended_is_no_error_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked in a process of its own, which has the same signal where a terminal or a scheduler sends it."""

    def ended() -> list[str]:
        raise UserError("the NVIDIA driver cannot be asked")

    def check() -> None:
        raise Interrupted("asked to end")

    monkeypatch.setattr(lease, "visible_gpus", ended)
    monkeypatch.delenv("AIKD_DEVICE", raising=False)
    with pytest.raises(Interrupted), lease.leased("run", check=check):
        pass
    with pytest.raises(UserError, match="driver"), lease.leased("run"):
        pass


def test_ignored_signals_do_not_end_waiting(processes: Processes) -> None:
    first = processes.holder("first")
    code = f"import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{HOLD.format(then='pass')}"
    second = processes.waiting("-c", code, "second", holder="first")
    second.send_signal(signal.SIGINT)
    first.kill()
    assert line(second) == "GPU-a\n"


WATCH = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ["CUDA_VISIBLE_DEVICES"], len(os.listdir(os.environ["AIKD_GPU_LOCKS"])))
            print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
            os._exit(0)
sys.meta_path.insert(0, Finder())
from aikd.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("command", [TRAIN, PREDICT], ids=["train", "predict"])
def test_torch_is_imported_when_cuda_shows_the_leased_gpu_alone(
    processes: Processes, command: tuple[str, ...]
) -> None:
    process = processes.start("-c", WATCH, *command, gpus="GPU-a,GPU-b")
    assert process.communicate(timeout=60) == ("GPU-a 1\nFalse\n", "")


# Two users

OTHERS = """
import os, signal, sys, time
from aikd.engine.lease import leased

def as_nobody(work):
    child = os.fork()
    if child:
        return child
    try:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        os.umask(0o077)
        work()
        os._exit(0)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
    os._exit(1)

def hold():
    with leased("theirs") as gpu:
        os.write(send, gpu.encode())
        time.sleep(60)

def take():
    with leased("theirs") as gpu:
        pass

if sys.argv[1] == "they first":
    os.waitpid(as_nobody(take), 0)
else:
    with leased("mine"):
        pass
print(oct(os.stat(os.environ["AIKD_GPU_LOCKS"]).st_mode))

# They hold it: I wait, and know for whom.
receive, send = os.pipe()
child = as_nobody(hold)
assert os.read(receive, 100) == b"GPU-a"
signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
signal.setitimer(signal.ITIMER_REAL, 0.2)
with leased("mine"):
    os.waitpid(child, 0)
    # I hold it: they wait.
    child = as_nobody(take)
    time.sleep(0.2)
    print(os.waitpid(child, os.WNOHANG))
print(os.waitpid(child, 0)[1])

# I am killed, and my file is left: they cannot remove it, and need not.
child = os.fork()
if not child:
    with leased("mine"):
        os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(child, 0)
left = os.listdir(os.environ["AIKD_GPU_LOCKS"])
print(len(left), os.waitpid(as_nobody(take), 0)[1], os.listdir(os.environ["AIKD_GPU_LOCKS"]) == left)
"""


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder in which everybody may make folders; pytest's own are private."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as two users")
@pytest.mark.parametrize("order", ["they first", "I first"])
def test_two_users_share_out_one_gpu(public: Path, order: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OTHERS, order],
        env=environment(public / "locks"), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    # Who owns the folder may remove what others left in it.
    kept = str(order == "I first")
    assert done.stdout.splitlines() == ["0o41777", "(0, 0)", "0", f"1 0 {kept}"], done.stderr
    theirs, taken, mine, others = done.stderr.splitlines()
    assert theirs.startswith("mine: waits for GPU-a, taken by theirs (process ")
    assert theirs.endswith((") of nobody", ") of user 65534"))
    assert taken.startswith("mine: has GPU-a after ")
    assert mine.startswith("theirs: waits for GPU-a, taken by mine (process ")
    assert others.startswith("theirs: has GPU-a after ")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as two users")
def test_a_folder_in_which_one_may_not_write_is_refused(public: Path) -> None:
    (public / "locks").mkdir(mode=0o755)
    code = "import os\nos.setuid(65534)\nfrom aikd.cli import main\nraise SystemExit(main())"
    code = f"import sys, aikd.cli, aikd.commands.runs, aikd.engine.lease, aikd.engine.locks, aikd.study.run\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code, *TRAIN, "--results", str(public / "results")],
        env=environment(public / "locks"), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"aikd train: {public / 'locks'}: [Errno 13] Permission denied: 'machine.a.1."
    )
    assert done.stderr.endswith(f"; GPUs are shared out in this folder; set {FOLDER} to another one\n")

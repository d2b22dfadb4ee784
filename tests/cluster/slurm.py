"""A real Slurm of two nodes on this machine: started for tests, gone after them.

Slurm's commands and Snakemake's plugin find their configuration in /etc/slurm and nowhere else, so a machine has one
such cluster at a time, and one that has a Slurm of its own is left alone.
"""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

BASE = Path("/var/lib/aikd-slurm-tests")
"""All that the cluster writes. One place for all test runs, so that a later one finds what a killed one left."""
ETC = Path("/etc/slurm")
DAEMONS = ("slurmctld", "slurmd", "slurmdbd", "sackd")
FILES = ("slurm.conf", "gres.conf")
PROGRAMS = (
    "munged",
    "mungekey",
    "slurmctld",
    "slurmd",
    "sbatch",
    "srun",
    "squeue",
    "scancel",
    "scontrol",
    "setpriv",
)
MARK = "AIKD_SLURM_TESTS"
"""In the environment of every daemon and job: what may be killed."""

CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={base}/munge.socket,cred_expire=10
SlurmctldPort=16817
SlurmctldPidFile={base}/slurmctld.pid
SlurmdPidFile={base}/slurmd-%n.pid
SlurmctldLogFile={base}/slurmctld.log
SlurmdLogFile={base}/slurmd-%n.log
StateSaveLocation={base}/state
SlurmdSpoolDir={base}/spool-%n
# As control groups would, of which a container may have none: all processes of a job get its signals, and all that
# are left when its first process ends are killed.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=1,sched_interval=5,bf_interval=5
KillWait=5
UnkillableStepTimeout=600
MinJobAge=3600
ReturnToService=2
JobCompType=jobcomp/filetxt
JobCompLoc={base}/jobcomp.log
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
JobAcctGatherParams=OverMemoryKill
GresTypes=gpu
NodeName=gpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port=16818 CPUs=8 RealMemory=16000 Gres=gpu:2 State=UNKNOWN
NodeName=cpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port=16819 CPUs=8 RealMemory=16000 State=UNKNOWN
PartitionName=cpu Nodes=cpu1 Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=gpu1 MaxTime=INFINITE State=UP
"""

# Devices that everybody has; nothing is done with them.
GPUS = "NodeName=gpu1 Name=gpu File=/dev/null,/dev/zero\n"


def hindrance() -> str | None:
    """Why there can be no cluster here; None where there can."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"no Slurm to test with: {', '.join(missing)} not found"
    if os.geteuid() != 0:
        return "only root can start a Slurm"
    for path in (ETC / name for name in FILES):
        if os.path.lexists(path) and not (path.is_symlink() and path.readlink() == BASE / path.name):
            return f"this machine has a Slurm of its own ({path})"
    ours = _marked()
    for comm in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):
            if (name := comm.read_text().strip()) in DAEMONS and int(comm.parent.name) not in ours:
                return f"this machine has a Slurm of its own ({name} runs)"
    return None


@contextmanager
def cluster() -> Iterator[None]:
    """Slurm, ready for jobs; waits for another test run's to end.

    Raises:
        TimeoutError: a part of it does not start.
    """
    with BASE.with_suffix(".lock").open("w") as lock, ExitStack() as ending:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _remove()
        ending.callback(_remove)
        _configure()
        _start()
        yield


def _configure() -> None:
    BASE.mkdir(mode=0o755)
    (BASE / "state").mkdir()
    ETC.mkdir(exist_ok=True)
    host = socket.gethostname().partition(".")[0]
    (BASE / "slurm.conf").write_text(CONFIGURATION.format(host=host, base=BASE))
    (BASE / "gres.conf").write_text(GPUS)
    for name in FILES:
        (ETC / name).symlink_to(BASE / name)


def _start() -> None:
    subprocess.run(["mungekey", "--create", "--keyfile", BASE / "munge.key"], check=True)
    files = [f"--{name}-file={BASE}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    _daemon("munged", "--foreground", *files, f"--socket={BASE}/munge.socket")
    until((BASE / "munge.socket").exists, "munged")
    _daemon("slurmctld", "-D")
    for node in ("gpu1", "cpu1"):
        _daemon("slurmd", "-D", "-N", node)
    until(
        lambda: _said("sinfo", "--Node", "--noheader", "--format=%t").split() == ["idle", "idle"],
        "two idle nodes",
    )


def _daemon(*command: str | Path) -> None:
    """Started so that it ends with this process, however that ends."""
    with (BASE / "daemons.log").open("a") as log:
        subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=os.environ | {MARK: str(BASE)}, start_new_session=True,
        )  # fmt: skip


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _remove() -> None:
    """End every daemon and job, of this test run or of one that was killed, and take all files away."""
    for name in FILES:
        path = ETC / name
        if path.is_symlink() and path.readlink() == BASE / name:
            path.unlink()
    until(lambda: not any(_kill(pid) for pid in _marked()), "the end of all daemons and jobs")
    shutil.rmtree(BASE, ignore_errors=True)


def _marked() -> list[int]:
    mark, found = f"{MARK}={BASE}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0") and int(folder.name) != os.getpid():
                found.append(int(folder.name))
    return found


def _kill(pid: int) -> bool:
    """True where there was something to kill."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: it does not come about.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.1)

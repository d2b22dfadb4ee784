"""A GPU for a process: taken before torch is imported, and free again the moment the process ends, however it does.

A lease is a locked file in one folder for the whole machine. Its name says which GPU it is for and how many runs may
share that, its content who holds it, and it counts only while it is locked. Leases are counted and made under the
lock of the folder itself, so that what one process sees there no other one changes meanwhile.
"""

import fcntl
import os
import pwd
import random
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from aikd.engine.gpus import visible_gpus
from aikd.errors import UserError
from aikd.messages import say

FOLDER = "AIKD_GPU_LOCKS"
"""Names another folder for the leases, for example one that several containers have in common."""

DEFAULT_FOLDER = Path(
    "/tmp/aikd-gpus"
)  # not tempfile's: TMPDIR may differ between users and jobs of one machine

JOBS = (("SLURM_JOB_ID",), ("PBS_JOBID",), ("LSB_JOBID", "LSB_JOBINDEX"), ("SGE_TASK_ID", "JOB_ID"))
"""Variables that together name a scheduler's job; the first one is there in its jobs and nowhere else."""

PATIENCE = 10.0
"""Seconds of finding the folder locked after which that is said: to look at it takes milliseconds."""

REMINDER = 1800.0
"""Seconds between two messages of a process that waits."""

_held: set[int] = set()
"""Descriptors of this process's leases."""


@dataclass(frozen=True)
class Holder:
    """A lease that some process holds."""

    gpu: str
    share: int
    """Runs on the GPU, this one included, with which its holder is content."""
    who: str


@dataclass(frozen=True)
class Lease:
    """A lease of this process."""

    gpu: str
    path: Path
    file: int

    def end(self) -> None:
        """Give the GPU back."""
        if self.file in _held:
            _held.remove(self.file)
            with suppress(OSError):
                self.path.unlink()
            os.close(self.file)


@contextmanager
def leased(run: str, share: int = 1, check: Callable[[], None] = lambda: None) -> Iterator[str | None]:
    """Have a GPU, waiting for it if need be; where CUDA shows several, it shows that one alone from then on.

    Yields the GPU's name, or None, at no cost, where there is no GPU or AIKD_DEVICE wants none.

    Args:
        run: what it is for, as others will read it.
        share: runs that may be on the GPU at a time. Of runs that differ in this, the smallest number counts.
        check: called while it waits; what it raises ends that.

    Raises:
        UserError: the leases cannot be read or written.
    """
    try:
        pool = _pool()
    finally:
        check()  # the process that asks the driver may have had the same signal, and failed of it
    lease = _wait(run, pool, share, check) if pool else None
    if lease is None:
        yield None
        return
    try:
        if len(pool) > 1:
            os.environ["CUDA_VISIBLE_DEVICES"] = lease.gpu
        yield lease.gpu
    finally:
        lease.end()


def _pool() -> list[str]:
    """The GPUs to choose from: all that CUDA shows, or the one that AIKD_DEVICE wants by its number among them."""
    wanted = re.fullmatch(r"cuda(?::(\d+))?", os.environ.get("AIKD_DEVICE", "cuda"))
    if wanted is None:
        return []
    gpus = visible_gpus()
    return gpus if wanted[1] is None else gpus[int(wanted[1]) :][:1]


def _wait(run: str, pool: list[str], share: int, check: Callable[[], None]) -> Lease:
    folder = Path(os.environ.get(FOLDER) or DEFAULT_FOLDER).absolute()
    started, pause, said_at = time.monotonic(), 0.02, -REMINDER
    while True:
        try:
            found = _try(folder, run, pool, share)
        except OSError as error:
            raise UserError(
                f"{folder}: {error}; GPUs are shared out in this folder; set {FOLDER} to another one"
            ) from None
        now = time.monotonic()
        waited = now - started
        if isinstance(found, Lease):
            if said_at > 0:
                say(f"{run}: has {found.gpu} after {waited:.0f} s")
            return found
        if (found or waited > PATIENCE) and now - said_at >= REMINDER:
            say(f"{run}: waits for {found or f'{folder}, which another process keeps locked'}")
            said_at = now
        check()
        time.sleep(pause * random.uniform(0.5, 1))
        pause = min(1.0, 1.3 * pause)


def _try(folder: Path, run: str, pool: list[str], share: int) -> Lease | str:
    """A lease, or the words for what it would have to wait for; no words where the folder is locked."""
    place = _lock(folder)
    if place is None:
        return ""
    try:
        scope, holders = _scope(), _holders(place)
        on = {gpu: [h for h in holders.get(scope, []) if h.gpu == _key(gpu)] for gpu in pool}
        free = [gpu for gpu in pool if len(on[gpu]) < min([share, *(h.share for h in on[gpu])])]
        if not free:
            taken = (f"{gpu}, taken by {' and '.join(h.who for h in on[gpu])}" for gpu in pool)
            return "; or for ".join(taken)
        gpu = min(free, key=lambda gpu: len(on[gpu]))
        name = f"{scope}.{_key(gpu)}.{share}.{secrets.token_hex(4)}"
        return Lease(gpu, folder / name, _make(place, name, run))
    finally:
        os.close(place)


def _lock(folder: Path) -> int | None:
    """The folder, open and locked; None where another process has it locked just now."""
    with suppress(FileExistsError), _without_umask():
        # As /tmp: everybody may add leases, and remove only their own.
        folder.mkdir(0o1777)
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(place), folder.stat()):
            return place
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(place)
        raise
    os.close(place)
    return None


def _holders(place: int) -> dict[str, list[Holder]]:
    """Leases that are held, by scope; those of dead processes are removed, where they may be."""
    found: dict[str, list[Holder]] = {}
    for name in sorted(os.listdir(place)):
        scope, gpu, share, *rest = [*name.split("."), "", ""]
        if len(rest) != 3 or not share.isdecimal():
            continue
        try:
            # Another user's lease can only be read. Not waiting is for what is no file: a pipe, left by who knows.
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
        except FileNotFoundError:
            continue  # its holder has just given it back
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            with suppress(OSError):
                os.unlink(name, dir_fd=place)
        except BlockingIOError:
            found.setdefault(scope, []).append(Holder(gpu, int(share), _who(file)))
        finally:
            os.close(file)
    return found


def _make(place: int, name: str, run: str) -> int:
    """A new lease, open and locked."""
    with _without_umask():
        file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=place)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with suppress(OSError):  # a full disk takes no words, but a lock needs none
        os.write(file, f"{run} (process {os.getpid()})".encode(errors="replace"))
    _held.add(file)
    return file


def _who(file: int) -> str:
    words = os.read(file, 300).decode(errors="replace")
    said = "".join(c for c in words if c.isprintable()) or "a process"
    owner = os.fstat(file).st_uid
    if owner == os.getuid():
        return said
    try:
        return f"{said} of {pwd.getpwuid(owner).pw_name}"
    except KeyError:
        return f"{said} of user {owner}"


def _scope() -> str:
    """Among whom the GPUs are shared out: within the job to which a scheduler gave them, else on the machine.

    A scheduler may give one GPU to several jobs, which are then not to wait for each other.
    """
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        for names in JOBS:
            if names[0] in os.environ:
                return _word("-".join([names[0], *(os.environ.get(name, "") for name in names)]))
    return "machine"


def _key(gpu: str) -> str:
    """The UUID: the same whether a GPU, or a part of one, is named in full or was found by the driver."""
    return _word(gpu.removeprefix("GPU-").removeprefix("MIG-"))


def _word(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]", "_", text)[:80]


@contextmanager
def _without_umask() -> Iterator[None]:
    """Modes as they are asked for, from the first instant on: a process may be killed in the next."""
    umask = os.umask(0)
    try:
        yield
    finally:
        os.umask(umask)


def _leave_to_parent() -> None:
    """A lock lives while any process has its file open: a forked child must not keep its dead parent's."""
    for file in _held:
        os.close(file)
    _held.clear()


os.register_at_fork(after_in_child=_leave_to_parent)

"""How far a run is: one small file in its folder, written while it trains and read by whoever looks from outside.

It is gone when the run has been trained; of an attempt that failed or was interrupted it stays, with the last words.
"""

import hashlib
import json
import os
import socket
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from aikd.study.layout import PROGRESS

JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
"""Variables in which schedulers tell a job its number."""


def settings_digest(settings: dict[str, Any]) -> str:
    """SHA-256 of a run's resolved settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", use_attribute_docstrings=True)


class Process(_Record):
    """A process, named so that others can find out whether it still lives."""

    host: str
    pid: int
    place: str
    """This start of the machine and the numbering of processes there; empty where the system does not say."""
    born: str
    """When it began, in the machine's own ticks: tells it from a later process of the same number."""
    job: str | None
    """Number of the scheduler's job."""

    @classmethod
    def own(cls) -> Self:
        """The process that asks."""
        pid = os.getpid()
        job = next((os.environ[name] for name in JOBS if name in os.environ), None)
        return cls(host=socket.gethostname(), pid=pid, place=_place(), born=_stat(pid)[1], job=job)

    def lives(self) -> bool | None:
        """Whether it does; None where that cannot be seen from here: on another machine, say."""
        if not self.place or self.place != _place():
            return None
        try:
            os.kill(self.pid, 0)  # asks, and does nothing
        except ProcessLookupError:
            return False
        except OSError:  # it is there, and somebody else's
            pass
        state, born = _stat(self.pid)
        return state not in ("Z", "X") and born in ("", self.born)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" + (f" (job {self.job})" if self.job else "")


@cache
def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _stat(pid: int) -> tuple[str, str]:
    """State and birth of a process, from proc(5); empty where they cannot be read."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", ""
    # The program's name, in parentheses, may hold blanks and parentheses itself.
    after = text.rpartition(")")[2].split()
    return after[0], after[19]


class Progress(_Record):
    """What an attempt at a training run says of itself."""

    run: str
    state: Literal["running", "failed", "interrupted"]
    doing: str
    """What it is at, in a word or two; of an attempt that ended, its last words."""
    settings: str
    """Digest of the run's resolved settings."""
    epochs: int
    """Of the whole run; 0 before that is known."""
    epoch: int
    """Epochs that are finished, those of earlier attempts included."""
    step: int
    """Steps of the present epoch that are finished."""
    steps: int
    """Of an epoch; 0 before that is known."""
    images_per_second: float | None
    loss: float | None
    """Mean over the last finished epoch."""
    left: float | None
    """Seconds until all epochs are trained, at the pace of this attempt so far."""
    seconds: float
    """Wall time of this attempt so far."""
    device: str | None
    at: float
    """When this was written: seconds since 1970, by the clock of its machine."""
    every: float
    """Seconds within which the next writing is to be expected."""
    process: Process

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """What lies in a run's folder; None where there is nothing, or nothing that can be understood."""
        try:
            return cls.model_validate_json((folder / PROGRESS).read_bytes())
        except (OSError, ValidationError):
            return None

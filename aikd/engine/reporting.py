"""A training process says how far it is: in a file for others, and on its own terminal."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from aikd.errors import Interrupted, UserError
from aikd.messages import draw, drawable, duration, erase
from aikd.progress import Process, Progress, settings_digest
from aikd.study.layout import PROGRESS

EVERY = 10.0
"""Seconds between two writings within an epoch."""

SHARE = 1000
"""Writing takes less than one part in so many of the time, however slow the disk is."""

LONGEST = 60.0
"""Seconds after which it is written in any case, so that a disk that hung once does not silence the run for hours."""

PATIENCE = 300.0
"""Seconds that whatever is not an epoch may take: to import, to read data, to write results."""

REDRAW = 0.2
"""Seconds between two drawings on the terminal."""

BLOCKS = " ▏▎▍▌▋▊▉█"


class Reporter:
    """Of one attempt at a run, whose folder its process has for itself.

    Nothing in it looks at a tensor, so that no step waits for the device, and nothing that happens to its file is a
    reason to end.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self._path, self._run, self._digest = (
            folder / PROGRESS,
            str(settings["run"]),
            settings_digest(settings),
        )
        self._process, self._terminal = Process.own(), drawable()
        self._state: Literal["running", "failed", "interrupted"] = "running"
        self._started = self._written = self._drawn = time.monotonic()
        self._cost = self._longest = 0.0
        self._doing = "starts"
        self._epochs = self._steps = self._images = self._epoch = self._begun = 0
        self._device: str | None = None
        self._row: dict[str, Any] = {}
        self._ends: list[tuple[float, int]] = []
        self._write()

    def does(self, what: str) -> None:
        """The process turns to something else; said again and again, it is a sign of life."""
        if what != self._doing or self._due(EVERY):
            self._doing = what
            self._write()

    def begins(self, epochs: int, done: int, steps: int, images: int, device: str) -> None:
        """Training begins, after so many epochs that earlier attempts have finished.

        Args:
            steps: of an epoch.
            images: of an epoch.
        """
        self._epochs, self._epoch, self._steps, self._images = epochs, done, steps, images
        self._device = device
        self._ends = [(time.monotonic(), done)]
        self.does("trains")

    def step(self) -> None:
        """Another step begins."""
        self._begun += 1
        now = time.monotonic()
        if self._due(EVERY):
            self._write()
        if self._terminal and now - self._drawn >= REDRAW:
            self._drawn = now
            draw(line(self.progress(), shutil.get_terminal_size().columns))

    def epoch(self, row: dict[str, Any]) -> None:
        """An epoch is over, with this row of the history."""
        self._row, self._begun = row, 0
        self._epoch += 1
        if len(self._ends) < 3:
            self._ends.append((time.monotonic(), self._epoch))
        if self._due(0):
            self._write()

    def progress(self) -> Progress:
        """How far it is now."""
        now = time.monotonic()
        training = self._doing == "trains"
        return Progress(
            run=self._run,
            state=self._state,
            doing=self._doing,
            settings=self._digest,
            epochs=self._epochs,
            epoch=self._epoch,
            step=self._step,
            steps=self._steps,
            images_per_second=self._speed(now),
            loss=self._row.get("loss"),
            left=self._left(now) if training else None,
            seconds=round(now - self._started, 3),
            device=self._device,
            at=round(time.time(), 3),
            every=round(max(EVERY, self._longest) if training else PATIENCE, 3),
            process=self._process,
        )

    def done(self) -> None:
        """The run is trained: its results say the rest."""
        erase()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def ended(self, error: BaseException) -> None:
        """The attempt ended before its run was trained."""
        erase()
        ended = isinstance(error, Interrupted | KeyboardInterrupt)
        self._state, self._doing = "interrupted" if ended else "failed", _words(error)
        self._write()

    @property
    def _step(self) -> int:
        return max(0, self._begun - 1)

    def _left(self, now: float) -> float | None:
        """At the pace since the end of this attempt's first epoch, once a second one is over; the first has to warm
        up, and with some methods has less to do."""
        if not self._ends:
            return None
        since, epoch = self._ends[1 if len(self._ends) > 2 else 0]
        steps = (self._epoch - epoch) * self._steps + self._step
        if not steps:
            return None
        left = (self._epochs - self._epoch) * self._steps - self._step
        return round((now - since) / steps * left, 1)

    def _speed(self, now: float) -> float | None:
        if self._row:
            speed: float = self._row["images_per_second"]
            return speed
        if not self._step:
            return None
        return round(self._step * self._images / self._steps / (now - self._ends[0][0]), 1)

    def _due(self, every: float) -> bool:
        return time.monotonic() - self._written >= max(every, min(SHARE * self._cost, LONGEST))

    def _write(self) -> None:
        """Whole or not at all, but not to outlast a power cut: `fsync` would cost more than the file is worth."""
        now = time.monotonic()
        if self._step or self._epoch > (self._ends[0][1] if self._ends else 0):
            self._longest = max(self._longest, now - self._written)
        new = self._path.with_name(f"{self._path.name}.new")
        with suppress(OSError):
            try:
                new.write_text(self.progress().model_dump_json(indent=1), encoding="utf-8")
                new.replace(self._path)
            except OSError:
                new.unlink(missing_ok=True)
        self._written = time.monotonic()
        self._cost = self._written - now


@contextmanager
def reporting(folder: Path, settings: dict[str, Any]) -> Iterator[Reporter]:
    """Report on the attempt within, and on how it ended."""
    reporter = Reporter(folder, settings)
    try:
        yield reporter
    except BaseException as error:
        reporter.ended(error)
        raise
    reporter.done()


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    text = str(error).strip()
    if isinstance(error, UserError | Interrupted | OSError) and text:
        return text
    return f"{type(error).__name__}: {text}".rstrip(": ")


def line(progress: Progress, columns: int) -> str:
    """A line that fits into so many columns: `epoch 3/10 ███▌   45/391  loss 1.234  1,234 images/s  12 min left`."""
    number = min(progress.epoch + 1, progress.epochs)
    head = f"epoch {number:{len(str(progress.epochs))}}/{progress.epochs} "
    rest = f" {progress.step:{len(str(progress.steps))}}/{progress.steps}"
    if progress.loss is not None:
        rest += f"  loss {progress.loss:.4f}"
    if progress.images_per_second:
        rest += f"  {progress.images_per_second:,.0f} images/s"
    if progress.left is not None:
        rest += f"  {duration(progress.left)} left"
    width = min(24, columns - 1 - len(head) - len(rest))
    bar = _bar(progress.step / max(1, progress.steps), width) if width >= 4 else ""
    return (head + bar + rest)[: max(0, columns - 1)]


def _bar(share: float, width: int) -> str:
    eighths = round(share * width * 8)
    whole = "█" * (eighths // 8)
    return (whole + BLOCKS[eighths % 8]).ljust(width)[:width]

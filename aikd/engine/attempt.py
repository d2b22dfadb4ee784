"""One attempt at a training run: takes up what an earlier one left, and leaves what a later one needs."""

import time
from pathlib import Path
from typing import Any

from aikd.engine.provenance import peak_memory
from aikd.engine.signals import Signals
from aikd.engine.state import Snapshot, States
from aikd.engine.training import Trainer
from aikd.errors import UserError
from aikd.messages import say
from aikd.records import difference

FORMAT = 2
"""Raised by hand when states are to be laid out in another way: those of before are then left aside."""


class Attempt:
    """Between a trainer, which knows no files, and the states of its run.

    Args:
        folder: the run's folder, which this process must have for itself.
        identity: all that decides how training goes on, as JSON would have it: a state is taken up only where all
            of it is equal.
        trainer: freshly made.
        save_every: epochs between two states on disk.
        started: when this attempt began, by `time.monotonic`.
        signals: those that ask it to end.
        alone: whether a lock says that no other process is at work on the run.
    """

    def __init__(
        self,
        folder: Path,
        identity: dict[str, Any],
        trainer: Trainer,
        save_every: int,
        started: float,
        signals: Signals,
        alone: bool = True,
    ) -> None:
        self.identity = {"format": FORMAT} | identity
        self.run, self.epochs = trainer.settings["run"], trainer.recipe["epochs"]
        self.states, self.trainer, self.save_every = States(folder, alone), trainer, save_every
        self.resumed_at: list[int] = []
        """Finished epochs at which this and earlier attempts took up a state."""
        self._started, self._before = started, 0.0
        self._peak: dict[str, int | None] = {}
        self._latest: tuple[int, Snapshot] | None = None
        self._saved = 0
        self._signals = signals

    @property
    def seconds(self) -> float:
        """Wall time that went into the run: this attempt's, and that of earlier ones up to where it took them up."""
        return self._before + time.monotonic() - self._started

    @property
    def peak_memory(self) -> dict[str, int | None]:
        """The most memory that any attempt has had, in MB."""
        now = peak_memory(self.trainer.precision.device)
        return {key: value and max(value, self._peak.get(key) or 0) for key, value in now.items()}

    def take_up(self) -> None:
        """Bring the trainer to the newest good state of the same training, if there is one.

        Raises:
            UserError: the state is whole and of the same settings, but the trainer cannot take it.
            OSError: a state is there, but cannot be read.
        """
        self.states.recall()
        if not self.states.epochs():
            return
        found = self.states.newest(self._say)
        if found is None:
            self._say("no state is left to resume from; training starts from epoch 1")
            return
        epoch, snapshot = found
        tree = snapshot.tree()
        if change := difference(tree["identity"], self.identity):
            self._say(
                f"the state after epoch {epoch} is of another training: {change}; it is left aside and removed, "
                "and training starts from epoch 1"
            )
            self.states.remove()
            return
        try:
            self.trainer.restore(tree["trainer"])
        except (KeyError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"{self.states.path(epoch)}: this version cannot take up the state ({reason}); remove "
                f"{self.states.folder}, and training starts anew"
            ) from None
        self._latest, self._saved = found, epoch
        self._before, self._peak = tree["seconds"], tree["peak_memory"]
        self.resumed_at = [*tree["resumed_at"], epoch]
        self._say(f"continues after epoch {epoch} of {self.epochs}")

    def keep(self) -> None:
        """At the end of an epoch: copy the state, and save it if it is time.

        Raises:
            Interrupted: a signal came.
        """
        epoch = len(self.trainer.history)
        tree = {
            "identity": self.identity,
            "seconds": self.seconds,
            "peak_memory": self.peak_memory,
            "resumed_at": self.resumed_at,
            "trainer": self.trainer.state(),
        }
        self._latest = epoch, Snapshot.of(tree)
        # The last one in any case: the results may not come to be written, or be lost.
        if epoch % self.save_every == 0 or epoch == self.epochs:
            try:
                self._save()
            except OSError as error:
                # A state is only an insurance: losing it is no reason to lose the training.
                self._say(f"the state after epoch {epoch} could not be saved ({error}); training goes on")
        if epoch < self.epochs:  # else to write the results takes no longer than to end
            self.check()

    def check(self) -> None:
        """Between two steps: nothing, unless a signal came.

        Raises:
            Interrupted: one did; the last finished epoch is saved.
        """
        if not self._signals.came:
            return
        done, trouble = self._latest[0] if self._latest else 0, ""
        try:
            self._save()
        except OSError as error:
            trouble = f", whose state could not be saved ({error})"
        where = "there" if self._saved == done else f"epoch {self._saved}"
        how = f"continues from {where}" if self._saved else "starts anew"
        self._signals.check(
            f"{self.run}: interrupted after epoch {done} of {self.epochs}{trouble}; the next attempt {how}"
        )

    def _save(self) -> None:
        if self._latest and self._latest[0] != self._saved:
            self.states.save(*self._latest)
            self._saved = self._latest[0]

    def _say(self, text: str) -> None:
        say(f"{self.run}: {text}")

"""A run's history for TensorBoard, where the study asks for it: a copy of what `history.csv` says."""

import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aikd.errors import UserError
from aikd.messages import say

NO_SCALARS = ("epoch", "seconds")
"""Columns of the history that are no curves."""


def check_installed() -> None:
    """Before anything is trained, see that the library is there.

    Raises:
        UserError: it is not.
    """
    if find_spec("tensorboard") is None:
        raise UserError(
            "tensorboard: true, but the package is not installed; `pip install -e '.[tensorboard]'` does that, "
            "and with tensorboard: false training goes without"
        )


class Board:
    """Event files of one run.

    They are written anew from the history at each attempt, so that an epoch that an attempt before lost, or had
    finished and not saved, does not stand in them twice.
    """

    def __init__(self, folder: Path, history: list[dict[str, Any]]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: SummaryWriter | None = None
        try:
            for old in folder.glob("events.out.tfevents.*"):
                old.unlink()
            self._writer = SummaryWriter(folder, flush_secs=10)
        except OSError as error:
            self._give_up(error)
        # As if they had been trained just now, one after the other, so that the axis of times shows durations.
        began = time.time() - sum(row["seconds"] for row in history)
        for row in history:
            began += row["seconds"]
            self.add(row, began)

    def add(self, row: dict[str, Any], at: float | None = None) -> None:
        """Add an epoch's row of the history; `at` is when it was finished, in seconds since 1970 (none: now)."""
        if self._writer is None:
            return
        try:
            for name, value in row.items():
                if name not in NO_SCALARS and value is not None:
                    self._writer.add_scalar(name, value, row["epoch"], walltime=at)
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Write what is still waiting."""
        if self._writer is not None:
            try:
                self._writer.close()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        say(f"TensorBoard's files cannot be written ({error}); training goes on without")
        writer, self._writer = self._writer, None
        with suppress(OSError):
            if writer is not None:
                writer.close()

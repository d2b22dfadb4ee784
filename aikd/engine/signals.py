"""How a process is asked to end, and how it comes to that in order."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aikd.errors import Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
"""How schedulers and people ask a process to end; SIGUSR1 is what Slurm is commonly told to send ahead of time, SIGHUP
comes of a terminal that was closed."""


class Signals:
    """Notes signals, for whoever looks between two steps of work.

    They end nothing by themselves: an exception out of a handler could come anywhere, also where Python drops it.
    """

    def __init__(self) -> None:
        self.came = False

    def check(self, words: str) -> None:
        """End here if a signal came.

        Raises:
            Interrupted: with these words.
        """
        if self.came:
            raise Interrupted(words)

    def _note(self, number: int, frame: object) -> None:
        self.came = True


@contextmanager
def heeding() -> Iterator[Signals]:
    """Have SIGNALS noted in here, however often they come; ignored ones stay ignored.

    Only the main thread may handle signals; in another one they are left alone.
    """
    signals = Signals()
    main = threading.current_thread() is threading.main_thread()
    before = {s: signal.getsignal(s) for s in SIGNALS} if main else {}
    heeded = [s for s, former in before.items() if former not in (signal.SIG_IGN, None)]
    for number in heeded:
        signal.signal(number, signals._note)
    try:
        yield signals
    finally:
        for number in heeded:
            signal.signal(number, before[number])

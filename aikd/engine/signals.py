"""How a process is asked to end."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""How schedulers and people ask a process to end; SIGUSR1 is what Slurm is commonly told to send ahead of time."""


@contextmanager
def handling(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Have SIGNALS handled in here; ignored ones stay ignored.

    Only the main thread may handle signals; in another one they are left alone.
    """
    main = threading.current_thread() is threading.main_thread()
    before = {s: signal.getsignal(s) for s in SIGNALS} if main else {}
    heeded = [s for s, former in before.items() if former not in (signal.SIG_IGN, None)]
    for number in heeded:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, before[number])

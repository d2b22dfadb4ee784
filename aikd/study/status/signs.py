"""Signs of life: whether a run that said it trains still does."""

import time
from typing import Literal

from aikd.messages import duration
from aikd.progress import Progress

Life = Literal["running", "stalled?", "interrupted"]

LAG = 120.0
"""Seconds by which another machine's file may seem older than it is: a network disk shows changes up to a minute late,
and two clocks seldom differ by more than another one."""

LATE = 3
"""Times its own rhythm after which a process is late."""

DEAD = 20
"""Times its own rhythm, and `LONG` on top, after which one that cannot be looked at is taken for dead."""

LONG = 900.0
"""Seconds."""


def life(progress: Progress, now: float | None = None, moved: bool = False) -> tuple[Life, str]:
    """Whether a run still trains whose last word is that it does; and how that is known.

    Where the process can be looked at, from the same machine, that decides whether it lives. Elsewhere there is only
    the time since it last wrote, measured by its own rhythm: locks of other machines cannot be tested.

    Args:
        now: seconds since 1970; none: now.
        moved: whether it has written since somebody looked last, which no clock can deny.
    """
    writer, age = progress.process, (time.time() if now is None else now) - progress.at
    alive = writer.lives()
    if alive is False:
        return "interrupted", f"{writer} is gone without a word: killed, or out of memory"
    if moved:
        return "running", "has written since the last look"
    if age <= LATE * progress.every + LAG:
        ahead = f"wrote {duration(-age)} from now: the clock of {writer.host} is ahead"
        return "running", ahead if age < -LAG else f"wrote {duration(age)} ago"
    silent = f"silent for {duration(age)}, where {duration(progress.every)} are usual"
    if alive:
        return "stalled?", f"{silent}; {writer} lives"
    unseen = f"{silent}; {writer} cannot be looked at from here"
    if age <= DEAD * progress.every + LONG:
        return "stalled?", unseen
    return "interrupted", f"{unseen}, and is taken for dead"

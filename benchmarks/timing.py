"""Times that can be compared on a machine that has other things to do."""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

Task = Callable[[], object]
Times = dict[str, list[float]]


def interleaved(tasks: Mapping[str, Task], rounds: int, warm: int = 1) -> Times:
    """Seconds of wall time of each task in each round, after `warm` rounds that do not count.

    All tasks take turns, so that whatever else the machine does meets them alike, and the times of one round can be
    compared.
    """
    times: Times = {name: [] for name in tasks}
    for number in range(warm + rounds):
        for name, task in tasks.items():
            began = time.perf_counter()
            task()
            if number >= warm:
                times[name].append(time.perf_counter() - began)
    return times


def ratios(above: Sequence[float], below: Sequence[float]) -> str:
    """Median of the ratios of two tasks round by round, and their quartiles: `1.52 (1.50 to 1.55)`."""
    return spread(np.divide(above, below))


def spread(values: Sequence[float] | np.ndarray, unit: float = 1.0) -> str:
    """Median and quartiles with three digits, in units of `unit`."""
    low, middle, high = np.quantile(np.asarray(values) / unit, [0.25, 0.5, 0.75])
    digits = max(0, 2 - int(np.floor(np.log10(middle))))
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table whose first column is text and whose others are numbers."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in [head, rule, *rows])

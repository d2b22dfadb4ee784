"""How long several devices take for many runs, of which some wait for others."""

import heapq
from collections.abc import Mapping


def makespan(seconds: Mapping[str, float], after: Mapping[str, str], devices: int) -> float:
    """Seconds until all jobs are done, if a free device always takes, of those that can start, the one with the
    longest chain behind it.

    Args:
        seconds: how long each job takes.
        after: the job that a job waits for; one that is not in `seconds` is done already.
        devices: how many jobs run at once.
    """
    behind = chains(seconds, after)
    waiting: dict[str, list[str]] = {}
    ready: list[tuple[float, str]] = []
    for job in seconds:
        if (first := after.get(job, "")) in seconds:
            waiting.setdefault(first, []).append(job)
        else:
            ready.append((-behind[job], job))
    heapq.heapify(ready)
    running: list[tuple[float, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < devices:
            _, job = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds[job], job))
        now, finished = heapq.heappop(running)
        for job in waiting.pop(finished, []):
            heapq.heappush(ready, (-behind[job], job))
    return now


def chains(seconds: Mapping[str, float], after: Mapping[str, str]) -> dict[str, float]:
    """Seconds of each job together with the longest chain of jobs that wait for it: no number of devices is faster."""
    behind = dict(seconds)
    # Those that nothing waits for come first, so that each chain is whole when it is added to another.
    depth = {job: _depth(job, seconds, after) for job in seconds}
    for job in sorted(seconds, key=lambda job: -depth[job]):
        if (first := after.get(job, "")) in seconds:
            behind[first] = max(behind[first], seconds[first] + behind[job])
    return behind


def _depth(job: str, seconds: Mapping[str, float], after: Mapping[str, str]) -> int:
    depth = 0
    while (job := after.get(job, "")) in seconds:
        depth += 1
    return depth

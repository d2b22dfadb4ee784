"""Scheduling against trying every order, and against a clock that ticks."""

from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aikd.study.costs.schedule import chains, makespan


def ticking(seconds: dict[str, int], after: dict[str, str], devices: int, order: Sequence[str]) -> int:
    """Second by second: a free device takes the first job of `order` that can start. Returns when all are done."""
    left, running, done, now = list(order), dict[str, int](), set[str](), 0
    while left or running:
        for job in [*left]:
            if len(running) < devices and after.get(job, job) not in {*left, *running} - {job}:
                running[job] = now + seconds[job]
                left.remove(job)
        now += 1
        done |= {job for job, end in running.items() if end == now}
        running = {job: end for job, end in running.items() if end > now}
    return now


@st.composite
def few_jobs(draw: st.DrawFn) -> tuple[dict[str, int], dict[str, str]]:
    names = "abcdef"[: draw(st.integers(1, 5))]
    seconds = {name: draw(st.integers(1, 6)) for name in names}
    after = {
        name: draw(st.sampled_from(["gone", *names[:place]]))
        for place, name in enumerate(names)
        if draw(st.booleans())
    }
    return seconds, after


@given(few_jobs(), st.integers(1, 3))
def test_the_plan_is_possible_and_close_to_the_best_of_all_orders(
    jobs: tuple[dict[str, int], dict[str, str]], devices: int
) -> None:
    seconds, after = jobs
    best = min(ticking(seconds, after, devices, order) for order in permutations(seconds))
    behind = chains(seconds, after)
    found = makespan(seconds, after, devices)
    # Longest chain first, and what the clock says of that very order.
    order = sorted(seconds, key=lambda job: (-behind[job], job))
    assert found == ticking(seconds, after, devices, order)
    assert best <= found <= (2 - 1 / devices) * best
    assert found >= max(*behind.values(), sum(seconds.values()) / devices)


@pytest.mark.parametrize(("devices", "expected"), [(1, 15), (2, 8), (3, 7), (9, 7)])
def test_students_wait_for_their_superior(devices: int, expected: int) -> None:
    seconds = {"superior": 3.0, "student": 4.0, "other": 3.0, "alone": 5.0}
    after = {"student": "superior", "other": "superior", "alone": "trained before"}
    assert chains(seconds, after) == {"superior": 7, "student": 4, "other": 3, "alone": 5}
    assert makespan(seconds, after, devices) == expected


def test_nothing_to_do_takes_no_time() -> None:
    assert makespan({}, {}, 3) == 0

"""Freed memory stays with the process. Counted in page faults, in processes of their own."""

import os
import platform
import subprocess
import sys

import pytest

STEPS = """
import ctypes, resource, sys, torch
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: a huge page is one fault, too
from aikd.engine.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()

def step():
    kept = [torch.ones(2**21) for _ in range(10)]  # 8 MiB each
    while kept:
        kept.pop()  # the last first, as backward frees what forward made

for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_a_step_takes_hardly_any_fresh_pages_where_freed_memory_is_kept() -> None:
    # glibc's own thresholds move with what was freed before; fixed, memory is given back at once unless it is kept.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**20)}

    def count(how: str) -> int:
        command = [sys.executable, "-c", STEPS, how]
        return int(subprocess.run(command, capture_output=True, check=True, env=environment).stdout)

    faults = {how: count(how) for how in ("given back", "kept")}
    pages = 10 * 80 * 2**20 // 4096
    assert faults["kept"] < 0.05 * pages
    assert faults["given back"] > 0.5 * pages

"""Runs benchmarks and writes their tables into docs/performance.md.

Each table is of one session of one machine, between two comments that carry the benchmark's name. Other work on the
machine makes the times meaningless; ratios stand it better, as all that is compared takes turns.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.networks import ROOT

PAGE = ROOT / "docs/performance.md"
NAMES = ("steps", "loader", "inputs", "starting", "planned")


def main(arguments: list[str] | None = None) -> None:
    """Run each in a process of its own."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)}; none: all")
    names = parser.parse_args(arguments).names
    if unknown := set(names) - set(NAMES):
        sys.exit(f"{', '.join(sorted(unknown))}: no such benchmark; there are {', '.join(NAMES)}")
    for name in names or NAMES:
        print(f"benchmark {name} …", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(f"benchmark {name} failed")
        print(done.stdout, flush=True)
        PAGE.write_text(insert(PAGE.read_text(encoding="utf-8"), name, done.stdout), encoding="utf-8")


def insert(page: str, name: str, tables: str) -> str:
    """The page with the benchmark's tables exchanged, and a line of where they come from below them."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{begin}.*?{end}", re.DOTALL)
    if not pattern.search(page):
        sys.exit(f"{PAGE}: lacks {begin} … {end}")
    new = f"{begin}\n{tables.strip()}\n\n{machine()}\n{end}"
    return pattern.sub(lambda _: new, page)


def machine() -> str:
    """What the tables were measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = models[0] if models else platform.processor()
    cores = len(os.sched_getaffinity(0))
    return f"*{cores} cores of {processor}, Python {platform.python_version()}, torch {torch.__version__}.*"


if __name__ == "__main__":
    main()

"""Stands in for programs while the pages' commands run. It is called by the name of the program it replaces.

Some programs are not run at all, for a reason that stands here. Some calls are changed: Snakemake plans what would
train for hours, and what would download is parsed by the real command line and left at that. All else is real.
"""

import os
import re
import shutil
import sys
from pathlib import Path

NOT_RUN = {
    "git": "clones the repository, which is copied instead",
    "pip": "installs what is installed",
    "python3": "makes an environment, which is there",
    "tmux": "wants a terminal",
    "nano": "wants a person",
    "sinfo": "asks a cluster",
    "sbatch": "asks a cluster",
    "srun": "asks a cluster",
}
"""Programs, and why they are not run."""

PARSED = {
    r"aikd download ": "downloads; tests/engine/test_download.py does so from a server of its own",
    r"aikd prepare cub200": "needs an archive of a gigabyte",
    r"aikd plan .*--measure": "keeps all cores busy for ten seconds; tests/test_plan_command.py",
}
"""Calls of `aikd` that go no further than its parser, and why."""

REALLY = (
    r"snakemake table_4 .*--configfile workflow/studies/demo.yaml",
    r"snakemake .*--configfile first.yaml",
)
"""Calls of Snakemake that really train; all others are dry runs."""


def main() -> None:
    """Be the program."""
    program, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    call = " ".join([program, *arguments])
    if program == "git":
        clone(arguments)
    elif program == "make":
        run("make", "--dry-run", *arguments)
    elif program == "aikd":
        if any(re.match(pattern, f"{call} ") for pattern in PARSED):
            sys.path.insert(0, str(Path.cwd()))
            from aikd.cli import parser

            parser().parse_args(arguments)
            return
        run(sys.executable, "-m", "aikd", *arguments)
    elif program == "snakemake":
        dry = [] if any(re.match(pattern, call) for pattern in REALLY) else ["--dry-run"]
        run(sys.executable, "-m", "snakemake", *dry, *arguments)
    elif program == "python":
        script(arguments)
    elif program == "nano":
        assert Path(arguments[0]).exists(), f"{arguments[0]}: no such file"


def clone(arguments: list[str]) -> None:
    """The copy that was made beforehand appears under the name that the page gives it."""
    assert arguments[:2] == ["clone", "REPOSITORY"], arguments
    Path(arguments[2]).symlink_to(os.environ["PROJECT"])


def script(arguments: list[str]) -> None:
    """Benchmarks and tortures take minutes; here they have to be there, and know the options that are shown."""
    if arguments[0] == "-c":
        run(sys.executable, *arguments)
    root = Path(os.environ["ROOT"])
    file = root / (arguments[1].replace(".", "/") if arguments[0] == "-m" else arguments[0])
    text = (file / "__main__.py" if file.is_dir() else file.with_suffix(".py")).read_text(encoding="utf-8")
    for option in re.findall(r"(?<!\S)--[\w-]+", " ".join(arguments)):
        assert f'"{option}"' in text, f"{file}: knows no {option}"


def run(program: str, *arguments: str) -> None:
    """Become the real program: that of the environment that tests, and not one that stands in for it."""
    own = str(Path(sys.argv[0]).parent)
    others = [path for path in os.environ["PATH"].split(os.pathsep) if path != own]
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), *others])
    found = shutil.which(program)
    if not found:
        sys.exit(f"{program} is not installed")
    os.execv(found, [found, *arguments])


STANDS_IN_FOR = (*NOT_RUN, "make", "aikd", "snakemake", "python")

if __name__ == "__main__":
    main()

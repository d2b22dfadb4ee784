"""A copy of the project in which the commands of a page run, with the demo's study made small."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT
from tests.docs import stand_in
from tests.docs.blocks import Block
from tests.workflow.conftest import copy_project

DEMO = "workflow/studies/demo.yaml"


class CommandError(AssertionError):
    """A command of a page does not do what the page says."""


@dataclass(frozen=True)
class Room:
    """The copy, and beside it the programs that stand in for others."""

    folder: Path

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @classmethod
    def furnished(cls, folder: Path) -> "Room":
        """A room in which nothing has run."""
        room = cls(folder)
        room.project.mkdir(parents=True)
        copy_project(room.project)
        shutil.copy(ROOT / "Makefile", room.project)
        shutil.copy(ROOT / "pyproject.toml", room.project)
        for name, shrink in ((DEMO, shrunk), ("config.yaml", thinned)):
            file = room.project / name
            small = shrink(yaml.safe_load(file.read_text(encoding="utf-8")))
            file.write_text(yaml.safe_dump(small, sort_keys=False), encoding="utf-8")
        environment = room.project / ".venv/bin/activate"
        environment.parent.mkdir(parents=True)
        environment.touch()
        room.programs.mkdir()
        for name in stand_in.STANDS_IN_FOR:
            file = room.programs / name
            file.write_text(
                f"#!{sys.executable}\n{Path(stand_in.__file__).read_text(encoding='utf-8')}", encoding="utf-8"
            )
            file.chmod(0o755)
        return room

    def copied(self, folder: Path) -> "Room":
        """A room with all that has been made in this one."""
        shutil.copytree(self.folder, folder, symlinks=True, dirs_exist_ok=True)
        return Room(folder)

    @property
    def programs(self) -> Path:
        return self.folder / "programs"

    def run(self, block: Block) -> None:
        """Run a block as it stands.

        Raises:
            CommandError: a command of it failed, or printed something else.
        """
        # Before it is cloned, one is not yet in the project.
        where = self.folder if "git clone" in block.text else self.project
        if block.language == "sh":
            self._bash(block.text, block.place, where)
            return
        for command, shown in block.commands:
            printed = self._bash(command, block.place, where)
            if not matches(shown, printed):
                raise CommandError(f"{block.place}: `{command}` prints\n{printed}\nand not\n{shown}")

    def _bash(self, script: str, place: str, where: Path) -> str:
        caught = "set -eEuo pipefail\ntrap 'echo \"failed: $BASH_COMMAND\" >&2' ERR\n"
        environment = {
            "PATH": os.pathsep.join([str(self.programs), "/usr/bin", "/bin"]),
            "HOME": str(self.folder),
            "PROJECT": str(self.project),
            "ROOT": str(ROOT),
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            "AIKD_DEVICE": "cpu",
        }
        done = subprocess.run(
            ["bash", "-c", caught + script], cwd=where, env=environment, text=True, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if done.returncode:
            raise CommandError(f"{place}: exit code {done.returncode}\n{done.stdout[-3000:]}")
        return done.stdout


def matches(shown: str, printed: str) -> bool:
    """Whether a page shows what is printed: `…` stands for anything, and for whole lines where it is alone."""
    lines = [re.escape(line.strip()).replace("…", ".*") for line in shown.strip().splitlines()]
    pattern = "".join("(?:.*\n)*" if line == ".*" else f"{line}\n" for line in lines)
    text = "".join(f"{line.strip()}\n" for line in printed.strip().splitlines())
    return re.fullmatch(pattern, text) is not None


def shrunk(study: dict[str, Any]) -> dict[str, Any]:
    """The demo with one seed, two epochs and short ablations: its names stay, as pages refer to them."""
    study["seeds"] = [0]
    study["recipe"] |= {"epochs": 2, "milestones": [1]}
    study["tables"]["table_4"]["rows"] = [
        row for row in study["tables"]["table_4"]["rows"] if row["label"] in ("AI-KD", "No Adv", "Baseline")
    ]
    return study


def thinned(study: dict[str, Any]) -> dict[str, Any]:
    """The paper with one seed: it is only planned, and a third of the jobs shows as much."""
    return study | {"seeds": [0]}

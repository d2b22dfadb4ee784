"""Every command of docs/share.md, on a small study under the name of the one that it shows."""

import json
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.workflow.conftest import ROOT, Project, copy_project

pytestmark = pytest.mark.workflow

STUDY = """
name: demo
seeds: [0]
recipe: {epochs: 4, batch_size: 64, learning_rate: 0.1, milestones: []}
data:
  digits: {models: [preact_resnet18]}
models:
  preact_resnet18: {label: ResNet-18, width: 8, blocks: [1, 1, 1, 1]}
methods:
  aikd: {}
tables:
  table_2: {kind: comparison, caption: Errors., metrics: [top1_error]}
"""


class Block(NamedTuple):
    """A piece of code of the page, and what it is shown to print, if that is shown."""

    language: str
    code: str
    output: str


def blocks() -> list[Block]:
    text = (ROOT / "docs/share.md").read_text(encoding="utf-8")
    found = re.findall(r"```(sh|python)\n(.+?)```\n(?:\n```\n(.+?)```\n)?", text, re.DOTALL)
    return [Block(*parts) for parts in found]


def shape(text: str) -> str:
    """Text without its numbers, as another study has others, and without how they are aligned."""
    return " ".join(re.sub(r"[\d,.]+(e-\d+)?", "#", text).split())


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy in which the small study has run to its end, as after `make demo`."""
    project = copy_project(tmp_path_factory.mktemp("here"))
    (project.root / "workflow/studies/demo.yaml").write_text(STUDY)
    done = project.snakemake(study="workflow/studies/demo.yaml")
    assert done.returncode == 0, done.stdout
    return project


def run(project: Project, block: Block) -> str:
    """Run a block in a copy; returns what it printed."""
    python = block.code if block.language == "python" else ""
    lines = [line for line in block.code.splitlines() if not line.startswith(("#", "mkdir"))]
    if lines[0].startswith("python -c "):
        (project.root / "digits").mkdir()
        _, _, python = shlex.split("\n".join(lines))
    if python:
        (project.root / "block.py").write_text(python, encoding="utf-8")
        lines = ["block"]
    commands = [line.split() for line in lines]
    said = ""
    for module, *arguments in commands:
        done = project.run(module, *arguments)
        assert done.returncode == 0, done.stdout
        said += done.stdout if module != "snakemake" else ""
    return said


def test_every_command_shown_works_and_prints_what_is_shown(
    here: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIKD_DEVICE", "cpu")
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)
    (tmp_path / "elsewhere").mkdir()
    elsewhere = copy_project(tmp_path / "elsewhere")
    shown = blocks()
    assert [block.language for block in shown].count("sh") == 7
    assert [block.language for block in shown].count("python") == 2
    for block in shown:
        project = here
        if block.code.startswith("# elsewhere"):
            project = elsewhere
            (elsewhere.root / "demo.zip").write_bytes((here.root / "demo.zip").read_bytes())
        said = run(project, block)
        assert len(said.splitlines()) == len(block.output.splitlines()), said
        for found, wanted in zip(said.splitlines(), block.output.splitlines(), strict=True):
            if wanted.startswith("{"):
                assert json.loads(found).keys() == json.loads(wanted).keys()
            else:
                assert shape(found) == shape(wanted)
    table = "results/demo/tables/table_2.csv"
    assert (elsewhere.root / table).read_bytes() == (here.root / table).read_bytes()
    assert not list(elsewhere.root.rglob("model.safetensors"))

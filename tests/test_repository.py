"""The repository's own rules: one set of versions, floors that import downwards, small code."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from aikd.study.fields import flatten, unflatten
from aikd.study.load import check_study
from aikd.study.methods import METHODS

Done = subprocess.CompletedProcess[str]

ROOT = Path(__file__).parents[1]

FLOORS = [
    ["aikd.errors", "aikd.files", "aikd.messages", "aikd.progress", "aikd.records", "aikd.study"],
    [
        "aikd.extend",
        "aikd.streams",
        "aikd.optimisers",
        "aikd.augment",
        "aikd.methods",
        "aikd.models",
        "aikd.metrics",
        "aikd.calibration",
    ],
    ["aikd.engine"],
    ["aikd.results"],
    ["aikd.cli", "aikd.commands", "aikd.__main__", "aikd.workflow"],
]
EVERY_FLOOR = [package for floor in FLOORS for package in floor]
WITHOUT_TORCH = [*FLOORS[0], *FLOORS[3], "aikd.metrics", "aikd.calibration"]


def read(name: str | Path) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PYPROJECT = tomllib.loads(read("pyproject.toml"))
OLDEST_PYTHON = PYPROJECT["project"]["requires-python"].removeprefix(">=")
MODULES = {module_of(path): path for path in sorted((ROOT / "aikd").rglob("*.py"))}
TREES = {path: ast.parse(read(path), filename=str(path)) for path in MODULES.values()}


def belongs(module: str, packages: list[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def place(path: Path, node: ast.AST | None, what: str) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}: {what}"


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or inside a function, by its full name."""
    package = module_of(path).split(".") + ([""] if path.name == "__init__.py" else [])
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: -node.level] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{source}.{alias.name}"
                yield full if full in MODULES else source


def foreign_imports(packages: list[str], allowed: list[str], among: list[str]) -> list[str]:
    """What the modules of `packages` import that is among some others and not allowed."""
    return [
        f"{module} imports {name}"
        for module, path in MODULES.items()
        if belongs(module, packages)
        for name in imports(path)
        if belongs(name, among) and not belongs(name, allowed)
    ]


# Versions


def test_every_dependency_is_pinned_to_one_version() -> None:
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"].values()
    for requirement in [*project["dependencies"], *(pin for extra in extras for pin in extra)]:
        assert re.fullmatch(r"[A-Za-z0-9-]+==[0-9.]+", requirement), requirement


def test_conda_environment_has_exactly_the_versions_of_pyproject() -> None:
    environment = yaml.safe_load(read("envs/aikd.yaml"))
    *conda, pip = environment["dependencies"]
    assert sorted(pip["pip"]) == sorted(PYPROJECT["project"]["dependencies"])
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    assert conda == [f"python={OLDEST_PYTHON}", "pip"]


def test_version_is_the_same_in_pyproject_citation_and_changelog() -> None:
    newest = re.search(r"^## \[(.+?)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert newest is not None
    assert PYPROJECT["project"]["version"] == yaml.safe_load(read("CITATION.cff"))["version"] == newest[1]


# Floors


def test_every_module_stands_on_a_floor_and_every_part_of_a_floor_exists() -> None:
    assert [module for module in MODULES if module != "aikd" and not belongs(module, EVERY_FLOOR)] == []
    assert [package for package in EVERY_FLOOR if package not in MODULES] == []


@pytest.mark.parametrize("floor", [0, 1, 2, 4])
def test_modules_import_only_from_their_own_floor_and_below(floor: int) -> None:
    below = [package for packages in FLOORS[: floor + 1] for package in packages]
    assert foreign_imports(FLOORS[floor], allowed=below, among=EVERY_FLOOR) == []


def test_tables_and_figures_need_nothing_that_trains() -> None:
    allowed = [*FLOORS[0], "aikd.metrics", *FLOORS[3]]
    assert foreign_imports(FLOORS[3], allowed, among=EVERY_FLOOR) == []


def test_science_knows_no_files_and_no_command_line() -> None:
    doors = ["pathlib", "os", "shutil", "tempfile", "argparse", "aikd.files"]
    assert foreign_imports(FLOORS[1], allowed=[], among=doors) == []


def test_study_results_metrics_and_calibration_never_import_torch_even_inside_functions() -> None:
    assert foreign_imports(WITHOUT_TORCH, allowed=[], among=["torch", "torchvision"]) == []


def test_study_results_metrics_and_calibration_load_without_torch() -> None:
    modules = [module for module in MODULES if belongs(module, WITHOUT_TORCH)]
    code = f"import {', '.join(modules)}\nimport sys\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.stdout.strip(), done.returncode) == ("False", 0), done.stderr


# Size and words


def test_no_file_is_longer_than_400_lines() -> None:
    kinds = {".py", ".smk", ".yaml", ".rst", ".md"}
    files = [path for folder in ("aikd", "workflow", "tests") for path in (ROOT / folder).rglob("*")]
    lengths = {path: len(read(path).splitlines()) for path in files if path.suffix in kinds}
    lengths[ROOT / "Snakefile"] = len(read("Snakefile").splitlines())
    assert [place(path, None, f"{lines} lines") for path, lines in lengths.items() if lines > 400] == []


def test_no_function_is_longer_than_60_lines() -> None:
    functions = [
        (path, node, (node.end_lineno or 0) - node.lineno + 1)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert functions
    assert [place(path, node, f"{node.name}: {n} lines") for path, node, n in functions if n > 60] == []


def test_every_file_that_the_docs_name_is_there() -> None:
    texts = [ROOT / "README.md", ROOT / "results/README.md", *(ROOT / "docs").glob("*.md")]
    named = r"`((?:aikd|benchmarks|envs|profiles|tests|workflow|\.ci)/[\w./-]+)`"
    found = {name for path in texts for name in re.findall(named, path.read_text(encoding="utf-8"))}
    assert len(found) > 30
    assert [name for name in sorted(found) if not (ROOT / name).exists()] == []


def test_every_module_and_every_public_class_and_function_of_it_has_a_docstring() -> None:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    bare = [
        place(path, node, getattr(node, "name", "module"))
        for path, tree in TREES.items()
        for node in [tree, *(node for node in tree.body if isinstance(node, kinds))]
        if not getattr(node, "name", "").startswith("_") and not ast.get_docstring(node)
    ]
    assert bare == []


# The page of decisions


def merged(base: Any, changes: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(changes, dict)):
        return changes
    return base | {key: merged(base.get(key), value) for key, value in changes.items()}


def test_decisions_show_studies_that_are_allowed() -> None:
    examples = re.findall(r"```yaml\n(.+?)```", read("docs/decisions.md"), re.DOTALL)
    assert examples
    for example in examples:
        check_study(merged(yaml.safe_load(read("config.yaml")), yaml.safe_load(example)))


def test_decisions_list_the_settings_of_the_critic_with_their_defaults() -> None:
    rows = re.findall(r"^\| `(\S+)` \| `(\S+)` \| (.+) \|$", read("docs/decisions.md"), re.MULTILINE)
    defaults = flatten(METHODS["aikd"].defaults.model_dump())
    assert {name for name, _, _ in rows} >= {name for name in defaults if name.startswith("critic.")}
    for name, default, others in rows:
        assert yaml.safe_load(default) == defaults[name], name
        for other in re.findall("`(.+?)`", others):
            METHODS["aikd"].check(unflatten({name: yaml.safe_load(other)}))


# The Makefile, with an interpreter that only writes down what pip is asked to install

PYTHON_STUB = """#!/bin/sh
case "$*" in
  "-m venv --clear .venv")
    rm -rf .venv && mkdir -p .venv/bin
    (echo "#!/bin/sh"; echo "BEFORE=\\"$BEFORE\\""; cat "$0") > .venv/bin/python
    chmod +x .venv/bin/python ;;
  "-m pip install "*) echo "$*" >> pip.log; exit "${PIP_STATUS:-0}" ;;
  "-c "*) exec "$REAL_PYTHON" -c "import sys; $BEFORE
$2" ;;
esac
"""


class Project:
    """A folder with the Makefile, in which installing takes no time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, folder)
        self.python = folder / "python-stub"
        self.python.write_text(PYTHON_STUB, encoding="utf-8")
        self.python.chmod(0o755)

    def make(self, *arguments: str, before: str = "", pip_status: int = 0) -> Done:
        """Runs make; `before` is Python that the interpreter runs first."""
        stub = {"PYTHON": str(self.python), "REAL_PYTHON": sys.executable}
        environment = {"PATH": os.environ["PATH"], "BEFORE": before, "PIP_STATUS": str(pip_status)} | stub
        command = ["make", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )

    def installations(self) -> list[str]:
        log = self.folder / "pip.log"
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


INSTALL = ".venv/.installed"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    folder = tmp_path / "a folder"
    folder.mkdir()
    return Project(folder)


def test_make_installs_once_and_again_when_pyproject_changes(project: Project) -> None:
    for expected in (1, 1):
        assert project.make(INSTALL).returncode == 0
        assert len(project.installations()) == expected
    later = (project.folder / INSTALL).stat().st_mtime + 1
    os.utime(project.folder / "pyproject.toml", (later, later))
    assert project.make(INSTALL).returncode == 0
    assert len(project.installations()) == 2


def test_make_does_not_take_a_failed_installation_for_a_finished_one(project: Project) -> None:
    assert project.make(INSTALL, pip_status=1).returncode != 0
    assert project.make(INSTALL).returncode == 0
    assert len(project.installations()) == 2


def test_make_keeps_an_environment_unless_another_interpreter_made_it(project: Project) -> None:
    for base, kept in (("/one", True), ("/two", False)):
        project.make(INSTALL, before="sys.base_prefix = '/one'")
        (project.folder / ".venv/library").touch()
        (project.folder / INSTALL).unlink()
        assert project.make(INSTALL, before=f"sys.base_prefix = '{base}'").returncode == 0
        assert (project.folder / ".venv/library").exists() is kept


def test_make_passes_arguments_on_to_pip(project: Project) -> None:
    project.make(INSTALL, "PIP_ARGS=--extra-index-url https://example.org/cpu")
    [command] = project.installations()
    assert "--extra-index-url https://example.org/cpu -e .[dev,onnx]" in command


@pytest.mark.parametrize(
    ("arguments", "before", "message"),
    [
        (["PYTHON=no-such-python"], "", "'no-such-python' was not found"),
        ([], "sys.version_info = (3, 10, 14)", f"needed is {OLDEST_PYTHON} or newer"),
        ([], "sys.modules['ensurepip'] = None", "apt install python3-venv"),
    ],
)
def test_make_says_what_is_wrong_with_the_interpreter(
    project: Project, arguments: list[str], before: str, message: str
) -> None:
    done = project.make(INSTALL, *arguments, before=before)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert (done.returncode != 0, project.installations()) == (True, [])


def test_make_accepts_the_oldest_python_of_pyproject(project: Project) -> None:
    oldest = OLDEST_PYTHON.replace(".", ", ")
    assert project.make(INSTALL, before=f"sys.version_info = ({oldest}, 0)").returncode == 0


def test_make_alone_lists_every_target(project: Project) -> None:
    declared = re.search(r"^\.PHONY: (.+)$", read("Makefile"), re.MULTILINE)
    assert declared is not None
    listed = re.findall(r"^  ([a-z]+) +\S", project.make().stdout, re.MULTILINE)
    assert listed == declared[1].split()


def test_make_clean_removes_the_environment_and_caches_and_nothing_else(project: Project) -> None:
    kept = ["data/archive.tar", "results/runs/model.safetensors", ".snakemake/metadata/record"]
    kept += ["aikd/module.py", "tests/test.py", "workflow/rules.smk"]
    gone = [
        ".venv/python",
        ".pytest_cache/README.md",
        "aikd.egg-info/PKG-INFO",
        "aikd/__pycache__/module.pyc",
    ]
    for path in [project.folder / name for name in [*kept, *gone]]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert project.make("clean").returncode == 0
    assert [name for name in kept if not (project.folder / name).exists()] == []
    assert [name for name in gone if (project.folder / name).parent.exists()] == []

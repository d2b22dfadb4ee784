"""Nothing in the package runs code that a file brings along, but for the extensions that a study names to be run."""

import ast
from collections.abc import Iterator

import pytest

from tests.test_repository import ROOT, TREES, place

EXTENSIONS = ROOT / "aikd/study/extensions.py"

RUNNING = {
    "eval", "exec", "compile", "__import__", "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load",
    "marshal.loads", "shelve.open", "dill.load", "dill.loads", "cloudpickle.load", "cloudpickle.loads", "joblib.load",
    "torch.jit.load", "torch.package.PackageImporter", "runpy.run_path", "yaml.unsafe_load", "yaml.unsafe_load_all",
    "yaml.full_load", "yaml.full_load_all", "tarfile.TarFile.extractall", "shutil.unpack_archive",
}  # fmt: skip
"""Run what a file or a text says. scipy.io.loadmat is not among them: it reads a format without code."""


def unsafe_loads(tree: ast.Module) -> Iterator[ast.Call]:
    """Calls that unpickle whatever they are given, by whatever name the file imported them."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        first, *rest = ast.unparse(call.func).split(".")
        name = ".".join([names.get(first, first), *rest])
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if (
            name.removeprefix("builtins.") in RUNNING
            or rest[-1:] == ["read_pickle"]
            or given.get("allow_pickle", "False") != "False"
            or (name == "torch.load" and given.get("weights_only") != "True")
            or (name in ("yaml.load", "yaml.load_all") and not safe_loader(tree, call))
        ):
            yield call


def safe_loader(tree: ast.Module, call: ast.Call) -> bool:
    """Whether a call of yaml.load names a SafeLoader, or a class of the same file that is derived from one."""
    given = [*call.args[1:2], *(keyword.value for keyword in call.keywords if keyword.arg == "Loader")]
    classes = {node.name: node.bases for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    bases = [base for loader in given for base in classes.get(ast.unparse(loader), [loader])]
    return bool(bases) and all(ast.unparse(base).endswith("SafeLoader") for base in bases)


def test_loading_a_file_never_runs_code_from_it() -> None:
    found = [(path, call) for path, tree in TREES.items() for call in unsafe_loads(tree)]
    extension = [(path.name, ast.unparse(call.func)) for path, call in found if path == EXTENSIONS]
    assert extension == [("extensions.py", "exec"), ("extensions.py", "compile")]
    assert [place(path, call, ast.unparse(call)) for path, call in found if path != EXTENSIONS] == []


@pytest.mark.parametrize(
    ("code", "unsafe"),
    [
        ("torch.load(path)", True),
        ("torch.load(path, weights_only=False)", True),
        ("import torch as t\nt.load(path)", True),
        ("from torch import load\nload(path)", True),
        ("import pickle\npickle.load(file)", True),
        ("from pickle import loads as parse\nparse(data)", True),
        ("np.load(path, allow_pickle=True)", True),
        ("pd.read_pickle(path)", True),
        ("pickle.Unpickler(file).load()", True),
        ("import joblib\njoblib.load(path)", True),
        ("eval(text)", True),
        ("import builtins\nbuiltins.exec(text)", True),
        ("from yaml import load\nload(text)", True),
        ("yaml.load(text, Loader=yaml.Loader)", True),
        ("yaml.load(text, yaml.FullLoader)", True),
        ("class Mine(yaml.Loader): pass\nyaml.load(text, Mine)", True),
        ("yaml.unsafe_load(text)", True),
        ("marshal.loads(data)", True),
        ("class Mine(yaml.SafeLoader): pass\nyaml.load(text, Loader=Mine)", False),
        ("yaml.safe_load(text)", False),
        ("re.compile(text)", False),
        ("model.eval()", False),
        ("scipy.io.loadmat(path)", False),
        ("torch.load(path, weights_only=True)", False),
        ("np.load(path)", False),
        ("import json\njson.load(file)", False),
    ],
)
def test_calls_that_unpickle_are_told_from_those_that_do_not(code: str, unsafe: bool) -> None:
    assert bool(list(unsafe_loads(ast.parse(code)))) is unsafe

"""Excerpts of the project's own source, by name."""

import ast
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]


def excerpt(name: str) -> str:
    """The code of `module:Class.function` as a block, without its docstring: the text beside it says the same.

    Raises:
        LookupError: there is no such code.
    """
    module, _, path = name.partition(":")
    file = Path(*module.split(".")).with_suffix(".py")
    text = (ROOT / file).read_text(encoding="utf-8")
    node: ast.AST = ast.parse(text)
    for part in path.split("."):
        node = _member(node, part, name)
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
    first = node.body[0]
    if ast.get_docstring(node) and first.end_lineno:
        lines = lines[: first.lineno - node.lineno] + lines[first.end_lineno - node.lineno + 1 :]
    code = textwrap.dedent("\n".join(lines))
    return f'```python title="{file.as_posix()}"\n{code}\n```'


def _member(node: ast.AST, name: str, whole: str) -> ast.AST:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef) and child.name == name:
            return child
    raise LookupError(f"{whole}: no such code")
